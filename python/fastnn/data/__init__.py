"""The data of a call: rows, tables, classes and the validation split. No model is known here."""

from typing import TYPE_CHECKING

from fastnn import elsewhere

if not TYPE_CHECKING:  # programs for TensorFlow ask for `tf.data.Dataset` here
    __getattr__ = elsewhere.attributes(__name__, "data")
