package model

var _ = registerOps("", map[string]InferFunc{
	"Softmax": inferAxisUnary(-1), "LogSoftmax": inferAxisUnary(-1), "Hardmax": inferAxisUnary(-1),
})
