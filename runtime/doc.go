// Package runtime executes a model.Graph: it plans once for given input shapes (order,
// lifetimes, one arena, a kernel for each node), then runs without allocating. It never
// changes the graph. Standard library package runtime is imported as goruntime here.
package runtime
