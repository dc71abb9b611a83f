"""Plain networks as graphs: traced, folded, written as ONNX and checked against torch."""
