"""The `*_step` functions of relatives of Adam and RMSprop, against the oracle; see test_optimizer."""

from __future__ import annotations

from typing import Any

import cases
import numpy as np
import pytest
import reference
from test_optimizer import grown
from tolerances import check

from fastnn import ops

pytestmark = pytest.mark.isa

OF_ADAM: dict[str, dict[str, Any]] = {
    "defaults": {},
    "betas": {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.9},
    "epsilon and decay": {"learning_rate": 0.01, "epsilon": 1e-2, "weight_decay": 0.1},
    "no memory": {"learning_rate": 0.01, "beta_1": 0.0},
}
OF_SUMS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "epsilon and decay": {"learning_rate": 0.1, "epsilon": 1e-2, "weight_decay": 0.1},
}
OF_RHO = OF_SUMS | {"no memory": {"learning_rate": 1.0, "rho": 0.0}}
# The settings; which slots hold squares or sizes.
CASES = {
    "amsgrad": (OF_ADAM, ("v", "v_max")),
    "adamax": (OF_ADAM, ("u",)),
    "nadam": (OF_ADAM, ("v",)),
    "adagrad": (OF_SUMS, ("accumulator",)),
    "adadelta": (OF_RHO, ("gradients", "moves")),
}
SLOTS = {
    "amsgrad": ("m", "v", "v_max"),
    "adamax": ("m", "u"),
    "nadam": ("m", "v"),
    "adagrad": ("accumulator",),
    "adadelta": ("gradients", "moves"),
}


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("optimizer", CASES)
def test_a_step(optimizer: str, dtype: str, rng: np.random.Generator) -> None:
    step, (_, slots) = getattr(ops, f"{optimizer}_step"), reference.OPTIMIZERS[optimizer]
    settings, squares = CASES[optimizer]
    assert len(SLOTS[optimizer]) == slots
    counts = [1, 2, 10, 1000, 10**6, 2**40] if optimizer in reference.NUMBERED else [1]
    for number in counts:
        for case, options in settings.items():
            options = options | reference.number_of(optimizer, number)
            for n in (1, 3, 8, 17, 257):
                param, grad = (grown(rng, n, dtype) for _ in range(2))
                state = [
                    grown(rng, n, dtype) ** (2 if name in squares else 1)
                    for name in SLOTS[optimizer]
                ]
                exact = [reference.float64(a) for a in (param, grad, *state)]
                want = reference.OPTIMIZERS[optimizer][0](*exact, **options)
                # The largest step that these sizes allow: m and g may cancel each other.
                moved = reference.OPTIMIZERS[optimizer][0](
                    0 * exact[0], *map(np.abs, exact[1:]), **options
                )[0]
                scale = (
                    np.abs(param) + np.abs(moved),
                    *(
                        np.abs(s) + np.abs(w) + g
                        for s, w, g in zip(
                            state, want[1:], _gradients(exact[1], len(state)), strict=True
                        )
                    ),
                )
                before = grad.copy()
                assert step(param, grad, *state, **options) is None
                for what, got, expected, size in zip(
                    ("param", *SLOTS[optimizer]), (param, *state), want, scale, strict=True
                ):
                    where = f"{what}, {case}, step {number}, n {n}"
                    check(got, expected, "optimizer", dtype, scale=size, what=where)
                np.testing.assert_array_equal(grad, before)


def _gradients(grad, count):
    return [np.abs(grad)] * count


def test_the_products_of_nadam_lose_no_digits() -> None:
    """Its momentum's product up to a step, from step to step as Keras has it, in float64."""
    grad, zero = np.array([1.0]), np.zeros(1)
    product = 1.0
    for number in range(1, 400):
        product *= 0.9 * (1.0 - 0.5 * 0.96**number)
        ahead = 0.9 * (1.0 - 0.5 * 0.96 ** (number + 1))
        here = 0.9 * (1.0 - 0.5 * 0.96**number)
        param, m, v = np.zeros(1), zero.copy(), np.ones(1)
        ops.nadam_step(param, grad, m, v, step=number, learning_rate=1.0, epsilon=1e-30)
        of_m = ahead * 0.1 / (1.0 - product * ahead) + (1.0 - here) / (1.0 - product)
        want = -of_m / np.sqrt(1.0 / (1.0 - 0.999**number))
        np.testing.assert_allclose(param, want, rtol=1e-12, err_msg=str(number))


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_a_large_gradient_is_remembered_by_amsgrad(dtype: str) -> None:
    """Adam forgets it, and steps further."""
    moved = []
    for step, slots in ((ops.adam_step, 2), (ops.amsgrad_step, 3)):
        param, state = np.zeros(1, dtype), [np.zeros(1, dtype) for _ in range(slots)]
        for number in range(1, 200):
            grad = np.full(1, 100.0 if number == 1 else 1.0, dtype)
            before = param.copy()
            step(param, grad, *state, step=number, beta_2=0.9, learning_rate=0.1)
        moved.append(float((before - param)[0]))
    assert moved[0] == pytest.approx(0.1, rel=1e-3)
    assert moved[1] == pytest.approx(0.1 / np.sqrt(0.1 * 100.0**2), rel=1e-2)


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_nothing_moves_without_a_gradient(dtype: str) -> None:
    for optimizer, names in SLOTS.items():
        param, zero = np.full(5, 2.0, dtype), np.zeros(5, dtype)
        state = [np.zeros(5, dtype) for _ in names]
        step = getattr(ops, f"{optimizer}_step")
        step(param, zero, *state, learning_rate=0.1, **reference.number_of(optimizer, 1))
        np.testing.assert_array_equal(param, np.full(5, 2.0, dtype), err_msg=optimizer)
