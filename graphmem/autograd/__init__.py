"""ONNX -> ATen-level program -> the allocations that PyTorch's eager engine makes for it; no torch inside."""
