"""Sparse rows: a matrix of SciPy as rows of a network, of which no more than some are ever dense."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import _core

Array = NDArray[Any]


def is_sparse(value: object) -> bool:
    """Whether it is a matrix or an array of SciPy's sparse kinds, which need not be imported."""
    return hasattr(value, "tocsr") and hasattr(value, "nnz")


class SparseRows:
    """Rows of a sparse matrix, of numbers in float32 or float64, as native code reads them.

    A matrix in CSR form of one of these types, with its columns in ascending order, each once in a
    row, keeps its numbers where they are; its columns are copied. Any other is converted.

    Args:
        name: of the argument, for messages.
        matrix: of SciPy, (n, features), of real numbers.

    Raises:
        TypeError: the numbers are complex, or objects.
        ValueError: it has not 2 axes, or more columns than 32 bits count.
    """

    ndim = 2

    def __init__(self, name: str, matrix: Any) -> None:
        if len(matrix.shape) != 2:
            raise ValueError(
                f"{name}: expected a sparse matrix of 2 axes, got shape {matrix.shape}"
            )
        if matrix.dtype.kind not in "biuf":
            raise TypeError(
                f"{name}: expected numbers, got a sparse matrix of dtype {matrix.dtype}"
            )
        csr = matrix.tocsr()
        if csr.dtype not in (np.float32, np.float64):
            csr = csr.astype(np.float64)
        if not csr.has_canonical_format:
            csr = csr.copy()
            csr.sum_duplicates()
        self.shape: tuple[int, int] = (int(csr.shape[0]), int(csr.shape[1]))
        if self.shape[1] > np.iinfo(np.int32).max:
            raise ValueError(f"{name}: expected at most 2**31 - 1 columns, got {self.shape[1]}")
        self.dtype = csr.dtype
        self.matrix = csr
        self.native = _core.SparseMatrix(
            np.ascontiguousarray(csr.data[: csr.nnz]),  # there may be room for more
            np.ascontiguousarray(csr.indices[: csr.nnz], np.int32),
            np.ascontiguousarray(csr.indptr, np.int64),
            self.shape[1],
        )

    def told(self, rows: NDArray[np.int64]) -> list[bytes]:
        """What tells some rows apart from others: all their columns and numbers, and the count of all."""
        some = self.matrix[rows]
        parts = (some.indptr, np.int64), (some.indices, np.int64), (some.data, some.dtype)
        told = [np.ascontiguousarray(part, kind).tobytes() for part, kind in parts]
        return [repr((self.shape, int(self.matrix.nnz))).encode(), *told]

    @property
    def size(self) -> int:
        """The number of elements, zeros counted."""
        return self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Array:
        """One row (features,), or some rows (k, features), as an array."""
        one = np.ndim(index) == 0 and not isinstance(index, slice)
        # A sparse array gives a row of one axis for a number, a sparse matrix one of two.
        found: Array = self.matrix[[index] if one else index].toarray()
        return found[0] if one else found
