"""Data sets that are shipped with the package, for demonstrations and tests.

Nothing is downloaded. Each data file has a text file beside it with its source
and licence, or with what is known of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn import elsewhere
from fastnn.listing import names_of

__all__ = [
    "load_digits",
    "load_yeast",
]

__dir__ = names_of(__all__)


def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """1,797 images of handwritten digits.

        >>> x, y = fastnn.datasets.load_digits()
        >>> x.shape, y.shape, int(x.max()), int(y.max())
        ((1797, 64), (1797,), 16, 9)

    Returns:
        x and y. x is (1797, 64) uint8, 8 x 8 pixels row by row, from 0 (paper) to 16 (ink), so that
        `x.reshape(-1, 8, 8)` are the images; y is (1797,) uint8, the digits 0 to 9.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits" (1998), UCI
    Machine Learning Repository, https://doi.org/10.24432/C50P49, the file optdigits.tes, under
    the licence Creative Commons Attribution 4.0 (CC BY 4.0).
    """
    file = _read("digits.npz")
    return file["x"], file["y"]


Part = tuple[NDArray[np.float32], NDArray[np.uint8]]


def load_yeast() -> tuple[Part, Part]:
    """2,417 genes of yeast with 14 functions each: several labels per row, in two parts.

        >>> import fastnn
        >>> (x, y), (test_x, test_y) = fastnn.datasets.load_yeast()
        >>> x.shape, y.shape, test_x.shape
        ((1500, 103), (1500, 14), (917, 103))

    Returns:
        (x, y) and (test_x, test_y), 1,500 rows to train on and 917 to test, the parts that the
        literature compares results on. x is (n, 103) float32, expression in microarrays and a
        phylogenetic profile, between -0.8 and 0.8, with six decimals. Standardize it: the numbers
        are small. y is (n, 14) uint8, 1 for the functions that the gene has, 4.24 of them on
        average; between 1.4 % and 75 % of the genes have each.

    Source: A. Elisseeff and J. Weston, "A kernel method for multi-labelled classification",
    Advances in Neural Information Processing Systems 14 (2001), as the library Mulan distributes
    it. No licence is known: see the file yeast.txt beside the data.
    """
    file = _read("yeast.npz")
    millionths = file["high"].astype(np.int32) * 65536 + file["low"]
    x = (millionths / 1e6).astype(np.float32)
    y = file["y"]
    tests = 917  # Mulan's file begins with the rows to test
    return (x[tests:], y[tests:]), (x[:tests], y[:tests])


def _read(name: str) -> dict[str, NDArray[Any]]:
    # Imported here because it would be a third of the time that `import fastnn` takes.
    from pathlib import Path

    with np.load(Path(__file__).with_name(name), allow_pickle=False) as file:
        return dict(file)


if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "datasets")
