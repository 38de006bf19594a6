"""The `*_step` functions of `fastnn.ops`: in place, against the oracle, over many steps."""

from __future__ import annotations

from itertools import combinations

import cases
import numpy as np
import pytest
import reference
from tolerances import check

from fastnn import ops

pytestmark = pytest.mark.isa

SGD = {
    "plain": {"learning_rate": 0.1},
    "decay": {"learning_rate": 0.1, "weight_decay": 0.05},
    "momentum": {"learning_rate": 0.1, "momentum": 0.9},
    "nesterov": {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
    "nesterov without momentum": {"learning_rate": 0.1, "nesterov": True},
    "all": {"learning_rate": 0.03, "momentum": 0.5, "nesterov": True, "weight_decay": 0.01},
    "no rate": {"learning_rate": 0.0, "momentum": 0.9, "weight_decay": 0.5},
}
ADAM = {
    "defaults": {},
    "rate": {"learning_rate": 0.1},
    "betas": {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.9},
    "epsilon": {"learning_rate": 0.01, "epsilon": 1e-2},
    "decay": {"learning_rate": 0.01, "weight_decay": 0.1},
    "no memory": {"learning_rate": 0.01, "beta_1": 0.0},
}
RMSPROP = {
    "defaults": {},
    "rate": {"learning_rate": 0.1, "rho": 0.5},
    "epsilon": {"learning_rate": 0.01, "epsilon": 1e-2},
    "momentum": {"learning_rate": 0.01, "momentum": 0.9},
    "centered": {"learning_rate": 0.01, "centered": True},
    "decay": {"learning_rate": 0.01, "weight_decay": 0.1},
    "no memory": {"learning_rate": 0.01, "rho": 0.0},
    "all": {
        "learning_rate": 0.01,
        "rho": 0.8,
        "momentum": 0.5,
        "centered": True,
        "epsilon": 1e-3,
        "weight_decay": 0.1,
    },
}
LION = {
    "defaults": {},
    "rate": {"learning_rate": 0.1},
    "betas": {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.9},
    "decay": {"learning_rate": 0.01, "weight_decay": 0.1},
    "no memory": {"learning_rate": 0.01, "beta_1": 0.0, "beta_2": 0.0},
}


def grown(rng, n, dtype):
    """Values of many magnitudes, and exact zeros."""
    x = rng.normal(size=n) * 10.0 ** rng.uniform(-5, 1, n)
    x[rng.random(n) < 0.1] = 0.0
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("case", SGD)
@pytest.mark.parametrize("n", cases.SIZES)
def test_sgd(n, case, dtype, rng):
    options = SGD[case]
    param, grad, velocity = (grown(rng, n, dtype) for _ in range(3))
    want, want_velocity = reference.sgd_step(
        *map(reference.float64, (param, grad, velocity)), **options
    )
    scale = np.abs(param) + 2 * np.abs(velocity) + np.abs(grad)
    before = grad.copy()
    if options.get("momentum", 0.0) == 0.0:
        want, _ = reference.sgd_step(
            *map(reference.float64, (param, grad, 0 * velocity)), **options
        )
        assert ops.sgd_step(param, grad, None, **options) is None
    else:
        assert ops.sgd_step(param, grad, velocity, **options) is None
        check(velocity, want_velocity, "optimizer", dtype, scale=scale, what="velocity")
    check(param, want, "optimizer", dtype, scale=scale, what="param")
    np.testing.assert_array_equal(grad, before)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("case", ADAM)
@pytest.mark.parametrize("step", [1, 2, 10, 1000, 10**6, 2**40])
def test_adam(step, case, dtype, rng):
    options = ADAM[case]
    for n in (1, 3, 8, 17, 257):
        param, grad, m = (grown(rng, n, dtype) for _ in range(3))
        v = grown(rng, n, dtype) ** 2
        before = grad.copy()
        exact = [reference.float64(a) for a in (param, grad, m, v)]
        want = reference.adam_step(*exact, step=step, **options)
        # the largest step that these sizes allow: m and g may cancel each other
        moved, _, _ = reference.adam_step(
            0 * exact[0], *map(np.abs, exact[1:]), step=step, **options
        )
        scales = np.abs(param) - moved, np.abs(m) + np.abs(grad), v + grad**2
        assert ops.adam_step(param, grad, m, v, step=step, **options) is None
        for what, got, expected, scale in zip(
            ("param", "m", "v"), (param, m, v), want, scales, strict=True
        ):
            check(got, expected, "optimizer", dtype, scale=scale, what=f"{what}, n {n}")
        np.testing.assert_array_equal(grad, before)


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("case", RMSPROP)
@pytest.mark.parametrize("n", cases.SIZES)
def test_rmsprop(n, case, dtype, rng):
    """Slots that the settings do not use are None, or stay as they are."""
    options = RMSPROP[case]
    param, grad, momentum_sum, average = (grown(rng, n, dtype) for _ in range(4))
    velocity = (np.float64(average) ** 2 + np.float64(grown(rng, n, dtype)) ** 2).astype(dtype)
    arrays = {
        "velocity": velocity,
        "momentum_sum": momentum_sum,
        "average_gradient": average,
    }
    used = {
        "velocity": True,
        "momentum_sum": bool(options.get("momentum")),
        "average_gradient": bool(options.get("centered")),
    }
    exact = [reference.float64(a) for a in (param, grad, *arrays.values())]
    want = reference.rmsprop_step(*exact, **options)
    # A variance is a difference, and off by roundings of the velocity that it is taken from.
    variance = want[1] - (want[3] ** 2 if used["average_gradient"] else 0)
    root = variance + options.get("epsilon", 1e-7)
    move = options.get("learning_rate", 1e-3) * np.abs(exact[1]) / np.sqrt(root)
    scales = (
        np.abs(exact[0]) + np.abs(exact[3]) + move * (1 + want[1] / root),
        exact[2] + exact[1] ** 2,
        np.abs(exact[3]) + move * (1 + want[1] / root),
        np.abs(exact[4]) + np.abs(exact[1]),
    )
    given = [array.copy() for array in (param, *arrays.values())]
    assert ops.rmsprop_step(given[0], grad, *given[1:], **options) is None
    for what, got, expected, scale in zip(("param", *arrays), given, want, scales, strict=True):
        check(got, expected, "optimizer", dtype, scale=scale, what=what)
    for name, before, after in zip(arrays, arrays.values(), given[1:], strict=True):
        assert used[name] or (before == after).all(), name
    np.testing.assert_array_equal(grad, exact[1].astype(dtype))
    # The same bits without the slots that are not used.
    slots = [array.copy() if used[name] else None for name, array in arrays.items()]
    ops.rmsprop_step(param, grad, *slots, **options)
    np.testing.assert_array_equal(param, given[0])


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("case", LION)
@pytest.mark.parametrize("n", cases.SIZES)
def test_lion(n, case, dtype, rng):
    options = LION[case]
    param, grad, m = (grown(rng, n, dtype) for _ in range(3))
    want, want_m = reference.lion_step(*map(reference.float64, (param, grad, m)), **options)
    scale = np.abs(m) + np.abs(grad)
    before = grad.copy()
    assert ops.lion_step(param, grad, m, **options) is None
    check(param, want, "optimizer", dtype, scale=1 + np.abs(want), what="param")
    check(m, want_m, "optimizer", dtype, scale=scale, what="m")
    np.testing.assert_array_equal(grad, before)


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_rmsprop_epsilon_is_inside_of_the_root(dtype):
    """Without a memory g / sqrt(g^2 + epsilon), here 1e-3 / sqrt(1e-6 + 3e-6); outside it is 1."""
    param, grad, velocity = np.zeros(1, dtype), np.array([1e-3], dtype), np.zeros(1, dtype)
    ops.rmsprop_step(param, grad, velocity, learning_rate=1.0, rho=0.0, epsilon=3e-6)
    np.testing.assert_allclose(param, [-0.5], rtol=1e-5)


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_a_centered_step_of_one_gradient_stays_finite(dtype):
    """Its variance is 0, and by rounding may come out below."""
    grad = np.array([1e4, -3.3e3, 7.1e-2, 0], dtype)
    param, velocity, average = (np.zeros(4, dtype) for _ in range(3))
    for _ in range(300):
        ops.rmsprop_step(param, grad, velocity, None, average, centered=True, epsilon=1e-30)
        assert np.isfinite(param).all()
    np.testing.assert_allclose(average, grad, rtol=1e-4)


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_lion_moves_by_its_rate_or_not_at_all(dtype):
    """By the sign of beta_1 m + (1 - beta_1) g, which is 0 where both are."""
    grad = np.array([1e-30, -5.0, 0.0, 1.0, -1.0], dtype)
    m = np.array([0.0, 0.0, 0.0, -1.0, 1.0], dtype)
    param = np.zeros(5, dtype)
    ops.lion_step(param, grad, m, learning_rate=0.5)
    np.testing.assert_array_equal(param, np.array([-0.5, 0.5, 0.0, 0.5, -0.5], dtype))
    np.testing.assert_allclose(m[1:], [-0.05, 0.0, -0.98, 0.98], rtol=1e-5)


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_adam_from_nothing(dtype):
    """The first step is the learning rate in the direction of -sign(g), epsilon aside."""
    grad = np.array([1e-3, -5.0, 0.0, 1e4], dtype)
    param, m, v = (np.zeros(4, dtype) for _ in range(3))
    ops.adam_step(param, grad, m, v, step=1, learning_rate=0.5, epsilon=1e-12)
    np.testing.assert_allclose(param, [-0.5, 0.5, 0.0, -0.5], rtol=1e-6)


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_adam_epsilon_is_outside_of_the_corrected_root(dtype):
    """Step 1, g = epsilon: half a learning rate; with Keras's form it would be far less."""
    grad = np.array([1e-3], dtype)
    param, m, v = (np.zeros(1, dtype) for _ in range(3))
    ops.adam_step(param, grad, m, v, step=1, learning_rate=1.0, epsilon=1e-3)
    np.testing.assert_allclose(param, [-0.5], rtol=1e-6)


# Each step with the number of its slots, and settings that use all of them.
STEPS = {
    ops.sgd_step: (1, {"learning_rate": 0.1, "momentum": 0.9}),
    ops.adam_step: (2, {"step": 3}),
    ops.rmsprop_step: (3, {"momentum": 0.9, "centered": True}),
    ops.lion_step: (1, {}),
    ops.amsgrad_step: (3, {"step": 3}),
    ops.adamax_step: (2, {"step": 3}),
    ops.nadam_step: (2, {"step": 3}),
    ops.adagrad_step: (1, {}),
    ops.adadelta_step: (2, {}),
    ops.lamb_step: (2, {"step": 3}),
}


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_weight_decay_is_decoupled(dtype):
    """Without a gradient only the decay acts, and no slot has a part in it."""
    for step, (slots, extra) in STEPS.items():
        param, zero = np.full(5, 2.0, dtype), np.zeros(5, dtype)
        state = [np.zeros(5, dtype) for _ in range(slots)]
        step(param, zero, *state, **{**extra, "learning_rate": 0.1, "weight_decay": 0.5})
        np.testing.assert_allclose(param, 1.9, rtol=1e-6)
        assert all((s == 0).all() for s in state)


def test_ten_steps_from_nothing(rng):
    """State is carried from step to step."""
    grads = rng.normal(size=(10, 6))
    param, m, v = rng.normal(size=6), np.zeros(6), np.zeros(6)
    want, want_m, want_v = param.copy(), m.copy(), v.copy()
    for t, grad in enumerate(grads, start=1):
        ops.adam_step(param, grad, m, v, step=t, learning_rate=0.05)
        want, want_m, want_v = reference.adam_step(
            want, grad, want_m, want_v, step=t, learning_rate=0.05
        )
    np.testing.assert_allclose(param, want, rtol=1e-13)


def test_nan_and_infinity_stay_at_their_place():
    for bad in (np.nan, np.inf):
        grad = np.ones(9, np.float32)
        grad[4] = bad
        param, m, v = (np.zeros(9, np.float32) for _ in range(3))
        ops.adam_step(param, grad, m, v, step=1)
        assert np.isnan(param[4])
        assert np.isfinite(np.delete(param, 4)).all()
        for step in (ops.rmsprop_step, ops.lion_step, ops.adagrad_step):
            param, slot = np.zeros(9, np.float32), np.zeros(9, np.float32)
            step(param, grad, slot)
            # Lion's sign of an infinity is 1.
            lion = step is ops.lion_step and bad == np.inf
            assert np.isfinite(param[4]) == lion, step
            assert not np.isfinite(slot[4])
            assert np.isfinite(np.delete(param, 4)).all()
        param = np.zeros(9, np.float32)
        ops.sgd_step(param, grad, None, learning_rate=0.1)
        assert not np.isfinite(param[4])
        assert np.isfinite(np.delete(param, 4)).all()


@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (3, 1, 4)], ids=str)
def test_any_shape(shape):
    for step, (slots, extra) in STEPS.items():
        arrays = [np.ones(shape) for _ in range(slots + 2)]
        one = [np.ones(()) for _ in range(slots + 2)]
        step(*arrays, **extra)
        step(*one, **extra)
        for array, value in zip(arrays, one, strict=True):
            np.testing.assert_array_equal(array, np.full(shape, value))


def read_only(x):
    x.flags.writeable = False
    return x


def unaligned(x):
    return np.frombuffer(bytearray(x.nbytes + 1), x.dtype, x.size, offset=1).reshape(x.shape)


# name: (which argument, what it becomes, what the message says)
REFUSED = {
    "read-only": (read_only, r"read-only|writ"),
    "fortran": (np.asfortranarray, "contiguous"),
    "every other": (lambda x: np.zeros((4, 12), x.dtype)[:, ::2], "contiguous"),
    "another shape": (lambda x: np.zeros((4, 5), x.dtype), r"\(4, 5\)"),
    "another type": (lambda x: x.astype(np.float32), "float32"),
    "an integer type": (lambda x: x.astype(np.int64), "int64"),
    "another byte order": (lambda x: x.astype(x.dtype.newbyteorder()), "f8|float64"),
    "unaligned": (unaligned, "aligned"),
    "a list": (lambda x: x.tolist(), "list|array"),
}


NAMES = {
    ops.sgd_step: ("param", "grad", "velocity"),
    ops.adam_step: ("param", "grad", "m", "v"),
    ops.rmsprop_step: ("param", "grad", "velocity", "momentum_sum", "average_gradient"),
    ops.lion_step: ("param", "grad", "m"),
    ops.amsgrad_step: ("param", "grad", "m", "v", "v_max"),
    ops.adamax_step: ("param", "grad", "m", "u"),
    ops.nadam_step: ("param", "grad", "m", "v"),
    ops.adagrad_step: ("param", "grad", "accumulator"),
    ops.adadelta_step: ("param", "grad", "gradients", "moves"),
    ops.lamb_step: ("param", "grad", "m", "v"),
}
ARGUMENTS = [(step, name) for step, names in NAMES.items() for name in names if name != "grad"]


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize(("step", "argument"), ARGUMENTS)
def test_refused_and_nothing_changed(step, argument, case):
    """In-place ops take only arrays that they can write to, and check before they write."""
    change, message = REFUSED[case]
    rng = np.random.default_rng(0)
    arrays = {k: rng.random((4, 6)) for k in NAMES[step]}
    arrays[argument] = change(arrays[argument])
    copies = {k: np.array(v) for k, v in arrays.items()}
    with pytest.raises(
        (ValueError, TypeError), match=rf"(?s)^(param|grad|{argument}): .*({message})"
    ):
        step(**arrays, **STEPS[step][1])
    for k, v in arrays.items():
        np.testing.assert_array_equal(np.array(v), copies[k])


PAIRS = [(step, *pair) for step, names in NAMES.items() for pair in combinations(names, 2)]


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize(("step", "first", "second"), PAIRS)
def test_arrays_that_share_memory_are_refused(step, first, second, shift):
    """The same array, or views that overlap."""
    memory = np.arange(8.0)
    arrays = {name: np.ones(4) for name in NAMES[step]}
    arrays[first], arrays[second] = memory[:4], memory[shift : shift + 4]
    message = rf"{second}: .*shares it with {first}"
    with pytest.raises(ValueError, match=message):
        step(**arrays, **STEPS[step][1])
    if second == "grad" and step in (ops.sgd_step, ops.rmsprop_step):
        with pytest.raises(ValueError, match=message):
            step(arrays["param"], arrays["grad"], None, learning_rate=0.1)
    np.testing.assert_array_equal(memory, np.arange(8.0))


def test_neighbours_do_not_share_memory():
    memory = np.ones(16)
    ops.adam_step(*(memory[i : i + 4] for i in range(0, 16, 4)), step=1)
    assert (memory[:4] < 1).all()


RATE = {"learning_rate": 0.1}
# The step, the number of its slots that are given, settings, and the message.
BAD_SETTINGS = {
    "no velocity": (ops.sgd_step, 0, {**RATE, "momentum": 0.9}, "velocity"),
    "momentum 1": (ops.sgd_step, 1, {**RATE, "momentum": 1.5}, r"momentum.*1\.5"),
    "nesterov 1": (ops.sgd_step, 1, {**RATE, "nesterov": 1}, "nesterov.*True or False.*1"),
    "negative rate": (ops.sgd_step, 1, {"learning_rate": -0.1}, r"learning_rate.*-0\.1"),
    "NaN rate": (ops.sgd_step, 1, {"learning_rate": np.nan}, "learning_rate.*nan"),
    "negative decay": (ops.sgd_step, 1, {**RATE, "weight_decay": -1.0}, "weight_decay.*-1"),
    "step 0": (ops.adam_step, 2, {"step": 0}, r"step.*\b0\b"),
    "no v": (ops.adam_step, 1, {"step": 1}, "v: expected a NumPy array, got NoneType"),
    "beta_1 of 1": (ops.adam_step, 2, {"step": 1, "beta_1": 1.0}, r"beta_1.*1"),
    "beta_2 negative": (ops.adam_step, 2, {"step": 1, "beta_2": -0.5}, r"beta_2.*-0\.5"),
    "epsilon negative": (ops.adam_step, 2, {"step": 1, "epsilon": -1e-7}, "epsilon.*-1e-0?7"),
    "rmsprop without velocity": (ops.rmsprop_step, 0, {}, "velocity"),
    "no sum": (ops.rmsprop_step, 1, {"momentum": 0.9}, "momentum_sum: .*need one"),
    "no average": (ops.rmsprop_step, 2, {"centered": True}, "average_gradient: .*need one"),
    "rho of 1": (ops.rmsprop_step, 3, {"rho": 1.0}, r"rho.*\[0, 1\).*1"),
    "momentum of 1": (ops.rmsprop_step, 3, {"momentum": 1.0}, r"momentum.*\[0, 1\).*1"),
    "epsilon 0": (ops.rmsprop_step, 3, {"epsilon": 0.0}, "epsilon.*above 0.*0"),
    "centered 1": (ops.rmsprop_step, 3, {"centered": 1}, "centered.*True or False.*1"),
    "a rate below 0": (ops.rmsprop_step, 3, {"learning_rate": -1.0}, "learning_rate.*-1"),
    "no m": (ops.lion_step, 0, {}, "m: expected a NumPy array, got NoneType"),
    "lion's beta_1": (ops.lion_step, 1, {"beta_1": 1.0}, r"beta_1.*\[0, 1\).*1"),
    "lion's beta_2": (ops.lion_step, 1, {"beta_2": np.nan}, r"beta_2.*nan"),
    "lion's decay": (ops.lion_step, 1, {"weight_decay": np.inf}, "weight_decay.*inf"),
    "step 0 of adamax": (ops.adamax_step, 2, {"step": 0}, r"step.*\b0\b"),
    "no u": (ops.adamax_step, 1, {"step": 1}, "u: expected a NumPy array, got NoneType"),
    "no v_max": (ops.amsgrad_step, 2, {"step": 1}, "v_max: expected a NumPy array"),
    "nadam's beta_1": (ops.nadam_step, 2, {"step": 1, "beta_1": 1.0}, r"beta_1.*\[0, 1\).*1"),
    "adagrad's epsilon": (ops.adagrad_step, 1, {"epsilon": 0.0}, "epsilon.*above 0.*0"),
    "adadelta's rho": (ops.adadelta_step, 2, {"rho": 1.0}, r"rho.*\[0, 1\).*1"),
    "a word": (ops.lion_step, 1, {"beta_1": "0.9"}, "beta_1.*number.*'0.9'"),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_bad_settings(case):
    step, given, options, message = BAD_SETTINGS[case]
    slots = STEPS[step][0]
    arrays = [np.ones(3) for _ in range(2 + given)] + [None] * (slots - given)
    with pytest.raises((ValueError, TypeError), match=message):
        step(*arrays, **options)
    for array in arrays[: 2 + given]:
        np.testing.assert_array_equal(array, 1)
