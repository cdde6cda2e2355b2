"""Memory facts of each ONNX operator: which outputs are views, which inputs may be overwritten."""
