"""`ops.activation_forward` and `ops.activation_backward`: values, slopes, extremes."""

from __future__ import annotations

import cases
import numpy as np
import pytest
import reference
from tolerances import check

import fastnn
from fastnn import _core, layers, ops

pytestmark = pytest.mark.isa

# |x| that decide something: the ends of exp in either type, of erfc, of denormals.
EDGES = np.array(
    [
        *(0, 1e-45, 1e-38, 1e-30, 1e-8, 1e-4, 0.3, 1, 5, 9, 9.2, 13, 16.6, 17, 20, 36, 38),
        *(87, 88.7, 89, 104, 300, 708, 709.7, 710, 746, 1e4, 1e30),
    ]
)


def spread(rng, *shape, dtype):
    """Both signs and many magnitudes."""
    sign = rng.choice([-1.0, 1.0], shape)
    return (sign * 10.0 ** rng.uniform(-6, 1.6, shape)).astype(dtype)


def as_type(expected, dtype):
    """Infinite where the type has no such number."""
    largest = np.finfo(dtype).max
    return np.where(np.abs(expected) > largest, np.copysign(np.inf, expected), expected)


def backward(dx, dy, x, activation, dtype, parameter=None):
    expected = reference.activation_backward(dy, x, activation, parameter=parameter)
    steep = max([1.0, *reference.given(activation, parameter).values()])
    # A parameter that is no slope is no larger than others are allowed for.
    scale = (steep if steep < 10 else 1.0) * np.abs(dy)
    if activation == "sine":  # an error of x in the last place moves the cosine
        scale = scale * np.where(np.isfinite(x) & (np.abs(x) > 1e4), np.abs(x), 1.0)
    check(dx, as_type(expected, dtype), "activation gradient", dtype, scale=scale, what="dx")


def forward(y, x, activation, dtype, parameter=None):
    expected = reference.activation_forward(x, activation, parameter=parameter)
    scale = cases.conditioning(activation, x, expected)
    expected = as_type(expected, dtype)
    check(y, expected, "activation", dtype, scale=scale, what="y")


def test_one_list():
    """The native list of activations is the oracle's, and so are their parameters."""
    rows = {row["name"]: row for row in _core.activations()}
    assert sorted(rows) == sorted(cases.ACTIVATIONS)
    for name, row in rows.items():
        known = {parameter["name"]: parameter["default"] for parameter in row["parameters"]}
        assert list(known.items()) == list(reference.PARAMETERS.get(name, {}).items())
        for parameter in row["parameters"]:
            assert parameter["low"] <= parameter["default"] <= parameter["high"]


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("activation", cases.ACTIVATIONS)
def test_every_length(activation, dtype, rng):
    for n in cases.SIZES:
        x, dy = spread(rng, n, dtype=dtype), rng.normal(size=n).astype(dtype)
        y = ops.activation_forward(x, activation)
        assert y.dtype == dtype
        forward(y, x, activation, dtype)
        dx = ops.activation_backward(dy, x, y, activation)
        assert dx.dtype == dtype
        backward(dx, dy, x, activation, dtype)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("activation", cases.ACTIVATIONS)
def test_dense_sweep(activation, dtype):
    """A fine grid, so that no seam between two pieces of a formula goes unseen."""
    x = np.linspace(-110, 110, 40001).astype(dtype)
    x = np.concatenate([x, np.linspace(-3, 3, 40001).astype(dtype)])
    y = ops.activation_forward(x, activation)
    forward(y, x, activation, dtype)
    dx = ops.activation_backward(np.ones_like(x), x, y, activation)
    backward(dx, np.ones_like(x), x, activation, dtype)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("activation", cases.ACTIVATIONS)
def test_extreme(activation, dtype):
    x = np.concatenate([EDGES, -EDGES]).astype(dtype)
    y = ops.activation_forward(x, activation)
    forward(y, x, activation, dtype)
    dy = np.full_like(x, -2.0)
    dx = ops.activation_backward(dy, x, y, activation)
    backward(dx, dy, x, activation, dtype)


AT_INFINITY = {  # name: values at -inf and inf
    "linear": (-np.inf, np.inf),
    "relu": (0.0, np.inf),
    "leaky_relu": (-np.inf, np.inf),
    "elu": (-1.0, np.inf),
    "gelu": (0.0, np.inf),
    "silu": (0.0, np.inf),
    "softplus": (0.0, np.inf),
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "rectifier": (0.0, np.inf),
    "relu6": (0.0, 6.0),
    "selu": (-reference.SELU_SCALE * reference.SELU_ALPHA, np.inf),
    "celu": (-1.0, np.inf),
    "gelu_tanh": (0.0, np.inf),
    "hard_silu": (0.0, np.inf),
    "hard_sigmoid": (0.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "mish": (0.0, np.inf),
    "softsign": (-1.0, 1.0),
    "soft_shrink": (-np.inf, np.inf),
    "hard_shrink": (-np.inf, np.inf),
    "tanh_shrink": (-np.inf, np.inf),
    "threshold": (0.0, np.inf),
    "squareplus": (0.0, np.inf),
    "sparse_plus": (0.0, np.inf),
    "sparse_sigmoid": (0.0, 1.0),
    "exponential": (0.0, np.inf),
    "log_sigmoid": (-np.inf, 0.0),
    "sine": (np.nan, np.nan),
}
# Where two pieces of a formula meet.
KINKS = np.array([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0])


def away_from_kinks(x, *others):
    kinks = np.concatenate([KINKS, *map(np.atleast_1d, others)])
    return x[np.abs(x[:, None] - kinks).min(axis=1) > 1e-3]


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("activation", cases.ACTIVATIONS)
def test_infinity(activation, dtype):
    """The limits; the slopes there are finite too."""
    x = np.array([-np.inf, np.inf], dtype)
    y = ops.activation_forward(x, activation)
    np.testing.assert_allclose(y, np.array(AT_INFINITY[activation], dtype), rtol=2e-7, atol=0)
    dx = ops.activation_backward(np.ones_like(x), x, y, activation)
    expected = reference.activation_backward(np.ones_like(x), x, activation)
    np.testing.assert_allclose(dx, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("activation", cases.ACTIVATIONS)
@pytest.mark.parametrize("n", [1, 4, 8, 17, 33])
def test_nan(n, activation, dtype):
    """NaN in gives NaN out at its place alone, in the vector part and in the tail."""
    for place in range(n):
        x = np.linspace(-1, 1.5, n).astype(dtype)
        x[place] = np.nan
        y = ops.activation_forward(x, activation)
        np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
        dx = ops.activation_backward(np.ones_like(x), x, y, activation)
        assert np.isfinite(np.delete(dx, place)).all()
        if activation not in ("linear", "relu", "leaky_relu"):
            assert np.isnan(dx[place])


@pytest.mark.parametrize("activation", cases.ACTIVATIONS)
def test_central_differences(activation, rng):
    x = away_from_kinks(spread(rng, 300, dtype="float64"))
    step = 1e-4
    f = [ops.activation_forward(x + k * step, activation) for k in (1, -1, 2, -2)]
    numeric = (8 * (f[0] - f[1]) - (f[2] - f[3])) / (12 * step)
    y = ops.activation_forward(x, activation)
    dx = ops.activation_backward(np.ones_like(x), x, y, activation)
    check(dx, numeric, "central difference", "float64", scale=1 + np.abs(x) + np.abs(y))


# -- parameters ---------------------------------------------------------------------------


def spread_with_edges(rng, dtype):
    return np.concatenate(
        [np.linspace(-110, 110, 4001), spread(rng, 300, dtype="float64"), EDGES, -EDGES]
    ).astype(dtype)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize(("activation", "parameter"), cases.PARAMETERS)
def test_parameter(activation, parameter, dtype, rng):
    x = spread_with_edges(rng, dtype)
    x = np.concatenate([x, np.array([-np.inf, np.inf, np.nan], dtype)])
    y = ops.activation_forward(x, activation, parameter=parameter)
    assert y.dtype == dtype
    forward(y, x, activation, dtype, parameter)
    dy = rng.normal(size=x.shape).astype(dtype)
    dx = ops.activation_backward(dy, x, y, activation, parameter=parameter)
    backward(dx, dy, x, activation, dtype, parameter)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("activation", reference.PARAMETERS)
def test_default_parameter(activation, dtype, rng):
    """The default is a value like others, with the same bits."""
    default = reference.PARAMETERS[activation]
    x, dy = spread_with_edges(rng, dtype), rng.normal(size=1)[0]
    y = ops.activation_forward(x, activation)
    np.testing.assert_array_equal(ops.activation_forward(x, activation, parameter=default), y)
    dy = np.full_like(x, dy)
    dx = ops.activation_backward(dy, x, y, activation)
    again = ops.activation_backward(dy, x, y, activation, parameter=default)
    np.testing.assert_array_equal(again, dx)


@pytest.mark.parametrize(("activation", "parameter"), cases.PARAMETERS)
def test_central_differences_with_parameter(activation, parameter, rng):
    own = list(reference.given(activation, parameter).values())
    x = away_from_kinks(spread(rng, 300, dtype="float64"), own, np.negative(own))
    if (activation, parameter) == ("squareplus", 1e-6):  # a bend of this width squared
        x = x[np.abs(x) > 0.1]
    y = ops.activation_forward(x, activation, parameter=parameter)
    dx = ops.activation_backward(np.ones_like(x), x, y, activation, parameter=parameter)
    f = [
        ops.activation_forward(x + k * 1e-4, activation, parameter=parameter)
        for k in (1, -1, 2, -2)
    ]
    numeric = (8 * (f[0] - f[1]) - (f[2] - f[3])) / 12e-4
    check(dx, numeric, "central difference", "float64", scale=1 + np.abs(x))


@pytest.mark.parametrize(
    ("activation", "parameter", "error", "words"),
    [
        ("leaky_relu", -0.1, ValueError, r"parameter, negative_slope of leaky_relu: .*\[0.*-0\.1"),
        ("elu", -1, ValueError, r"alpha of elu: .*-1"),
        ("elu", float("nan"), ValueError, "alpha.*nan"),
        ("elu", float("inf"), ValueError, "alpha.*inf"),
        ("leaky_relu", 1e39, ValueError, r"1e\+39"),  # nothing in float32
        ("leaky_relu", "0.3", TypeError, "negative_slope.*'0.3'"),
        ("leaky_relu", True, TypeError, "negative_slope.*True"),
        ("tanh", 0.1, ValueError, "tanh has no parameter, got 0.1"),
        ("tanh", {"alpha": 1}, ValueError, "tanh has no parameter, got .*alpha"),
        ("relu", 0.1, ValueError, "relu has the parameters negative_slope, max.*dictionary.*0.1"),
        ("relu", {"max_value": -1}, ValueError, "parameter, max_value of relu: .*-1"),
        ("relu", {"max_valu": 1}, ValueError, "relu: .*'max_valu'.*'max_value'"),
        ("celu", 0, ValueError, "alpha of celu: .*0"),
        ("leaky_relu(0.1)", 0.2, ValueError, "parameters already, got 0.2"),
        ("swish", 0.1, ValueError, "silu has no parameter, got 0.1"),
    ],
)
def test_bad_parameter(activation, parameter, error, words):
    one = np.ones((3, 3))
    for call in (
        lambda: ops.activation_forward(one, activation, parameter=parameter),
        lambda: ops.activation_backward(one, one, one, activation, parameter=parameter),
        lambda: ops.dense_forward(one, one, None, activation, activation_parameter=parameter),
        lambda: ops.dense_backward(one, one, one, one, activation, activation_parameter=parameter),
    ):
        with pytest.raises(error, match=words):
            call()


def test_bad_parameter_natively():
    """The native module checks ranges for itself, with the same words."""
    one = np.ones((3, 3))
    for name, parameter, words in (
        ("leaky_relu", -0.1, r"negative_slope: .*\[0, .*-0\.1"),
        ("elu", float("nan"), "alpha: .*nan"),
        ("tanh", 1.0, "tanh has no parameter, got 1"),
    ):
        for call in (
            lambda name=name, p=parameter: _core.activation_forward(one, name, [p]),
            lambda name=name, p=parameter: _core.dense_forward(one, one, None, name, [p]),
            lambda name=name, p=parameter: _core.Network(3, "float32", 0).activation(0, name, [p]),
        ):
            with pytest.raises(ValueError, match=words):
                call()
    network = _core.Network(3, "float32", 0)
    with pytest.raises(ValueError, match="softmax has no parameter, got 2"):
        network.activation(0, "softmax", [2.0])
    with pytest.raises(ValueError, match="softmax has no parameter, got 2"):
        network.dense(0, 3, "softmax", activation_parameters=[2.0])


def test_slope_at_zero():
    """At a kink: 0 for relu, the slope for leaky_relu, as in PyTorch and TensorFlow."""
    for x in (0.0, -0.0):
        zero = np.array([x])
        for activation, slope in (("relu", 0.0), ("leaky_relu", 0.2), ("elu", 1.0)):
            y = ops.activation_forward(zero, activation)
            assert ops.activation_backward(np.ones(1), zero, y, activation)[0] == slope


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 3, 4), (1, 1, 1, 5)], ids=str)
def test_any_number_of_dimensions(shape, dtype, rng):
    x = rng.normal(size=shape).astype(dtype)
    y = ops.activation_forward(x, "silu")
    assert y.shape == shape
    check(y, reference.activation_forward(x, "silu"), "activation", dtype)
    assert ops.activation_backward(x, x, y, "silu").shape == shape


@pytest.mark.parametrize("activation", ["linear", "softplus"])
def test_every_layout_gives_the_same_bits(activation, rng):
    x = rng.normal(size=(9, 7)).astype(np.float32)
    expected = ops.activation_forward(x, activation)
    for how, view in cases.strided(x):
        y = ops.activation_forward(view, activation)
        np.testing.assert_array_equal(y, expected, how)
        assert not np.shares_memory(y, view), how


def test_the_place_does_not_matter(rng):
    """An element's value is the same in the vector part, in the tail and alone."""
    x = spread(rng, 67, dtype="float32")
    for activation in cases.ACTIVATIONS:
        y = ops.activation_forward(x, activation)
        alone = [ops.activation_forward(x[i : i + 1], activation)[0] for i in range(len(x))]
        np.testing.assert_array_equal(y, np.array(alone))


def test_bad_input():
    one = np.ones(3)
    with pytest.raises(ValueError, match=r"tanj.*tanh"):
        ops.activation_forward(one, "tanj")
    with pytest.raises(ValueError, match=r"dy: .*\(3,\).*\(2,\)"):
        ops.activation_backward(np.ones(2), one, one, "tanh")
    with pytest.raises(ValueError, match=r"y.*\(4,\)"):
        ops.activation_backward(one, one, np.ones(4), "tanh")
    with pytest.raises((TypeError, ValueError), match="x"):
        ops.activation_forward(one * 1j, "tanh")


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("activation", cases.ACTIVATIONS)
def test_what_is_not_read_may_be_left_out(activation, dtype, rng):
    """The pre-activation or the output, whichever an activation does not use; linear: both."""
    x, dy = spread(rng, 7, 5, dtype=dtype), rng.normal(size=(7, 5)).astype(dtype)
    y = ops.activation_forward(x, activation)
    dx = ops.activation_backward(dy, x, y, activation)
    u, w = rng.normal(size=(7, 4)).astype(dtype), rng.normal(size=(4, 5)).astype(dtype)
    dense = ops.dense_backward(dy, u, w, y, activation, z=x)
    of_x = {row["name"]: row["needs_input"] for row in _core.activations()}[activation]
    of_y = not of_x and activation != "linear"
    for given_x, given_y in ((x, None), (None, y), (None, None)):
        missing = (of_x and given_x is None) or (of_y and given_y is None)
        if missing:
            name = "x" if of_x else "y"
            word = "relu" if activation == "rectifier" else activation
            with pytest.raises(ValueError, match=f"^{name}: the derivative of {word} needs"):
                ops.activation_backward(dy, given_x, given_y, activation)
            with pytest.raises(ValueError, match=f"^{'z' if of_x else 'y'}: the derivative of"):
                ops.dense_backward(dy, u, w, given_y, activation, z=given_x)
            continue
        found = ops.activation_backward(dy, given_x, given_y, activation)
        np.testing.assert_array_equal(found, dx)
        assert found.dtype == dtype
        for a, b in zip(
            ops.dense_backward(dy, u, w, given_y, activation, z=given_x), dense, strict=True
        ):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="shape"):
        ops.activation_backward(dy[:3], None if of_y else x, y if of_y else None, activation)


def test_linear_from_lists():
    """The least that the docstrings promise."""
    assert ops.activation_backward([[1.0, 2.0]], None, None, "linear").tolist() == [[1, 2]]
    dx, dw, db = ops.dense_backward([[1.0]], [[2.0, 3.0]], [[4.0], [5.0]], None)
    assert (dx.tolist(), dw.tolist(), db.tolist()) == ([[4, 5]], [[2], [3]], [1])


@pytest.mark.parametrize(
    "name", ["elu", "gelu", "leaky_relu", "relu", "sigmoid", "silu", "softmax", "softplus", "tanh"]
)
def test_a_function_means_the_activation_that_it_is(name):
    """Programs for TensorFlow give `tf.nn.relu`, some of them as `tf.sigmoid`."""
    found = [
        getattr(module, name) for module in (fastnn.nn, fastnn.math, fastnn) if name in dir(module)
    ]
    x = np.random.default_rng(0).normal(size=(5, 4))
    for function in found:
        for layer in (layers.Dense(3, activation=function), layers.Activation(function)):
            assert layer.activation == name
            assert layer.get_config()["activation"] == name
        by_name = layers.Activation(name, dtype="float64")(x).numpy()
        np.testing.assert_allclose(by_name, function(fastnn.constant(x)).numpy(), rtol=1e-12)
    assert found


def test_what_is_no_activation_is_refused():
    with pytest.raises(TypeError, match=r"activation: expected a name .*, got 5"):
        layers.Dense(3, activation=5)
