"""Feature transforms, one a file, each with an ONNX form."""
