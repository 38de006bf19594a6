"""Training: its loops, and the claim on a model while one runs. Models are known by a protocol."""
