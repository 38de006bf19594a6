"""Callbacks with Keras's hooks, called by fit, evaluate and predict: the names of all of them."""

from fastnn.callbacks.base import Callback, History, LambdaCallback
from fastnn.callbacks.listeners import CallbackList
from fastnn.callbacks.progress import ProgbarLogger
from fastnn.callbacks.stopping import EarlyStopping
from fastnn.listing import names_of

__all__ = [
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "ProgbarLogger",
]

__dir__ = names_of(__all__)
