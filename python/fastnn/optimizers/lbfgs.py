"""L-BFGS, which looks at all rows at once: the optimizer, and what it keeps of earlier steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from fastnn.optimizers.base import COMMON, OLD_NAMES, OPTIMIZERS, Optimizer, Rate
from fastnn.optimizers.curvature import Found, Function, Pairs, Vector, line_search
from fastnn.registry import Checked
from fastnn.step_states import Kept, States
from fastnn.variables import Variable
from fastnn.words import integer, keywords, number

Array = NDArray[Any]
# The loss of the present weights, and its gradient for each Variable.
Evaluate = Callable[[], tuple[float, Sequence[Array]]]


class PairStates(States):
    """The pairs of the Variables of one model, cut into pieces, one for each Variable."""

    __slots__ = ("most", "pairs", "variables")

    def __init__(self, most: int, kept: Iterable[tuple[Variable, Kept]] = ()) -> None:
        super().__init__("lbfgs")
        self.most = most
        self.variables: list[ref[Variable]] = []
        self.pairs = Pairs(most=most)
        self.put(kept)

    def of_these(self, variables: Sequence[Variable]) -> Pairs:
        """The pairs of these Variables; new ones where they are others."""
        if [v() for v in self.variables] != list(variables) or self.pairs.moves.maxlen != self.most:
            self.variables = [ref(v) for v in variables]
            self.pairs = Pairs(most=self.most)
        return self.pairs

    def kept(self) -> list[tuple[Variable, Kept]]:
        known = [variable() for variable in self.variables]
        found = self.copied([variable for variable in known if variable is not None])
        return [(variable, kept) for variable, kept in found if kept is not None]

    def copied(self, variables: Iterable[Variable]) -> list[tuple[Variable, Kept | None]]:
        pieces: dict[int, Kept] = {}
        begin = 0
        for reference in self.variables:
            variable = reference()
            if variable is None or not self.pairs.moves:
                return [(one, None) for one in variables]
            size, dtype = variable.size, variable.dtype
            slots = []
            for vectors in (self.pairs.moves, self.pairs.changes):
                for i in range(self.most):
                    piece = vectors[i][begin : begin + size] if i < len(vectors) else np.zeros(size)
                    slots.append(np.asarray(piece, dtype))
            pieces[id(variable)] = slots, len(self.pairs.moves), None, None
            begin += size
        return [(one, pieces.get(id(one))) for one in variables]

    def put(self, copies: Iterable[tuple[Variable, Kept | None]]) -> None:
        given = [(variable, kept) for variable, kept in copies if kept is not None]
        self.variables = [ref(variable) for variable, _ in given]
        self.pairs = Pairs(most=self.most)
        if not given:
            return
        slots, count, *_ = given[0][1]
        self.most = len(slots) // 2
        count = min(count, self.most)

        def vectors(first: int) -> list[Vector]:
            return [
                np.concatenate([np.asarray(kept[0][first + i], np.float64) for _, kept in given])
                for i in range(count)
            ]

        self.pairs = Pairs(vectors(0), vectors(self.most), self.most)


@OPTIMIZERS.register("lbfgs")
class LBFGS(Optimizer):
    """L-BFGS (Liu and Nocedal, 1989) with a line search for Wolfe's strong conditions.

    For small networks on data that fit in memory, in float64 above all. Each epoch of `fit` is one
    iteration on all rows: `batch_size` and `shuffle` have no part in it, and a few passes over the
    data are made to find the step. `fit` ends before `epochs` where the gradient is 0, or no step
    lowers the loss. It has no counterpart in Keras.

        >>> import numpy as np
        >>> import fastnn
        >>> x = np.linspace(-1, 1, 50)[:, None]
        >>> model = fastnn.Sequential([fastnn.layers.Dense(8, "tanh"), fastnn.layers.Dense(1)], dtype="float64")
        >>> model.compile(fastnn.optimizers.LBFGS(), "mse")
        >>> history = model.fit(x, np.sin(3 * x), epochs=100, verbose=0)
        >>> history.history["loss"][-1] < 1e-4
        True

    Args:
        learning_rate: the step that is tried first, as a share of the one that Newton's method has;
            at least 0, or a schedule.
        history_size: the number of earlier iterations that the curvature is told from.
        max_evaluations: passes over the data for one iteration, at most.
        tolerance_grad: `fit` ends where no element of the gradient is larger.
        tolerance_change: `fit` ends where the loss falls by no more than this.
        name: the name of the optimizer.

    Penalties (`kernel_regularizer`) are part of the loss; weight decay, limits of gradients, averages,
    constraints and `apply_gradients` do not go with it. All passes of an iteration have the same dropout
    and noise, another one than that of the iteration before, and moving statistics move once.
    """

    native = "lbfgs"
    full_batch = True
    history_size = Checked(integer)
    max_evaluations = Checked(integer)
    tolerance_grad = Checked(partial(number, low=0.0))
    tolerance_change = Checked(partial(number, low=0.0))
    _in_keywords = ()
    _inside = ("iterate", "weight_decay", *COMMON)

    @keywords(old=OLD_NAMES)
    def __init__(
        self,
        learning_rate: Rate = 1.0,
        history_size: int = 10,
        max_evaluations: int = 25,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-12,
        name: str = "lbfgs",
    ) -> None:
        super().__init__(learning_rate, None, name)
        self.history_size = history_size
        self.max_evaluations = max_evaluations
        self.tolerance_grad = tolerance_grad
        self.tolerance_change = tolerance_change

    def _new_states(self, kept: Iterable[tuple[Variable, Kept]] = ()) -> PairStates:
        return PairStates(vars(self).get("history_size", 10), kept)

    @property
    def slot_names(self) -> tuple[str, ...]:
        count = range(self.history_size)
        return (*(f"move_{i}" for i in count), *(f"change_{i}" for i in count))

    def _options(self) -> dict[str, float]:
        return {"learning_rate": self._rate_now()}

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> int:  # noqa: ARG002
        """Not there: an iteration has to look at the loss several times. See `fit`."""
        raise TypeError("LBFGS: apply_gradients: it searches along a line; use fit")

    def iterate(
        self,
        variables: Sequence[Variable],
        evaluate: Evaluate,
        begin: tuple[float, Sequence[Array]],
    ) -> bool:
        """One iteration from the present weights, where loss and gradients are `begin` (for models).

        `evaluate` is called after other weights were written. Returns whether a step was found that
        lowers the loss by more than tolerance_change; without a step the weights are as before.
        """
        states: Any = self._states
        states.most = self.history_size
        pairs = states.of_these(variables)
        x = flat([variable.view() for variable in variables])
        loss, gradient = begin[0], flat(begin[1])
        if float(np.abs(gradient).max(initial=0.0)) <= self.tolerance_grad:
            return False
        direction = pairs.direction(gradient)
        first = self._rate_now()
        if not pairs.moves:  # nothing is known of the curvature: a step of at most this length
            first = min(1.0, 1.0 / float(np.abs(gradient).sum())) * first
        if not float(gradient @ direction) < 0:
            pairs.moves.clear()
            pairs.changes.clear()
            direction = -gradient

        def at(point: Vector) -> tuple[float, Vector]:
            write(variables, point)
            here, gradients = evaluate()
            return here, flat(gradients)

        function: Function = at
        found = line_search(
            function, x, direction, Found(first, loss, gradient), self.max_evaluations
        )
        vars(self)["taken"] = int(self.taken) + 1
        if found is None:
            write(variables, x)
            pairs.moves.clear()
            pairs.changes.clear()
            return False
        point = x + found.step * direction
        write(variables, point)
        # As the weights hold them, so that a file can.
        dtype = variables[0].dtype
        pairs.add(_held(point - x, dtype), _held(found.gradient - gradient, dtype))
        return loss - found.loss > self.tolerance_change


def flat(arrays: Iterable[Array]) -> Vector:
    """Arrays one behind the other."""
    return np.concatenate([np.asarray(array, np.float64).reshape(-1) for array in arrays])


def write(variables: Sequence[Variable], point: Vector) -> None:
    """Writes a vector into Variables."""
    begin = 0
    for variable in variables:
        piece = point[begin : begin + variable.size]
        variable.assign(piece.reshape(variable.shape).astype(variable.dtype))
        begin += variable.size


def _held(vector: Vector, dtype: str) -> Vector:
    return vector.astype(dtype).astype(np.float64)
