"""Models: the names of all of them."""

from fastnn.models.sequential import Sequential

__all__ = ["Sequential"]
