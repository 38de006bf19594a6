"""Models of Keras 3: files and live models become fastnn's, and the other way round.

Keras is imported only to make its models.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn.exports.graph import Graph, Node, activation_of, kind_of, refusal
from fastnn.extras import needed
from fastnn.interop.keras_graph import Place, model_of, snake_case_of_keras
from fastnn.interop.parts import Array, write_by_layer
from fastnn.layers.activation import ELU, Activation, LeakyReLU, ReLU, Softmax
from fastnn.layers.base import Layer
from fastnn.layers.dense import Dense
from fastnn.layers.merge import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from fastnn.layers.noise import Dropout
from fastnn.layers.normalization import LayerNormalization
from fastnn.layers.scaling import Rescaling
from fastnn.layers.shape import Flatten, RepeatVector, Reshape
from fastnn.models import Model
from fastnn.models.exported import graph_of
from fastnn.words import keywords


@keywords()
def from_keras(source: Any, *, dtype: str | None = None, name: str | None = None) -> Model:
    """A built model that predicts what a model of Keras 3 predicts.

        model = fastnn.from_keras("model.keras")    # Keras need not be installed
        model = fastnn.from_keras(keras_model)

    A Sequential becomes a Sequential, and a functional model a Model; models inside models become
    their layers. Layers keep their names; weights are copied. Optimizer, loss and metrics are not
    read: compile the model to train it.

    Args:
        source: the path of a `.keras` file, which needs the package h5py (the extra `h5`), or a model
            of Keras.
        dtype: "float32" or "float64"; None: that of the layers in Keras. 16-bit types become float32.
        name: of the model; None: the one it has in Keras.

    No code of a file is run: a Lambda layer, or a class or function of one's own, is refused.

    Raises:
        ValueError: a layer, or an option of one, that fastnn has not; the message names both.
        fastnn.ModelFileError: a damaged file, or one of weights that do not fit its layers.
        TypeError: `source` is neither a path nor a model.
        ImportError: h5py is not installed.

    Warns:
        UserWarning: regularizers and constraints are left out; they matter in training alone.
    """
    if isinstance(source, (str, os.PathLike)):
        if not os.fspath(source).endswith(".keras"):
            raise ValueError(
                f"source: expected the path of a .keras file, got {os.fspath(source)!r}; save the "
                "model in Keras by model.save('model.keras'), or put .weights.h5 into a model of "
                "fastnn by fastnn.interop.load_keras_weights"
            )
        return _from_file(source, dtype, name)
    if not hasattr(source, "to_json") or not hasattr(source, "get_layer"):
        raise TypeError(f"source: expected a path or a model of Keras, got {type(source).__name__}")
    _refuse_functions(source)
    return model_of(json.loads(source.to_json()), _live(source), dtype=dtype, name=name)


def _from_file(path: str | os.PathLike[str], dtype: str | None, name: str | None) -> Model:
    from fastnn.files.layout import ModelFileError
    from fastnn.interop.keras_files import Store, read_archive

    archive = read_archive(path)
    store = Store(archive.weights, "from_keras")
    try:
        return model_of(archive.config, store, dtype=dtype, name=name)
    except ModelFileError as fault:
        raise ModelFileError(f"{os.fspath(path)}: {fault}") from fault
    except (AttributeError, LookupError, TypeError) as error:  # parts of other types
        raise ModelFileError(f"{os.fspath(path)}: config.json: {error}") from error
    except RecursionError:
        raise ModelFileError(f"{os.fspath(path)}: models are nested too deeply") from None
    finally:
        store.close()


def _refuse_functions(model: Any) -> None:
    """ValueError for an activation of one's own: a config keeps nothing of it but its name."""
    for layer in model.layers:
        activation = getattr(layer, "activation", None)
        module = getattr(activation, "__module__", None) or "keras"
        if callable(activation) and module.partition(".")[0] != "keras":
            raise ValueError(
                f"{layer.name} ({type(layer).__name__}): activation: expected a name of Keras's, got "
                f"{activation!r}"
            )
        if hasattr(layer, "layers"):
            _refuse_functions(layer)


def _live(model: Any) -> Callable[[Place, Sequence[tuple[int, ...]]], list[Array]]:
    """The weights of a model in memory."""

    def weights(place: Place, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
        layer = model
        for name in place.names:
            layer = layer.get_layer(name)
        found = []
        for value in layer.get_weights():
            array = np.asarray(value)
            double = array.dtype == np.float64
            found.append(array if double else array.astype(np.float32))
        given = [array.shape for array in found]
        if given != list(shapes):
            raise ValueError(
                f"{place.names[-1]}: expected weights of shapes {list(shapes)}, got {given}"
            )
        return found

    return weights


@keywords()
def load_keras_weights(model: Model, path: str | os.PathLike[str]) -> None:
    """Sets the weights of a model from a file of Keras. All are checked before any is written.

        fastnn.interop.load_keras_weights(model, "model.weights.h5")

    Weights are matched with layers by name where the file keeps names and all of them agree, and
    otherwise by class and order: the first Dense with the first Dense, and so on.

    Args:
        model: a built model.
        path: a `.weights.h5` file, or a `.keras` file, whose config is not read.

    Raises:
        fastnn.ModelFileError: a damaged file, or one of other weights than the model's; the message
            names the layer.
        RuntimeError: the model is not built.
        ImportError: h5py is not installed.
    """
    from fastnn.files.layout import ModelFileError
    from fastnn.interop.keras_files import Store, read_archive

    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path: expected a path, got {type(path).__name__}")
    layers = _with_weights(graph_of(model, "load_keras_weights"))
    packed = os.fspath(path).endswith(".keras")
    store = Store(read_archive(path).weights if packed else path, "load_keras_weights")
    try:
        found = store.layers()
        names = {name: group for group, name in found.items() if name is not None}
        if set(names) == {layer.name for layer in layers} and len(names) == len(found):
            groups = [names[layer.name] for layer in layers]
        else:
            groups = _in_order(layers)
            more = sorted(set(found) - set(groups))
            if more:
                raise ModelFileError(
                    f"{os.fspath(path)}: it has weights for {', '.join(more)}, and the model has no "
                    "layers for them"
                )
        weights = [
            store(Place((layer.name,), group), [v.shape for v in layer.variables])
            for layer, group in zip(layers, groups, strict=True)
        ]
    finally:
        store.close()
    write_by_layer(model, list(zip(layers, weights, strict=True)))


def _with_weights(graph: Graph) -> list[Layer]:
    """The layers of a graph that have weights, in order, each once."""
    found: dict[int, Layer] = {}
    for node in graph.nodes:
        if node.layer.variables:
            if kind_of(node.layer, (Dense, LayerNormalization)) is None:
                raise refusal(node.layer, "Keras")
            found.setdefault(id(node.layer), node.layer)
    return list(found.values())


def _in_order(layers: Sequence[Layer]) -> list[str]:
    """The group of each layer, numbered by class."""
    counts: dict[str, int] = {}
    groups = []
    for layer in layers:
        kind = kind_of(layer, (Dense, LayerNormalization))
        assert kind is not None
        base = snake_case_of_keras(kind.__name__)
        count = counts.get(base, 0)
        counts[base] = count + 1
        groups.append(f"layers/{base}" if count == 0 else f"layers/{base}_{count}")
    return groups


# -- to Keras


@keywords()
def to_keras(model: Model) -> Any:
    """A model of Keras 3 that predicts what the model predicts, not compiled.

        fastnn.to_keras(model).save("model.keras")

    A chain becomes a keras.Sequential, any other graph a keras.Model. Layers keep their names, their
    dtype and whether they are trained; weights are copied. On JAX, float64 needs jax_enable_x64.

    Args:
        model: a built model.

    Raises:
        ValueError: Keras has no form of a layer; the message names it.
        RuntimeError: the model is not built.
        ImportError: Keras is not installed.
    """
    graph = graph_of(model, "to_keras")
    kinds = [kind_of(node.layer, WRITERS) for node in graph.nodes]
    for node, kind in zip(graph.nodes, kinds, strict=True):
        if kind is None:
            raise refusal(node.layer, "Keras")
    keras = needed("keras", "to_keras")
    made: dict[int, Any] = {}
    names: set[str] = set()
    for node, kind in zip(graph.nodes, kinds, strict=True):
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
        if weights:
            made[id(node.layer)].set_weights(weights)
    return result


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
    values = list(inputs)
    for node in graph.nodes:
        given = [values[i] for i in node.inputs]
        if node.layer.merges and len(given) == 1:
            values.append(given[0])  # the sum, or another merging, of one input is that input
        else:
            values.append(made[id(node.layer)](given if node.layer.merges else given[0]))
    outputs = model.state.form.like([values[part.tensor] for part in graph.outputs])
    named = model._input_names
    entries: Any = inputs if len(inputs) > 1 else inputs[0]
    if isinstance(named, list):
        entries = dict(zip(named, inputs, strict=True))
    return keras.Model(entries, outputs, name=graph.name)


_Writer = Callable[[Any, Any, Node, dict[str, Any]], Any]

# Activations that have one name and one meaning in both, parameters included.
ACTIVATIONS = (
    *("linear", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh"),
    "softmax",
)


def _word(layer: Layer) -> str:
    name, _ = activation_of(layer)
    if name not in ACTIVATIONS:
        raise ValueError(f"layer {layer.name!r}: Keras has no form of the activation {name}")
    return name


def _dense(keras: Any, layer: Dense, _: Node, common: dict[str, Any]) -> Any:
    return keras.layers.Dense(layer.units, _word(layer), use_bias=layer.use_bias, **common)


def _normalization(keras: Any, layer: LayerNormalization, _: Node, common: dict[str, Any]) -> Any:
    return keras.layers.LayerNormalization(
        epsilon=layer.epsilon, center=layer.center, scale=layer.scale, **common
    )


def _merging(name: str) -> _Writer:
    return lambda keras, _layer, _node, common: getattr(keras.layers, name)(**common)


WRITERS: dict[type[Layer], _Writer] = {
    Dense: _dense,
    Activation: lambda keras, layer, _, common: keras.layers.Activation(_word(layer), **common),
    LeakyReLU: lambda keras, layer, _, common: keras.layers.LeakyReLU(
        negative_slope=layer.negative_slope, **common
    ),
    ELU: lambda keras, layer, _, common: keras.layers.ELU(alpha=layer.alpha, **common),
    ReLU: lambda keras, layer, _, common: keras.layers.ReLU(
        negative_slope=layer.negative_slope, **common
    ),
    Softmax: lambda keras, _layer, _, common: keras.layers.Softmax(**common),
    LayerNormalization: _normalization,
    Dropout: lambda keras, layer, _, common: keras.layers.Dropout(
        layer.rate, seed=layer.seed, **common
    ),
    Rescaling: lambda keras, layer, _, common: keras.layers.Rescaling(
        layer.scale, layer.offset, **common
    ),
    Flatten: lambda keras, _layer, _, common: keras.layers.Flatten(**common),
    Reshape: lambda keras, _layer, node, common: keras.layers.Reshape(node.shape, **common),
    RepeatVector: lambda keras, layer, _, common: keras.layers.RepeatVector(layer.n, **common),
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
