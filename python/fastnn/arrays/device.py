"""Arrays on the device: how arrays of other libraries come in, and how results go back.

An array comes in by DLPack or by `__cuda_array_interface__`, whichever tells its stream, and is
never copied. No other library is imported: its arrays are recognised by their attributes.
"""

from __future__ import annotations

import sys
from typing import Any

from fastnn._core import DeviceArray, device_stream, from_cuda_array_interface, from_dlpack

_CUDA = (2, 13)  # kDLCUDA, kDLCUDAManaged


def on_device(value: object) -> bool:
    """Whether `value` is an array in the memory of a CUDA device."""
    if isinstance(value, DeviceArray) or hasattr(value, "__cuda_array_interface__"):
        return True
    tell = getattr(value, "__dlpack_device__", None)
    return tell is not None and int(tell()[0]) in _CUDA


def taken(name: str, value: Any) -> DeviceArray:
    """The array of the device that `value` is (see `on_device`), without a copy.

    Raises:
        TypeError: it holds no real numbers.
        ValueError: it is not C-contiguous, or on another device than the first.
        RuntimeError: CUDA cannot be used.
    """
    if isinstance(value, DeviceArray):
        return value
    stream = device_stream()
    interface = getattr(value, "__cuda_array_interface__", None)
    # With the stream known, the device itself can wait for the array, and the array for the device.
    streams = interface is not None and interface.get("stream") is not None
    if streams or not hasattr(value, "__dlpack__"):
        return from_cuda_array_interface(name, value)
    try:
        capsule = value.__dlpack__(stream=stream, max_version=(1, 0))
    except TypeError:  # a library from before version 1 of DLPack
        capsule = value.__dlpack__(stream=stream)
    return from_dlpack(name, capsule)


def handed_back(leader: object, result: DeviceArray) -> Any:
    """The result as an array of the library of `leader`, if that library has `from_dlpack`."""
    for kind in type(leader).__mro__:
        library = sys.modules.get(kind.__module__.partition(".")[0])
        convert = getattr(library, "from_dlpack", None)
        if convert is not None:
            return convert(result)
    return result
