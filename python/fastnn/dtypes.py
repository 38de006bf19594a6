"""Types of numbers under the names of TensorFlow, as NumPy's dtypes: `fastnn.cast(x, fastnn.float32)`."""

import builtins

import numpy as np

from fastnn.listing import names_of

__all__ = [
    "bool",
    "double",
    "float16",
    "float32",
    "float64",
    "half",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]

__dir__ = names_of(__all__)

float16 = half = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = double = np.dtype(np.float64)
int8, int16, int32, int64 = (np.dtype(f"int{bits}") for bits in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64))
bool = np.dtype(builtins.bool)
