"""Analysis -> str: one module per format; nothing here computes a figure or prints."""
