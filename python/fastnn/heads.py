"""What the last layer of a model means to its loss; combinations that cannot be meant.

A softmax or sigmoid at the end is folded into its cross-entropy natively. Here it
is only recognised, and mistakes are answered before any training.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

from fastnn.layers import Activation, Dense, Dropout, Layer, Rescaling
from fastnn.losses import Loss


class Head(NamedTuple):
    """The end of a model."""

    activation: str  # of the last layer that has one; "linear" where none has
    layer: Layer | None  # that layer
    changed_by: Layer | None  # a Dropout or Rescaling after it
    below: str  # the activation of the layer before, where nothing stands between
    units: int | None  # of the last Dense


def find(layers: Sequence[Layer]) -> Head:
    """The head of a chain of layers."""
    changed_by: Layer | None = None
    head: Dense | Activation | None = None
    below = "linear"
    for layer in reversed(layers):
        if layer.passes_outputs:
            continue
        if head is None:
            if isinstance(layer, (Dense, Activation)):
                head = layer
                if isinstance(layer, Dense):
                    break
            elif changed_by is None:
                changed_by = layer
            continue
        if isinstance(layer, (Dense, Activation)):
            below = layer.activation
        break
    units = next((layer.units for layer in reversed(layers) if isinstance(layer, Dense)), None)
    return Head("linear" if head is None else head.activation, head, changed_by, below, units)


def check(head: Head, loss: Loss, stacklevel: int) -> None:
    """ValueError for a head that cannot be meant with `loss`; UserWarning for a wrong word.

    `stacklevel` is that of the user's call, counted from here.
    """
    _check_twice(head)
    if head.activation == "softmax" and head.units == 1:
        raise ValueError(
            f"{_layer(head)}: softmax over one unit is always 1; for two classes use "
            "Dense(1) with binary_crossentropy, or one unit for each class"
        )
    if not loss.is_cross_entropy:
        return
    _check_changed(head, loss)
    if loss.native == "softmax_cross_entropy":
        _check_softmax(head, loss)
    else:
        _check_sigmoid(head, loss)
    if loss.from_logits and head.activation in ("softmax", "sigmoid"):
        warnings.warn(
            f"loss {loss.name}: from_logits=True, but layer {_name(head)} ends in "
            f"{head.activation}, so its outputs are no logits; training uses the logits before "
            f"the {head.activation}. Leave out from_logits=True, or the {head.activation}.",
            UserWarning,
            stacklevel=stacklevel,
        )


def _name(head: Head) -> str:
    return repr(head.layer.name) if head.layer is not None else "'input'"


def _layer(head: Head) -> str:
    return f"layer {_name(head)}"


def _check_twice(head: Head) -> None:
    if head.activation in ("softmax", "sigmoid") and head.below in ("softmax", "sigmoid"):
        raise ValueError(
            f"{_layer(head)}: {head.activation} after {head.below} squashes outputs twice; "
            "leave one of them out"
        )


def _check_changed(head: Head, loss: Loss) -> None:
    layer = head.changed_by
    if layer is None:
        return
    drops = isinstance(layer, Dropout)
    if drops:
        raise ValueError(
            f"layer {layer.name!r}: Dropout after the last Dense drops outputs that "
            f"{loss.name} needs; put it before the last Dense"
        )
    if isinstance(layer, Rescaling) and head.activation in ("softmax", "sigmoid"):
        raise ValueError(
            f"layer {layer.name!r}: Rescaling after {head.activation} makes outputs that are no "
            f"probabilities for {loss.name}; put it before the {head.activation}"
        )


def _check_softmax(head: Head, loss: Loss) -> None:
    if head.units == 1:
        raise ValueError(
            f"{_layer(head)}: one unit with {loss.name} can only be class 0; use "
            "binary_crossentropy for two classes, or one unit for each class"
        )
    if head.activation == "sigmoid":
        raise ValueError(
            f"{_layer(head)}: sigmoid with {loss.name} cannot be meant; use softmax or no "
            "activation for classes that exclude each other, or the loss binary_crossentropy "
            "for labels that do not"
        )
    if head.activation not in ("linear", "softmax"):
        raise ValueError(_no_logits(head, loss, "softmax"))


def _check_sigmoid(head: Head, loss: Loss) -> None:
    if head.activation == "softmax":
        raise ValueError(
            f"{_layer(head)}: softmax with {loss.name} cannot be meant; use "
            "sparse_categorical_crossentropy (integer labels) or categorical_crossentropy "
            "(one-hot) for classes that exclude each other, or sigmoid or no activation for "
            "labels that do not"
        )
    if head.activation not in ("linear", "sigmoid"):
        raise ValueError(_no_logits(head, loss, "sigmoid"))


def _no_logits(head: Head, loss: Loss, squash: str) -> str:
    return (
        f"{_layer(head)}: {head.activation} before {loss.name} cannot be meant; end with "
        f"{squash} or with no activation (logits)"
    )
