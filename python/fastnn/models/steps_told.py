"""The calls of a functional model some of which are no graph of layers, as configs hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastnn.models.opaque import Slot, Step, Steps, found_in
from fastnn.words import integer, text

Place = tuple[int, ...]


def steps_told(steps: Steps, places: Mapping[int, Place]) -> dict[str, Any]:
    """`steps` as JSON has them; layers and models are told by their places.

    Raises:
        TypeError: an argument of a call is neither a number nor a word.
    """
    return {
        "calls": [
            {
                "layer": list(places[id(step.part)]),
                "arguments": _told(step.part, step.args),
                "options": _told(step.part, step.options),
                "shapes": [list(shape) for shape in step.shapes],
                "names": None if step.names is None else list(step.names),
            }
            for step in steps.steps
        ],
        "outputs": list(steps.outputs),
        "why": steps.why,
    }


def _told(part: Any, value: Any) -> Any:
    if isinstance(value, Slot):
        return {"tensor": value.number}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_told(part, one) for one in value]}
    if isinstance(value, Mapping):
        return {"dictionary": {str(name): _told(part, one) for name, one in value.items()}}
    raise TypeError(f"layer {part.name!r}: an argument of its call has no config: {value!r:.100}")


def steps_from(
    told: Mapping[str, Any],
    entries: Sequence[Any],
    shapes: Sequence[tuple[int, ...]],
    at: Callable[[Any], Any],
) -> Steps:
    """What `steps_told` told; `at` finds what is at a place. ValueError where it tells no such calls."""
    known = len(shapes)
    made = []
    for call in told["calls"]:
        args, options = _value(call["arguments"]), _value(call["options"])
        if not isinstance(args, tuple) or not isinstance(options, dict):
            raise TypeError("steps: expected arguments and options")
        for slot in found_in((args, options), Slot):
            integer("steps: tensor", slot.number, 0, known - 1)
        sizes = tuple(tuple(integer("steps: shape", n) for n in one) for one in call["shapes"])
        names = None if call["names"] is None else tuple(map(str, call["names"]))
        if not sizes or (names is not None and len(names) != len(sizes)):
            raise ValueError("steps: expected a name for each output")
        made.append(Step(at(call["layer"]), args, options, known, sizes, names))
        known += len(sizes)
    outputs = tuple(integer("steps: outputs", n, 0, known - 1) for n in told["outputs"])
    return Steps(tuple(entries), tuple(made), outputs, text("steps: why", told["why"]))


def _value(told: Any) -> Any:
    if not isinstance(told, Mapping):
        return told
    for kind, make in _KINDS.items():
        if kind in told:
            return make(told[kind])
    raise ValueError(f"steps: expected an argument, got {told!r:.100}")


_KINDS: dict[str, Callable[[Any], Any]] = {
    "tensor": Slot,
    "tuple": lambda told: tuple(_value(one) for one in told),
    "list": lambda told: [_value(one) for one in told],
    "dictionary": lambda told: {name: _value(one) for name, one in told.items()},
}


# -- shapes that `build` got


def shape_told(shape: Any) -> Any:
    """A shape (None, ...), or such in lists and dictionaries."""
    if isinstance(shape, Mapping):
        return {"dictionary": {str(name): shape_told(one) for name, one in shape.items()}}
    if isinstance(shape, (list, tuple)) and any(
        isinstance(n, (list, tuple, Mapping)) for n in shape
    ):
        return {"list": [shape_told(one) for one in shape]}
    return None if shape is None else [None if n is None else int(n) for n in shape]


def shape_from(told: Any) -> Any:
    """What `shape_told` told."""
    if isinstance(told, Mapping):
        if "list" in told:
            return [shape_from(one) for one in told["list"]]
        return {name: shape_from(one) for name, one in told["dictionary"].items()}
    if told is None:
        return None
    return tuple(None if n is None else integer("shape", n, 0) for n in told)
