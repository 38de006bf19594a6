"""The engine's kernels as operations on Tensors: one entry of a tape each.

Forward and backward passes are native. Where a tape records while a gradient is taken, for second
derivatives, the gradient is made of the operations of `functions` instead, over the same inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.activation_words import native, rows
from fastnn.arrays.host import plain
from fastnn.autodiff import functions as f
from fastnn.autodiff.activation_formulas import composed_activation
from fastnn.autodiff.shared import part_of_batch
from fastnn.autodiff.tape import GradientTape, recording
from fastnn.autodiff.tensor import Tensor, recorded, tensor
from fastnn.variables import Variable

Array = NDArray[Any]
Source = Tensor | Variable


def value_of(source: Source, dtype: Any) -> Array:
    """The numbers, as native code reads them."""
    array = source.view() if isinstance(source, Variable) else source.value
    return plain(array, dtype)


class Unchanged:
    """Tells whether Variables are as they were when this was made."""

    __slots__ = ("seen",)

    def __init__(self, sources: Sequence[Any]) -> None:
        # By buffer, which has one version.
        self.seen: dict[Any, tuple[int, list[Variable]]] = {}
        for source in sources:
            if type(source) is Variable:
                parameters = source.place.parameters
                seen = self.seen.get(parameters)
                if seen is None:
                    self.seen[parameters] = parameters.weights_version, [source]
                else:
                    seen[1].append(source)

    def check(self) -> None:
        """RuntimeError where a Variable was changed since."""
        for parameters, (version, variables) in self.seen.items():
            # Where a model that shares a layer took it over, that one trained it.
            stay = all(variable.place.parameters is parameters for variable in variables)
            if parameters.weights_version != version or not stay:
                variable = variables[0]
                raise RuntimeError(
                    f"gradient: {variable.path} was changed after it was used; take the gradient "
                    "before weights are changed"
                )


def composed(
    forward: Callable[..., Tensor], inputs: Sequence[Source], dy: Tensor
) -> list[Tensor | None]:
    """Gradients of `forward(*inputs)` at the inputs, made of operations that are recorded."""
    with GradientTape(watch_accessed_variables=False) as tape:
        for source in inputs:
            tape.watch(source)
        y = forward(*inputs)
    found: list[Tensor | None] = tape.gradient(y, list(inputs), output_gradients=[dy])
    return found


# Kept as what they are made of: the losses use that.
_WITH_LOGITS = frozenset({"linear", "softmax", "log_softmax", "sigmoid"})


def activation(x: Any, word: str) -> Tensor:
    """activation(x) of each number, or of each row, for a word of `activation_words`."""
    x = tensor(x)
    known = native(word)
    if known.name in _WITH_LOGITS or known.name == "glu":
        return composed_activation(x, known)
    dtype = _float_type(x)
    value = plain(x.value, dtype)
    y = Tensor(np.asarray(_core.activation_forward(value, *known)).reshape(x.shape))

    def pull(dy: Tensor) -> Sequence[Tensor | None]:
        if recording():
            return composed(lambda x: composed_activation(x, known), (x,), dy)
        given = plain(dy.value, dtype)
        return (Tensor(_core.activation_backward(given, value, y.value, *known)),)

    return recorded(y, (x,), pull)


def dense(x: Any, w: Source, b: Source | None, word: str = "linear") -> Tensor:
    """activation(x @ w + b) for rows x, with a word of `activation_words`."""
    x = tensor(x)
    known = native(word)
    if known.name in ("softmax", "log_softmax", "sigmoid"):
        return composed_activation(dense(x, w, b), known)
    dtype = np.dtype(w.dtype)
    x_, w_ = plain(x.value, dtype), value_of(w, dtype)
    b_ = None if b is None else value_of(b, dtype)
    needs_z = rows()[known.name].needs_input
    z_ = _core.dense_forward(x_, w_, b_, "linear") if needs_z else None
    y_ = (
        _core.dense_forward(x_, w_, b_, *known)
        if z_ is None
        else _core.activation_forward(z_, *known)
    )
    inputs: tuple[Source, ...] = (x, w) if b is None else (x, w, b)
    unchanged = Unchanged(inputs)

    def forward(x: Any, w: Any, b: Any = None) -> Tensor:
        z = f.matmul(x, w)
        return composed_activation(z if b is None else z + b, known)

    def pull(dy: Tensor) -> Sequence[Tensor | None]:
        unchanged.check()
        if recording():
            return composed(forward, inputs, dy)
        found = _core.dense_backward(plain(dy.value, dtype), x_, w_, y_, z_, *known)
        return [Tensor(part) for part in found[: len(inputs)]]

    y = Tensor(y_)
    if known.name == "linear":
        y.logits = None, "linear"
    return recorded(y, inputs, pull)


def _wanted(found: Sequence[Any], gamma: object, beta: object) -> list[Tensor]:
    """The gradients of x, gamma and beta, of those that there are."""
    given = (True, gamma is not None, beta is not None)
    return [Tensor(part) for part, is_given in zip(found, given, strict=True) if is_given]


def layer_normalization(
    x: Any, gamma: Source | None, beta: Source | None, epsilon: float
) -> Tensor:
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, each row for itself."""
    x = tensor(x)
    dtype = np.dtype(gamma.dtype if gamma is not None else _float_type(x))
    x_ = plain(x.value, dtype)
    gamma_ = None if gamma is None else value_of(gamma, dtype)
    beta_ = None if beta is None else value_of(beta, dtype)
    keeps = recording()
    made = _core.layer_normalization(x_, gamma_, beta_, epsilon, keeps)
    y, kept = (Tensor(made[0]), made[1]) if keeps else (Tensor(made), None)
    given = [source for source in (x, gamma, beta) if source is not None]
    unchanged = Unchanged(given)

    def forward(x: Tensor, *scales: Any) -> Tensor:
        mean = f.reduce_mean(x, 1, keepdims=True)
        h = (x - mean) * f.rsqrt(f.reduce_variance(x, 1, keepdims=True) + epsilon)
        return _scaled(h, gamma, beta, scales)

    def pull(dy: Tensor) -> Sequence[Tensor | None]:
        unchanged.check()
        if recording():
            return composed(forward, given, dy)
        found = _core.layer_normalization_backward(
            plain(dy.value, dtype), x_, gamma_, epsilon, kept
        )
        return _wanted(found, gamma, beta)

    return recorded(y, tuple(given), pull)


def group_normalization(
    x: Any, groups: int, gamma: Source | None, beta: Source | None, epsilon: float
) -> Tensor:
    """`layer_normalization` of each of `groups` parts of a row for itself."""
    x = tensor(x)
    scales = [source for source in (gamma, beta) if source is not None]
    dtype = np.dtype(scales[0].dtype if scales else _float_type(x))
    x_ = plain(x.value, dtype)
    gamma_ = None if gamma is None else value_of(gamma, dtype)
    beta_ = None if beta is None else value_of(beta, dtype)
    keeps = recording()
    made = _core.group_normalization(x_, groups, gamma_, beta_, epsilon, keeps)
    y, kept = (Tensor(made[0]), made[1]) if keeps else (Tensor(made), None)
    given = [x, *scales]
    unchanged = Unchanged(given)

    def forward(x: Tensor, *scales: Any) -> Tensor:
        n, columns = x.shape
        parts = f.reshape(x, (n * groups, columns // groups))
        h = f.reshape(layer_normalization(parts, None, None, epsilon), (n, columns))
        return _scaled(h, gamma, beta, scales)

    def pull(dy: Tensor) -> Sequence[Tensor | None]:
        unchanged.check()
        if recording():
            return composed(forward, given, dy)
        assert kept is not None  # else this is not recorded
        found = _core.group_normalization_backward(
            plain(dy.value, dtype), x_, groups, gamma_, epsilon, kept
        )
        return _wanted(found, gamma, beta)

    return recorded(y, tuple(given), pull)


def rms_normalization(x: Any, scale: Source, epsilon: float) -> Tensor:
    """scale * x / sqrt(mean(x**2) + epsilon), each row for itself."""
    return _scaled_rows(x, scale, "root_mean_square", epsilon)


def unit_normalization(x: Any, epsilon: float = 1e-12) -> Tensor:
    """x / max(norm, epsilon), each row for itself."""
    return _scaled_rows(x, None, "norm", epsilon)


def _scaled_rows(x: Any, gamma: Source | None, length: str, epsilon: float) -> Tensor:
    x = tensor(x)
    dtype = np.dtype(gamma.dtype if gamma is not None else _float_type(x))
    x_ = plain(x.value, dtype)
    gamma_ = None if gamma is None else value_of(gamma, dtype)
    keeps = recording()
    made = _core.scale_rows(x_, gamma_, length, epsilon, keeps)
    y, kept = (Tensor(made[0]), made[1]) if keeps else (Tensor(made), None)
    given: tuple[Any, ...] = (x,) if gamma is None else (x, gamma)
    unchanged = Unchanged(given)

    def forward(x: Tensor, *scales: Any) -> Tensor:
        squares = x * x
        if length == "norm":
            found = f.reduce_sum(squares, 1, keepdims=True)
            h: Tensor = x * f.rsqrt(f.maximum(found, epsilon**2))
        else:
            h = x * f.rsqrt(f.reduce_mean(squares, 1, keepdims=True) + epsilon)
        return h * scales[0] if scales else h

    def pull(dy: Tensor) -> Sequence[Tensor | None]:
        unchanged.check()
        if recording():
            return composed(forward, given, dy)
        found = _core.scale_rows_backward(plain(dy.value, dtype), x_, gamma_, length, epsilon, kept)
        return [Tensor(part) for part in found[: len(given)]]

    return recorded(y, given, pull)


def disturbed(x: Any, kind: str, amount: float, key: int) -> Tensor:
    """x with the noise of a kind, or with dropout, as the layers in a model draw it.

    Each number's noise depends on the key, its row and its column alone, so that the gradient draws
    it again.
    """
    x = tensor(x)
    part = part_of_batch()
    first = 0 if part is None or x.ndim == 0 else part.first_of(len(x))
    return _disturbed(x, kind, amount, (key, first), backward=False)


def _disturbed(
    x: Tensor, kind: str, amount: float, drawn: tuple[int, int], *, backward: bool
) -> Tensor:
    """`drawn`: the key, and the number of the first row."""
    if backward and kind == "gaussian_noise":
        return x  # its slope is 1
    given = plain(x.value, np.dtype(_float_type(x)))
    rows = given if given.ndim > 0 else given[None]
    key, first = drawn
    found: Any = _core.disturbed(rows, kind, amount, key, backward, first)
    y = Tensor(found.reshape(given.shape))

    def pull(dy: Tensor) -> Sequence[Tensor | None]:
        # Slopes are constants: those of the gradient are the same.
        return [_disturbed(dy, kind, amount, drawn, backward=True)]

    return recorded(y, (x,), pull)


def batch_normalization(
    x: Any, gamma: Source | None, beta: Source | None, epsilon: float
) -> tuple[Tensor, Array, Array]:
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta by column, and mean and variance."""
    x = tensor(x)
    dtype = np.dtype(gamma.dtype if gamma is not None else _float_type(x))
    x_ = plain(x.value, dtype)
    gamma_ = None if gamma is None else value_of(gamma, dtype)
    beta_ = None if beta is None else value_of(beta, dtype)
    keeps = recording()
    found = _core.batch_normalization(x_, gamma_, beta_, epsilon, keeps)
    made, mean, variance, *kept = map(np.asarray, found)
    y = Tensor(made)
    given = [source for source in (x, gamma, beta) if source is not None]
    unchanged = Unchanged(given)

    def forward(x: Tensor, *scales: Any) -> Tensor:
        centered = x - f.reduce_mean(x, 0, keepdims=True)
        h = centered * f.rsqrt(f.reduce_variance(x, 0, keepdims=True) + epsilon)
        return _scaled(h, gamma, beta, scales)

    def pull(dy: Tensor) -> Sequence[Tensor | None]:
        unchanged.check()
        if recording():
            return composed(forward, given, dy)
        found = _core.batch_normalization_backward(
            plain(dy.value, dtype), x_, gamma_, epsilon, *kept
        )
        return _wanted(found, gamma, beta)

    return recorded(y, tuple(given), pull), mean, variance


def embedding(ids: Array, table: Source) -> Tensor:
    """table[ids] for whole numbers (n, ...), with a row of the table in place of each."""
    dtype = np.dtype(table.dtype)
    flat = ids.reshape(len(ids), -1).astype(np.float64)
    shape = (*ids.shape, table.shape[1])
    y = Tensor(np.asarray(_core.embedding(flat, value_of(table, dtype))).reshape(shape))
    unchanged = Unchanged((table,))

    def pull(dy: Tensor) -> Sequence[Tensor | None]:
        unchanged.check()
        if recording():
            return composed(lambda table: f.gather(table, ids), (table,), dy)
        given = plain(dy.value, dtype).reshape(len(ids), -1)
        return (Tensor(_core.embedding_backward(given, flat, table.shape[0])),)

    return recorded(y, (table,), pull)


def _scaled(h: Tensor, gamma: Any, beta: Any, scales: Sequence[Any]) -> Tensor:
    """gamma * h + beta, of those that there are."""
    rest = list(scales)
    if gamma is not None:
        h = h * rest.pop(0)
    return h if beta is None else h + rest.pop(0)


def normalized_columns(
    x: Any,
    mean: Variable,
    variance: Variable,
    gamma: Source | None,
    beta: Source | None,
    epsilon: float,
) -> Tensor:
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, with a mean and variance that are given."""
    x = tensor(x)
    inverse = 1.0 / np.sqrt(variance.view() + np.dtype(variance.dtype).type(epsilon))
    h = (x - mean.view()) * inverse
    scales = [source for source in (gamma, beta) if source is not None]
    return _scaled(h, gamma, beta, scales)


def _float_type(x: Tensor) -> Any:
    return np.float64 if x.dtype == np.float64 else np.float32
