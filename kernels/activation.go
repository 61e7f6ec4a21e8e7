package kernels

// ActKind is an activation function that a product can apply to its result.
type ActKind uint8

// The activations; x is the value before.
const (
	ActNone      ActKind = iota
	ActRelu              // max(x, 0)
	ActLeakyRelu         // x if x >= 0, else Alpha x
	ActClip              // min(max(x, Alpha), Beta)
	ActSigmoid           // 1 / (1 + exp(-x))
	ActTanh
	ActSwish     // x / (1 + exp(-x))
	ActHardSwish // x max(0, min(1, x/6 + 1/2))
	ActGelu      // x/2 (1 + erf(x/sqrt 2))
	ActGeluTanh  // x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
)

// Activation is an activation with its parameters.
type Activation struct {
	Kind        ActKind
	Alpha, Beta float32
}
