"""`ops.sgd_step` and `ops.adam_step`: in place, against the oracle, over many steps."""

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


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_weight_decay_is_decoupled(dtype):
    """Without a gradient only the decay acts, and neither m nor v hears of it."""
    for step in (ops.sgd_step, ops.adam_step):
        param, zero = np.full(5, 2.0, dtype), np.zeros(5, dtype)
        state = [np.zeros(5, dtype) for _ in range(1 if step is ops.sgd_step else 2)]
        extra = {"momentum": 0.9} if step is ops.sgd_step else {"step": 3}
        step(param, zero, *state, learning_rate=0.1, weight_decay=0.5, **extra)
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
        param = np.zeros(9, np.float32)
        ops.sgd_step(param, grad, None, learning_rate=0.1)
        assert not np.isfinite(param[4])
        assert np.isfinite(np.delete(param, 4)).all()


@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (3, 1, 4)], ids=str)
def test_any_shape(shape):
    param, grad = np.ones(shape), np.ones(shape)
    ops.sgd_step(param, grad, None, learning_rate=0.25)
    np.testing.assert_array_equal(param, np.full(shape, 0.75))


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


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("argument", ["param", "m", "v", "velocity"])
def test_refused_and_nothing_changed(argument, case):
    """In-place ops take only arrays that they can write to, and check before they write."""
    change, message = REFUSED[case]
    rng = np.random.default_rng(0)
    sgd = argument == "velocity" or (argument == "param" and case != "a list")
    names = ["param", "grad", "velocity"] if sgd else ["param", "grad", "m", "v"]
    arrays = {k: rng.random((4, 6)) for k in names}
    arrays[argument] = change(arrays[argument])
    copies = {k: np.array(v) for k, v in arrays.items()}
    step = ops.sgd_step if sgd else ops.adam_step
    settings = {"learning_rate": 0.1, "momentum": 0.9} if sgd else {"step": 1}
    with pytest.raises(
        (ValueError, TypeError), match=rf"(?s)(param|grad|{argument}): .*({message})"
    ):
        step(**arrays, **settings)
    for k, v in arrays.items():
        np.testing.assert_array_equal(np.array(v), copies[k])


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("pair", [*combinations(range(4), 2)], ids=str)
def test_arrays_that_share_memory_are_refused(pair, shift):
    """The same array, or views that overlap."""
    first, second = pair
    names, memory = ["param", "grad", "m", "v"], np.arange(8.0)
    arrays = [np.ones(4) for _ in names]
    arrays[first], arrays[second] = memory[:4], memory[shift : shift + 4]
    message = rf"{names[second]}: .*shares it with {names[first]}"
    with pytest.raises(ValueError, match=message):
        ops.adam_step(*arrays, step=1)
    if second == 1:
        with pytest.raises(ValueError, match=message):
            ops.sgd_step(*arrays[:2], None, learning_rate=0.1)
    np.testing.assert_array_equal(memory, np.arange(8.0))


def test_neighbours_do_not_share_memory():
    memory = np.ones(16)
    ops.adam_step(*(memory[i : i + 4] for i in range(0, 16, 4)), step=1)
    assert (memory[:4] < 1).all()


BAD_SETTINGS = {
    "no velocity": (ops.sgd_step, 1, {"learning_rate": 0.1, "momentum": 0.9}, "velocity"),
    "momentum 1": (ops.sgd_step, 2, {"learning_rate": 0.1, "momentum": 1.5}, r"momentum.*1\.5"),
    "negative rate": (ops.sgd_step, 2, {"learning_rate": -0.1}, r"learning_rate.*-0\.1"),
    "NaN rate": (ops.sgd_step, 2, {"learning_rate": np.nan}, "learning_rate.*nan"),
    "negative decay": (
        ops.sgd_step,
        2,
        {"learning_rate": 0.1, "weight_decay": -1.0},
        "weight_decay.*-1",
    ),
    "step 0": (ops.adam_step, 3, {"step": 0}, r"step.*\b0\b"),
    "beta_1 of 1": (ops.adam_step, 3, {"step": 1, "beta_1": 1.0}, r"beta_1.*1"),
    "beta_2 negative": (ops.adam_step, 3, {"step": 1, "beta_2": -0.5}, r"beta_2.*-0\.5"),
    "epsilon negative": (ops.adam_step, 3, {"step": 1, "epsilon": -1e-7}, "epsilon.*-1e-0?7"),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_bad_settings(case):
    step, extra, options, message = BAD_SETTINGS[case]
    arrays = [np.ones(3) for _ in range(extra + 1)]
    if step is ops.sgd_step and len(arrays) == 2:
        arrays.append(None)
    with pytest.raises(ValueError, match=message):
        step(*arrays, **options)
    np.testing.assert_array_equal(arrays[0], 1)
