"""Models of Keras 3, live or in files, become fastnn's. Keras is not imported."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastnn.interop.keras_export import Made, recorded
from fastnn.interop.keras_graph import Place, model_of
from fastnn.interop.parts import Array, write_by_layer
from fastnn.layers.base import Layer
from fastnn.models import Model
from fastnn.models.paths import named_layers
from fastnn.words import keywords


@keywords()
def from_keras(source: Any, *, dtype: str | None = None, name: str | None = None) -> Model:
    """A built model that predicts what a model of Keras 3 predicts.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
        >>> model.set_weights([[[3.0]], [1.0]])
        >>> fastnn.interop.save_keras(model, "line.keras")  # as model.save("line.keras") of Keras
        >>> fastnn.from_keras("line.keras").predict([[2.0]]).tolist()
        [[7.0]]

    Keras need not be installed for a file; `from_keras(keras_model)` takes a model of Keras, too.

    A Sequential becomes a Sequential, and a functional model a Model, also inside of another one.
    Layers keep their names; weights are copied. Optimizer, loss and metrics are not read: compile
    the model to train it.

    Args:
        source: the path of a `.keras` file, which needs the package h5py (the extra `h5`), or a model
            of Keras.
        dtype: "float32" or "float64"; None: that of the layers in Keras. 16-bit types become float32.
        name: of the model; None: the one it has in Keras.

    No code of a file is run: a Lambda layer, or a class or function of one's own, is refused.

    Raises:
        ValueError: a layer, or an option of one, that fastnn has not; the message names both. In a
            file it is a fastnn.ModelFileError, which is a ValueError.
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
    return model_of(json.loads(source.to_json()), _Live(source), dtype=dtype, name=name)


def _from_file(path: str | os.PathLike[str], dtype: str | None, name: str | None) -> Model:
    from fastnn.files.layout import ModelFileError
    from fastnn.interop.keras_files import Store, read_archive

    archive = read_archive(path)
    store = Store(archive.weights, "from_keras")
    try:
        return model_of(archive.config, store, dtype=dtype, name=name)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # What has no message of its own is a part of the config that is of another type or size.
        told = str(error) if isinstance(error, ValueError) else f"config.json: {error}"
        raise ModelFileError(f"{os.fspath(path)}: {told:.1000}") from error
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


class _Live:
    """The weights of a model in memory."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def _layer(self, place: Place) -> Any:
        layer = self._model
        for name in place.names:
            layer = layer.get_layer(name)
        return layer

    def identity(self, place: Place) -> int:
        return id(self._layer(place))

    def __call__(self, place: Place, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
        found = []
        for value in self._layer(place).get_weights():
            array = np.asarray(value)
            double = array.dtype == np.float64
            found.append(array if double else array.astype(np.float32))
        given = [array.shape for array in found]
        if given != list(shapes):
            raise ValueError(
                f"{place.names[-1]}: expected weights of shapes {list(shapes)}, got {given}"
            )
        return found


@keywords()
def load_keras_weights(model: Model, path: str | os.PathLike[str]) -> None:
    """Sets the weights of a model from a file of Keras. All are checked before any is written.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
        >>> clone = fastnn.models.clone_model(model)
        >>> fastnn.interop.save_keras_weights(model, "line.weights.h5")
        >>> fastnn.interop.load_keras_weights(clone, "line.weights.h5")
        >>> bool(clone.get_weights()[0] == model.get_weights()[0])
        True

    Weights are matched with layers by name where the file keeps names and all of them agree, in
    models inside models, too, and otherwise by class and order: the first Dense with the first Dense,
    and so on. The order of a graph is that of `layers` of the model that `to_keras` gives.

    Args:
        model: a built model.
        path: a `.weights.h5` file, or a `.keras` file, whose config is not read.

    Raises:
        fastnn.ModelFileError: a damaged file, or one of other weights than the model's; the message
            names the layer.
        RuntimeError: the model is not built.
        ImportError: h5py is not installed.
    """
    from fastnn.interop.keras_files import Store, read_archive

    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path: expected a path, got {type(path).__name__}")
    ordered = recorded(model, "load_keras_weights")
    packed = os.fspath(path).endswith(".keras")
    store = Store(read_archive(path).weights if packed else path, "load_keras_weights")
    try:
        matched = _matched(model, ordered, store.layers(), os.fspath(path))
        weights = [
            (layer, store(Place((), group), [v.shape for v in layer.variables]))
            for group, layer in matched.items()
        ]
    finally:
        store.close()
    write_by_layer(model, weights)


def _matched(
    model: Model, ordered: Made, found: Mapping[str, tuple[str, ...] | None], path: str
) -> dict[str, Layer]:
    """The layer for each group of a file. `found`: the groups, and the names of layers in them."""
    from fastnn.files.layout import ModelFileError

    named = {name: layer for name, layer in named_layers(model).items() if layer.variables}
    numbers = {id(made): number for number, made in ordered.layers.items()}
    layers = {id(layer): layer for layer in named.values()}
    # An InputLayer is none of them. Layers that no output needs, in a model in the model that has
    # more outputs than are used, are not in Keras's graph, and keep their weights.
    by_order = {
        group: layers[numbers[id(made)]]
        for group, made in ordered.model.groups.items()
        if numbers.get(id(made)) in layers
    }
    groups = {"/".join(names): group for group, names in found.items() if names is not None}
    if len(groups) == len(found):
        ours = {ordered.layers[id(layer)].name: layer for layer in by_order.values()}
        for known in (named, ours):
            if set(known) == set(groups):
                return {groups[name]: layer for name, layer in known.items()}
    more = sorted(set(found) - set(by_order))
    if more:
        raise ModelFileError(
            f"{path}: it has weights for {', '.join(more)}, and the model has no layers for them"
        )
    return by_order
