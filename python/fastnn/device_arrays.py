"""Arrays on the device: how those of other libraries come in, and how results go back.

They come by DLPack or by `__cuda_array_interface__`, whichever tells more of streams, and
are never copied. No other library is imported: its arrays are known by their attributes.
"""

from __future__ import annotations

import sys
from typing import Any

from fastnn._core import DeviceArray, device_stream, from_cuda_array_interface, from_dlpack

_CUDA = (2, 13)  # kDLCUDA, kDLCUDAManaged


def on_device(value: object) -> bool:
    """Whether it is an array in the memory of a CUDA device."""
    if isinstance(value, DeviceArray) or hasattr(value, "__cuda_array_interface__"):
        return True
    tell = getattr(value, "__dlpack_device__", None)
    return tell is not None and int(tell()[0]) in _CUDA


def taken(name: str, value: Any) -> DeviceArray:
    """What `on_device` has found, without a copy.

    Raises:
        TypeError: it holds no real numbers.
        ValueError: it is not C-contiguous, or on another device than the first.
        RuntimeError: CUDA cannot be used.
    """
    if isinstance(value, DeviceArray):
        return value
    stream = device_stream()
    interface = getattr(value, "__cuda_array_interface__", None)
    # With its stream an array can be waited for, and made to wait, on the device itself.
    streams = interface is not None and interface.get("stream") is not None
    if streams or not hasattr(value, "__dlpack__"):
        return from_cuda_array_interface(name, value)
    try:
        capsule = value.__dlpack__(stream=stream, max_version=(1, 0))
    except TypeError:  # from before version 1
        capsule = value.__dlpack__(stream=stream)
    return from_dlpack(name, capsule)


def handed_back(leader: object, result: DeviceArray) -> Any:
    """The result as an array of the library that `leader` is of, where it has `from_dlpack`."""
    for kind in type(leader).__mro__:
        library = sys.modules.get(kind.__module__.partition(".")[0])
        convert = getattr(library, "from_dlpack", None)
        if convert is not None:
            return convert(result)
    return result
