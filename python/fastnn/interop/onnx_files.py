"""from_onnx: models from files of ONNX. The reader, `onnx_graphs`, is imported by the first call."""

from __future__ import annotations

import os
from collections.abc import Sequence

from fastnn.models import Model
from fastnn.words import keywords


@keywords()
def from_onnx(
    path: str | os.PathLike[str],
    *,
    outputs: str | Sequence[str] | None = None,
    dtype: str | None = None,
    name: str | None = None,
) -> Model:
    """A built model that predicts what a file of ONNX computes.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
        >>> model.set_weights([[[3.0]], [1.0]])
        >>> model.export_onnx("line.onnx")
        >>> fastnn.from_onnx("line.onnx").predict([[2.0]]).tolist()
        [[7.0]]

    A chain becomes a Sequential, any other graph a Model. Several inputs are given as a dictionary by
    their names, and several outputs come as one. Initializers that several nodes share become layers
    that are called several times. Constants of each column, as of BatchNormalization, become a part of
    the weights of the Dense beside them, or a BatchNormalization that is not trained, and Dropout is
    gone: the file has the model for prediction.
    docs/interop.md lists the operations. It needs the package onnx (the extra `onnx`).

    Args:
        path: the file. Data beside it are read from its own folder alone.
        outputs: the name of an output, or several; None: all. The name of any other value is taken,
            too, such as that of the logits before a Hardmax. Nodes that these do not need are not
            read: of a classifier from scikit-learn take outputs="probabilities", not the labels.
        dtype: "float32" or "float64"; None: "float64" where the inputs are, "float32" otherwise, also
            for weights of float16 and bfloat16.
        name: of the model; None: that of the graph.

    Inputs are (batch, ...) with all other axes known; the number of rows is open, whatever the file
    says. Values without columns, (batch,), are rows of a single number here: (batch, 1).

    Raises:
        ValueError: fastnn has no layer for a node; the message names it. An unknown output or opset.
        fastnn.ModelFileError: the file is damaged; the message names the fault.
        ImportError: onnx is not installed.
        OSError: the file cannot be read.
    """
    from fastnn.interop.onnx_graphs.model import model_of

    return model_of(path, outputs, dtype, name)
