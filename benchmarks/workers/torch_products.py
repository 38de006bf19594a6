"""PyTorch's products for `precision.py`: float32 at its three precisions, and with bfloat16 operands."""

import json

import numpy as np
import torch

from benchmarks.precision import errors
from benchmarks.workloads import Floats


def float32(x: Floats, w: Floats) -> np.ndarray:
    return (torch.from_numpy(x) @ torch.from_numpy(w)).numpy()


def bfloat16(x: Floats, w: Floats) -> np.ndarray:
    """A product as in autocast, which rounds the result too."""
    return (torch.from_numpy(x).bfloat16() @ torch.from_numpy(w).bfloat16()).float().numpy()


if __name__ == "__main__":
    found = {}
    for precision in ("highest", "high", "medium"):
        torch.set_float32_matmul_precision(precision)
        found[f"PyTorch {precision}"] = errors(float32)
    found["PyTorch bfloat16"] = errors(bfloat16)
    print(json.dumps(found))
