"""Model families, one a file, each with an ONNX form."""
