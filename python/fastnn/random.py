"""Random Tensors and the seed, under the names of TensorFlow's `tf.random`."""

from typing import TYPE_CHECKING

from fastnn import elsewhere
from fastnn.autodiff.drawing import (
    SeedGenerator,
    dropout,
    normal,
    shuffle,
    truncated_normal,
    uniform,
)
from fastnn.listing import names_of
from fastnn.utils import set_random_seed as set_seed

__all__ = [
    "SeedGenerator",
    "dropout",
    "normal",
    "set_seed",
    "shuffle",
    "truncated_normal",
    "uniform",
]

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "random")
__dir__ = names_of(__all__)
