"""GradientTape: records operations on Tensors, and goes back over them for gradients.

Reverse mode: each operation leaves an entry with its inputs, its outputs and a function from the
gradients at the outputs to those at the inputs. That function is made of operations on Tensors
itself, so that a second tape around the first gives second derivatives.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import numpy as np

from fastnn.autodiff.structures import SOURCES, Source, flat, leaves, like, other
from fastnn.autodiff.tensor import Pull, Tensor, one, operations, set_recorder, tensor
from fastnn.variables import Variable
from fastnn.words import choose, flag


class Entry(NamedTuple):
    """An operation that was recorded."""

    inputs: tuple[Source, ...]
    outputs: tuple[Tensor, ...]
    pull: Pull


class _Active(threading.local):
    """The tapes that record in this thread, the outermost first."""

    def __init__(self) -> None:
        self.tapes: tuple[Any, ...] = ()
        self.follower: Any = None  # one of the tapes, see `following`


_active = _Active()


def recording() -> bool:
    """Whether any tape records in this thread."""
    return bool(_active.tapes)


def watched(source: Source) -> bool:
    """Whether any tape of this thread would find a gradient for `source`."""
    return any(tape._watches(source) for tape in _active.tapes)


def record(inputs: tuple[Source, ...], outputs: tuple[Tensor, ...], pull: Pull) -> None:
    """Leaves an entry on every tape that watches any of the inputs."""
    for tape in _active.tapes:
        tape._record(inputs, outputs, pull)


set_recorder(_active, record)


class GradientTape:
    """Records operations inside its `with` block; `gradient` goes back over them.

        >>> import fastnn
        >>> x = fastnn.constant([1.0, 2.0, 3.0])
        >>> with fastnn.GradientTape() as tape:
        ...     tape.watch(x)
        ...     y = fastnn.math.reduce_sum(x * x)
        >>> tape.gradient(y, x).numpy().tolist()
        [2.0, 4.0, 6.0]

    Args:
        persistent: whether `gradient` and `jacobian` may be called more than once.
        watch_accessed_variables: whether trainable Variables are watched when they are used.

    Threads record on tapes of their own.
    """

    only_follows = False  # as a follower does, which records nothing (see `following`)

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self.persistent = flag("persistent", persistent)
        self._watches_variables = flag("watch_accessed_variables", watch_accessed_variables)
        self._entries: list[Entry] = []
        # By id: what derives from what is watched. The entries, and this, keep them alive.
        self._watched: dict[int, Source] = {}
        self._roots = 0  # how many were watched, and not made of what is
        self._used = False

    def __enter__(self) -> Self:
        if self in _active.tapes:
            raise RuntimeError("GradientTape: this tape records already")
        if self._used and not self.persistent:
            self.reset()
        _active.tapes = (*_active.tapes, self)
        return self

    def __exit__(self, *_: object) -> None:
        _active.tapes = tuple(tape for tape in _active.tapes if tape is not self)

    def watch(self, tensor: Any) -> None:
        """Records what is made of a Tensor or a Variable, or of each in a list or dictionary.

            >>> x = fastnn.constant(3.0)
            >>> with fastnn.GradientTape() as tape:
            ...     tape.watch(x)  # a Tensor is not watched by itself, a trainable Variable is
            ...     y = x * x
            >>> tape.gradient(y, x).item()
            6.0

        Raises:
            TypeError: something else is given, or numbers that are no floats.
        """
        for source in leaves(tensor):
            if not isinstance(source, (Tensor, Variable)):
                raise TypeError(f"watch: expected a Tensor or a Variable, got {source!r:.200}")
            if np.dtype(source.dtype).kind != "f":
                raise TypeError(f"watch: {source.dtype} numbers have no gradient")
            self._roots += id(source) not in self._watched
            self._watched[id(source)] = source

    def watched_variables(self) -> tuple[Variable, ...]:
        """The Variables that were used, or watched, in the order of that.

        >>> v, w = fastnn.Variable(2.0), fastnn.Variable(3.0)
        >>> with fastnn.GradientTape() as tape:
        ...     y = w * w
        >>> [float(variable.numpy()) for variable in tape.watched_variables()]
        [3.0]
        """
        return tuple(s for s in self._watched.values() if isinstance(s, Variable))

    def reset(self) -> None:
        """Forgets everything recorded so far.

        >>> w = fastnn.Variable(3.0)
        >>> with fastnn.GradientTape() as tape:
        ...     y = w * w
        ...     tape.reset()
        ...     y = 5 * w
        >>> tape.gradient(y, w).item()
        5.0
        """
        self._entries, self._watched, self._roots, self._used = [], {}, 0, False

    @contextmanager
    def stop_recording(self) -> Iterator[None]:
        """In this `with` block the tape records nothing.

        >>> w = fastnn.Variable(3.0)
        >>> with fastnn.GradientTape() as tape:
        ...     with tape.stop_recording():
        ...         scale = 2 * w
        ...     y = scale * w
        >>> tape.gradient(y, w).item()  # that of 6 * w
        6.0
        """
        before = _active.tapes
        _active.tapes = tuple(tape for tape in before if tape is not self)
        try:
            yield
        finally:
            _active.tapes = before

    def _watches(self, source: Source) -> bool:
        if id(source) in self._watched:
            return True
        return type(source) is Variable and source.trainable and self._watches_variables

    def _record(self, inputs: tuple[Source, ...], outputs: tuple[Tensor, ...], pull: Pull) -> None:
        watched = self._watched
        found = False
        for source in inputs:
            if id(source) in watched:
                found = True
            elif type(source) is Variable and source.trainable and self._watches_variables:
                watched[id(source)] = source
                self._roots += 1
                found = True
        if found:
            self._entries.append(Entry(inputs, outputs, pull))
            for output in outputs:
                watched[id(output)] = output

    # -- going back

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: str = "none",
    ) -> Any:
        """The gradient of the target, or of the sum of several targets, for each source.

            >>> v, w = fastnn.Variable(2.0), fastnn.Variable(3.0)
            >>> with fastnn.GradientTape() as tape:
            ...     y = v * w + w
            >>> dv, dw = tape.gradient(y, [v, w])
            >>> dv.item(), dw.item()
            (3.0, 3.0)

        Args:
            target: a Tensor, or a list of Tensors; where it is no single number, the gradient is
                that of the sum of its elements.
            sources: a Tensor or Variable, or a list, tuple or dictionary of them.
            output_gradients: the gradient at the target, or at each of them; None: ones.
            unconnected_gradients: "none" or "zero": what is returned for a source on which the
                target does not depend.

        Returns:
            A Tensor of each source's shape, in the structure of `sources`; None, or zeros, where
            the target does not depend on it.

        Raises:
            RuntimeError: the tape is not persistent, and was used; or a Variable was changed
                between its use and this call.
        """
        zero = _zeros(unconnected_gradients)
        self._use("gradient")
        targets = flat(target)
        if not SOURCES.issuperset(map(type, targets)):
            raise TypeError(
                f"gradient: expected a Tensor as the target, got {other(targets)!r:.200}"
            )
        given = _for_each(target, targets, output_gradients)
        seeds = [_seed(one, dy) for one, dy in zip(targets, given, strict=True)]
        wanted = flat(sources)
        if not SOURCES.issuperset(map(type, wanted)):
            raise TypeError(f"sources: expected Tensors or Variables, got {other(wanted)!r:.200}")
        entries = self._leading(wanted)
        if not self.persistent:
            self._entries = []
        try:
            found = self._pulled(entries, targets, seeds, wanted)
        finally:
            if not self.persistent:
                self._watched = {}
        if zero:
            found = [
                Tensor(np.zeros(source.shape, source.dtype)) if dx is None else dx
                for source, dx in zip(wanted, found, strict=True)
            ]
        return found if sources is wanted else like(sources, iter(found))

    def _use(self, doing: str) -> None:
        if self._used and not self.persistent:
            raise RuntimeError(
                f"{doing}: this tape was used already; GradientTape(persistent=True) can be used "
                "more than once"
            )
        self._used = True

    def _leading(self, wanted: Sequence[Source]) -> list[Entry]:
        """The entries that lead from these sources: others have no part in their gradients."""
        roots = {id(source) for source in wanted}
        if self._roots <= len(roots):  # all that is watched is wanted
            return self._entries
        entries = []
        for entry in self._entries:
            for source in entry.inputs:
                if id(source) in roots:
                    entries.append(entry)
                    roots.update(map(id, entry.outputs))
                    break
        return entries

    def _pulled(
        self,
        entries: Sequence[Entry],
        targets: Sequence[Source],
        seeds: Sequence[Tensor],
        wanted: Sequence[Source],
    ) -> list[Tensor | None]:
        """The gradients at `wanted`, from those at the targets."""
        grads: dict[int, Tensor] = {}
        watched = self._watched
        connected = [id(source) in watched for source in wanted]
        for target, seed in zip(targets, seeds, strict=True):
            _add(grads, target, seed)
        keep = {id(source) for source in wanted}
        before = _active.tapes
        records = self.persistent and self in before
        _active.tapes = tuple(
            tape for tape in before if (tape is not self or records) and not tape.only_follows
        )
        try:
            with np.errstate(all="ignore"):
                for inputs, outputs, pull in reversed(entries):
                    if len(outputs) == 1:
                        key = id(outputs[0])
                        dy = grads.get(key)
                        if dy is None:
                            continue
                        if key not in keep:
                            del grads[key]
                        found = pull(dy)
                    else:
                        dys = [grads.get(id(output)) for output in outputs]
                        if all(dy is None for dy in dys):
                            continue
                        for output in outputs:
                            if id(output) not in keep:
                                grads.pop(id(output), None)
                        found = pull(*dys)
                    for source, dx in zip(inputs, found, strict=True):
                        if dx is not None:
                            key = id(source)
                            held = grads.get(key)
                            grads[key] = dx if held is None else held + dx
        finally:
            _active.tapes = before
        return [
            _typed(grads.get(id(source)), source) if is_connected else None
            for source, is_connected in zip(wanted, connected, strict=True)
        ]

    def jacobian(self, target: Tensor, sources: Any, unconnected_gradients: str = "none") -> Any:
        """The derivative of each element of the target: shape target.shape + source.shape.

            >>> w = fastnn.Variable([1.0, 2.0])
            >>> with fastnn.GradientTape() as tape:
            ...     y = w * w
            >>> tape.jacobian(y, w).tolist()
            [[2.0, 0.0], [0.0, 4.0]]

        Errors, structure and `unconnected_gradients`: see `gradient`.
        """
        zero = _zeros(unconnected_gradients)
        if not isinstance(target, Tensor):
            raise TypeError(f"jacobian: expected a Tensor as the target, got {target!r:.200}")
        self._use("jacobian")
        wanted = list(leaves(sources))
        rows: list[list[Tensor | None]] = []
        entries = list(self._entries)
        for i in range(target.size):
            unit = np.zeros(target.size, target.dtype)
            unit[i] = 1
            seed = Tensor(unit.reshape(target.shape))
            rows.append(self._pulled(entries, [target], [seed], wanted))
        if not self.persistent:
            self._entries, self._watched = [], {}
        return like(
            sources,
            (
                _stacked(target, source, [row[k] for row in rows], zero)
                for k, source in enumerate(wanted)
            ),
        )

    def batch_jacobian(
        self, target: Tensor, source: Source, unconnected_gradients: str = "none"
    ) -> Tensor | None:
        """The derivative of each row of the target with respect to its row of the source.

            >>> x = fastnn.constant([[1.0], [2.0]])
            >>> with fastnn.GradientTape() as tape:
            ...     tape.watch(x)
            ...     y = x**2
            >>> tape.batch_jacobian(y, x).tolist()
            [[[2.0]], [[4.0]]]

        Args:
            target: (n, ...), whose row i depends on row i of the source alone.
            source: (n, ...), a Tensor or a Variable.

        Returns:
            Shape (n,) + target.shape[1:] + source.shape[1:]. Errors: see `gradient`.
        """
        zero = _zeros(unconnected_gradients)
        for given in (target, source):
            if not isinstance(given, (Tensor, Variable)):
                raise TypeError(f"batch_jacobian: expected Tensors, got {given!r:.200}")
        if target.ndim < 1 or source.ndim < 1 or target.shape[0] != source.shape[0]:
            raise ValueError(
                f"batch_jacobian: expected as many rows in target and source, got {target.shape} "
                f"and {source.shape}"
            )
        self._use("batch_jacobian")
        n = target.shape[0]
        width = int(np.prod(target.shape[1:], dtype=int))
        entries = list(self._entries)
        parts: list[Tensor | None] = []
        for j in range(width):
            unit = np.zeros((n, width), target.dtype)
            unit[:, j] = 1
            seed = Tensor(unit.reshape(target.shape))
            parts += self._pulled(entries, [target], [seed], [source])
        if not self.persistent:
            self._entries, self._watched = [], {}
        shape = (*target.shape, *source.shape[1:])
        if parts and all(part is None for part in parts):
            return Tensor(np.zeros(shape, source.dtype)) if zero else None
        return _together(parts, source, 1, shape)


def _add(grads: dict[int, Tensor], source: Source, dx: Tensor) -> None:
    held = grads.get(id(source))
    grads[id(source)] = dx if held is None else held + dx


def _typed(dx: Tensor | None, source: Source) -> Tensor | None:
    """A gradient in the type of its source, also where that met numbers of another type."""
    if dx is None:
        return dx
    kept = source.place.dtype if type(source) is Variable else source.dtype
    if dx.value.dtype == kept:
        # The seed is one object for all tapes, some of which may watch what they are given.
        return Tensor(dx.value) if dx is one(dx.value.dtype) else dx
    return operations["cast"](dx, source.dtype)


def _for_each(target: Any, targets: Sequence[Source], given: Any) -> list[Any]:
    """The gradient at each target, None for ones; they stand in the structure of the targets."""
    if given is None:
        return [None] * len(targets)
    several = isinstance(target, (list, tuple, Mapping))
    if not several:
        in_list = isinstance(given, (list, tuple)) and len(given) == 1
        return list(given) if in_list and np.shape(given[0]) == targets[0].shape else [given]
    found = list(given.values()) if isinstance(given, Mapping) else list(given)
    if len(found) != len(targets):
        raise ValueError(
            f"output_gradients: expected one for each of {len(targets)} targets, got {len(found)}"
        )
    return found


def _seed(target: Source, given: Any) -> Tensor:
    if given is None:
        if type(target) is Tensor and target.value.ndim == 0:
            return one(target.value.dtype)
        return Tensor(np.ones(target.shape, target.dtype))
    seed = tensor(given)
    if seed.dtype != target.dtype:
        seed = operations["cast"](seed, target.dtype)
    if seed.shape != target.shape:
        raise ValueError(f"output_gradients: expected shape {target.shape}, got {seed.shape}")
    return seed


def _stacked(
    target: Tensor, source: Source, rows: Sequence[Tensor | None], zero: bool
) -> Tensor | None:
    shape = (*target.shape, *source.shape)
    if rows and all(row is None for row in rows):
        return Tensor(np.zeros(shape, source.dtype)) if zero else None
    return _together(rows, source, 0, shape)


def _together(
    parts: Sequence[Tensor | None], source: Source, axis: int, shape: tuple[int, ...]
) -> Tensor:
    """Gradients along an axis of a Jacobian, by operations that tapes around record."""
    if not parts:
        return Tensor(np.zeros(shape, source.dtype))
    zeros = Tensor(np.zeros(source.shape, source.dtype))
    stacked = operations["stack"]([zeros if part is None else part for part in parts], axis)
    return operations["reshape"](stacked, shape)


def _zeros(unconnected_gradients: str) -> bool:
    if unconnected_gradients == "none":
        return False
    return choose("unconnected_gradients", unconnected_gradients, ("none", "zero")) == "zero"
