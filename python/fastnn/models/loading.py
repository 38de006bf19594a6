"""Functions that make models from files, configs and other models."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from fastnn.files import layout
from fastnn.files.layout import parsed
from fastnn.layers.base import Layer
from fastnn.layers.outputs import Outputs
from fastnn.layers.shape import InputLayer
from fastnn.models.architecture import Decoder, Encoder, Place
from fastnn.models.model import Model
from fastnn.models.stored import model_of
from fastnn.serializable import custom_object_scope, named_classes
from fastnn.words import flag, keywords, path


@keywords()
def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """The model that `model.save` wrote to a file, which trains on as that one would.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
        >>> model.save("model.safetensors")
        >>> again = fastnn.load_model("model.safetensors")
        >>> bool((again.predict(np.eye(4)) == model.predict(np.eye(4))).all())
        True

    Args:
        filepath: the file.
        custom_objects: classes and functions of one's own that the file names, by name; those that
            are registered (`fastnn.register_serializable`) are known without.
        compile: whether to compile the model as it was, with the state of the optimizer.
        safe_mode: True alone: no file holds code, and none is run.

    Returns:
        A Sequential, a Model, or an object of a class of one's own.

    Raises:
        fastnn.ModelFileError: the file is damaged, or is no model's, or names a class that is not
            known; the message names the fault. No more memory is taken than some ten times the file
            and 16 MiB.
        OSError: it cannot be opened or read.

    Warns:
        UserWarning: the model was compiled for a GPU that cannot be used here.
    """
    if not flag("safe_mode", safe_mode):
        raise ValueError("safe_mode: expected True: no file holds code that could be run")
    compiles = flag("compile", compile)
    file = path("filepath", filepath)
    with custom_object_scope(custom_objects or {}):
        return model_of(layout.read(file), file, compiles=compiles)


@keywords()
def save_model(model: Model, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
    """`model.save(filepath, overwrite)`; see there.

    >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
    >>> fastnn.models.save_model(model, "model.safetensors")
    >>> fastnn.load_model("model.safetensors").count_params()
    15
    """
    if not isinstance(model, Model):
        raise TypeError(f"save_model: expected a model, got {model!r}")
    model.save(filepath, overwrite)


@keywords()
def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """A model of the architecture that `model.to_json` gave, with weights of its own.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
        >>> fastnn.models.model_from_json(model.to_json()).output_shape
        (None, 3)

    Args:
        json_string: what `to_json` gave.
        custom_objects: classes and functions of a program's own by name; see `load_model`.

    Raises:
        TypeError, ValueError: this is no such text; the message names the fault.
    """
    if not isinstance(json_string, str):
        raise TypeError(f"json_string: expected a string, got {json_string!r:.100}")
    with custom_object_scope(custom_objects or {}):
        return Decoder().described(parsed("json_string", json_string))


@keywords()
def clone_model(
    model: Model,
    input_tensors: None = None,
    clone_function: Callable[[Layer], Layer] | None = None,
) -> Any:
    """A model of the same architecture, with weights of its own, that is not compiled.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
        >>> clone = fastnn.models.clone_model(model)
        >>> bool((clone.get_weights()[0] == model.get_weights()[0]).all())
        False

    `copy.deepcopy` gives one with the same weights and the state of training.

    Args:
        model: the model to be cloned.
        input_tensors: None alone; the clone has inputs of its own.
        clone_function: makes a layer from each layer, in place of
            `layer.from_config(layer.get_config())`.

    Raises:
        TypeError, ValueError, NotImplementedError: something has no config; see `Model.get_config`.
    """
    if not isinstance(model, Model):
        raise TypeError(f"clone_model: expected a model, got {model!r}")
    if input_tensors is not None:
        raise ValueError("input_tensors: expected None: the clone has inputs of its own")
    encoder = Encoder()
    with named_classes() as own:
        told = encoder.described(model)
    layers: dict[Place, Layer] = {}
    if clone_function is not None:
        for place, layer in encoder.layers.items():
            if not isinstance(layer, (InputLayer, Outputs)):
                layers[place] = clone_function(layer)
    with custom_object_scope(own):
        return Decoder(layers).described(told)
