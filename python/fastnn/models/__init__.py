"""Models: the names of all of them."""

from typing import TYPE_CHECKING

from fastnn import elsewhere
from fastnn.listing import names_of
from fastnn.models.model import Model
from fastnn.models.sequential import Sequential

__all__ = ["Model", "Sequential"]

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "models")
__dir__ = names_of(__all__)
