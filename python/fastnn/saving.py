"""Files of models, and classes of one's own in them, under the names of `keras.saving`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import elsewhere
from fastnn.listing import names_of
from fastnn.models.loading import load_model, save_model
from fastnn.objects import deserialize_keras_object, serialize_keras_object
from fastnn.serializable import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_serializable,
)

register_keras_serializable = register_serializable

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "register_keras_serializable",
    "register_serializable",
    "save_model",
    "serialize_keras_object",
]

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "utils")
__dir__ = names_of(__all__)
