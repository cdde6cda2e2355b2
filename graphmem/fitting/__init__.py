"""Many questions to analyze: which device, which batch, which remedy."""
