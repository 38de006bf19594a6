"""Models and weights of PyTorch, in both directions, and models of ONNX (see also `model.export_onnx`).

No function here runs code out of a file, and another package is imported only where a call needs it.
docs/interop.md says what goes and what does not.
"""

from fastnn.interop.onnx_files import from_onnx
from fastnn.interop.state_dicts import load_state_dict, save_state_dict, state_dict
from fastnn.interop.torch_modules import from_torch, to_torch
from fastnn.listing import names_of

__all__ = [
    "from_onnx",
    "from_torch",
    "load_state_dict",
    "save_state_dict",
    "state_dict",
    "to_torch",
]

__dir__ = names_of(__all__)
