"""CSV files with names of columns: how they are laid out is found, and records are read some at a time.

What a field means is in `kinds`. Errors name the file and the line, counted from 1.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import itertools
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Any, Literal, NamedTuple

from fastnn.commands.told import shown

Header = Literal["auto", "yes", "no"]

_DELIMITERS = "\t;|,"  # of two that fit as well, the earlier
_GZIP, _PARQUET, _ZIP = b"\x1f\x8b", b"PAR1", b"PK\x03\x04"
_WIDE = (b"\xff\xfe", b"\xfe\xff")  # byte order marks of UTF-16
_SAMPLE_LINES, _SAMPLE_LETTERS = 100, 1 << 18
_LONGEST_LINE = 1 << 26
_FIELDS_AT_A_TIME = 1 << 17
_LINE_END = re.compile("\r\n|\r|\n")


class Reading(NamedTuple):
    """How a CSV file is read; None: as it seems to be."""

    delimiter: str | None = None
    header: Header = "auto"
    encoding: str | None = None


AS_IT_SEEMS = Reading()


@contextlib.contextmanager
def opened(path: str, again: bool = False) -> Iterator[IO[bytes]]:
    """The bytes of a file, which may be a pipe; "-": of standard input, which stays open.

    `again`: it can be read a second time, after `seek(0)`; what a pipe gives is then copied to a
    temporary file that has no name.
    """
    with contextlib.ExitStack() as stack:
        raw: Any
        if path == "-":
            if sys.stdin is None:
                raise OSError("there is no standard input")
            raw = sys.stdin.buffer
            if not hasattr(raw, "peek"):  # a program may stand any file there
                raw = io.BufferedReader(raw)
                stack.callback(raw.detach)
        else:
            raw = stack.enter_context(open(path, "rb"))  # noqa: PTH123 - pathlib is slow to import
        if is_parquet(raw) or again:  # a file of Parquet begins at its end
            raw = _seekable(raw, stack)
        yield raw


def _seekable(raw: Any, stack: contextlib.ExitStack) -> Any:
    if raw.seekable() and raw.tell() == 0:
        return raw
    copied: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - it is one
    shutil.copyfileobj(raw, copied)
    copied.seek(0)
    return copied


def is_parquet(file: IO[bytes]) -> bool:
    """Whether a file begins as one of Parquet does."""
    return _begin(file).startswith(_PARQUET)


def _begin(file: Any) -> bytes:
    found: bytes = file.peek(4)[:4]
    return found


class Records(NamedTuple):
    """Some records one after the other."""

    fields: list[list[str]]
    first_line: int
    file: str

    def line(self, record: int) -> int:
        """The line on which a record of these begins."""
        before = itertools.chain.from_iterable(self.fields[:record])
        inside = sum(len(_LINE_END.findall(field)) for field in before if not field.isprintable())
        return self.first_line + record + inside

    def place(self, record: int, column: str) -> str:
        return f"{self.file}: line {self.line(record)}, column {shown(column)}"


class CsvFile:
    """A CSV file. `names`: of its columns, from its first line.

    Args:
        name: of the file, for errors.
        file: its bytes, by gzip or not.
        reading: what is known of its layout.

    Raises:
        ValueError: it is empty, no text, or its first line has no names, empty ones or one twice.
    """

    def __init__(self, name: str, file: IO[bytes], reading: Reading = AS_IT_SEEMS) -> None:
        self.name = name
        text = self._text(file, reading)
        with self._faults(lambda: 1):
            sample = _sample(text)
        if len(sample) == 1 and len(sample[0]) >= _LONGEST_LINE:
            raise ValueError(
                f"{name}: line 1 has more than {_LONGEST_LINE:,} letters: expected CSV"
            )
        self.delimiter, quote = _layout(sample, reading.delimiter)
        self._reader = csv.reader(
            itertools.chain(sample, text),
            delimiter=self.delimiter,
            quotechar=quote,
            skipinitialspace=self.delimiter != " ",
            strict=True,
        )
        first: list[str] = []
        with self._faults(lambda: 1):
            first = next((fields for fields in self._reader if fields), [])
        if not first:
            raise ValueError(f"{name}: the file is empty")
        self._put_back: list[list[str]] = []
        self._line = self._reader.line_num + 1
        if reading.header == "no":
            self.names = [str(i) for i in range(len(first))]
            self._put_back = [first]
            self._line -= 1 + sum(len(_LINE_END.findall(field)) for field in first)
            return
        self.names = [field.strip() for field in first]
        if reading.header == "auto":
            self._check_header()
        self._check_names()

    def _text(self, file: Any, reading: Reading) -> io.TextIOWrapper:
        begin = _begin(file)
        if begin.startswith(_GZIP):
            file = io.BufferedReader(gzip.GzipFile(fileobj=file))
            with self._faults(lambda: 1):
                begin = _begin(file)
        if begin.startswith(_ZIP):
            raise ValueError(f"{self.name}: expected CSV, got a zip archive or a workbook (.xlsx)")
        encoding = reading.encoding or "utf-8-sig"
        if begin.startswith(_WIDE) and reading.encoding is None:
            encoding = "utf-16"
        try:
            # The file is closed where it was opened, not with this object.
            return _Kept(file, encoding, newline="")
        except LookupError:
            raise ValueError(f"--encoding: there is no encoding {encoding!r}") from None

    @contextlib.contextmanager
    def _faults(self, line: Any) -> Iterator[None]:
        """Errors of text, CSV and gzip as those of a line of this file."""
        try:
            yield
        except csv.Error as error:
            told = str(error)
            if "unexpected end" in told or "larger than field limit" in told:
                told += " (a quotation mark that is not closed?)"
            raise ValueError(f"{self.name}: line {line()}: {told}") from None
        except UnicodeError as error:
            told = getattr(error, "reason", str(error))
            encoding = getattr(error, "encoding", "utf-8")
            raise ValueError(
                f"{self.name}: near line {line()}: not {encoding}: {told}; --encoding says which "
                "other encoding the file has, such as latin-1"
            ) from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{self.name}: near line {line()}: {error}") from None

    def _check_header(self) -> None:
        numbers = [_is_number(name) for name in self.names]
        counted = self.names == [str(i) for i in range(len(self.names))]
        fractions = any(
            n and not name.isdigit() for n, name in zip(numbers, self.names, strict=True)
        )
        if (all(numbers) and not counted) or fractions:
            given = ", ".join(map(shown, self.names))
            raise ValueError(
                f"{self.name}: line 1: expected names of columns, got {given:.80}; --header no "
                "numbers the columns from 0, --header yes takes these as names"
            )

    def _check_names(self) -> None:
        seen: dict[str, int] = {}
        for i, name in enumerate(self.names, start=1):
            if not name:
                hint = " (an index? to_csv(index=False) of pandas writes none)" if i == 1 else ""
                raise ValueError(f"{self.name}: line 1: column {i} has no name{hint}")
            if name in seen:
                raise ValueError(
                    f"{self.name}: line 1: columns {seen[name]} and {i} have the same name, "
                    f"{shown(name)}"
                )
            seen[name] = i

    def records(self) -> Iterator[Records]:
        """All records, some at a time; lines without a letter are none.

        Raises:
            ValueError: a record has more or fewer fields than there are columns, or is no CSV.
        """
        most = max(1, _FIELDS_AT_A_TIME // len(self.names))
        while True:
            fields, self._put_back = self._put_back, []
            found = Records(fields, self._line, self.name)
            with self._faults(lambda: found.line(len(found.fields))):  # noqa: B023 - called at once
                # What was read before an error stays in the list.
                fields.extend(itertools.islice(self._reader, most - len(fields)))
            if not fields:
                return
            self._line = self._reader.line_num + 1
            yield from self._checked(found)

    def _checked(self, found: Records) -> Iterator[Records]:
        """The records, in parts where empty lines are between them."""
        width = len(self.names)
        if all(len(fields) == width for fields in found.fields):
            yield found
            return
        start = 0
        for i, fields in enumerate([*found.fields, []]):
            if not fields:
                if i > start:
                    yield Records(found.fields[start:i], found.line(start), self.name)
                start = i + 1
            elif len(fields) != width:
                if i > start:  # so that what is answered for rows before an error is the same
                    yield Records(found.fields[start:i], found.line(start), self.name)
                given = self.delimiter.join(fields)
                raise ValueError(
                    f"{self.name}: line {found.line(i)}: expected {width} fields, got {len(fields)}: "
                    f"{shown(given[:60])}"
                )


class _Kept(io.TextIOWrapper):
    """Text over a file that another closes."""

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.detach()


def _sample(text: IO[str]) -> list[str]:
    """The first lines."""
    found: list[str] = []
    letters = 0
    while len(found) < _SAMPLE_LINES and letters < _SAMPLE_LETTERS:
        line = text.readline(_LONGEST_LINE)
        if not line:
            break
        found.append(line)
        letters += len(line)
    return found


def _layout(lines: Sequence[str], delimiter: str | None) -> tuple[str, str]:
    """The delimiter and the quotation mark."""
    quote = '"'
    text = "".join(lines)
    if '"' not in text and "'" in text:
        for candidate in delimiter or _DELIMITERS:
            fields = [field.strip() for field in lines[0].split(candidate)]
            if all(len(f) > 2 and f[0] == f[-1] == "'" for f in fields):
                quote = "'"
    if delimiter is not None:
        return delimiter, quote
    best, found = (0.0, 0), ","
    for candidate in _DELIMITERS:
        widths = _widths(lines, candidate, quote)
        if widths and widths[0] > 1:
            fit = widths.count(widths[0]) / len(widths), widths[0]
            if fit > best:
                best, found = fit, candidate
    return found, quote


def _widths(lines: Sequence[str], delimiter: str, quote: str) -> list[int]:
    found: list[int] = []
    reader = csv.reader(lines, delimiter=delimiter, quotechar=quote, skipinitialspace=True)
    with contextlib.suppress(csv.Error):
        found.extend(len(fields) for fields in reader if fields)
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.lower() not in ("nan", "inf", "infinity")
