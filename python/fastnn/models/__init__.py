"""Models: the names of all of them."""

from typing import TYPE_CHECKING

from fastnn import elsewhere
from fastnn.listing import names_of
from fastnn.models.discretization import Discretization as _Binned  # noqa: F401 - as the next
from fastnn.models.function_layers import Lambda as _Lambda  # noqa: F401 - as the next
from fastnn.models.loading import clone_model, load_model, model_from_json, save_model
from fastnn.models.model import Model
from fastnn.models.own_layer import Layer as _Layer  # noqa: F401 - which is in fastnn.layers
from fastnn.models.sequential import Sequential

__all__ = [
    "Model",
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_json",
    "save_model",
]

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "models")
__dir__ = names_of(__all__)
