"""Tables and columns of pandas, polars and Arrow, as arrays of numbers.

None of these libraries is imported: their objects are recognised by their attributes. A missing
value (NA, null) is no number; it is refused, or becomes NaN where the caller asks for that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Column(NamedTuple):
    """One column of a table, or a column that stands alone."""

    label: object  # None: it has none
    dtype: object
    values: Any
    missing: NDArray[np.bool_] | None  # None: no value is missing

    @property
    def named(self) -> str:
        """The label and the type, for messages."""
        return f"dtype {self.dtype}" if self.label is None else f"{self.label!r} ({self.dtype})"

    def array(self) -> Array:
        """The values; missing ones as NaN."""
        dtype: Any = getattr(self.dtype, "numpy_dtype", getattr(self.dtype, "subtype", None))
        if dtype is None or not hasattr(self.values, "isna"):
            array = np.asarray(self.values)
            # Bools with gaps come as Python objects.
            return array if self.missing is None else np.asarray(array, dtype=np.float64)
        # Of pandas: np.asarray gives Python objects in some versions.
        if self.missing is None:
            return np.asarray(self.values.to_numpy(dtype=dtype))
        return np.asarray(self.values.to_numpy(dtype=np.float64, na_value=np.nan))


class Table(NamedTuple):
    """A table, or one column, of another library."""

    source: Any
    columns: list[Column]  # none: NumPy itself makes the array
    framed: bool  # (rows, columns), not (rows,)
    length: int

    def array(self, name: str, encode: str, *, missing_is_nan: bool) -> Array:
        """The numbers, in one type that holds those of all columns.

        TypeError for columns of other types, which ends with `encode`, and for missing values.
        """
        if self.framed and not self.columns:
            return np.asarray(self.source)
        if not missing_is_nan:
            self._refuse_missing(name)
        if self._alike():
            with _refused(name, self.columns[0]):
                whole = np.asarray(self.source.to_numpy())  # a view where the library has one
            if whole.dtype.kind in "biuf":
                return whole
        arrays = []
        for column in self.columns:
            with _refused(name, column):
                arrays.append(column.array())
        wrong = [
            column.named
            for column, array in zip(self.columns, arrays, strict=True)
            if array.dtype.kind not in "biuf" or array.ndim != 1
        ]
        if not self.framed and (not wrong or self.columns[0].label is None):
            return arrays[0]  # the caller refuses what holds no numbers
        if wrong:
            what = f"{name}: expected numbers, got column "
            raise TypeError(what + ", ".join(wrong) + encode)
        joined = np.empty((self.length, len(arrays)), dtype=np.result_type(*arrays))
        for i, array in enumerate(arrays):
            joined[:, i] = array
        return joined

    def _alike(self) -> bool:
        """Whether the library itself makes the array of the whole, from columns of one type."""
        return (
            self.framed
            and hasattr(self.source, "to_numpy")
            and len({str(column.dtype) for column in self.columns}) == 1
            and not any(hasattr(column.dtype, "na_value") for column in self.columns)
            and all(column.missing is None for column in self.columns)
        )

    def _refuse_missing(self, name: str) -> None:
        found = [column for column in self.columns if column.missing is not None]
        if not found:
            return
        row = min(int(column.missing.argmax()) for column in found if column.missing is not None)
        where = ", ".join(column.named for column in found)
        place = where if found[0].label is None else f"column {where}"
        raise TypeError(
            f"{name}: fill in the missing values (NA, the first at row {row}) of {place}"
        )


@contextlib.contextmanager
def _refused(name: str, column: Column) -> Iterator[None]:
    """Makes errors of a library, which has types that NumPy lacks, errors about `name`."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        what = column.named if column.label is None else f"column {column.named}"
        raise TypeError(f"{name}: {what} does not become an array of NumPy: {error}") from error


def table_of(value: Any) -> Table | None:
    """The table or column that `value` is; None: it is neither."""
    if hasattr(value, "column_names") and hasattr(value, "num_rows"):
        named = zip(value.column_names, value.columns, strict=True)
        columns = [_arrow(label, column) for label, column in named]
        return Table(value, columns, True, value.num_rows)
    if hasattr(value, "null_count") and hasattr(value, "type"):
        return Table(value, [_arrow(None, value)], False, len(value))
    if hasattr(value, "get_columns"):
        return Table(value, [_polars(column) for column in value.get_columns()], True, len(value))
    if hasattr(value, "null_count") and hasattr(value, "to_numpy"):
        return Table(value, [_polars(value)], False, len(value))
    if not (hasattr(value, "isna") and hasattr(value, "to_numpy")):
        return None
    if getattr(value, "ndim", 1) == 2 and hasattr(value, "iloc"):
        dtypes = set(value.dtypes)
        # Often a view, and a frame may have thousands of columns.
        alike = len(dtypes) == 1 and all(getattr(d, "char", "O") != "O" for d in dtypes)
        labels = () if alike else enumerate(value.columns)
        columns = [_pandas(label, value.iloc[:, i]) for i, label in labels]
        return Table(value, columns, True, len(value))
    return Table(value, [_pandas(getattr(value, "name", None), value)], False, len(value))


def _arrow(label: object, column: Any) -> Column:
    missing = np.asarray(column.is_null()) if column.null_count else None
    return Column(label, column.type, column, missing)


def _polars(column: Any) -> Column:
    missing = column.is_null().to_numpy() if column.null_count() else None
    return Column(column.name or None, column.dtype, column, missing)


def _pandas(label: object, column: Any) -> Column:
    # In a type of NumPy's a missing value is NaN, a number like any other.
    missing = None if isinstance(column.dtype, np.dtype) else np.asarray(column.isna())
    return Column(
        label, column.dtype, column, None if missing is None or not missing.any() else missing
    )
