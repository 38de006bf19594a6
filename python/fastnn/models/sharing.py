"""Sharing: which parameters of a model's layers are in the buffers of other models.

A Variable is in one buffer, that of the model which trained it last. Others have places for it in
their own buffers, and copy its values there before they read them.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fastnn import _core
from fastnn.changes import Switch
from fastnn.layers.base import Layer
from fastnn.variables import Place, Spot, Variable


class Copies:
    """Which values of other buffers a buffer has copies of.

    Attributes:
        stamp: of these values, see `stamp_of`.
        own: all Variables with their Switches, when they were in the own buffer; None: not yet.
    """

    __slots__ = ("own", "stamp")

    def __init__(self) -> None:
        self.stamp: object = None
        self.own: list[tuple[Variable, Switch[Spot]]] | None = None


class Lent(NamedTuple):
    """Values that are in another buffer, at a version of it: (to, from, count) of each."""

    parameters: _core.Parameters
    version: int
    ranges: list[tuple[int, int, int]]


def lent(
    variables: Sequence[Sequence[Variable]], places: Sequence[Sequence[Place]], copies: Copies
) -> list[Lent]:
    """Which of the Variables of layers are not at their places of a buffer, but in others."""
    found: dict[int, Lent] = {}
    own: list[tuple[Variable, Switch[Spot]]] | None = []
    for variables_, places_ in zip(variables, places, strict=True):
        for variable, place in zip(variables_, places_, strict=True):
            spot = variable.spot
            if not spot.is_final:
                own = None
            elif own is not None:
                own.append((variable, spot))
            there = spot.now.place
            if there is not place:
                other = there.parameters
                one = found.setdefault(id(other), Lent(other, other.version, []))
                one.ranges.append((place.offset, there.offset, place.size))
    copies.own = None if found else own
    return list(found.values())


def stamp_of(found: Sequence[Lent]) -> object:
    """Equal only for the same values. It keeps no buffer alive."""
    return [(weakref.ref(one.parameters), one.version, one.ranges) for one in found]


def refuse_to_rob(
    doing: str, model: object, layers: Iterable[Layer], *, elsewhere: bool = False
) -> None:
    """RuntimeError where another model trains parameters of these layers; with `elsewhere` in
    another thread."""
    for layer in layers:
        if is_trained_beside(model, layer, elsewhere=elsewhere):
            owner = layer.owner
            where = " in another thread" if owner.is_training(elsewhere=True) else ""
            raise RuntimeError(
                f"{doing}: another model that shares layers is being trained{where}: "
                f"{owner.name!r} has layer {layer.name!r}"
            )


def is_trained_beside(model: object, layer: Layer, *, elsewhere: bool = False) -> bool:
    """Whether another model is training the layer; with `elsewhere` in another thread."""
    owner = layer.owner
    if owner is None or owner is model or not layer.variables:
        return False
    training: bool = owner.is_training(elsewhere=elsewhere)
    return training
