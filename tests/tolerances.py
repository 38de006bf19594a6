"""How far a result may be from the float64 oracle: one table, each row with its reason.

An error is allowed up to `rtol` times the expected value plus `atol` times a scale that
the test states: the sum of the absolute values of the terms that were added, or 1. Here
are the numbers and the one comparison; no test states a tolerance for an op by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

ULP32 = float(np.finfo(np.float32).eps)  # 1.19e-7
ULP64 = float(np.finfo(np.float64).eps)  # 2.22e-16


@dataclass(frozen=True)
class Tolerance:
    rtol: float
    atol: float
    reason: str


# (family, dtype, backend and precision)
TABLE: dict[tuple[str, str, str], Tolerance] = {
    ("product", "float32", "cpu highest"): Tolerance(
        0.0, 4 * ULP32, "a chain of roundings, against the sum of |terms|; measured under 2 ulp"
    ),
    ("product", "float64", "cpu highest"): Tolerance(
        0.0, 8 * ULP64, "as float32; the oracle's own product has an error of the same size"
    ),
    ("product frobenius", "float32", "cpu highest"): Tolerance(
        1e-6, 0.0, "random normal data, k up to 4096: what a chain of float32 FMAs gives"
    ),
    ("product frobenius", "float64", "cpu highest"): Tolerance(
        1e-14, 0.0, "the same chain in float64, and the oracle's own error"
    ),
    ("session", "float64", "cpu highest"): Tolerance(
        1e-9,
        1e-9,
        "other orders of sums, made larger by three steps of Adam, which divides by gradients",
    ),
    ("split product", "float32", "cpu highest"): Tolerance(
        0.0, 6 * ULP32, "three parts keep all 24 bits; left out is 4 times 2^-24"
    ),
    ("split product", "float32", "cpu high"): Tolerance(
        0.0, 3 * 2.0**-16, "each operand is off by 2^-16 or less, and as much for lo times lo"
    ),
    ("split product", "float32", "cpu medium"): Tolerance(
        0.0, 1.01 * 2.0**-7, "each operand is off by 2^-8 or less: it has 8 bits"
    ),
    ("split product frobenius", "float32", "cpu highest"): Tolerance(
        1e-6, 0.0, "random normal data, k up to 4096: float32's own accuracy"
    ),
    ("split product frobenius", "float32", "cpu high"): Tolerance(2e-5, 0.0, "as highest"),
    ("split product frobenius", "float32", "cpu medium"): Tolerance(1e-2, 0.0, "as highest"),
    ("training", "float32", "cpu high"): Tolerance(
        1e-4, 0.0, "what a fit changes, frobenius: 2e-5, most of it weights rounded to float32"
    ),
    ("training", "float32", "cpu medium"): Tolerance(
        1e-2, 0.0, "as high; operands are off by 2^-9 on average, in a few products of a chain"
    ),
    ("activation", "float32", "cpu highest"): Tolerance(
        6 * ULP32, 2 * ULP32, "exp, a division or two, log1p: 1 ulp each; scale: conditioning"
    ),
    ("activation", "float64", "cpu highest"): Tolerance(
        1e-13, 2 * ULP64, "polynomials good to a few hundred ulps are enough; scale as float32"
    ),
    ("activation gradient", "float32", "cpu highest"): Tolerance(
        6 * ULP32, 3 * ULP32, "f' from a rounded y, as 1 - y*y, is exact to ulps of 1, not of f'"
    ),
    ("activation gradient", "float64", "cpu highest"): Tolerance(1e-13, 1e-15, "as float32"),
    ("dense", "float32", "cpu highest"): Tolerance(
        6 * ULP32, 8 * ULP32, "a product, then an activation whose slope is at most 1.13"
    ),
    ("dense", "float64", "cpu highest"): Tolerance(1e-13, 1e-14, "as float32"),
    ("dense gradient", "float32", "cpu highest"): Tolerance(
        0.0, 8 * ULP32, "f' to 3 ulps of 1, then a product, against the sum of |dy| |w|"
    ),
    ("dense gradient", "float64", "cpu highest"): Tolerance(0.0, 1e-14, "as float32"),
    ("normalization", "float32", "cpu highest"): Tolerance(
        0.0, 6 * ULP32, "sums of a row, a root and a quotient, against |gamma|(1 + |xhat|) + |beta|"
    ),
    ("normalization", "float64", "cpu highest"): Tolerance(
        0.0, 8 * ULP64, "as float32; the oracle's own mean and variance are as far off"
    ),
    ("normalization gradient", "float32", "cpu highest"): Tolerance(
        0.0, 6 * ULP32, "as the value, against the sum of the absolute terms; sums over rows too"
    ),
    ("normalization gradient", "float64", "cpu highest"): Tolerance(0.0, 8 * ULP64, "as float32"),
    ("embedding gradient", "float32", "cpu highest"): Tolerance(
        0.0, 8 * ULP32, "a chain of additions, against the sum of |terms|, of some hundred at most"
    ),
    ("embedding gradient", "float64", "cpu highest"): Tolerance(0.0, 8 * ULP64, "as float32"),
    ("softmax", "float32", "cpu highest"): Tolerance(
        6 * ULP32, ULP32, "exp, a sum, a division; the scale: a rounded x - max is p (max - x) off"
    ),
    ("softmax", "float64", "cpu highest"): Tolerance(1e-13, ULP64, "as float32"),
    ("loss", "float32", "cpu highest"): Tolerance(
        8 * ULP32, 4 * ULP32, "log-sum-exp minus a logit cancels to ulps of the logit: the scale"
    ),
    ("loss", "float64", "cpu highest"): Tolerance(1e-13, 1e-14, "as float32"),
    ("loss gradient", "float32", "cpu highest"): Tolerance(
        8 * ULP32, 4 * ULP32, "p - t cancels to ulps of 1, times the row's share of the weight"
    ),
    ("loss gradient", "float64", "cpu highest"): Tolerance(1e-13, 1e-15, "as float32"),
    ("optimizer", "float32", "cpu highest"): Tolerance(
        2 * ULP32, 6 * ULP32, "settings rounded to float32, some roundings, against |p| + |step|"
    ),
    ("optimizer", "float64", "cpu highest"): Tolerance(
        1e-15, 2e-14, "as float32; 1 - beta^step cancels to a hundred ulps at the tenth step"
    ),
    ("central difference", "float64", "cpu highest"): Tolerance(
        1e-8, 1e-9, "fourth-order stencil at 1e-4: 1e-16 of truncation, 1e-12 of cancellation"
    ),
    ("network", "float32", "cpu highest"): Tolerance(
        2e-5, 2e-6, "a forward and a backward pass through a few layers of at most 300 terms"
    ),
    ("network", "float64", "cpu highest"): Tolerance(1e-10, 1e-12, "as float32"),
    ("network of directions", "float32", "cpu highest"): Tolerance(
        2e-5, 8e-6, "as network, but a short output has few digits of its direction"
    ),
    ("network of directions", "float64", "cpu highest"): Tolerance(1e-10, 4e-12, "as float32"),
    ("trajectory", "float32", "cpu highest"): Tolerance(
        5e-4, 5e-5, "steps compound the roundings; Adam divides by roots of small sums"
    ),
    ("trajectory", "float64", "cpu highest"): Tolerance(
        1e-9, 1e-10, "as float32; a wrong formula is off by far more after ten steps"
    ),
    ("sum", "float32", "cpu highest"): Tolerance(
        2e-6, 0.0, "sums over rows of an epoch are float64; the terms are float32"
    ),
    ("sum", "float64", "cpu highest"): Tolerance(1e-10, 0.0, "as float32"),
}


def tolerance(family: str, dtype: str, column: str = "cpu highest") -> Tolerance:
    return TABLE[family, dtype, column]


def check(
    actual: ArrayLike,
    expected: ArrayLike,
    family: str,
    dtype: str,
    *,
    scale: ArrayLike = 1.0,
    what: str = "result",
    column: str = "cpu highest",
) -> None:
    """Compares values; NaN must stand where NaN does and infinities must be the same ones."""
    got = np.asarray(actual, dtype=np.float64)
    want = np.asarray(expected, dtype=np.float64)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    finite = np.isfinite(want)
    odd = ~finite | ~np.isfinite(got)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    assert np.all(same[odd]), f"{what}: {got[odd & ~same][:5]}, expected {want[odd & ~same][:5]}"
    allowed = _allowed(want, tolerance(family, dtype, column), dtype, scale)
    error = np.abs(np.where(odd, 0.0, got) - np.where(odd, 0.0, want))
    if np.all(error <= allowed):
        return
    worst = np.unravel_index(np.argmax(error / allowed), error.shape)
    raise AssertionError(
        f"{what}{list(map(int, worst))}: {got[worst]!r}, expected {want[worst]!r}; the error "
        f"{error[worst]:.3g} is {error[worst] / allowed[worst]:.3g} times what {family!r} in "
        f"{dtype} allows; {np.sum(error > allowed)} of {error.size} are off"
    )


def _allowed(
    want: NDArray[np.float64], tol: Tolerance, dtype: str, scale: ArrayLike
) -> NDArray[np.float64]:
    smallest = float(np.finfo(dtype).tiny)  # results below it may be flushed to zero
    bound = tol.rtol * np.abs(np.where(np.isfinite(want), want, 0.0))
    return np.asarray(bound + tol.atol * np.abs(np.asarray(scale, dtype=np.float64)) + smallest)


def check_frobenius(
    actual: ArrayLike,
    expected: ArrayLike,
    dtype: str,
    family: str = "product frobenius",
    column: str = "cpu highest",
) -> None:
    """The relative error of a whole product, in the Frobenius norm."""
    want = np.asarray(expected, dtype=np.float64)
    error = np.linalg.norm(np.asarray(actual, dtype=np.float64) - want) / np.linalg.norm(want)
    limit = tolerance(family, dtype, column).rtol
    assert error <= limit, f"relative error {error:.3g} is over {limit:.3g}"
