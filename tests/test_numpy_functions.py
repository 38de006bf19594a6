"""NumPy's functions on Tensors and Variables: recorded, or refused where a gradient would be lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import math as f
from fastnn.autodiff import numpy_operations as table

RNG = np.random.default_rng(0)
A = 0.2 + 0.6 * RNG.random((2, 3))
B = 0.2 + 0.6 * RNG.random((2, 3))
V = RNG.random(3)

UNARY = [u for u in table.UFUNCS if u.nin == 1]
BINARY = [u for u in table.UFUNCS if u.nin == 2 and u is not np.matmul]
# Arguments of the functions that take something else than one array.
CALLS: dict[Callable[..., Any], list[Callable[[Any], Any]]] = {
    np.dot: [
        lambda x: np.dot(x, V),
        lambda x: np.dot(x, x.T if isinstance(x, np.ndarray) else np.transpose(x)),
        lambda x: np.dot(np.reshape(x, (2, 3, 1)), V[:1]),
        lambda x: np.dot(np.ones((2, 2, 2)), x),
        lambda x: np.dot(2.0, x),
    ],
    np.vdot: [lambda x: np.vdot(x, B), lambda x: np.vdot(x, x)],
    np.inner: [lambda x: np.inner(x, B), lambda x: np.inner(x, 3.0)],
    np.outer: [lambda x: np.outer(x, V), lambda x: np.outer(x, x)],
    np.tensordot: [lambda x: np.tensordot(x, B, axes=([0], [0])), lambda x: np.tensordot(x, V, 1)],
    np.concatenate: [
        lambda x: np.concatenate([x, B]),
        lambda x: np.concatenate((B, x), axis=1),
        lambda x: np.concatenate([x, V], axis=None),
    ],
    np.stack: [lambda x: np.stack([x, B], axis=-1)],
    np.vstack: [lambda x: np.vstack([x, V])],
    np.hstack: [lambda x: np.hstack([x, B]), lambda x: np.hstack([V, np.ravel(x)])],
    np.reshape: [lambda x: np.reshape(x, (3, 2)), lambda x: np.reshape(x, -1)],
    np.swapaxes: [lambda x: np.swapaxes(x, 0, -1)],
    np.moveaxis: [lambda x: np.moveaxis(np.reshape(x, (2, 3, 1)), 0, -1)],
    np.expand_dims: [lambda x: np.expand_dims(x, 1), lambda x: np.expand_dims(x, (0, -1))],
    np.transpose: [lambda x: np.transpose(x), lambda x: np.transpose(x, (-1, 0))],
    np.broadcast_to: [lambda x: np.broadcast_to(x, (4, 2, 3))],
    np.tile: [lambda x: np.tile(x, (2, 1, 2)), lambda x: np.tile(x, 2)],
    np.flip: [lambda x: np.flip(x), lambda x: np.flip(x, 1)],
    np.clip: [
        lambda x: np.clip(x, 0.3, 0.6),
        lambda x: np.clip(x, None, 0.5),
        lambda x: np.clip(B, x, 0.5),
        lambda x: np.clip(B, a_min=0.3, a_max=x),
    ],
    np.where: [lambda x: np.where(B > 0.5, x, 2.0), lambda x: np.where(x > 0.5, x * x, B)],
    np.take: [lambda x: np.take(x, [0, 2, 2], axis=1), lambda x: np.take(x, 4)],
    np.round: [lambda x: np.round(x)],
    np.around: [lambda x: np.around(x)],
    np.linalg.norm: [
        lambda x: np.linalg.norm(x),
        lambda x: np.linalg.norm(x, axis=1, keepdims=True),
        lambda x: np.linalg.norm(np.ravel(x), 2),
    ],
    np.squeeze: [lambda x: np.squeeze(np.reshape(x, (2, 1, 3)), axis=1)],
    np.cumsum: [lambda x: np.cumsum(x), lambda x: np.cumsum(x, axis=1)],
    np.ravel: [lambda x: np.ravel(x)],
    np.zeros_like: [lambda x: np.zeros_like(x) + x],
    np.ones_like: [lambda x: np.ones_like(x) + x],
}
REDUCED = [function for function in table.FUNCTIONS if function not in CALLS]


def checked(function: Callable[[Any], Any], x: np.ndarray[Any, Any] = A) -> None:
    """`function` of a Tensor and of a Variable: value, and gradient by central differences."""
    want = np.asarray(function(x))
    along = RNG.normal(size=want.shape)

    def along_of(value: np.ndarray[Any, Any]) -> float:
        return float((np.asarray(function(value)) * along).sum())

    step = 1e-6
    slopes = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        moved = np.zeros(x.shape)
        moved[place] = step
        slopes[place] = (along_of(x + moved) - along_of(x - moved)) / (2 * step)
    for source in (fastnn.constant(x), fastnn.Variable(x)):
        with fastnn.GradientTape() as tape:
            tape.watch(source)
            y = function(source)
            assert isinstance(y, fastnn.Tensor)
            total = f.reduce_sum(f.cast(y, "float64") * along)
        assert y.shape == want.shape
        np.testing.assert_allclose(y.numpy(), want, rtol=1e-12)
        found = tape.gradient(total, source, unconnected_gradients="zero")
        np.testing.assert_allclose(found.numpy(), slopes, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("ufunc", UNARY, ids=lambda u: u.__name__)
def test_functions_of_one_array(ufunc: Any) -> None:
    checked(ufunc)


@pytest.mark.parametrize("ufunc", BINARY, ids=lambda u: u.__name__)
def test_functions_of_two_arrays(ufunc: Any) -> None:
    checked(lambda x: ufunc(x, B))
    checked(lambda x: ufunc(B[0], x))


@pytest.mark.parametrize("function", REDUCED, ids=lambda u: u.__name__)
@pytest.mark.parametrize(
    "arguments", [{}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"out": None}], ids=str
)
def test_functions_over_axes(function: Any, arguments: Any) -> None:
    checked(lambda x: function(x, **arguments))


@pytest.mark.parametrize(
    "function",
    [pytest.param(call, id=f"{f.__name__}-{i}") for f in CALLS for i, call in enumerate(CALLS[f])],
)
def test_other_functions(function: Any) -> None:
    checked(function)


@pytest.mark.parametrize("ufunc", table.REDUCTIONS, ids=lambda u: u.__name__)
def test_methods_of_functions(ufunc: Any) -> None:
    checked(ufunc.reduce)
    checked(lambda x: ufunc.reduce(x, axis=1, keepdims=True))
    checked(lambda x: ufunc.reduce(x, axis=None))


def test_sums_and_products_of_functions() -> None:
    checked(np.add.accumulate)
    checked(lambda x: np.add.accumulate(x, 1))
    checked(lambda x: np.multiply.outer(x, V))
    checked(lambda x: np.subtract.outer(V, x))
    checked(lambda x: np.matmul(x, B.T))


@pytest.mark.parametrize("kind", ["tensor", "variable", "derived", "in a list"])
def test_a_gradient_is_not_lost_silently(kind: str) -> None:
    v = fastnn.Variable(A)
    x = fastnn.constant(A)
    array = np.zeros((2, 3))
    calls: list[Callable[[Any], Any]] = [
        np.cbrt,
        np.median,
        np.diff,
        lambda x: np.einsum("ij->i", x),
        lambda x: np.sum(x, dtype="float32"),
        lambda x: np.sum(x, initial=1.0),
        lambda x: np.add.reduce(x, initial=1.0),
        lambda x: np.exp(x, dtype="float64"),
        lambda x: np.exp(x, out=array),
        lambda x: np.add(array, x, out=array),
        lambda x: np.sum(x, axis=0, out=array[0]),
        lambda x: array.__iadd__(x),
        lambda x: np.add.at(array, np.arange(2), x),
        lambda x: np.copyto(array, x),
        lambda x: np.maximum.accumulate(x),
        lambda x: np.linalg.norm(x, 1),
        lambda x: np.split(x, 3, axis=1),
    ]
    for call in calls:
        array[:] = 0
        with fastnn.GradientTape() as tape:
            tape.watch(x)
            source: Any = {"tensor": x, "variable": v, "derived": x * 2, "in a list": v}[kind]
            with pytest.raises(TypeError, match="the gradient would be lost"):
                call(source)
            if kind == "in a list":
                with pytest.raises(TypeError, match="the gradient would be lost"):
                    np.block([source, source])
        assert not array.any()
        call(source)  # no tape watches it


def test_plain_numbers_where_nothing_is_watched() -> None:
    v, x = fastnn.Variable(A), fastnn.constant(A)
    out = np.zeros((2, 3))
    with fastnn.GradientTape(watch_accessed_variables=False):
        for source in (v, x):
            assert type(np.cbrt(source)) is np.ndarray
            np.testing.assert_array_equal(np.cbrt(source), np.cbrt(A))
            np.testing.assert_array_equal(np.median(source, axis=0), np.median(A, axis=0))
            assert np.exp(source, out=out) is out
            np.testing.assert_array_equal(out, np.exp(A))
            out -= source
            np.testing.assert_array_equal(out, np.exp(A) - A)
    frozen = fastnn.Variable(A, trainable=False)
    with fastnn.GradientTape() as tape:
        np.cbrt(frozen)
        with tape.stop_recording():
            np.cbrt(v)


def test_numbers_that_have_no_gradient() -> None:
    """Shapes, comparisons and places are asked for also where a tape watches."""
    x = fastnn.constant(A)
    with fastnn.GradientTape() as tape:
        tape.watch(x)
        assert (np.shape(x), np.ndim(x), np.size(x)) == ((2, 3), 2, 6)
        assert np.allclose(x, A)
        assert np.array_equal(np.argsort(x, axis=1), np.argsort(A, axis=1))
        assert np.array_equal(np.where(x > 0.5)[0], np.where(A > 0.5)[0])
        assert np.isinf(x).sum() == 0
        np.testing.assert_array_equal(np.copy(x), A)
        np.testing.assert_array_equal(np.asarray(x), A)
        assert np.full_like(x, 2.0).tolist() == [[2, 2, 2]] * 2
        assert str(np.array_repr(x)).startswith("array")


def test_tensors_and_variables_are_not_written_into() -> None:
    v, x = fastnn.Variable(A), fastnn.constant(A)
    for target, words in (
        (v, "Variable cannot be written into; write with its assign"),
        (x, "Tensor"),
    ):
        for call in (
            lambda t: np.exp(B, out=t),
            lambda t: np.add.at(t, 0, 1.0),
            lambda t: np.copyto(t, B),
            lambda t: np.sum(B, axis=0, out=t),
        ):
            with pytest.raises(TypeError, match=words):
                call(target)
    np.testing.assert_array_equal(v.numpy(), A)
    np.testing.assert_array_equal(x.numpy(), A)


def test_bounds_have_gradients() -> None:
    x, low = fastnn.constant([0.0, 2.0, 5.0]), fastnn.Variable(1.0)
    with fastnn.GradientTape() as tape:
        tape.watch(x)
        y = f.clip_by_value(x, low, 3.0)
    assert y.tolist() == [1, 2, 3]
    dx, dlow = tape.gradient(y, [x, low])
    assert (dx.tolist(), float(dlow)) == ([0, 1, 0], 1)


def test_a_target_that_is_watched() -> None:
    """A trainable Variable among the targets has a gradient too, or is refused."""
    t = fastnn.Variable([[1.0, 0.0]])
    x = fastnn.constant([[0.5, 0.5]])
    with fastnn.GradientTape() as tape:
        y = fastnn.losses.MeanSquaredError()(t, x)
    assert tape.gradient(y, t).tolist() == [[0.5, -0.5]]
    with fastnn.GradientTape(), pytest.raises(TypeError, match="y_true: a tape watches it"):
        fastnn.losses.CategoricalCrossentropy(from_logits=True)(t, x)


def test_bounds_of_numbers_in_float64() -> None:
    x = fastnn.constant(A)
    np.testing.assert_array_equal(f.clip_by_value(x, 0.3, 0.6).numpy(), np.clip(A, 0.3, 0.6))
    assert f.clip_by_value(fastnn.constant([1, 5]), 0.5, 2.5).tolist() == [1, 2.5]
    assert f.clip_by_value(fastnn.constant([1, 5]), 2, 3).tolist() == [2, 3]
