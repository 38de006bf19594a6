"""Data sets that are shipped with the package, for demonstrations and tests.

Nothing is downloaded. Each data file has a text file beside it with its source
and licence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastnn import elsewhere
from fastnn.listing import names_of

__all__ = [
    "load_digits",
]

__dir__ = names_of(__all__)


def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """1,797 images of handwritten digits.

    Returns:
        x: (1797, 64) uint8, 8 x 8 pixels row by row, 0 (paper) to 16 (ink);
            `x.reshape(-1, 8, 8)` are the images.
        y: (1797,) uint8, the digits 0 to 9.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits" (1998), UCI
    Machine Learning Repository, https://doi.org/10.24432/C50P49, the file optdigits.tes, under
    the licence Creative Commons Attribution 4.0 (CC BY 4.0).
    """
    # Imported here because it would be a third of the time that `import fastnn` takes.
    from pathlib import Path

    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        return file["x"], file["y"]


if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "datasets")
