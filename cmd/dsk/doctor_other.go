//go:build !linux

package main

// memoryBytes is known on Linux only.
func memoryBytes(string) int64 { return 0 }

// temperatures are known on Linux only.
func temperatures() []float64 { return nil }
