package onnx

// lowerRNN: "output_sequence" only said, before 7, whether the first output is wanted.
func lowerRNN(l *lowering) error {
	l.drop("output_sequence")
	l.keep()
	return nil
}
