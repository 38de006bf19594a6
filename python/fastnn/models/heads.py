"""The head of a model (its last layers, as the loss sees them), and heads that a loss refuses.

Native code folds a softmax or sigmoid at the end into its cross-entropy. Here it is only
recognised, and mistakes are answered before any training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from fastnn import _core
from fastnn.console import warn
from fastnn.layers.base import Layer, Shape
from fastnn.layers.noise import Dropout, Noise
from fastnn.layers.scaling import Rescaling
from fastnn.losses import Loss
from fastnn.models.graph import Call, extend, shapes_of


class Head(NamedTuple):
    """The end of a model, as the native graph finds it."""

    activation: str  # of the last layer that gives outputs of its own
    layer: Layer | None  # that layer
    changed_by: Layer | None  # a Dropout, other noise or Rescaling after it
    below: str | None  # the activation of the layer before it, unless it is a Dense
    below_layer: Layer | None  # that layer
    width: int | None  # the number of outputs; None: not known before the model is built


def find(
    layers: Sequence[Layer],
    calls: Sequence[Call],
    inputs: Sequence[Shape] | None = None,
    width: int | None = None,
) -> Head:
    """The head of a graph of layers; `width` is the number of outputs, where it is known."""
    # The width of the input may be unknown: the graph only tells how it ends.
    total = sum(math.prod(shape) for shape in inputs) if inputs else None
    graph = _core.Graph(total, "float32")
    # Where no input is known, the layers that need shapes pass their inputs on.
    shapes = shapes_of(layers, calls, inputs) if inputs else None
    tensors, numbers = extend(graph, layers, calls, inputs, shapes)
    tensor = tensors[-1]
    return _head_at(graph, tensor, _numbered(layers, calls, numbers), width)


def find_each(
    layers: Sequence[Layer], calls: Sequence[Call], inputs: Sequence[Shape]
) -> list[Head]:
    """The heads of the outputs that the last call puts side by side."""
    graph = _core.Graph(sum(math.prod(shape) for shape in inputs), "float32")
    shapes = shapes_of(layers, calls[:-1], inputs)
    tensors, numbers = extend(graph, layers, calls[:-1], inputs, shapes)
    numbered = _numbered(layers, calls[:-1], numbers)
    return [_head_at(graph, tensors[place], numbered, None) for place in calls[-1].inputs]


def ends(layers: Sequence[Layer], calls: Sequence[Call], inputs: Sequence[Shape]) -> list[str]:
    """How each of these outputs ends.

    The activation of the last layer with outputs of its own; "" where another changes these.
    """
    return [
        "" if head.changed_by is not None or head.layer is None else head.activation
        for head in find_each(layers, calls, inputs)
    ]


def _numbered(
    layers: Sequence[Layer], calls: Sequence[Call], numbers: Sequence[int | None]
) -> dict[int, Layer]:
    return {n: layers[call.layer] for n, call in zip(numbers, calls, strict=True) if n is not None}


def _head_at(
    graph: _core.Graph, tensor: int, numbered: dict[int, Layer], width: int | None
) -> Head:
    graph.set_output(tensor)
    activation, layer_number, changed_by, below, below_number = graph.end
    return Head(
        activation,
        _layer_of(numbered, layer_number),
        _layer_of(numbered, changed_by),
        below,
        _layer_of(numbered, below_number),
        width or graph.width(tensor) or None,
    )


def _layer_of(numbered: dict[int, Layer], number: int | None) -> Layer | None:
    return None if number is None else numbered.get(number)


def check(head: Head, loss: Loss) -> None:
    """ValueError for a head that `loss` refuses; UserWarning for a wrong from_logits."""
    refuse(head, loss)
    if loss.folds is None:
        return
    if loss.from_logits and head.activation in ("softmax", "sigmoid"):
        warn(
            f"loss {loss.name}: from_logits=True, but layer {_name(head)} ends in "
            f"{head.activation}, so its outputs are no logits; training uses the logits before "
            f"the {head.activation}. Leave out from_logits=True, or the {head.activation}.",
            UserWarning,
        )


def refuse(head: Head, loss: Loss) -> None:
    """ValueError for a head that `loss` refuses."""
    _check_twice(head)
    check_width(head, loss)
    if loss.folds is None:
        return
    _check_changed(head, loss)
    if loss.folds == "softmax":
        _check_softmax(head, loss)
    else:
        _check_sigmoid(head, loss)


def refuse_each(heads: Sequence[Head], targets: Sequence[tuple[str | None, Loss | None]]) -> None:
    """`refuse` of each output with the loss that it has; messages name the output."""
    for head, (name, loss) in zip(heads, targets, strict=True):
        if loss is None or loss.is_own:
            continue
        try:
            refuse(head, loss)
        except ValueError as error:
            raise ValueError(str(error) if name is None else f"output {name!r}: {error}") from None


def check_width(head: Head, loss: Loss) -> None:
    """ValueError for one output with a loss over classes."""
    if head.width != 1:
        return
    if head.activation == "softmax":
        raise ValueError(
            f"{_layer(head)}: softmax over one unit is always 1; for two classes use "
            "Dense(1) with binary_crossentropy, or one unit for each class"
        )
    if loss.row.targets == "classes":
        raise ValueError(
            f"{_layer(head)}: one unit with {loss.name} can only be class 0; use "
            "binary_crossentropy for two classes, or one unit for each class"
        )


def gives_logits_of(head: Head, squash: str, loss: Loss) -> bool:
    """Whether a metric can have the logits of `squash`, softmax or sigmoid.

    It can if the loss takes outputs for logits, and if `squash` comes last.
    """
    if loss.folds is not None:
        return loss.folds == squash
    return head.activation == squash and head.changed_by is None


def described(head: Head) -> str:
    """The end of the model in words, for messages."""
    after = "" if head.changed_by is None else f", changed by layer {head.changed_by.name!r}"
    return f"{_layer(head)} ({head.activation}{after})"


def _name(head: Head) -> str:
    return repr(head.layer.name) if head.layer is not None else "'input'"


def _layer(head: Head) -> str:
    return f"layer {_name(head)}"


def _check_twice(head: Head) -> None:
    squashes = ("softmax", "sigmoid")
    if head.below in squashes and head.activation in squashes:
        raise ValueError(
            f"{_layer(head)}: {head.activation} after {head.below} squashes outputs "
            "twice; leave one of them out"
        )


def _check_changed(head: Head, loss: Loss) -> None:
    layer = head.changed_by
    if head.activation == "linear" and head.below in ("softmax", "sigmoid"):
        raise ValueError(
            f"{_layer(head)}: {type(head.layer).__name__} after {head.below} makes outputs that "
            f"are no probabilities for {loss.name}; put it before the {head.below}"
        )
    if layer is None:
        return
    disturbs = isinstance(layer, Noise)
    if disturbs:
        does = "drops" if isinstance(layer, Dropout) else "disturbs"
        raise ValueError(
            f"layer {layer.name!r}: {type(layer).__name__} after the last Dense {does} outputs that "
            f"{loss.name} needs; put it before the last Dense"
        )
    if isinstance(layer, Rescaling) and head.activation in ("softmax", "sigmoid"):
        raise ValueError(
            f"layer {layer.name!r}: Rescaling after {head.activation} makes outputs that are no "
            f"probabilities for {loss.name}; put it before the {head.activation}"
        )


def _check_softmax(head: Head, loss: Loss) -> None:
    if head.activation == "sigmoid":
        raise ValueError(
            f"{_layer(head)}: sigmoid with {loss.name} cannot be meant; use softmax or no "
            "activation for classes that exclude each other, or the loss binary_crossentropy "
            "for labels that do not"
        )
    if head.activation not in ("linear", "softmax", "log_softmax"):  # log_softmax gives logits, too
        raise ValueError(_no_logits(_layer(head), head.activation, loss, "softmax"))
    _check_below(head, loss)


def _check_sigmoid(head: Head, loss: Loss) -> None:
    if head.activation == "softmax":
        raise ValueError(
            f"{_layer(head)}: softmax with {loss.name} cannot be meant; use "
            "sparse_categorical_crossentropy (integer labels) or categorical_crossentropy "
            "(one-hot) for classes that exclude each other, or sigmoid or no activation for "
            "labels that do not"
        )
    if head.activation not in ("linear", "sigmoid"):
        raise ValueError(_no_logits(_layer(head), head.activation, loss, "sigmoid"))
    _check_below(head, loss)


def _check_below(head: Head, loss: Loss) -> None:
    below, layer = head.below, head.below_layer
    if layer is not None and head.activation != "linear" and below not in (None, "linear"):
        what = f"{below} before {head.activation} and"
        raise ValueError(_no_logits(f"layer {layer.name!r}", what, loss, head.activation))


def _no_logits(where: str, what: str, loss: Loss, squash: str) -> str:
    return (
        f"{where}: {what} before {loss.name} cannot be meant; end with {squash} or with no "
        "activation (logits)"
    )
