"""A model and session options -> what ONNX Runtime allocates: predicted, measured, and how to lower it."""
