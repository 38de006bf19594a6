"""Automatic differentiation: Tensors, the tape that records operations on them, the operations."""
