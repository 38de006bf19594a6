"""Matrices, under the names of TensorFlow's `tf.linalg`."""

from typing import TYPE_CHECKING

from fastnn import elsewhere
from fastnn.autodiff.derived import global_norm, l2_normalize
from fastnn.autodiff.functions import matmul, norm, tensordot
from fastnn.autodiff.making import eye
from fastnn.listing import names_of

__all__ = ["eye", "global_norm", "l2_normalize", "matmul", "norm", "tensordot"]

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "linalg")
__dir__ = names_of(__all__)
