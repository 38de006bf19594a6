"""Operations on Tensors of any shape: broadcasting of both sides, numbers without axes, and no numbers.

The values of each operation are those of NumPy; `test_tape` has the derivatives at usual shapes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_tape import CASES, numeric

import fastnn
from fastnn import math as f

# Their values are integers or yes and no, or do not depend on numbers that are given.
WITHOUT_GRADIENT = frozenset(
    {
        *(
            "argmax",
            "argmin",
            "ceil",
            "constant",
            "convert_to_tensor",
            "equal",
            "floor",
            "floordiv",
        ),
        *("greater", "greater_equal", "is_finite", "is_nan", "less", "less_equal", "logical_and"),
        *("logical_not", "logical_or", "not_equal", "one_hot", "ones", "ones_like", "reduce_all"),
        *("confusion_matrix", "count_nonzero", "is_inf", "logical_xor"),
        *("reduce_any", "round", "sign", "stop_gradient", "zeros", "zeros_like"),
    }
)
# Names of cases that are not those of their functions.
SAID_OTHERWISE = {
    "boolean_mask": "bools",
    "broadcast_to": "broadcast",
    "clip_by_value": "clip",
    "expand_dims": "squeeze",
    "getitem": "slice",
    "identity": "twice",
    "matmul": "matrices",
    "mod": "floormod",
    "pow": "power",
}
SAME = (
    *("abs", "exp", "expm1", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh", "softplus"),
    *("sigmoid", "silu", "gelu", "erf", "square", "negative", "reciprocal", "relu", "identity"),
    *("log", "log1p", "sqrt", "rsqrt", "asin", "acos", "sign", "floor", "ceil", "round"),
)
TWO: dict[str, Any] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "power": np.power,
    "atan2": np.arctan2,
    "squared_difference": lambda a, b: (a - b) ** 2,
}
SHAPES = [
    ((3, 1), (1, 4)),
    ((), (2, 3)),
    ((2, 3), ()),
    ((), ()),
    ((2, 1, 3), (4, 1)),
    ((1,), (5,)),
    ((0, 3), (1, 3)),
    ((3, 0), ()),
    ((2, 1), (2, 0)),
]


def test_every_operation_has_a_case() -> None:
    cases = {name.split("-")[0] for name in CASES}
    missing = {
        name
        for name in f.__all__
        if name not in WITHOUT_GRADIENT and SAID_OTHERWISE.get(name, name) not in cases
    }
    assert not missing


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("name", TWO)
def test_both_sides_are_broadcast(name: str, shapes: tuple[Any, Any]) -> None:
    rng = np.random.default_rng(0)
    values = [rng.random(shape) + 0.4 for shape in shapes]
    operation: Callable[..., Any] = getattr(f, name)
    want = TWO[name](*values)
    weights = rng.normal(size=np.shape(want))

    def total(*args: Any) -> Any:
        return f.reduce_sum(operation(*args) * weights)

    given = [fastnn.Tensor(np.asarray(value)) for value in values]
    with fastnn.GradientTape(persistent=True) as tape:
        tape.watch(given)
        y = operation(*given)
        loss = total(*given)
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-12)
    assert y.shape == np.shape(want)
    found = tape.gradient(loss, given, unconnected_gradients="zero")
    for i, gradient in enumerate(found):
        assert gradient.shape == shapes[i]
        slope = numeric(
            lambda *args: float(total(*args)), [np.asarray(value) for value in values], i, 1e-6
        )
        np.testing.assert_allclose(gradient.numpy(), slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(), (0,), (0, 4), (3, 0), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("name", SAME)
def test_numbers_without_axes_and_no_numbers(name: str, shape: tuple[int, ...]) -> None:
    x = fastnn.Tensor(np.full(shape, 0.3))
    with fastnn.GradientTape() as outer:
        outer.watch(x)
        with fastnn.GradientTape() as tape:
            tape.watch(x)
            y = getattr(f, name)(x)
        first = tape.gradient(y, x, unconnected_gradients="zero")
    assert y.shape == first.shape == shape
    second = outer.gradient(first, x, unconnected_gradients="zero")
    assert second.shape == shape
    assert np.isfinite(first.numpy()).all()
    assert np.isfinite(second.numpy()).all()


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1)], ids=str)
@pytest.mark.parametrize("shape", [(0, 4), (3, 0)], ids=str)
@pytest.mark.parametrize(
    "name", ["reduce_sum", "reduce_prod", "reduce_mean", "reduce_any", "reduce_all", "norm"]
)
def test_reductions_of_no_numbers_are_numpys(name: str, shape: tuple[int, int], axis: Any) -> None:
    numpys: Any = {
        "reduce_sum": np.sum,
        "reduce_prod": np.prod,
        "reduce_mean": np.mean,
        "reduce_any": np.any,
        "reduce_all": np.all,
        "norm": lambda x, axis: np.sqrt(np.sum(x * x, axis)),
    }[name]
    values = np.zeros(shape, bool if name in ("reduce_any", "reduce_all") else float)
    x = fastnn.Tensor(values)
    with np.errstate(all="ignore"), fastnn.GradientTape() as tape:
        if values.dtype == float:
            tape.watch(x)
        y = getattr(f, name)(x, axis=axis)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns of a mean of nothing
        want = numpys(values, axis=axis)
    np.testing.assert_array_equal(y.numpy(), want)
    if values.dtype == float:
        gradient = tape.gradient(y, x, unconnected_gradients="zero")
        assert gradient.shape == shape


def test_other_operations_on_no_rows() -> None:
    x = fastnn.Tensor(np.zeros((0, 4)))
    w = fastnn.Variable(np.ones((4, 2)))
    with fastnn.GradientTape(persistent=True) as tape:
        tape.watch(x)
        made = {
            "matmul": f.matmul(x, w),
            "softmax": f.softmax(x),
            "log_softmax": f.log_softmax(x),
            "concat": f.concat([x, x], 1),
            "stack": f.stack([x, x], 0),
            "tile": f.tile(x, (2, 3)),
            "transpose": f.transpose(x),
            "reshape": f.reshape(x, (4, 0)),
            "cumsum": f.cumsum(x, 0),
            "reverse": f.reverse(x, 0),
            "gather": f.gather(x, [1, 1], 1),
            "where": f.where(x.numpy() > 0, x, 0.0),
            "slice": x[:, 1:],
            "squeeze": f.squeeze(x[:, :1], 1),
            "reduce_logsumexp": f.reduce_logsumexp(x, 1),
            "reduce_max": f.reduce_max(x, 1),
        }
    shapes = {name: y.shape for name, y in made.items()}
    assert shapes == {
        "matmul": (0, 2),
        "softmax": (0, 4),
        "log_softmax": (0, 4),
        "concat": (0, 8),
        "stack": (2, 0, 4),
        "tile": (0, 12),
        "transpose": (4, 0),
        "reshape": (4, 0),
        "cumsum": (0, 4),
        "reverse": (0, 4),
        "gather": (0, 2),
        "where": (0, 4),
        "slice": (0, 3),
        "squeeze": (0,),
        "reduce_logsumexp": (0,),
        "reduce_max": (0,),
    }
    for name, y in made.items():
        assert tape.gradient(y, x).shape == (0, 4), name
    np.testing.assert_array_equal(tape.gradient(made["matmul"], w).numpy(), np.zeros((4, 2)))


def test_options_have_the_values_of_numpy() -> None:
    x = np.arange(12.0).reshape(3, 4) - 5
    sums = f.cumsum(x, 1, exclusive=True).numpy()
    np.testing.assert_array_equal(sums, np.cumsum(np.pad(x, ((0, 0), (1, 0)))[:, :-1], 1))
    back = f.cumsum(x, 0, reverse=True).numpy()
    np.testing.assert_array_equal(back, np.cumsum(x[::-1], 0)[::-1])
    np.testing.assert_array_equal(f.cumsum([np.inf, 1.0], exclusive=True).numpy(), [0, np.inf])
    for ord in (1, 2, 3, 0.5, np.inf):
        want = np.linalg.norm(x, ord, axis=1, keepdims=True)
        np.testing.assert_allclose(f.norm(x, ord, 1, keepdims=True).numpy(), want, rtol=1e-15)
        flat = np.linalg.norm(x.ravel(), ord)
        np.testing.assert_allclose(f.norm(x, ord).numpy(), flat, rtol=1e-15)
    for ord in (1, np.inf, "fro"):
        want = np.linalg.norm(x, ord)
        np.testing.assert_allclose(f.norm(x, ord, (0, 1)).numpy(), want, rtol=1e-15)
    np.testing.assert_allclose(f.norm(np.array([3e200, 4e200]), 3).numpy(), np.cbrt(91) * 1e200)
    assert f.norm([0.0, 0.0], 3).numpy() == 0
    for mode in ("REFLECT", "SYMMETRIC"):
        got = fastnn.pad(x, [[1, 2], [3, 0]], mode)
        np.testing.assert_array_equal(got, np.pad(x, ((1, 2), (3, 0)), mode.lower()))  # type: ignore[call-overload]
    places = np.array([[3, 0], [1, 1], [2, 0]])
    got = f.gather(x, places, batch_dims=1)
    np.testing.assert_array_equal(got, np.take_along_axis(x, places, 1))
    cube = np.arange(24).reshape(2, 3, 4)
    rows = f.gather(cube, [[0, 3], [1, 1]], axis=2, batch_dims=1).numpy()
    np.testing.assert_array_equal(rows, np.stack([cube[0][:, [0, 3]], cube[1][:, [1, 1]]]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: f.norm([1.0], -1), "ord: expected 'euclidean' or a p above 0, got -1"),
        (lambda: f.norm([[1.0]], 2, (0, 1)), "ord: expected 'euclidean', 'fro', 1 or inf"),
        (lambda: fastnn.pad([1.0, 2.0], [[2, 0]], "REFLECT"), "paddings: REFLECT of axis 0"),
        (lambda: fastnn.pad([1.0], [[1, 0]], "EDGE"), "mode"),
        (lambda: f.gather([[1.0]], [[0], [0]], batch_dims=1), "indices: the first 1 axes"),
        (lambda: f.gather([[1.0]], [0], 0, batch_dims=1), "batch_dims: expected at most axis"),
    ],
)
def test_bad_options_are_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
