package onnx

// domainMicrosoft holds ONNX Runtime's own operators, which its optimizer and several
// exporters write.
const domainMicrosoft = "com.microsoft"

// microsoftRules translate them to standard operators.
var microsoftRules map[string]rule
