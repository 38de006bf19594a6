"""Callbacks with Keras's hooks, called by fit, evaluate and predict: the names of all of them."""

from typing import TYPE_CHECKING

from fastnn import elsewhere
from fastnn.callbacks.base import Callback, History, LambdaCallback
from fastnn.callbacks.checkpoints import BackupAndRestore, ModelCheckpoint
from fastnn.callbacks.listeners import CallbackList
from fastnn.callbacks.progress import ProgbarLogger
from fastnn.callbacks.stopping import EarlyStopping
from fastnn.listing import names_of

__all__ = [
    "BackupAndRestore",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "ModelCheckpoint",
    "ProgbarLogger",
]

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "callback")
__dir__ = names_of(__all__)
