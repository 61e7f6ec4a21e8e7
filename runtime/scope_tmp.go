package runtime
type scope struct{}
