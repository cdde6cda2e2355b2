"""Run the real thing and return what it did: the only room that imports onnxruntime, and only inside functions."""
