// Package kernels owns the numeric inner loops, on slices only: quantized and
// float matrix products, their block formats, and the vector functions of the other
// operators. For each routine the generic Go form is the truth; assembly forms are
// named, chosen by CPU features and held to it by tests. docs/kernels.md has the table
// routine x instruction set.
//
// The package imports nothing of this module. Exported functions check lengths and panic with
// a "kernels: " message on a programmer's fault; assembly trusts its caller.
package kernels
