"""Models of Keras, PyTorch, scikit-learn and ONNX (see also `model.export_onnx`).

No function here runs code out of a file, and another package is imported only where a call needs it.
docs/interop.md says what goes and what does not.
"""

from fastnn.interop.keras_export import save_keras, save_keras_weights, to_keras
from fastnn.interop.keras_models import from_keras, load_keras_weights
from fastnn.interop.onnx_files import from_onnx
from fastnn.interop.sklearn_models import from_sklearn, to_sklearn
from fastnn.interop.state_dicts import load_state_dict, save_state_dict, state_dict
from fastnn.interop.torch_modules import from_torch, to_torch
from fastnn.listing import names_of

__all__ = [
    "from_keras",
    "from_onnx",
    "from_sklearn",
    "from_torch",
    "load_keras_weights",
    "load_state_dict",
    "save_keras",
    "save_keras_weights",
    "save_state_dict",
    "state_dict",
    "to_keras",
    "to_sklearn",
    "to_torch",
]

__dir__ = names_of(__all__)
