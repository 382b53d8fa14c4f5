"""The one artefact: an ONNX graph from raw columns to predictions, with schema and lineage."""
