"""Tensors among arrays, Variables, lists and NumPy's functions: values, types and gradients."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import math as f

X = fastnn.constant([0.5, 2.0])


def gradient(function: Callable[[Any], Any], x: Any = X) -> Any:
    with fastnn.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x * np.array([3.0, 4.0]), [3, 4]),
        (lambda x: f.concat([x, np.ones(2)], 0), [1, 1]),
        (lambda x: x / np.array([2, 4]), [0.5, 0.25]),
        (lambda x: x @ np.ones((2, 2)), [2, 2]),
    ],
)
def test_a_gradient_has_the_type_of_its_source(function: Any, expected: list[float]) -> None:
    found = gradient(function)
    assert found.dtype == np.float32
    assert found.tolist() == expected


def test_the_type_of_a_gradient_that_is_given() -> None:
    with fastnn.GradientTape() as tape:
        tape.watch(X)
        y = X * X
    seed = fastnn.constant(np.ones(2))
    assert tape.gradient(y, X, output_gradients=seed).dtype == np.float32


@pytest.mark.parametrize(
    "function",
    [
        lambda x: f.reduce_mean([x[0] * x[0], x[1]]),
        lambda x: f.reduce_mean([[x[0] * x[0]], [x[1]]]),
        lambda x: f.reduce_mean((x[0] ** 2, x[1])),
        lambda x: f.reduce_sum(f.multiply([x[0], 1.0], [x[0], x[1]])) / 2,
    ],
)
def test_lists_of_tensors_are_recorded(function: Any) -> None:
    assert gradient(function).tolist() == [0.5, 0.5]


def test_lists_of_variables_are_recorded() -> None:
    v, w = fastnn.Variable(2.0), fastnn.Variable(3.0)
    with fastnn.GradientTape() as tape:
        y = f.reduce_sum([v, v * w])
    assert [float(g) for g in tape.gradient(y, [v, w])] == [4, 2]


def test_integers_have_no_gradient() -> None:
    assert gradient(lambda x: f.cast(f.cast(x, "int32"), "float32")) is None
    assert gradient(lambda x: x * f.cast(x > 1, "float32")).tolist() == [0, 1]


@pytest.mark.parametrize(
    "read", [f.identity, f.convert_to_tensor, f.stop_gradient, lambda v: f.reshape(v, (2,))]
)
@pytest.mark.parametrize("kind", ["variable", "array"])
def test_a_tensor_does_not_follow_what_it_was_made_of(read: Any, kind: str) -> None:
    source: Any = fastnn.Variable([1.0, 2.0]) if kind == "variable" else np.array([1.0, 2.0])
    found = read(source)
    if kind == "variable":
        source.assign([8.0, 9.0])
    else:
        source[:] = [8.0, 9.0]
    assert found.tolist() == [1, 2]


def test_an_array_that_changes_before_the_gradient() -> None:
    w, x = fastnn.Variable([1.0, 1.0]), np.array([2.0, 3.0], np.float32)
    with fastnn.GradientTape() as tape:
        y = f.reduce_sum(w * x)
    x[:] = 0
    assert tape.gradient(y, w).tolist() == [2, 3]


@pytest.mark.parametrize(
    "name",
    [
        "exp",
        "expm1",
        "log",
        "log1p",
        "sqrt",
        "square",
        "reciprocal",
        "sin",
        "cos",
        "tan",
        "sinh",
        "cosh",
        "tanh",
        "negative",
        "absolute",
        "arcsin",
        "arctan",
        "sign",
        "floor",
    ],
)
def test_functions_of_numpy_are_recorded(name: str) -> None:
    x = fastnn.constant(np.array([0.25, 0.75]))
    ufunc = getattr(np, name)
    found = ufunc(x)
    assert isinstance(found, fastnn.Tensor)
    np.testing.assert_allclose(found.numpy(), ufunc(x.numpy()), rtol=1e-12)
    step = 1e-6
    slope = (ufunc(x.numpy() + step) - ufunc(x.numpy() - step)) / (2 * step)
    np.testing.assert_allclose(gradient(ufunc, x).numpy(), slope, rtol=1e-6, atol=1e-8)


def test_other_functions_of_numpy() -> None:
    assert (np.ones(2, np.float32) + X).tolist() == [1.5, 3]
    assert np.maximum(X, 1).tolist() == [1, 2]
    total = np.zeros(2)
    total += X
    assert total.tolist() == [0.5, 2]
    assert type(np.cbrt(X)) is np.ndarray
    assert np.add.reduce(X).tolist() == 2.5


def test_a_variable_is_a_number_where_it_holds_one() -> None:
    v = fastnn.Variable(2.5)
    assert (float(v), int(v), f"{v:.1f}", bool(fastnn.Variable(0.0))) == (2.5, 2, "2.5", False)
    assert len(fastnn.Variable([1.0, 2.0])) == 2
    with pytest.raises(ValueError, match="ambiguous"):
        bool(fastnn.Variable([1.0, 2.0]))


def test_corners() -> None:
    assert gradient(f.norm, fastnn.constant([0.0, 0.0])).tolist() == [0, 0]
    assert gradient(lambda x: f.atan2(x, x), fastnn.constant([0.0])).tolist() == [0]
    assert f.clip_by_value(np.array([0, 3]), 0.5, 2.5).tolist() == [0.5, 2.5]
    assert f.clip_by_value(np.array([0, 3]), 1, 2).dtype == np.int64
    assert f.reduce_logsumexp(np.zeros((0, 2)), 0).tolist() == [-np.inf, -np.inf]
    # Gradients that are no numbers come without a warning.
    assert np.isnan(gradient(f.reduce_max, fastnn.constant([np.nan, 1.0])).numpy()).all()
    with pytest.raises(ValueError, match="matmul: expected matrices"):
        f.matmul([1.0, 2.0], [1.0, 2.0], transpose_a=True)


def test_softmax_of_other_axes_has_no_logits() -> None:
    x = fastnn.constant(np.arange(6.0).reshape(2, 3))
    assert f.softmax(x, 0).logits is None
    kept = f.softmax(x, 1).logits
    assert kept is not None
    assert kept[0] is x


def test_jacobians_are_recorded() -> None:
    with fastnn.GradientTape() as outer:
        outer.watch(X)
        with fastnn.GradientTape() as tape:
            tape.watch(X)
            y = X**3
        jacobian = tape.jacobian(y, X)
    np.testing.assert_allclose(outer.gradient(jacobian, X).numpy(), 6 * X.numpy())
    rows = fastnn.constant([[1.0, 2.0]])
    with fastnn.GradientTape() as outer:
        outer.watch(rows)
        with fastnn.GradientTape() as tape:
            tape.watch(rows)
            y = rows**3
        jacobian = tape.batch_jacobian(y, rows)
    np.testing.assert_allclose(outer.gradient(jacobian, rows).numpy(), 6 * rows.numpy())


def test_arguments_of_gradients() -> None:
    empty = fastnn.constant(np.zeros((0,)))
    with fastnn.GradientTape(persistent=True) as tape:
        tape.watch([X, empty])
        ys = [X * X, X * 1.0]
        nothing = empty * empty
    assert tape.gradient(ys, X, output_gradients=[None, [10.0, 1.0]]).tolist() == [11, 5]
    assert tape.gradient(ys[0], X, output_gradients=[1.0, 2.0]).tolist() == [1, 8]
    assert tape.jacobian(nothing, empty).shape == (0, 0)
    with pytest.raises(TypeError, match="jacobian: expected a Tensor"):
        tape.jacobian(3.0, X)
    pair = collections.namedtuple("pair", "a b")  # noqa: PYI024
    found = tape.gradient(ys[0], pair(X, X))
    assert isinstance(found, pair)
    assert found.a.tolist() == [1, 4]


def test_methods_are_those_of_numpy() -> None:
    array = np.arange(6.0).reshape(2, 3) - 2
    x = fastnn.constant(array)
    for name in ("sum", "mean", "prod", "max", "min", "var", "std", "any", "all"):
        for options in ({}, {"axis": 0}, {"axis": -1, "keepdims": True}):
            wanted = getattr(array, name)(**options)
            np.testing.assert_allclose(getattr(x, name)(**options).numpy(), wanted, atol=1e-12)
    assert int(x.argmax()) == array.argmax()
    assert x.argmin(axis=1).tolist() == array.argmin(axis=1).tolist()
    assert x.cumsum(1).tolist() == array.cumsum(1).tolist()
    assert x.reshape(3, 2).tolist() == x.reshape((3, -1)).tolist() == array.reshape(3, 2).tolist()
    assert x.T.tolist() == x.transpose().tolist() == x.transpose(1, 0).tolist() == array.T.tolist()
    assert x.flatten().shape == x.ravel().shape == (6,)
    assert x[None].squeeze(0).shape == (2, 3)
    assert x.clip(-1.0, 2.0).tolist() == array.clip(-1, 2).tolist()
    assert x.astype("float32").dtype == np.float32
    with fastnn.GradientTape() as tape:
        tape.watch(x)
        y = (x.T.reshape(-1) * x.flatten()).sum()
    np.testing.assert_allclose(tape.gradient(y, x).numpy().sum(), 2 * array.sum())
