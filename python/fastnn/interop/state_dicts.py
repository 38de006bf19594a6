"""Weights by PyTorch's names: a dictionary from "layer.weight" to an array, and files of such.

A Linear's weight is (outputs, inputs), the transpose of a kernel.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.exports.graph import kind_of, refusal
from fastnn.extras import needed
from fastnn.interop.parts import Array
from fastnn.interop.tensors import array_of
from fastnn.layers.base import Layer
from fastnn.layers.batch import BatchNormalization
from fastnn.layers.dense import Dense
from fastnn.layers.embedding import Embedding
from fastnn.layers.lengths import RMSNormalization
from fastnn.layers.normalization import GroupNormalization, LayerNormalization
from fastnn.layers.prelu import PReLU
from fastnn.models import Model
from fastnn.models.exported import graph_of
from fastnn.variables import Variable
from fastnn.words import keywords, unknown

# PyTorch's word for each parameter.
_WORDS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "scale": "weight",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "embeddings": "weight",
    "alpha": "weight",
}
_KINDS = (
    *(Dense, LayerNormalization, GroupNormalization, RMSNormalization, BatchNormalization),
    *(Embedding, PReLU),
)
# A count that BatchNorm1d keeps for momentum=None, which does not exist here.
_COUNT = "num_batches_tracked"
# What wrappers of PyTorch put before all names.
_WRAPPERS = ("module.", "_orig_mod.")
# Where checkpoints keep the dictionary.
_INSIDE = ("state_dict", "model_state_dict", "model")

StateDict = dict[str, Array]


class _Weight(NamedTuple):
    """A parameter of a layer."""

    layer: Layer
    variable: Variable
    word: str  # "weight", "bias" and so on

    def turned(self, array: Array) -> Array:
        """An array of PyTorch's as the parameter has it, or the other way round."""
        return array.T if self.variable.name == "kernel" else array


def _weights_of(model: Model, doing: str) -> dict[str, list[_Weight]]:
    """The parameters of each layer that has some, by the layer's name."""
    found: dict[str, list[_Weight]] = {}
    for node in graph_of(model, doing).nodes:
        layer = node.layer
        if layer.variables and layer.name not in found:
            if kind_of(layer, _KINDS) is None:
                raise refusal(layer, "a state_dict")
            found[layer.name] = [_Weight(layer, v, _WORDS[v.name]) for v in layer.variables]
    return found


@keywords()
def state_dict(model: Model) -> StateDict:
    """Copies of the weights under PyTorch's names, in the order of the layers.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,), name="head")])
        >>> {name: array.shape for name, array in fastnn.interop.state_dict(model).items()}
        {'head.weight': (3, 4), 'head.bias': (3,)}

    The kernel (inputs, outputs) of a Dense is the weight (outputs, inputs) of a Linear; gamma and beta
    of a normalization are weight and bias, its moving statistics running_mean and running_var, and the
    table of an Embedding is a weight. `load_state_dict` of a module wants tensors:

        module.load_state_dict({k: torch.from_numpy(v) for k, v in state_dict(model).items()})

    Raises:
        RuntimeError: the model is not built.
        ValueError: a layer that PyTorch has not.
    """
    return {
        f"{name}.{weight.word}": np.array(weight.turned(weight.variable.numpy()), order="C")
        for name, weights in _weights_of(model, "state_dict").items()
        for weight in weights
    }


@keywords()
def save_state_dict(model: Model, path: str | os.PathLike[str]) -> None:
    """Writes `state_dict(model)` as a file, of safetensors or of PyTorch by its suffix.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
        >>> clone = fastnn.models.clone_model(model)
        >>> fastnn.interop.save_state_dict(model, "weights.safetensors")
        >>> fastnn.interop.load_state_dict(clone, "weights.safetensors")
        >>> bool((clone.get_weights()[0] == model.get_weights()[0]).all())
        True

    Args:
        model: a built model.
        path: ends in ".safetensors", or in ".pt" or ".pth", which need PyTorch.

    Raises:
        ValueError: another suffix.
        ImportError: PyTorch is not installed.
        OSError: the file cannot be written; what was there stays.
    """
    from fastnn.files.atomic import replacing
    from fastnn.files.layout import Contents, write

    kind = _kind_of_file(path)
    arrays = state_dict(model)
    if kind == "safetensors":
        write(path, Contents({"format": "pt"}, dict(arrays)))
        return
    torch = needed("torch", "save_state_dict")
    with replacing(path) as file:
        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, file)


@keywords()
def load_state_dict(
    model: Model,
    source: Mapping[str, Any] | str | os.PathLike[str],
    *,
    names: Mapping[str, str] | None = None,
) -> None:
    """Sets the weights of a model from those of PyTorch. All are checked before any is written.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,), name="head")])
        >>> weights = {"fc.weight": np.array([[1.0, 10.0]]), "fc.bias": np.array([5.0])}
        >>> fastnn.interop.load_state_dict(model, weights, names={"head": "fc"})
        >>> model.predict([[1.0, 2.0]]).tolist()
        [[26.0]]

    The state_dict of a module of PyTorch, or the path of a file, is taken likewise:

        fastnn.interop.load_state_dict(model, module.state_dict())
        fastnn.interop.load_state_dict(model, "net.pt", names={"hidden": "fc1", "head": "fc2"})

    Weights are matched with layers by name where all names agree, and by order otherwise: the first
    Linear or LayerNorm with the first Dense or LayerNormalization, and so on. A file of safetensors
    keeps no order; its names must agree, or differ from each other in numbers alone ("0", "2", "4").

    Args:
        model: a built model.
        source: a state_dict of tensors or arrays, also inside a checkpoint under "state_dict" or
            "model_state_dict"; or the path of a file, .safetensors, .pt or .pth. Files of PyTorch are
            read by torch.load with weights_only=True: no code is run.
        names: the name in `source` of each layer with weights, by its name in the model.

    Raises:
        ValueError: weights that are missing, too many, of another shape, or of no layer in fastnn;
            the message names them.
        TypeError: `source` holds something else than arrays of floats.
        fastnn.ModelFileError: a damaged file.
        RuntimeError: the model is not built.
        ImportError: PyTorch is not installed, for .pt and .pth.
    """
    wanted = _weights_of(model, "load_state_dict")
    found, ordered = _read(source)
    groups = _grouped(found)
    chosen = _matched(wanted, groups, names, ordered)
    written: dict[int, Array] = {}
    for name, weights in wanted.items():
        for weight in weights:
            written[id(weight.variable)] = _array_for(weight, chosen[name], groups[chosen[name]])
        _refuse_more(weights, chosen[name], groups[chosen[name]])
    model.set_weights([written[id(variable)] for variable in model.weights])


def _array_for(weight: _Weight, name: str, group: Mapping[str, Any]) -> Array:
    at = f"{name}.{weight.word}".lstrip(".")
    of = f"the {weight.variable.name} of layer {weight.layer.name!r}"
    if weight.word not in group:
        raise ValueError(f"state_dict: {at!r} is missing, for {of}")
    array = weight.turned(array_of(f"state_dict: {at!r}", group[weight.word]))
    if array.shape != weight.variable.shape:
        needed_shape = weight.turned(np.empty(weight.variable.shape, np.bool_)).shape
        given = weight.turned(array).shape
        raise ValueError(f"state_dict: {at!r}: expected shape {needed_shape} for {of}, got {given}")
    return array


def _refuse_more(weights: Sequence[_Weight], name: str, group: Mapping[str, Any]) -> None:
    for word in group:
        if word == _COUNT and isinstance(weights[0].layer, BatchNormalization):
            continue
        if word not in {weight.word for weight in weights}:
            at = f"{name}.{word}".lstrip(".")
            layer = weights[0].layer
            raise ValueError(
                f"state_dict: {at!r} has no place in layer {layer.name!r}, a {type(layer).__name__}"
            )


def _grouped(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The weights of each module, by its name and theirs."""
    groups: dict[str, dict[str, Any]] = {}
    for key, value in found.items():
        module, _, word = key.rpartition(".")
        groups.setdefault(module, {})[word] = value
    return groups


def _matched(
    wanted: Mapping[str, Any],
    groups: Mapping[str, Any],
    names: Mapping[str, str] | None,
    ordered: bool,
) -> dict[str, str]:
    """The name in the source of each layer."""
    if names is not None:
        return _by_names(wanted, groups, names)
    plain = {name.replace(".", "_"): name for name in groups}
    if set(plain) == {name.replace(".", "_") for name in wanted}:
        return {name: plain[name.replace(".", "_")] for name in wanted}
    given = list(groups)
    if not ordered:
        if len({re.sub(r"\d+", "#", name) for name in given}) > 1:
            raise ValueError(
                f"state_dict: the file keeps no order, and has {', '.join(given)} for the layers "
                f"{', '.join(wanted)}; give names={{layer: name in the file}}"
            )
        given.sort(key=lambda name: [int(part) for part in re.findall(r"\d+", name)])
    if len(given) != len(wanted):
        raise ValueError(
            f"state_dict: expected weights of {len(wanted)} layers, {', '.join(wanted)}, got those "
            f"of {len(given)}: {', '.join(given)}"
        )
    return dict(zip(wanted, given, strict=True))


def _by_names(
    wanted: Mapping[str, Any], groups: Mapping[str, Any], names: Mapping[str, str]
) -> dict[str, str]:
    for layer, module in names.items():
        if layer not in wanted:
            raise ValueError(unknown("names", str(layer), wanted))
        if module not in groups:
            raise ValueError(unknown(f"names[{layer!r}]", str(module), groups))
    for layer in wanted:
        if layer not in names:
            raise ValueError(f"names: layer {layer!r} has no name in the state_dict")
    for module in groups:
        if module not in names.values():
            raise ValueError(f"names: {module!r} of the state_dict is of no layer")
    return {layer: names[layer] for layer in wanted}


# -- sources


def _read(source: Any) -> tuple[dict[str, Any], bool]:
    """The weights by name, and whether they are in the order of the layers."""
    if isinstance(source, Mapping):
        return _inside(source), True
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"source: expected a state_dict or a path, got {type(source).__name__}")
    if _kind_of_file(source) == "safetensors":
        from fastnn.files.layout import read

        return _inside(read(source).tensors), False
    torch = needed("torch", "load_state_dict")
    return _inside(_load(torch, source)), True


def _load(torch: Any, path: str | os.PathLike[str]) -> Any:
    import pickle

    from fastnn.files.layout import ModelFileError

    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise ModelFileError(
            f"{os.fspath(path)}: it holds more than weights, and would run code: {error}"
        ) from error
    except (RuntimeError, EOFError, ValueError) as error:
        raise ModelFileError(f"{os.fspath(path)}: no file of PyTorch: {error}") from error


def _inside(found: Any) -> dict[str, Any]:
    """The state_dict in a checkpoint, without the prefixes of wrappers."""
    if not isinstance(found, Mapping):
        raise TypeError(f"state_dict: expected a dictionary, got {type(found).__name__}")
    for key in _INSIDE:
        if isinstance(found.get(key), Mapping):
            return _inside(found[key])
    for key, value in found.items():
        if not isinstance(key, str) or not hasattr(value, "shape"):
            raise TypeError(
                f"state_dict: expected tensors or arrays by name, got {type(value).__name__} for "
                f"{key!r}"
            )
    if not found:
        raise ValueError("state_dict: it is empty")
    plain = dict(found)
    for prefix in _WRAPPERS:
        if all(name.startswith(prefix) for name in plain):
            plain = {name.removeprefix(prefix): value for name, value in plain.items()}
    return plain


def _kind_of_file(path: Any) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path: expected a path, got {type(path).__name__}")
    suffix = os.path.splitext(os.fspath(path))[1].lower()  # noqa: PTH122 - pathlib is slow to import
    kinds = {".safetensors": "safetensors", ".pt": "torch", ".pth": "torch"}
    if suffix not in kinds:
        raise ValueError(
            f"path: the suffix decides the format, expected one of {', '.join(kinds)}, got {path!r}"
        )
    return kinds[suffix]
