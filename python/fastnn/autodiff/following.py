"""Following: finds where a function of (y_true, y_pred) broadcasts these two into a wrong loss.

While the function runs, a follower stands among the tapes of the thread, so each operation reports
its inputs and output to it. It knows which Tensors hold a row of the data in each place of their
first axis, and raises an error where two of them meet whose rows do not lie on one axis, or where
targets and outputs of different widths meet. What a function arranges on purpose, by a new axis or
by `broadcast_to`, is not followed any further.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.autodiff.tensor import Pull, Tensor, begin_following, end_following, followers
from fastnn.data.structures import parts

Shape = tuple[int, ...]
_ORIGINS = {name: frozenset({name}) for name in ("y_true", "y_pred", "sample_weight")}


class Follower:
    """Follows targets and outputs through the operations of one function of (y_true, y_pred)."""

    only_follows = True  # of a tape: it records nothing

    def __init__(self, what: str, target: Any, outputs: Any, weights: Any = None) -> None:
        self.what = what
        self._rows = len(outputs)
        self._given: dict[str, Shape] = {}
        # By id: the Tensor, and what it is made of.
        self._followed: dict[int, tuple[Any, frozenset[str]]] = {}
        for name, part in zip(_ORIGINS, (target, outputs, weights), strict=True):
            if type(part) is Tensor:
                self._given[name] = part.shape
                self._followed[id(part)] = part, _ORIGINS[name]

    def _watches(self, _source: object) -> bool:
        return False

    def _record(self, inputs: tuple[Any, ...], outputs: tuple[Tensor, ...], _pull: Pull) -> None:
        self.follow(inputs, outputs[0])

    def follow(self, inputs: tuple[Any, ...], output: Tensor, *, adds_axis: bool = False) -> None:
        """Takes note of an operation. `adds_axis`: it adds a last axis, and moves no others."""
        followed = self._followed
        known = [found for source in inputs if (found := followed.get(id(source))) is not None]
        if not known:
            return
        if len(known) == 1 and known[0][0].shape == output.shape:
            followed[id(output)] = output, known[0][1]
            return
        if len(known) == 2 and len(inputs) == 2:
            self._check(known[0], known[1], output.shape)
        if self._has_rows([source.shape for source, _ in known], output.shape, adds_axis):
            followed[id(output)] = output, frozenset(name for _, origin in known for name in origin)

    def _check(
        self, a: tuple[Any, frozenset[str]], b: tuple[Any, frozenset[str]], output: Shape
    ) -> None:
        left, right = a[0].shape, b[0].shape
        if left == right or not _broadcast(left, right, output):
            return
        crossed = len(left) != len(right) and self._rows > 1
        whole = {self._whole(*a), self._whole(*b)}
        if not crossed and whole != {"y_true", "y_pred"}:
            return
        given = " and ".join(f"{name} of shape {shape}" for name, shape in self._given.items())
        if crossed:
            advice = (
                "rows would be set against each other; give both the same axes, or write "
                "fastnn.math.expand_dims for one of them where all pairs are meant"
            )
        else:
            advice = (
                "one would be repeated along the axes of the other; give y of the shape of the "
                "outputs, or write fastnn.math.broadcast_to where that is meant"
            )
        raise ValueError(
            f"{self.what}: got {given}, and an operation that broadcasts shapes {left} and {right} to "
            f"{output}: {advice}"
        )

    def _whole(self, source: Any, origin: frozenset[str]) -> str | None:
        """y_true or y_pred, where `source` has a number for each number of it, and only these."""
        name = next(iter(origin))
        return name if len(origin) == 1 and source.shape == self._given[name] else None

    def _has_rows(self, shapes: Sequence[Shape], output: Shape, adds_axis: bool) -> bool:
        """Whether the output of an operation on such inputs surely has the rows on its first axis."""
        if not output or output[0] != self._rows:
            return False
        return all(
            shape == output
            or (adds_axis and shape == output[:-1])
            # Another axis of that length could have become the first; an added one is on purpose.
            or (len(output) <= len(shape) and self._rows not in shape[1:])
            for shape in shapes
        )


class StepFollower(Follower):
    """Follows targets through a step of a model's own, and what the model makes in it.

    It sees to rows that are set against each other alone: a step may arrange widths as it likes.
    """

    def __init__(self, what: str, targets: Sequence[Any], weights: Sequence[Any]) -> None:
        self.what = what
        self._given = {}
        self._followed = {}
        self._rows = len(targets[0])
        for name, leaves in (("y_true", targets), ("sample_weight", weights)):
            for part in leaves:
                self._add(name, part)

    def _add(self, name: str, part: Any) -> None:
        if type(part) is Tensor and part.ndim and len(part) == self._rows:
            self._given.setdefault(name, part.shape)
            self._followed[id(part)] = part, _ORIGINS[name]

    def add_outputs(self, outputs: Sequence[Any]) -> None:
        """Follows outputs that the model has made."""
        for part in outputs:
            self._add("y_pred", part)

    def _whole(self, _source: Any, _origin: frozenset[str]) -> str | None:
        return None


class following_step:
    """A `with` block in which a step that sets rows of y against all others is a ValueError."""

    def __init__(self, what: str, targets: Sequence[Any], weights: Sequence[Any]) -> None:
        rows = [part for part in targets if type(part) is Tensor and part.ndim]
        self._follower = StepFollower(what, rows, weights) if rows else None

    def __enter__(self) -> None:
        if self._follower is not None:
            self._before = begin_following(self._follower)

    def __exit__(self, *_: object) -> None:
        if self._follower is not None:
            end_following(self._before)


def made_in_step(outputs: Any) -> Any:
    """`outputs`, which a model made, told to the step that goes on in this thread, if any."""
    for follower in followers():
        if isinstance(follower, StepFollower):
            follower.add_outputs(parts(outputs))
    return outputs


def _broadcast(left: Shape, right: Shape, output: Shape) -> bool:
    """Whether these shapes are broadcast to that of the output."""
    try:
        return np.broadcast_shapes(left, right) == output
    except ValueError:
        return False


class following:
    """A `with` block in which wrong broadcasting of targets and outputs is a ValueError.

    Args:
        what: begins the message, such as "loss my_loss".
        target, outputs, weights: what the function gets.
    """

    __slots__ = ("_before", "_outputs", "_target", "_weights", "_what")

    def __init__(self, what: str, target: Any, outputs: Tensor, weights: Any = None) -> None:
        if type(target) is Tensor and target.shape[:1] != outputs.shape[:1]:
            raise ValueError(
                f"{what}: expected y_true of {len(outputs)} rows, as y_pred of shape "
                f"{outputs.shape} has, got shape {target.shape}"
            )
        self._what, self._target, self._outputs, self._weights = what, target, outputs, weights

    def __enter__(self) -> None:
        follower = Follower(self._what, self._target, self._outputs, self._weights)
        self._before = begin_following(follower)

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        end_following(self._before)
        target, outputs = self._target, self._outputs
        if not isinstance(error, ValueError) or not isinstance(target, Tensor):
            return
        if target.shape != outputs.shape and "could not be broadcast" in str(error):
            raise ValueError(
                f"{self._what}: y_true of shape {target.shape} and y_pred of shape {outputs.shape} "
                f"do not fit: {error}"
            ) from error


def check_result(what: str, value: Any, target: Any, outputs: Tensor) -> None:
    """ValueError where `value` is not a number for each row, or for each place of its axes."""
    shape, n = value.shape, len(outputs)
    if shape in ((), (n,), outputs.shape):
        return
    axes = {1, *outputs.shape[1:], *getattr(target, "shape", ())[1:]}
    longest = max(outputs.ndim, getattr(target, "ndim", 0))
    if shape[0] == n and len(shape) <= max(longest, 1) and axes.issuperset(shape[1:]):
        return
    given = f"y_true {getattr(target, 'shape', None)} and y_pred {outputs.shape}"
    raise ValueError(
        f"{what} for each row, shape ({n},) or ({n}, ...) with axes that y_true or y_pred has, or "
        f"a single number, got shape {shape} from {given}"
    )
