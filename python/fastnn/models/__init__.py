"""Models: the names of all of them."""

from fastnn.listing import names_of
from fastnn.models.sequential import Sequential

__all__ = ["Sequential"]

__dir__ = names_of(__all__)
