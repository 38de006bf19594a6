"""The parts of a model among its attributes, and what their Variables depend on."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from fastnn.changes import Switch
from fastnn.layers.base import Layer, Standing
from fastnn.models.compiled import State
from fastnn.variables import Variable


class Edits:
    """How many attributes of layers of a program's own, and of models, were set so far."""

    count = 0


edits = Edits()

# A list or dictionary, and what it held.
Holder = tuple[Any, tuple[Any, ...]]

_standing_of = operator.attrgetter("_standing")


class Known(NamedTuple):
    """The Variables of a model, and all that they depend on besides its attributes."""

    state: State
    holders: list[Holder]
    layers: list[Layer]
    standings: list[Switch[Standing]]
    variables: tuple[Variable, ...]

    def holds(self, state: State) -> bool:
        """Whether all of it is as it was."""
        return (
            state is self.state
            and list(map(_standing_of, self.layers)) == self.standings
            and (not self.holders or all(_same(*seen) for seen in self.holders))
        )


def variables_of(parts: Iterable[Layer | Variable]) -> list[Variable]:
    """The Variables of parts, each once."""
    found: dict[int, Variable] = {}
    for part in parts:
        for variable in [part] if isinstance(part, Variable) else part.variables:
            found[id(variable)] = variable
    return list(found.values())


def among(
    values: Iterable[Any], kinds: tuple[type, ...], holders: list[Holder] | None
) -> Iterator[Any]:
    """Objects of these kinds among values, also in lists and dictionaries; `holders` gets these."""
    for value in values:
        if isinstance(value, kinds):
            yield value
        elif isinstance(value, (list, tuple, dict)):
            held = tuple(value.values() if isinstance(value, dict) else value)
            if holders is not None and not isinstance(value, tuple):
                holders.append((value, held))
            yield from among(held, kinds, holders)


def _same(holder: Any, held: tuple[Any, ...]) -> bool:
    """Whether a list or dictionary holds these very objects."""
    now = holder.values() if isinstance(holder, dict) else holder
    return len(now) == len(held) and all(map(operator.is_, now, held))
