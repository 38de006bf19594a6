"""Probabilities of classes from the outputs of a model, by the loss that it was compiled with.

How a model ends is found by `heads`; where its `call` is no graph of layers, the Tensors say it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import ops
from fastnn.losses import Loss

Array = NDArray[Any]


def kind_of(name: str | None, loss: Loss | None, activation: str | None) -> str:
    """What outputs with this loss hold: "softmax" or "sigmoid" probabilities, or logits of them.

    `activation` is that of the last layer; None: not known. The words are "softmax", "sigmoid",
    "softmax logits" and "sigmoid logits".

    Raises:
        ValueError: the outputs mean no probabilities.
    """
    where = "" if name is None else f"output {name!r}: "
    folds = None if loss is None or loss.is_own else loss.folds
    if folds is None:
        # Of a loss of a user's own, or of Brier's score.
        numbers = loss is None or loss.is_own or loss.row.targets == "numbers"
        if numbers and activation in ("softmax", "sigmoid"):
            return activation
        if numbers and activation == "log_softmax":
            return "softmax logits"
        meant = "no loss" if loss is None else f"the loss {loss.name}"
        raise ValueError(
            f"predict_proba: {where}{meant} makes no probabilities of the outputs; use predict, or "
            "compile with a cross-entropy"
        )
    assert loss is not None
    if activation in ("linear", "log_softmax") or (activation is None and loss.from_logits):
        return f"{folds} logits"
    return folds


def of_outputs(outputs: Array, kind: str) -> Array:
    """Probabilities (n, classes), or (n, labels) of several labels; one unit gives (n, 2)."""
    squash, _, logits = kind.partition(" ")
    flat = np.ascontiguousarray(outputs.reshape(len(outputs), -1))
    if squash == "softmax":
        return ops.softmax(flat) if logits else flat
    positive = ops.activation_forward(flat, "sigmoid") if logits else flat
    if flat.shape[1] != 1:
        return positive.reshape(outputs.shape)
    negative = ops.activation_forward(-flat, "sigmoid") if logits else 1 - flat
    return np.concatenate([negative, positive], axis=1)


def of_all(
    leaves: Sequence[Array],
    targets: Sequence[tuple[str | None, Loss | None]],
    activations: Sequence[str | None],
) -> list[Array]:
    """The same for each output of a model, with its name and loss."""
    kinds = [
        kind_of(name, loss, activation)
        for (name, loss), activation in zip(targets, activations, strict=True)
    ]
    return [of_outputs(outputs, kind) for outputs, kind in zip(leaves, kinds, strict=True)]
