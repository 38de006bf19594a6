"""The calls of layers in a config of Keras: what each is called on, and what a model takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnn.interop.keras_config import Entry

# Classes whose calls `output_layers` counts from 1: their first is that of their own graph.
_COUNTED_FROM_ONE = ("Functional", "Model")


class Key(tuple[Any, ...]):
    """(name of a layer, number of its call, number of the output): stands for a tensor."""

    __slots__ = ()

    @property
    def call(self) -> tuple[str, int]:
        return self[0], self[1]


class Operands(tuple[Any, ...]):
    """Several arguments of one call, as operators have them."""

    __slots__ = ()


def calls_of(described: Any, child: Entry, classes: Mapping[str, str]) -> list[Any]:
    """The arguments of each call of a layer, with Keys in place of tensors.

    `classes`: the class of each layer in the model, by name.
    """
    nodes = described.get("inbound_nodes")
    if not isinstance(nodes, list) or not nodes:
        raise ValueError(f"{child.where}: expected inbound_nodes, the calls of the layer")
    return [_arguments(node, child, classes) for node in nodes]


def _arguments(node: Any, child: Entry, classes: Mapping[str, str]) -> Any:
    if isinstance(node, Mapping):
        kwargs = node.get("kwargs", {})
        # `training=True` lets Dropout act in predictions, too.
        wrong = {
            k: v
            for k, v in kwargs.items()
            if not (v is None or k == "mask" or (k == "training" and v is False))
        }
        args = node.get("args")
        if not isinstance(args, list) or not args or wrong:
            raise ValueError(
                f"{child.where}: a call with the arguments {args!r:.80}, {wrong!r:.80}"
            )
        given = [_argument(argument, child) for argument in args]
        return given[0] if len(given) == 1 else Operands(given)
    if not isinstance(node, list) or not node:
        raise ValueError(f"{child.where}: expected a call, got {node!r:.80}")
    # The form of Keras 2: a list of [name, call, tensor, options].
    tensors = [node] if isinstance(node[0], str) else node
    keys = [_counted(_key(tensor[:3], child), classes) for tensor in tensors if tensor]
    return keys[0] if len(keys) == 1 else keys


def _argument(value: Any, child: Entry) -> Any:
    if isinstance(value, Mapping) and value.get("class_name") == "__keras_tensor__":
        config = value.get("config")
        history = config.get("keras_history") if isinstance(config, Mapping) else None
        return _key(history, child)
    if isinstance(value, Mapping):
        return {str(name): _argument(part, child) for name, part in value.items()}
    if isinstance(value, list):
        return [_argument(part, child) for part in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise ValueError(f"{child.where}: expected an output of a layer, got {value!r:.80}")


def _key(history: Any, child: Entry) -> Key:
    fits = isinstance(history, list) and len(history) == 3 and isinstance(history[0], str)
    if not fits or not all(type(number) is int for number in history[1:]):
        raise ValueError(f"{child.where}: expected [layer, call, output], got {history!r:.80}")
    return Key(history)


def _counted(key: Key, classes: Mapping[str, str]) -> Key:
    """A key whose calls are counted from 0 in every class."""
    if classes.get(key[0]) in _COUNTED_FROM_ONE:
        return Key((key[0], key[1] - 1, key[2]))
    return key


def keys_in(arguments: Any) -> list[Key]:
    """The keys of arguments or of a structure; dictionaries by their sorted names, as in Keras."""
    if isinstance(arguments, Key):
        return [arguments]
    return [key for part in _parts(arguments) for key in keys_in(part)]


def flat(structure: Any) -> list[Any]:
    """The symbols of a structure, in Keras's order."""
    if isinstance(structure, (Mapping, list, tuple)):
        return [symbol for part in _parts(structure) for symbol in flat(part)]
    return [structure]


def _parts(structure: Any) -> list[Any]:
    if isinstance(structure, Mapping):
        return [structure[name] for name in sorted(structure)]
    return list(structure) if isinstance(structure, (list, tuple)) else []


def filled(arguments: Any, values: Mapping[Any, Any]) -> Any:
    """The arguments with symbols for keys."""
    if isinstance(arguments, Key):
        return values[arguments]
    if isinstance(arguments, Operands):
        return Operands(filled(part, values) for part in arguments)
    if isinstance(arguments, Mapping):
        return {name: filled(part, values) for name, part in arguments.items()}
    if isinstance(arguments, list):
        return [filled(part, values) for part in arguments]
    return arguments


def structure_of(entry: Entry, described: Any, classes: Mapping[str, str]) -> Any:
    """The inputs or outputs of a model as keys, in the form that it takes or gives them."""
    if isinstance(described, Mapping) and described:
        return {str(name): structure_of(entry, part, classes) for name, part in described.items()}
    if isinstance(described, list) and described and isinstance(described[0], str):
        return _counted(_key(described, entry), classes)
    if isinstance(described, list) and described:
        return [structure_of(entry, part, classes) for part in described]
    raise ValueError(f"{entry.where}: expected its inputs and outputs, got {described!r:.80}")
