"""Callbacks with Keras's hooks, called by fit, evaluate and predict: the names of all of them."""

from typing import TYPE_CHECKING

from fastnn import elsewhere
from fastnn.callbacks.averages import SwapEMAWeights
from fastnn.callbacks.base import Callback, History, LambdaCallback
from fastnn.callbacks.checkpoints import BackupAndRestore, ModelCheckpoint
from fastnn.callbacks.limits import TerminateOnNaN, TimeLimit
from fastnn.callbacks.listeners import CallbackList
from fastnn.callbacks.logged import CSVLogger, TensorBoard
from fastnn.callbacks.progress import ProgbarLogger
from fastnn.callbacks.rates import LearningRateScheduler, ReduceLROnPlateau
from fastnn.callbacks.stopping import EarlyStopping
from fastnn.callbacks.tqdm_bar import TqdmBar
from fastnn.listing import names_of

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
    "TimeLimit",
    "TqdmBar",
]

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "callback")
__dir__ = names_of(__all__)
