"""Frame: any table as named columns of four kinds. Nothing is fitted here (see `encoding`).

Tables of pandas, polars and Arrow are recognised by their attributes, and none of these libraries is
imported, but for pyarrow where a table of another library offers itself as an Arrow stream alone.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fastnn.arrays.device import on_device

Array = NDArray[Any]
Kind = Literal["number", "category", "boolean", "date"]

_DAY = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?")
_SECONDS = np.timedelta64(1, "s")


class FrameColumn(NamedTuple):
    """A column of a table.

    `values`: float64 with NaN for gaps (numbers; booleans as 0 and 1; dates as seconds since 1970),
    or int32 numbers of `levels` with -1 for gaps (categories).
    """

    name: str
    kind: Kind
    values: Array
    levels: tuple[str, ...] = ()
    texts: Array | None = None
    """What dates were read from, None for gaps; None: the table had dates, or it is no column of dates."""

    @property
    def is_empty(self) -> bool:
        """Whether there are rows, and gaps alone."""
        gaps = self.values < 0 if self.kind == "category" else np.isnan(self.values)
        return len(gaps) > 0 and bool(gaps.all())


class Frame:
    """The columns of a table.

        >>> from fastnn.data.frame import Frame
        >>> frame = Frame.of({"size": [1.5, None], "colour": ["red", "blue"]})
        >>> [(column.name, column.kind, column.levels) for column in frame.columns]
        [('size', 'number', ()), ('colour', 'category', ('blue', 'red'))]
        >>> frame.columns[0].values.tolist()
        [1.5, nan]

    Args:
        columns: all of one length.
        named: whether the table itself has the names.
        length: the number of rows.

    Attributes:
        columns, named, length.
        names: of the columns; "x0", "x1", ... where the table has none.
    """

    def __init__(self, columns: Sequence[FrameColumn], *, named: bool, length: int) -> None:
        self.columns = list(columns)
        self.named = named
        self.length = length

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    def __len__(self) -> int:
        return self.length

    @classmethod
    def of(cls, value: Any) -> Self:
        """The columns of a table.

            >>> from fastnn.data.frame import Frame
            >>> Frame.of([[1.0, 2.0], [3.0, 4.0]]).names
            ['x0', 'x1']

        Numbers of any width are numbers, also in arrays of Python objects; None, NaN, NA and NaT are
        gaps. Strings, and types for categories, are categories, whose levels are texts in their order; a
        column in which every text is a date of ISO 8601 (2024-05-31, 2024-05-31 17:05:00) is one of
        dates, as are times of NumPy, pandas, polars and `datetime`.

        Args:
            value: a pandas, polars or Arrow table, a mapping of names to columns, a structured array,
                or an array (n, columns).

        Raises:
            TypeError: sparse matrices, arrays of a device, complex numbers, other objects.
            ValueError: it has not two axes, columns of different lengths, or infinity.
        """
        named, pairs, length = _pairs(value)
        columns = [_column(name, column) for name, column in pairs]
        for column in columns:
            if len(column.values) != length:
                raise ValueError(
                    f"X: columns have different lengths: {column.name!r} has {len(column.values)} "
                    f"rows, others {length}"
                )
        return cls(columns, named=named, length=length)

    def take(self, rows: Any) -> Frame:
        """Some rows."""
        columns = [
            column._replace(
                values=column.values[rows],
                texts=None if column.texts is None else column.texts[rows],
            )
            for column in self.columns
        ]
        length = len(columns[0].values) if columns else self.length
        return Frame(columns, named=self.named, length=length)


def _pairs(value: Any) -> tuple[bool, list[tuple[str, Any]], int]:
    """Whether a table has names, its columns by name, and the number of its rows."""
    if hasattr(value, "tocoo") or hasattr(value, "tocsr"):
        raise TypeError(
            "X: a sparse matrix was passed, but dense data is required; use X.toarray()"
        )
    if hasattr(value, "iloc") and getattr(value, "ndim", 0) == 2:  # pandas
        labels = list(value.columns)
        named = all(isinstance(label, str) for label in labels)
        names = [str(label) for label in labels] if named else _numbered(len(labels))
        return named, [(n, value.iloc[:, i]) for i, n in enumerate(names)], len(value)
    if hasattr(value, "get_columns") and hasattr(value, "height"):  # polars
        return True, [(column.name, column) for column in value.get_columns()], value.height
    if hasattr(value, "column_names") and hasattr(value, "num_rows"):  # Arrow
        pairs = zip(value.column_names, value.columns, strict=True)
        return True, [(str(name), column) for name, column in pairs], value.num_rows
    if isinstance(value, Mapping):
        pairs_of = [(str(name), _one_axis(str(name), column)) for name, column in value.items()]
        return True, pairs_of, _length(pairs_of[0][1]) if pairs_of else 0
    if hasattr(value, "collect") and not hasattr(value, "__array__"):
        raise TypeError("X: lazy frames are not taken; use X.collect()")
    if hasattr(value, "__arrow_c_stream__") and not hasattr(value, "__array__"):
        return _pairs(_by_arrow(value))
    return _pairs_of_array(value)


def _by_arrow(value: Any) -> Any:
    try:
        import pyarrow as pa
    except ImportError:
        raise TypeError(
            f"X: reading a {type(value).__name__} takes pyarrow, which is not installed; pass a "
            "table of pandas or polars, or a dict of arrays"
        ) from None
    return pa.table(value)


def _pairs_of_array(value: Any) -> tuple[bool, list[tuple[str, Any]], int]:
    if on_device(value):
        raise TypeError("X: lies on a device; expected a table or an array of the host")
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    if array.dtype.kind in "US" and not isinstance(value, np.ndarray):
        array = np.asarray(value, dtype=object)  # lists of numbers and texts side by side
    if isinstance(array, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(array)
        array = array.data.astype(object) if mask.any() else array.data
        array[mask] = None
    if array.dtype.names is not None:
        flat = array.reshape(-1)
        return True, [(name, flat[name]) for name in array.dtype.names], len(flat)
    if array.dtype.kind == "c":
        raise ValueError("X: Complex data not supported")
    if array.ndim != 2:
        raise ValueError(
            f"X: expected 2D array, got {array.ndim}D array instead: shape {array.shape}. Reshape "
            "your data either using array.reshape(-1, 1) if your data has a single feature or "
            "array.reshape(1, -1) if it contains a single sample."
        )
    names = _numbered(array.shape[1])
    return False, [(name, array[:, i]) for i, name in enumerate(names)], len(array)


def _numbered(count: int) -> list[str]:
    return [f"x{i}" for i in range(count)]


def _length(column: Any) -> int:
    return len(column.values if isinstance(column, FrameColumn) else column)


def _one_axis(name: str, column: Any) -> Any:
    if isinstance(column, FrameColumn):
        return column
    if hasattr(column, "dtype") or hasattr(column, "type"):
        values = column
    else:
        values = np.empty(len(column), object)
        values[:] = list(column)
    if getattr(values, "ndim", 1) != 1:
        raise ValueError(f"X: column {name!r}: expected one axis, got shape {values.shape}")
    return values


# -- one column


def _column(name: str, column: Any) -> FrameColumn:
    if isinstance(column, FrameColumn):
        return column._replace(name=name)
    if isinstance(column, np.ndarray):
        return _of_array(name, column)
    if hasattr(column, "isna") and hasattr(column, "iloc"):
        return _of_pandas(name, column)
    return _of_array(name, _array_of(name, column))


def _array_of(name: str, column: Any) -> Array:
    """A column of polars or Arrow, or of anything that NumPy takes."""
    try:
        if hasattr(getattr(column, "type", None), "index_type"):
            # A dictionary of Arrow, whose `to_numpy` takes gaps for its first value.
            column = column.cast(column.type.value_type)
        return np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column)
    except MemoryError:
        raise
    except Exception as why:
        raise TypeError(f"X: column {name!r} does not become an array of NumPy: {why}") from why


def _of_pandas(name: str, column: Any) -> FrameColumn:
    dtype = column.dtype
    if hasattr(dtype, "categories") and hasattr(column, "cat"):
        return _of_codes(name, column.cat.codes.to_numpy(), list(dtype.categories))
    if isinstance(dtype, np.dtype):
        return _of_array(name, column.to_numpy())
    kind = getattr(dtype, "kind", "O")
    if kind in "iuf":
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return FrameColumn(name, "number", _finite(name, values))
    if kind == "M":
        gap = np.datetime64("NaT", "ns")
        return _of_array(name, column.to_numpy(dtype="datetime64[ns]", na_value=gap))
    values = np.array(column.to_numpy(dtype=object))
    values[np.asarray(column.isna())] = None
    return _of_array(name, values)


def _of_codes(name: str, codes: Array, categories: list[Any]) -> FrameColumn:
    """A column of a type for categories; levels that no row has are left out."""
    texts = [_text(name, level) for level in categories]
    used = np.unique(codes[codes >= 0])
    levels = sorted({texts[code] for code in used})
    place = {text: i for i, text in enumerate(levels)}
    table = np.full(len(texts) + 1, -1, np.int32)
    for code in used:
        table[code] = place[texts[code]]
    return FrameColumn(name, "category", table[codes], tuple(levels))


def _of_array(name: str, array: Array) -> FrameColumn:
    if array.ndim != 1:
        raise ValueError(f"X: column {name!r}: expected one axis, got shape {array.shape}")
    kind = array.dtype.kind
    if kind == "b":
        return FrameColumn(name, "boolean", array.astype(np.float64))
    if kind in "iuf":
        return FrameColumn(name, "number", _finite(name, array.astype(np.float64)))
    if kind == "M":
        return FrameColumn(name, "date", _seconds(array))
    if kind == "m":
        gaps = np.isnat(array)
        return FrameColumn(name, "number", np.where(gaps, np.nan, array / _SECONDS))
    if kind in "UST":
        return _of_texts(name, array.astype(object), np.zeros(len(array), bool))
    if kind == "O":
        return _of_objects(name, array)
    if kind == "c":
        raise ValueError(f"X: column {name!r}: Complex data not supported")
    raise TypeError(f"X: column {name!r}: expected numbers, texts or dates, got {array.dtype}")


def _finite(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    wrong = np.isinf(values)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"X: column {name!r}: expected finite numbers or gaps, got infinity (inf) at row {row}"
        )
    return values


def _seconds(array: Array) -> NDArray[np.float64]:
    gaps = np.isnat(array)
    since = (array - np.datetime64(0, "s")) / _SECONDS
    return np.where(gaps, np.nan, since)


def _is_missing(value: Any) -> bool:
    """None, NaN, NaT, and NA of pandas, which is not imported."""
    if value is None:
        return True
    if isinstance(value, (str, bytes, bool)):
        return False
    if type(value).__name__ in ("NAType", "NaTType"):
        return True
    try:
        return bool(value != value)  # noqa: PLR0124 - NaN alone
    except (TypeError, ValueError):
        return False


def _of_objects(name: str, array: Array) -> FrameColumn:
    missing = np.fromiter((_is_missing(value) for value in array), bool, len(array))
    there = array[~missing]
    kinds = {type(value) for value in there}
    if not kinds:
        return FrameColumn(name, "number", np.full(len(array), np.nan))
    if kinds <= {bool, np.bool_}:
        return FrameColumn(name, "boolean", _filled(array, missing))
    if all(_is_number(kind) for kind in kinds):
        return FrameColumn(name, "number", _finite(name, _filled(array, missing)))
    if all(issubclass(kind, (dt.date, np.datetime64)) for kind in kinds):
        dates = np.full(len(array), "NaT", "datetime64[us]")
        dates[~missing] = [_in_utc(value) for value in there]
        return FrameColumn(name, "date", _seconds(dates))
    return _of_texts(name, array, missing)


def _is_number(kind: type) -> bool:
    if issubclass(kind, (bool, int, float, np.integer, np.floating, np.bool_)):
        return True
    return kind.__module__ in ("decimal", "_pydecimal", "fractions") and hasattr(kind, "__float__")


def _in_utc(value: Any) -> Any:
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC).replace(tzinfo=None)
    return value


def _filled(array: Array, missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    values = np.full(len(array), np.nan)
    there = array[~missing]
    try:
        values[~missing] = there.astype(np.float64)
    except OverflowError:  # an integer, or a fraction, beyond all numbers of float64
        values[~missing] = [_number(value) for value in there]
    return values


def _number(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def _of_texts(name: str, array: Array, missing: NDArray[np.bool_]) -> FrameColumn:
    texts = [_text(name, value) for value in array[~missing]]
    if texts and all(_DAY.fullmatch(text) for text in texts):
        dates = np.full(len(array), "NaT", "datetime64[us]")
        try:
            dates[~missing] = np.array(texts, dtype="datetime64[us]")
        except ValueError:  # digits of no date, such as a month 13
            pass
        else:
            kept = np.full(len(array), None, object)
            kept[~missing] = texts
            return FrameColumn(name, "date", _seconds(dates), texts=kept)
    return _category(name, texts, missing)


def category(name: str, texts: Array) -> FrameColumn:
    """Texts (n,), None for gaps, as a category, also where all of them are dates."""
    missing = np.fromiter((text is None for text in texts), bool, len(texts))
    return _category(name, [str(text) for text in texts[~missing]], missing)


def _category(name: str, texts: list[str], missing: NDArray[np.bool_]) -> FrameColumn:
    levels = sorted(set(texts))
    place = {text: i for i, text in enumerate(levels)}
    codes = np.full(len(missing), -1, np.int32)
    codes[~missing] = [place[text] for text in texts]
    return FrameColumn(name, "category", codes, tuple(levels))


def _text(name: str, value: Any) -> str:
    """The text of a level; numbers that are whole have the same one as integers and floats."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):  # also those that a float would round
        return str(int(value))
    if _is_number(type(value)):
        return text_of_number(float(value))
    if isinstance(value, (dt.date, dt.time, np.datetime64)) or hasattr(value, "left"):
        return str(value)  # an interval of pandas has two ends
    raise TypeError(
        f"X: column {name!r}: a value of a column, an argument must be a string or a number, got "
        f"{type(value).__name__}"
    )


def text_of_number(value: float) -> str:
    """A number as the text of a level: 3.0 is "3"."""
    return str(int(value)) if abs(value) < 2**63 and value == int(value) else repr(value)


def as_kind(column: FrameColumn, kind: str) -> FrameColumn:
    """A column as one of another kind, where that means something. All are "empty": numbers that are gaps.

    Raises:
        ValueError: it does not.
    """
    if kind == "empty":
        return FrameColumn(column.name, "number", np.full(len(column.values), np.nan))
    if column.kind == kind:
        return column
    if kind == "category" and column.texts is not None:  # these rows have texts of dates alone
        return category(column.name, column.texts)
    values = column.values
    if column.kind != "category" and bool(np.isnan(values).all()):  # gaps are of every kind
        if kind == "category":
            return column._replace(kind="category", values=np.full(len(values), -1, np.int32))
        return column._replace(kind=kind)  # type: ignore[arg-type]
    if column.kind in ("boolean", "number") and kind in ("boolean", "number"):
        return column._replace(kind=kind)  # type: ignore[arg-type]
    if kind == "category" and column.kind in ("boolean", "number"):
        gaps = np.isnan(values)
        found = np.unique(values[~gaps])
        if column.kind == "boolean":
            texts = [str(bool(value)) for value in found]
        else:
            texts = [text_of_number(float(value)) for value in found]
        levels = sorted(texts)
        place = np.array([levels.index(text) for text in texts], np.int32)
        codes = np.full(len(values), -1, np.int32)
        codes[~gaps] = place[np.searchsorted(found, values[~gaps])]
        return FrameColumn(column.name, "category", codes, tuple(levels))
    told = {"category": "texts", "number": "numbers", "boolean": "booleans", "date": "dates"}
    example = f", such as {column.levels[0]!r}" if column.levels else ""
    raise ValueError(
        f"X: column {column.name!r}: fit had {told[kind]}, and these are {told[column.kind]}{example}"
    )
