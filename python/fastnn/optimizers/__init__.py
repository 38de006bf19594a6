"""Optimizers: the names of all of them. Schedules of the learning rate are in `schedules`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import elsewhere
from fastnn.listing import names_of
from fastnn.optimizers import schedules
from fastnn.optimizers.adaptive import Adadelta, Adagrad, Adamax, Nadam
from fastnn.optimizers.base import OPTIMIZERS, Optimizer, get
from fastnn.optimizers.lbfgs import LBFGS
from fastnn.optimizers.rules import SGD, Adam, AdamW, Lion, RMSprop
from fastnn.optimizers.whole import Lamb, Muon

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "get",
    "schedules",
]

__dir__ = names_of(__all__)

serialize, deserialize = OPTIMIZERS.serialize, OPTIMIZERS.deserialize

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "optimizer", lambda: OPTIMIZERS.names)
