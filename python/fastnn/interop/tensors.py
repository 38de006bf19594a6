"""Arrays out of what other packages call tensors, without importing these packages."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.arrays.host import numeric
from fastnn.interop.parts import Array


def array_of(name: str, value: Any) -> Array:
    """An array of floats, float32 or float64, with the values of a tensor or array.

    bfloat16 and float16 become float32, which holds them exactly. Tensors on a device are copied
    from it.

    Raises:
        TypeError: the values are no floats.
        ValueError: they are not there yet, as of the lazy modules of PyTorch.
    """
    if hasattr(value, "detach"):
        if type(value).__name__.startswith("Uninitialized") or str(value.device) == "meta":
            raise ValueError(f"{name}: the tensor has no values")
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        value = value.numpy()
    array = numeric(name, value)
    if array.dtype.kind != "f":
        raise TypeError(f"{name}: expected floats, got {array.dtype}")
    return array if array.dtype == np.float64 else array.astype(np.float32, copy=False)
