"""What is done to data before training, with Keras's names: images from files."""

from typing import TYPE_CHECKING

from fastnn import elsewhere
from fastnn.listing import names_of
from fastnn.preprocessing import image

__all__ = ["image"]

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "preprocessing")
__dir__ = names_of(__all__)
