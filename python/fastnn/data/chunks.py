"""Chunks: data larger than memory, as `fit`, `evaluate` and `predict` take it. No model is known here."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fastnn.arrays.host import numeric
from fastnn.data.chunk import Chunk, Source
from fastnn.data.feed import kind_of
from fastnn.data.filling import Filling
from fastnn.data.npy_files import FileSource, NpyFile, NpzFile, Packed, PackedSource
from fastnn.data.own_chunks import IterableSource, SequenceSource
from fastnn.data.parquet_chunks import ParquetSource
from fastnn.data.structures import parts
from fastnn.data.windows import Windows
from fastnn.listing import Listed
from fastnn.words import integer, keywords
from fastnn.words import path as path_of

# Bytes of x in a window where no number of rows is said.
_WINDOW_BYTES = 1 << 26


class Chunks(Listed):
    """Rows that do not fit in memory, read in chunks while a model trains on those before.

        >>> x = np.linspace(-1, 1, 400, dtype=np.float32)[:, None]
        >>> np.save("x.npy", x)
        >>> np.save("y.npy", 3 * x + 1)
        >>> chunks = fastnn.data.Chunks("x.npy", "y.npy", window=200)
        >>> chunks
        <Chunks of 400 rows, window=200>
        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
        >>> model.compile(fastnn.optimizers.SGD(0.1), "mean_squared_error")
        >>> history = model.fit(chunks, epochs=10, verbose=0)
        >>> [array.round(1).tolist() for array in model.get_weights()]
        [[[3.0]], [1.0]]

    `fit`, `evaluate` and `predict` take it as x, and `fit` as validation_data, with the meaning that
    arrays have: full batches across the borders of chunks, weights and classes, validation, callbacks,
    training that goes on in the middle of an epoch. Chunks are joined to *windows*. While the model
    trains on one window, one thread reads the next, so two windows are in memory. With
    `shuffle=True` chunks come in a random order, and batches are drawn from a window in a
    random order; rows left over begin the next window. That order is a function of the model's seed and
    the number of the epoch. Without shuffling the bits are those of `fit` on arrays; with it, too, where
    files or arrays of known length fit in one window. Values of a window are checked before its
    own steps; an error names the file and the row.

    Args:
        source: what to read, one of
            - the path of a .npy of x (then y is one, too), of a .npz, or of a Parquet file
              (pyarrow reads its row groups, which are the chunks), or a list of such paths;
              for several inputs a dictionary of paths, or of lists of them;
            - an array or a memory map of x;
            - an object with len() and [i] that gives (x, y) or (x, y, sample_weight), such as a list;
              something to iterate over that gives these, or a function that returns such;
              each item is a chunk.
        y: for .npy and arrays what source is for x. Of .npz the name of the array, default "y"
            if there is one; of Parquet the name of the column, or a list of several.
        sample_weight: the same; of .npz default "sample_weight" if there is one.
        x: of .npz the name of the array, default "x", or a list of several inputs; of Parquet the
            columns, default all others.
        rows: rows of a chunk of .npy, of .npz that is not compressed (a compressed one is a chunk)
            and of arrays; None: about 4 MB of x.
        window: rows of a window, at least; it takes whole chunks, and has at least a batch. None:
            64 MiB of x. Larger windows mix rows better; what is in memory is two of them.

    Raises:
        TypeError, ValueError: the source, or the form of a file, cannot be read. A file that ends too
            early is named, and its row.
        ImportError: Parquet, and pyarrow is not installed.
        OSError: a file cannot be read.
    """

    _inside: ClassVar[Iterable[str]] = ("again", "apart", "first", "labels", "layout", "windows")

    @keywords()
    def __init__(
        self,
        source: object,
        y: object = None,
        sample_weight: object = None,
        *,
        x: str | Sequence[str] | None = None,
        rows: int | None = None,
        window: int | None = None,
    ) -> None:
        self._rows = None if rows is None else integer("rows", rows)
        self._window = None if window is None else integer("window", window)
        self._head: list[Chunk] = []  # of a source that is read once
        self._few: Chunk | None = None
        self._source = self._source_of(source, y, sample_weight, x)

    def __repr__(self) -> str:
        rows = "rows" if self.length is None else f"{self.length} rows"
        return f"<Chunks of {rows}, window={self._window}>"

    @property
    def length(self) -> int | None:
        """The number of rows; None where it is not known before they are read.

        >>> fastnn.data.Chunks(np.zeros((5, 2)), np.zeros(5)).length
        5
        """
        rows = self._source.rows
        return None if rows is None else sum(rows)

    # -- what is read

    def _source_of(self, source: Any, y: Any, weights: Any, x: Any) -> Source:
        kinds = {_suffix(path) for path in _paths(source)}
        if len(kinds) > 1:
            raise ValueError(f"source: expected files of one kind, got {', '.join(sorted(kinds))}")
        kind = next(iter(kinds), None)
        if kind not in (".npz", ".parquet", ".pq") and x is not None:
            raise ValueError("x: names arrays of .npz and columns of Parquet alone")
        if kind == ".npy":
            return self._npy(source, y, weights)
        if kind == ".npz":
            return self._npz(_paths(source), y, weights, x)
        if kind is not None and kind not in (".parquet", ".pq"):
            raise ValueError(f"source: expected .npy, .npz or .parquet, got {_paths(source)[0]!r}")
        if kind is not None:
            columns = [x] if isinstance(x, str) else x
            return ParquetSource(_paths(source), columns, y, weights)
        return self._own(source, y, weights)

    def _npy(self, source: Any, y: Any, weights: Any) -> Source:
        def listed(name: str, given: Any) -> list[Any]:
            """For each file its array, or the structure of these."""
            if given is None:
                return []
            if isinstance(given, Mapping):
                each = {key: listed(f"{name}[{key!r}]", value) for key, value in given.items()}
                if len({len(files) for files in each.values()}) > 1:
                    raise ValueError(f"{name}: expected as many files of each")
                together = zip(*each.values(), strict=True)
                return [dict(zip(each, files, strict=True)) for files in together]
            paths = _paths(given)
            return [NpyFile(p) for p in paths] if paths else [numeric(name, given)]

        xs, ys, ws = listed("source", source), listed("y", y), listed("sample_weight", weights)
        for name, files in (("y", ys), ("sample_weight", ws)):
            if files and len(files) != len(xs):
                raise ValueError(f"{name}: expected {len(xs)} files, as of x, got {len(files)}")
        none = [None] * len(xs)
        names = [_name(part) for part in xs]
        return FileSource(list(zip(xs, ys or none, ws or none, strict=True)), names, self._rows)

    def _npz(self, paths: Sequence[str], y: Any, weights: Any, x: Any) -> Source:
        groups = []
        for path in paths:
            file = NpzFile(path)

            def found(name: Any, default: str, *, must: bool, file: NpzFile = file) -> Any:
                if name is None:
                    return file.array(default) if must or default in file.names else None
                if isinstance(name, str):
                    return file.array(name)
                return [file.array(one) for one in name]

            groups.append(
                (
                    found(x, "x", must=True),
                    found(y, "y", must=False),
                    found(weights, "sample_weight", must=False),
                )
            )
        leaves = [leaf for group in groups for part in group for leaf in _flat(part)]
        if any(isinstance(leaf, Packed) for leaf in leaves):
            return PackedSource(groups, paths)
        return FileSource(groups, paths, self._rows)

    def _own(self, source: Any, y: Any, weights: Any) -> Source:
        if callable(source) and not hasattr(source, "shape"):
            made, kind = source, "iterable"
        else:
            kind = kind_of(source) or ""
            if isinstance(source, (list, tuple)) and _are_chunks(source):
                kind = "indexed"
            made = lambda: source
        if not kind:
            return self._arrays(source, y, weights)
        for name, given in (("y", y), ("sample_weight", weights)):
            if given is not None:
                raise ValueError(f"{name}: let each chunk be (x, y) or (x, y, sample_weight)")
        if kind == "indexed":
            return SequenceSource(source)
        return IterableSource(made, again=kind == "iterable")

    def _arrays(self, source: Any, y: Any, weights: Any) -> Source:
        def array(name: str, given: Any) -> Any:
            if given is None:
                return None
            if isinstance(given, Mapping):
                return {key: one(f"{name}[{key!r}]", part) for key, part in given.items()}
            if isinstance(given, (list, tuple)) and _are_arrays(given):
                return [one(name, part) for part in given]
            return one(name, given)

        def one(name: str, given: Any) -> Any:
            found = numeric(name, given, missing_is_nan=name == "y")
            if found.ndim == 0:
                raise ValueError(f"{name}: expected rows, got a single number")
            return found

        if source is None or isinstance(source, Chunks):
            told = "None" if source is None else "Chunks"
            raise TypeError(f"source: expected files, arrays or chunks, got {told}")
        group = (array("x", source), array("y", y), array("sample_weight", weights))
        return FileSource([group], [""], self._rows)

    # -- how it is read

    def first(self) -> Chunk:
        """A few rows of the first chunk that has any, in memory. A chunk of a source that is read
        once is kept for the pass that comes.

        ValueError where there are no rows.
        """
        if self._source.again:
            if self._few is None:
                self._few = _few_of(self._source.every())[0]
            return self._few
        if not self._head:
            few, chunk = _few_of(self._source.every(), "the chunks are empty, or were read before")
            self._head = [chunk]
            return few
        return _few_of(iter(self._head))[0]

    def windows(
        self, batch: int, shuffled: tuple[int, int] | None = None, first_step: int = 0
    ) -> Windows:
        """The windows of a pass: see `Windows`."""
        head, self._head = self._head, []
        return Windows(self._source, self._rows_of_window(), batch, shuffled, first_step, head)

    def labels(self) -> Iterator[Chunk]:
        """All chunks, of which x may be None."""
        source = self._source
        if source.apart and source.count is not None:
            return (source.labels(i) for i in range(source.count))
        return source.every()

    @property
    def again(self) -> bool:
        """Whether it can be read more than once."""
        return self._source.again

    @property
    def apart(self) -> bool:
        """Whether labels are read without x."""
        return self._source.apart

    @property
    def layout(self) -> str:
        """What tells it apart from chunks that make other windows."""
        told = repr((self._rows_of_window(), self._source.layout()))
        return f"{zlib.crc32(told.encode()):08x}"

    def _rows_of_window(self) -> int:
        if self._window is None:
            x = self.first().x
            bytes_of_row = sum(part.nbytes // max(1, len(part)) for part in parts(x))
            self._window = max(1, _WINDOW_BYTES // max(1, bytes_of_row))
        return self._window


_FEW = 16


def _few_of(chunks: Iterable[Chunk], none: str = "the chunks are empty") -> tuple[Chunk, Chunk]:
    """A few rows of the first chunk that has rows, and the whole chunk; `none` says why none has."""
    for chunk in chunks:
        filling = Filling(0)
        filling.add(chunk)
        if filling.length:
            few = filling.rows(np.arange(min(filling.length, _FEW)))
            whole = Chunk(*filling.rows(slice(0, filling.length)), chunk.where, chunk.first)
            return Chunk(*few, chunk.where, chunk.first), whole
    raise ValueError(f"x: expected rows, got none: {none}")


def _paths(given: Any) -> list[str]:
    """The paths of a source; empty: it is something else."""
    if isinstance(given, Mapping):
        return [path for value in given.values() for path in _paths(value)]
    if isinstance(given, (str, os.PathLike)):
        return [path_of("source", given)]
    listed = isinstance(given, (list, tuple)) and len(given) > 0
    if listed and all(isinstance(one, (str, os.PathLike)) for one in given):
        return [path_of("source", one) for one in given]
    return []


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()  # noqa: PTH122 - pathlib takes long to import


def _name(part: Any) -> str:
    while isinstance(part, dict):
        part = next(iter(part.values()))
    return str(getattr(part, "name", "x"))


def _flat(part: Any) -> list[Any]:
    if part is None:
        return []
    return list(part) if isinstance(part, list) else [part]


def _are_chunks(given: Sequence[Any]) -> bool:
    """Whether these are tuples (x, y) or the like."""
    return len(given) > 0 and all(isinstance(one, tuple) and 1 <= len(one) <= 3 for one in given)


def _are_arrays(given: Sequence[Any]) -> bool:
    return len(given) > 0 and all(getattr(one, "ndim", 0) >= 1 for one in given)
