"""Models become Keras's: live ones where Keras is installed, and files without it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from fastnn.exports.graph import Graph, Node, kind_of, refusal
from fastnn.extras import needed
from fastnn.interop.keras_recorded import Recorded, Recorder
from fastnn.interop.limits import WEIGHTS, described
from fastnn.layers.activation import ELU, Activation, LeakyReLU, ReLU, Softmax
from fastnn.layers.base import Layer
from fastnn.layers.batch import BatchNormalization
from fastnn.layers.dense import Dense
from fastnn.layers.embedding import Embedding
from fastnn.layers.features import CategoryEncoding, Normalization
from fastnn.layers.lengths import RMSNormalization, UnitNormalization
from fastnn.layers.merge import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from fastnn.layers.noise import AlphaDropout, Dropout, GaussianDropout, GaussianNoise
from fastnn.layers.normalization import GroupNormalization, LayerNormalization
from fastnn.layers.prelu import PReLU
from fastnn.layers.scaling import Rescaling
from fastnn.layers.shape import Flatten, Identity, Permute, RepeatVector, Reshape
from fastnn.models import Model
from fastnn.models.exported import graph_of
from fastnn.words import keywords

# The version of Keras whose files these are, which later versions read.
_FORMAT = "3.0.0"


@keywords()
def to_keras(model: Model) -> Any:
    """A model of Keras 3 that predicts what the model predicts, not compiled.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
        >>> model.set_weights([[[3.0]], [1.0]])
        >>> float(fastnn.to_keras(model).predict(np.array([[2.0]]), verbose=0)[0, 0])
        7.0

    A chain becomes a keras.Sequential, any other graph a keras.Model. Layers keep their names, their
    dtype and whether they are trained; weights are copied. On JAX, float64 needs jax_enable_x64.

    Args:
        model: a built model.

    Raises:
        ValueError: Keras has no form of a layer; the message names it.
        RuntimeError: the model is not built.
        ImportError: Keras is not installed.
    """
    graph = _checked(model, "to_keras")
    return _made(needed("keras", "to_keras"), graph, model).model


@keywords()
def save_keras(model: Model, path: str | os.PathLike[str]) -> None:
    """Writes a `.keras` file, which `keras.models.load_model` reads. Keras need not be installed.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
        >>> model.set_weights([[[3.0]], [1.0]])
        >>> fastnn.interop.save_keras(model, "line.keras")
        >>> fastnn.from_keras("line.keras").predict([[2.0]]).tolist()
        [[7.0]]

    It holds the model that `to_keras` gives. At any moment `path` is the file that was there before,
    or the new one. It needs the package h5py (the extra `h5`).

    Args:
        model: a built model.
        path: ends in ".keras".

    Raises:
        ValueError: Keras has no form of a layer; the message names it. Another suffix.
        RuntimeError: the model is not built.
        ImportError: h5py is not installed.
        OSError: the file cannot be written; what was there stays.
    """
    import zipfile

    from fastnn.files.atomic import replacing

    _check_suffix(path, ".keras")
    made = recorded(model, "save_keras").model
    weights = _weights_file(made, "save_keras")
    metadata = {"keras_version": _FORMAT, "date_saved": time.strftime("%Y-%m-%d@%H:%M:%S")}
    members = {
        "metadata.json": json.dumps(metadata).encode(),
        "config.json": json.dumps(made.config()).encode(),
        "model.weights.h5": weights,
    }
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)


@keywords()
def save_keras_weights(model: Model, path: str | os.PathLike[str]) -> None:
    """Writes a `.weights.h5` file, which `load_weights` of the model that `to_keras` gives reads.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
        >>> clone = fastnn.models.clone_model(model)
        >>> fastnn.interop.save_keras_weights(model, "line.weights.h5")
        >>> fastnn.interop.load_keras_weights(clone, "line.weights.h5")
        >>> bool(clone.get_weights()[0] == model.get_weights()[0])
        True

    Keras need not be installed; it needs the package h5py (the extra `h5`). Any model of Keras reads
    it that has the same layers in the same order, and no models in it.

    Args:
        model: a built model.
        path: ends in ".weights.h5".

    Raises:
        ValueError: Keras has no form of a layer; the message names it. Another suffix.
        RuntimeError: the model is not built.
        ImportError: h5py is not installed.
        OSError: the file cannot be written; what was there stays.
    """
    from fastnn.files.atomic import replacing

    _check_suffix(path, ".weights.h5")
    content = _weights_file(recorded(model, "save_keras_weights").model, "save_keras_weights")
    with replacing(path) as file:
        file.write(content)


def _check_suffix(path: Any, suffix: str) -> None:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path: expected a path, got {type(path).__name__}")
    if not os.fspath(path).endswith(suffix):
        raise ValueError(f"path: expected the suffix {suffix!r}, got {os.fspath(path)!r}")


def _weights_file(made: Recorded, doing: str) -> bytes:
    """The weights of a model in HDF5, as Keras writes them."""
    import io

    h5py = needed("h5py", doing, "h5")
    raw = io.BytesIO()
    with h5py.File(raw, "w") as file:
        file.create_group("vars").attrs["name"] = made.name
        for group, layer in made.groups.items():
            variables = file.create_group(f"{group}/vars")
            variables.attrs["name"] = layer.name
            for i, array in enumerate(layer.weights):
                variables[str(i)] = array
    return raw.getvalue()


class Made(NamedTuple):
    """A model of Keras, and its layers by the ids of those that they are made of."""

    model: Any
    layers: dict[int, Any]


def recorded(model: Model, doing: str) -> Made:
    """The model of Keras as a file has it; its layers are those of `keras_recorded`."""
    return _made(Recorder(), _checked(model, doing), model)


def _checked(model: Model, doing: str) -> Graph:
    """The graph of a model, all of whose layers Keras has."""
    graph = graph_of(model, doing)
    for node in graph.nodes:
        if kind_of(node.layer, WRITERS) is None:
            raise refusal(node.layer, "Keras")
    return graph


def _made(keras: Any, graph: Graph, model: Model) -> Made:
    made: dict[int, Any] = {}
    names = {part.name for part in graph.inputs}
    for node in graph.nodes:
        kind = kind_of(node.layer, WRITERS)
        if id(node.layer) not in made and kind is not None:
            common = {
                "name": _unused(node.layer.name, names),
                "dtype": graph.dtype,
                "trainable": node.layer.trainable,
            }
            made[id(node.layer)] = WRITERS[kind](keras, node.layer, node, common)
    result = _wired(keras, graph, made, model)
    for node in graph.nodes:
        weights = node.layer.get_weights()
        if weights and not isinstance(node.layer, Normalization):  # its options say them
            made[id(node.layer)].set_weights(weights)
    return Made(result, made)


def _unused(name: str, taken: set[str]) -> str:
    """A name that differs from those before: layers of models in the model may be named alike."""
    unused, count = name, 0
    while unused in taken:
        count += 1
        unused = f"{name}_{count}"
    taken.add(unused)
    return unused


def _wired(keras: Any, graph: Graph, made: dict[int, Any], model: Model) -> Any:
    """The model of Keras with the calls of a graph."""
    inputs = [keras.Input(part.shape, name=part.name, dtype=graph.dtype) for part in graph.inputs]
    is_chain = (
        len(graph.inputs) == len(graph.outputs) == 1
        and all(node.inputs == (i,) for i, node in enumerate(graph.nodes))
        and len(made) == len(graph.nodes)
        and not any(node.layer.merges for node in graph.nodes)
    )
    if is_chain:
        chain = [inputs[0], *(made[id(node.layer)] for node in graph.nodes)]
        return keras.Sequential(chain, name=graph.name)
    call = getattr(keras, "call", _call)
    values = list(inputs)
    for node in graph.nodes:
        given = [values[i] for i in node.inputs]
        if node.layer.merges and len(given) == 1:
            values.append(given[0])  # the sum, or another merging, of one input is that input
        else:
            taken = given if node.layer.merges else given[0]
            values.append(call(made[id(node.layer)], taken, node.shape))
    outputs = model._state.now.form.like([values[part.tensor] for part in graph.outputs])
    named = model._input_names
    entries: Any = inputs if len(inputs) > 1 else inputs[0]
    if isinstance(named, list):
        entries = dict(zip(named, inputs, strict=True))
    return keras.Model(entries, outputs, name=graph.name)


def _call(layer: Any, given: Any, _: object) -> Any:
    """What a layer of Keras makes, of which it knows the shape."""
    return layer(given)


_Writer = Callable[[Any, Any, Node, dict[str, Any]], Any]

# Activations that have one name and one meaning in both, the defaults of parameters included.
ACTIVATIONS = (
    *("linear", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh"),
    *("relu6", "selu", "celu", "hard_silu", "hard_sigmoid", "hard_tanh", "mish", "softsign"),
    *("soft_shrink", "hard_shrink", "tanh_shrink", "squareplus", "sparse_plus", "sparse_sigmoid"),
    *("exponential", "log_sigmoid", "softmax", "log_softmax"),
)


def _word(layer: Layer) -> str:
    word: str = getattr(layer, "activation")  # noqa: B009 - not every Layer has one
    if word not in ACTIVATIONS:
        raise ValueError(
            f"layer {layer.name!r}: Keras has no form of the activation {word} that a file can name"
        )
    return word


def _dense(keras: Any, layer: Dense, _: Node, common: dict[str, Any]) -> Any:
    return keras.layers.Dense(
        units=layer.units,
        activation=_word(layer),
        use_bias=layer.use_bias,
        **described(layer),
        **common,
    )


def _normalization(keras: Any, layer: LayerNormalization, _: Node, common: dict[str, Any]) -> Any:
    return keras.layers.LayerNormalization(
        epsilon=layer.epsilon,
        center=layer.center,
        scale=layer.scale,
        **described(layer),
        **common,
    )


def _same(*options: str) -> _Writer:
    """A layer of the same name and options."""

    def write(keras: Any, layer: Layer, _: Node, common: dict[str, Any]) -> Any:
        name = type(layer).__name__
        given = {option: getattr(layer, option) for option in options}
        limits = described(layer) if name in WEIGHTS else {}
        return getattr(keras.layers, name)(**given, **limits, **common)

    return write


def _merging(name: str) -> _Writer:
    return lambda keras, _layer, _node, common: getattr(keras.layers, name)(**common)


WRITERS: dict[type[Layer], _Writer] = {
    Dense: _dense,
    Activation: lambda keras, layer, _, common: keras.layers.Activation(
        activation=_word(layer), **common
    ),
    LeakyReLU: lambda keras, layer, _, common: keras.layers.LeakyReLU(
        negative_slope=layer.negative_slope, **common
    ),
    ELU: lambda keras, layer, _, common: keras.layers.ELU(alpha=layer.alpha, **common),
    ReLU: lambda keras, layer, _, common: keras.layers.ReLU(
        max_value=layer.max_value,
        negative_slope=layer.negative_slope,
        threshold=layer.threshold,
        **common,
    ),
    Softmax: lambda keras, _layer, _, common: keras.layers.Softmax(**common),
    LayerNormalization: _normalization,
    Dropout: lambda keras, layer, _, common: keras.layers.Dropout(
        rate=layer.rate, seed=layer.seed, **common
    ),
    AlphaDropout: _same("rate", "seed"),
    GaussianDropout: _same("rate", "seed"),
    GaussianNoise: _same("stddev", "seed"),
    PReLU: _same("shared_axes"),
    RMSNormalization: _same("epsilon"),
    UnitNormalization: _same(),
    BatchNormalization: _same("momentum", "epsilon", "center", "scale"),
    GroupNormalization: _same("groups", "epsilon", "center", "scale"),
    Normalization: lambda keras, layer, _, common: keras.layers.Normalization(
        mean=layer.mean.numpy().tolist(),
        variance=layer.variance.numpy().tolist(),
        invert=layer.invert,
        **common,
    ),
    Permute: _same("dims"),
    Embedding: _same("input_dim", "output_dim"),
    CategoryEncoding: _same("num_tokens", "output_mode"),
    Identity: _same(),
    Rescaling: lambda keras, layer, _, common: keras.layers.Rescaling(
        scale=layer.scale, offset=layer.offset, **common
    ),
    Flatten: lambda keras, _layer, _, common: keras.layers.Flatten(**common),
    Reshape: lambda keras, _layer, node, common: keras.layers.Reshape(
        target_shape=node.shape, **common
    ),
    RepeatVector: lambda keras, layer, _, common: keras.layers.RepeatVector(n=layer.n, **common),
    Add: _merging("Add"),
    Subtract: _merging("Subtract"),
    Multiply: _merging("Multiply"),
    Average: _merging("Average"),
    Maximum: _merging("Maximum"),
    Minimum: _merging("Minimum"),
    Concatenate: lambda keras, layer, _, common: keras.layers.Concatenate(
        axis=layer.axis, **common
    ),
}
