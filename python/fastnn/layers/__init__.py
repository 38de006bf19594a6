"""Layers: the names of all of them. Each stands in a module of its kind; no arithmetic is here."""

from typing import TYPE_CHECKING

from fastnn import elsewhere
from fastnn.layers import symbolic  # noqa: F401 - has functions of fastnn.math take symbols
from fastnn.layers.activation import ELU, Activation, LeakyReLU, ReLU, Softmax
from fastnn.layers.base import LAYERS, Layer
from fastnn.layers.batch import BatchNormalization
from fastnn.layers.columns import ColumnEncoding
from fastnn.layers.dense import Dense
from fastnn.layers.dot import Dot, dot
from fastnn.layers.embedding import Embedding
from fastnn.layers.features import CategoryEncoding, Normalization
from fastnn.layers.grouped import GroupedDense
from fastnn.layers.lengths import RMSNormalization, UnitNormalization
from fastnn.layers.merge import (
    Add,
    Average,
    Concatenate,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    maximum,
    minimum,
    multiply,
    subtract,
)
from fastnn.layers.noise import AlphaDropout, Dropout, GaussianDropout, GaussianNoise
from fastnn.layers.normalization import GroupNormalization, LayerNormalization
from fastnn.layers.operation import Operation
from fastnn.layers.prelu import PReLU
from fastnn.layers.scaling import Rescaling, Scale
from fastnn.layers.shape import (
    Flatten,
    Identity,
    Input,
    InputLayer,
    Permute,
    RepeatVector,
    Reshape,
)
from fastnn.layers.slicing import Slice
from fastnn.listing import names_of

if TYPE_CHECKING:  # they are classes of `fastnn.models`, which puts them here
    ActivityRegularization = Discretization = Lambda = Layer

__all__ = [
    "ELU",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AlphaDropout",
    "Average",
    "BatchNormalization",
    "CategoryEncoding",
    "ColumnEncoding",
    "Concatenate",
    "Dense",
    "Discretization",
    "Dot",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GroupNormalization",
    "GroupedDense",
    "Identity",
    "Input",
    "InputLayer",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Maximum",
    "Minimum",
    "Multiply",
    "Normalization",
    "Operation",
    "PReLU",
    "Permute",
    "RMSNormalization",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Scale",
    "Slice",
    "Softmax",
    "Subtract",
    "UnitNormalization",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]

serialize, deserialize = LAYERS.serialize, LAYERS.deserialize

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "layer", lambda: LAYERS.names)
__dir__ = names_of(__all__)
