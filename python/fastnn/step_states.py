"""What steps by `optimizer.apply_gradients` keep of each Variable; the steps are in `applied`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.autodiff.tensor import Tensor
from fastnn.variables import Variable

Array = NDArray[Any]
# What a copy of a Variable's state is made of: slots, the number of steps, the average, and what was
# gathered of the gradients of several calls.
Kept = tuple[list[Array], int, Array | None, Array | None]


class State:
    """What steps keep of a Variable."""

    __slots__ = (
        *("__weakref__", "average", "dtype", "gathered", "native", "place", "shape", "variable"),
    )

    def __init__(
        self, optimizer: str, variable: Variable, kept: Kept | None = None, initial: float = 0.0
    ) -> None:
        self.variable = ref(variable)
        self.place = place = variable.place
        self.shape = place.shape
        self.dtype = place.dtype
        columns = self.shape[-1] if self.shape else 1
        self.native = _core.StepState(
            optimizer, place.parameters, place.offset, place.size, max(1, columns)
        )
        self.average: Array | None = None
        self.gathered: Array | None = None
        if kept is not None:
            slots, self.native.steps, self.average, self.gathered = kept
            self.native.set_slots(slots)
        elif initial:
            first, *others = self.native.slots
            self.native.set_slots([np.full_like(first, initial), *others])

    def kept(self) -> Kept:
        """A copy."""
        return self.native.slots, self.native.steps, self.average, self.gathered

    def follow(self, variable: Variable) -> None:
        """Goes where the Variable went, which a change of its model may move."""
        place = variable.place
        if place is not self.place:
            self.native.move(place.parameters, place.offset)
            self.place = place

    def fitted(self, variable: Variable, grad: Any) -> Array:
        """The gradient as an array of the Variable's shape and type; errors: see `assign`."""
        if type(grad) is Tensor:
            value = grad.value
            if value.shape == self.shape and value.dtype == self.dtype:
                return value
        try:
            return variable.converted(grad)
        except (TypeError, ValueError) as error:
            raise type(error)(f"gradient of {error}") from error.__cause__


class States:
    """The states of an optimizer's Variables, which are found fast in the order of the last step."""

    __slots__ = ("__weakref__", "_by_id", "_last", "_optimizer")

    def __init__(self, optimizer: str, kept: Iterable[tuple[Variable, Kept]] = ()) -> None:
        self._optimizer = optimizer
        # By the id of the Variable, as long as that lives: equality of Variables is of their values.
        self._by_id: dict[int, tuple[State, ref[Variable]]] = {}
        # By place in a step. Strong references would keep the parameters of a model that is gone.
        self._last: tuple[ref[State], ...] = ()
        for variable, copied in kept:
            self._keep(variable, copied)

    def kept(self) -> list[tuple[Variable, Kept]]:
        """A copy of each."""
        found = [(state.variable(), state) for state, _ in list(self._by_id.values())]
        return [(variable, state.kept()) for variable, state in found if variable is not None]

    def _keep(self, variable: Variable, copied: Kept | None = None, initial: float = 0.0) -> State:
        state = State(self._optimizer, variable, copied, initial)
        key, mine = id(variable), ref(self)

        def forget(_: object) -> None:
            states = mine()
            if states is not None:
                states._by_id.pop(key, None)

        self._by_id[key] = state, ref(variable, forget)
        return state

    def find(self, variable: Variable) -> State | None:
        """The state of a Variable that was stepped."""
        found = self._by_id.get(id(variable))
        return None if found is None else found[0]

    def copied(self, variables: Iterable[Variable]) -> list[tuple[Variable, Kept | None]]:
        """A copy of the state of each of these; None: it has none."""
        found = ((variable, self.find(variable)) for variable in variables)
        return [(v, None if state is None else state.kept()) for v, state in found]

    def put(self, copies: Iterable[tuple[Variable, Kept | None]]) -> None:
        """Goes back to copies."""
        self._last = ()
        for variable, kept in copies:
            if kept is None:
                self._by_id.pop(id(variable), None)
            else:
                self._keep(variable, kept)

    def of(self, variable: Variable, place: int, initial: float = 0.0) -> State:
        """The state of a Variable that is number `place` of a step.

        A first one is made; `initial`: what its first slot holds.
        """
        last = self._last
        state = last[place]() if place < len(last) else None
        if state is None or state.variable() is not variable:
            state = self._made(variable, initial)
            self._last = (*last[:place], ref(state))
        state.follow(variable)
        return state

    def _made(self, variable: Variable, initial: float) -> State:
        if not isinstance(variable, Variable):
            raise TypeError(
                "apply_gradients: expected pairs (gradient, Variable), got "
                f"{type(variable).__name__} as the Variable: {variable!r:.80}; write "
                "zip(gradients, variables)"
            )
        state = self.find(variable)
        return self._keep(variable, None, initial) if state is None else state


def gathered(states: list[State], grads: list[Array], phase: int, every: int) -> list[Array]:
    """Means of the gradients of several calls, as far as they go."""
    means = []
    for state, grad in zip(states, grads, strict=True):
        share = grad / grad.dtype.type(every)
        if phase and state.gathered is not None:
            share += state.gathered
        state.gathered = share
        means.append(share)
    return means
