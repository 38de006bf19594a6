"""The data of a call: rows, tables, classes and the validation split. No model is known here.

Public is `Chunks`, which reads data larger than memory.
"""

from typing import TYPE_CHECKING

from fastnn import elsewhere
from fastnn.data.chunks import Chunks
from fastnn.listing import names_of

__all__ = ["Chunks"]

__dir__ = names_of(__all__)

if not TYPE_CHECKING:  # programs for TensorFlow ask for `tf.data.Dataset` here
    __getattr__ = elsewhere.attributes(__name__, "data")
