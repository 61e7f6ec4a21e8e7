package runtime

// LimitMemory makes sessions believe that the machine has n bytes left, until restore is called.
func LimitMemory(n int64) (restore func()) {
	old := available
	available = func() (int64, bool) { return n, true }
	return func() { available = old }
}
