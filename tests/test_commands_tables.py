"""Tables in files, as the commands read them: layouts, kinds of columns, broken files, Parquet."""

from __future__ import annotations

import gzip
import io
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.commands import csv_files, kinds
from fastnn.commands.csv_files import Reading
from fastnn.commands.tables import Table, blocks_of, read_of_kinds, read_table

pytestmark = pytest.mark.cpu


def lists(table: Table) -> dict[str, list[Any]]:
    """Columns as lists, gaps as None."""
    found = {}
    for name, values in table.columns.items():
        gaps = kinds.is_gap(values)
        found[name] = [None if gap else v for v, gap in zip(values.tolist(), gaps, strict=True)]
    return found


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Writes a file, and returns its path."""

    def write(contents: str | bytes, name: str = "data.csv") -> str:
        path = tmp_path / name
        path.write_bytes(contents.encode() if isinstance(contents, str) else contents)
        return str(path)

    return write


PLAIN = "a,b,c\n1,x,2024-01-31\n2.5,y,2024-02-01\n"
EXPECTED = {"a": [1.0, 2.5], "b": ["x", "y"]}

# name: the same table as PLAIN
LAYOUTS: dict[str, str | bytes] = {
    "plain": PLAIN,
    "semicolons": PLAIN.replace(",", ";"),
    "semicolons and decimal commas": "a;b;c\n1;x;2024-01-31\n2,5;y;2024-02-01\n",
    "tabs": PLAIN.replace(",", "\t"),
    "bars": PLAIN.replace(",", "|"),
    "spaces after commas": PLAIN.replace(",", ", "),
    "spaces before commas": PLAIN.replace(",", "  ,"),
    "quotes": '"a","b","c"\n"1","x","2024-01-31"\n"2.5","y","2024-02-01"\n',
    "quotes after spaces": '"a", "b", "c"\n1, "x", "2024-01-31"\n2.5, "y", "2024-02-01"\n',
    "single quotes": "'a','b','c'\n1,'x','2024-01-31'\n2.5,'y','2024-02-01'\n",
    "Windows line ends": PLAIN.replace("\n", "\r\n"),
    "old line ends": PLAIN.replace("\n", "\r"),
    "no line end at the end": PLAIN.rstrip(),
    "empty lines": "\n" + PLAIN.replace("\n", "\n\n"),
    "a byte order mark": "\ufeff" + PLAIN,
    "UTF-16": PLAIN.encode("utf-16"),
    "gzip": gzip.compress(PLAIN.encode()),
    "gzip in two parts": gzip.compress(PLAIN[:8].encode()) + gzip.compress(PLAIN[8:].encode()),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name, written):
    table = read_table(written(LAYOUTS[name]))
    assert table.kinds == {"a": "number", "b": "text", "c": "date"}
    dates = table.columns.pop("c")
    assert lists(table) == EXPECTED
    assert dates.astype("datetime64[D]").astype(str).tolist() == ["2024-01-31", "2024-02-01"]


def test_delimiters_inside_of_other_fields(written):
    text = "a;b\n1,5;x,y\n2,5;z,z\n"
    assert lists(read_table(written(text))) == {"a": [1.5, 2.5], "b": ["x,y", "z,z"]}
    text = 'a,b\n1,"x; y, z"\n2,"p;q"\n'
    assert lists(read_table(written(text))) == {"a": [1, 2], "b": ["x; y, z", "p;q"]}
    text = 'a,b\n1,"say ""no"""\n2,"two\nlines"\n'
    assert lists(read_table(written(text))) == {"a": [1, 2], "b": ['say "no"', "two\nlines"]}
    given = Reading(delimiter=":")
    assert lists(read_table(written("a:b\n1:2\n"), given)) == {"a": [1], "b": [2]}
    given = Reading(delimiter=" ")
    assert lists(read_table(written("a b\n1 2\n"), given)) == {"a": [1], "b": [2]}


# name: (fields below the header, the kind, the values)
KINDS: dict[str, Any] = {
    "numbers": (["1", " -2.5", "3e2", "+.5"], "number", [1, -2.5, 300, 0.5]),
    "every gap": (
        ["1", "", "NA", "NaN", "nan", "null", "NULL", "?", " ", "N/A", "<NA>"],
        "number",
        [1.0] + [None] * 10,
    ),
    "gaps first": (["", "?", "7"], "number", [None, None, 7]),
    "only gaps": (["NA", "?", "NaN"], "empty", [None] * 3),
    "numbers and a word": (["1", "02", "x"], "text", ["1", "02", "x"]),
    "an underscore": (["1_000", "2"], "text", ["1_000", "2"]),
    "thousands": (['"1,000"', '"2,000"'], "text", ["1,000", "2,000"]),
    "booleans": (["true", "FALSE", "", "True"], "boolean", [True, False, None, True]),
    "booleans and a word": (["true", "maybe"], "text", ["true", "maybe"]),
    "booleans and a number": (["true", "1"], "text", ["true", "1"]),
    "words": (["x", " y ", "NA", "None"], "text", ["x", "y", None, "None"]),
    "letters": (["é", "日本", "🙂"], "text", ["é", "日本", "🙂"]),
    "a date that is none": (["2024-02-30", "2024-02-01"], "text", ["2024-02-30", "2024-02-01"]),
    "a year and a month": (["2024-02", "2024-03"], "text", ["2024-02", "2024-03"]),
    "versions": (["1.2.3", "1.2.4"], "text", ["1.2.3", "1.2.4"]),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("at_a_time", [1 << 17, 2, 4])
def test_kinds(name, at_a_time, written, monkeypatch):
    """However many rows are read at a time."""
    monkeypatch.setattr(csv_files, "_FIELDS_AT_A_TIME", at_a_time)
    fields, kind, values = KINDS[name]
    path = written("id,v\n" + "".join(f"{i},{field}\n" for i, field in enumerate(fields)))
    table = read_table(path)
    assert table.kinds["v"] == kind
    assert lists(table)["v"] == values
    again = read_of_kinds(path, table.kinds)
    assert lists(again) == lists(table)


def test_dates(written):
    fields = (
        "2024-01-31",
        "2024-01-31T12:30",
        "2024-01-31 12:30:15",
        "2024-01-31T12:30:15.5Z",
        "2024-01-31T12:30:15+02:00",
        "2024-01-31T12:30:15-0130",
        "",
    )
    expected = (
        "2024-01-31T00:00:00",
        "2024-01-31T12:30:00",
        "2024-01-31T12:30:15",
        "2024-01-31T12:30:15.5",
        "2024-01-31T10:30:15",
        "2024-01-31T14:00:15",
        "NaT",
    )
    table = read_table(written("d,x\n" + "".join(f"{field},1\n" for field in fields)))
    assert table.kinds["d"] == "date"
    np.testing.assert_array_equal(table.columns["d"], np.array(expected, "datetime64[us]"))


def test_a_word_after_many_numbers_gives_the_numbers_their_text_back(written, monkeypatch):
    """Also from a pipe, which can be read once only."""
    monkeypatch.setattr(csv_files, "_FIELDS_AT_A_TIME", 8)
    text = "code,n\n" + "".join(f"{i:04d},{i}\n" for i in range(50)) + "x,50\n"
    expected = [f"{i:04d}" for i in range(50)] + ["x"]
    table = read_table(written(text))
    assert table.kinds == {"code": "text", "n": "number"}
    assert table.columns["code"].tolist() == expected
    table = read_table(written(gzip.compress(text.encode())))
    assert table.columns["code"].tolist() == expected
    from_pipe, to_pipe = os.pipe()

    def write() -> None:
        with os.fdopen(to_pipe, "w") as stream:
            stream.write(text)

    writer = threading.Thread(target=write)
    writer.start()
    table = read_table(f"/proc/self/fd/{from_pipe}")
    writer.join()
    os.close(from_pipe)
    assert table.columns["code"].tolist() == expected
    assert table.columns["n"].tolist() == list(range(51))


def test_text_that_looks_like_numbers(written):
    path = written("zip,n\n01234,1\n09999,2\n")
    assert lists(read_table(path))["zip"] == [1234, 9999]
    assert lists(read_table(path, text=["zip"]))["zip"] == ["01234", "09999"]
    found = read_of_kinds(path, {"zip": "text"})
    assert found.columns["zip"].tolist() == ["01234", "09999"]


def test_stdin(monkeypatch):
    buffer = io.BytesIO(PLAIN.encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(buffer))
    table = read_table("-")
    assert table.name == "stdin"
    assert table.columns["a"].tolist() == EXPECTED["a"]
    assert not sys.stdin.closed
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(OSError, match="there is no standard input"):
        read_table("-")


def test_left_out_columns_are_not_looked_at(written):
    path = written("a,b\n1,inf\n")
    assert lists(read_table(path, drop=["b"])) == {"a": [1]}
    with pytest.raises(ValueError, match="all columns are left out"):
        read_table(path, drop=["a", "b"])


def test_headers(written):
    numbered = written("5.1,3.5,setosa\n4.9,3.0,setosa\n")
    with pytest.raises(
        ValueError, match=r"line 1: expected names of columns, got '5\.1'.*--header no"
    ):
        read_table(numbered)
    table = read_table(numbered, Reading(header="no"))
    assert lists(table) == {"0": [5.1, 4.9], "1": [3.5, 3.0], "2": ["setosa", "setosa"]}
    with pytest.raises(ValueError, match="line 2: expected 3 fields, got 2"):
        read_table(written("1,2,3\n1,2\n"), Reading(header="no"))
    years = written("2019,2020\n1,2\n")
    with pytest.raises(ValueError, match="expected names of columns"):
        read_table(years)
    assert lists(read_table(years, Reading(header="yes"))) == {"2019": [1], "2020": [2]}
    # As pandas writes an array.
    assert lists(read_table(written("0,1,2\n7,8,9\n"))) == {"0": [7], "1": [8], "2": [9]}
    assert lists(read_table(written("0,1,target\n7,8,9\n")))["target"] == [9]


# name: (contents, the message)
BROKEN: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "data.csv: the file is empty"),
    "line ends": ("\n\n\n", "data.csv: the file is empty"),
    "a header alone": ("a,b\n", "data.csv: there are no rows"),
    "too few": ("a,b,c\n1,2,3\n1,2\n", "line 3: expected 3 fields, got 2: '1,2'"),
    "too many": ("a,b\n1,2\n3,4,5\n", "line 3: expected 2 fields, got 3: '3,4,5'"),
    "too few after empty lines": ("a,b\n\n1,2\n\n\n3\n", "line 6: expected 2 fields, got 1: '3'"),
    "too few after a record of two lines": (
        'a,b\n1,"x\ny"\n1,"x\r\ny"\n3\n',
        "line 6: expected 2 fields, got 1",
    ),
    "a name twice": ("a,b,a\n1,2,3\n", "line 1: columns 1 and 3 have the same name, 'a'"),
    "a name twice with spaces": ("a,b, a \n1,2,3\n", "columns 1 and 3 have the same name, 'a'"),
    "a column without a name": ("a,,c\n1,2,3\n", "line 1: column 2 has no name"),
    "an index": (",a\n0,1\n", "column 1 has no name (an index?"),
    "an open quote": ('a,b\n1,2\n3,"4\n5,6\n', "line 3: unexpected end of data (a quotation mark"),
    "an open quote in a long file": (
        'a,b\n1,2\n3,"4\n' + "5,6\n" * 50_000,
        "line 3: field larger than field limit (131072) (a quotation mark",
    ),
    "letters after a quote": ('a,b\n1,"2"x\n', "line 2: ',' expected after '\"'"),
    "infinity": ("a,b\n1,2\n1,inf\n", "line 3, column 'b': expected a finite number, got 'inf'"),
    "beyond float64": ("a\n1e999\n", "line 2, column 'a': expected a finite number, got '1e999'"),
    "latin-1": ("a,b\n1,é\n".encode("latin-1"), "not utf-8: "),
    "binary": (bytes(range(128, 256)) * 9, "not utf-8: "),
    "a workbook": (b"PK\x03\x04abc", "expected CSV, got a zip archive or a workbook (.xlsx)"),
    "gzip cut short": (gzip.compress(b"a,b\n" + b"1,2\n" * 999)[:40], "ended before the end"),
    "gzip of nothing": (gzip.compress(b""), "data.csv: the file is empty"),
    "broken gzip": (b"\x1f\x8bnothing like it", "data.csv"),
    "control characters": ("a\x1b[31m,b,a\x1b[31m\n1,2,3\n", r"'a\x1b[31m'"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("at_a_time", [1 << 17, 2])
def test_broken_files(name, at_a_time, written, monkeypatch):
    """The message names the file and the line, and has no control characters."""
    monkeypatch.setattr(csv_files, "_FIELDS_AT_A_TIME", at_a_time)
    contents, message = BROKEN[name]
    path = written(contents)
    with pytest.raises((ValueError, OSError)) as error:
        read_table(path)
    told = str(error.value)
    assert message in told
    assert "data.csv" in told
    assert told.isprintable()


def test_another_encoding(written):
    path = written("a,b\n1,é\n".encode("latin-1"))
    assert lists(read_table(path, Reading(encoding="latin-1")))["b"] == ["é"]
    with pytest.raises(ValueError, match="--encoding: there is no encoding 'klingon'"):
        read_table(path, Reading(encoding="klingon"))


def test_files_that_are_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read_table(str(tmp_path / "none.csv"))
    with pytest.raises(IsADirectoryError):
        read_table(str(tmp_path))


# -- columns of given kinds


def test_rows_of_given_kinds_come_in_blocks(written, monkeypatch):
    monkeypatch.setattr(csv_files, "_FIELDS_AT_A_TIME", 30)
    path = written("n,t,b\n" + "".join(f"{i},{i % 3},TRUE\n" for i in range(100)))
    with blocks_of(path) as blocks:
        assert blocks.names == ["n", "t", "b"]
        parts = list(blocks.of_kinds({"t": "text", "n": "number", "b": "boolean"}))
    assert {len(part["n"]) for part in parts} == {10}
    assert np.concatenate([part["n"] for part in parts]).tolist() == list(range(100))
    assert np.concatenate([part["t"] for part in parts]).tolist() == [
        str(i % 3) for i in range(100)
    ]
    assert parts[0]["b"].tolist() == [True] * 10


def test_rows_before_a_broken_one_come_first(written):
    path = written("n\n" + "1\n" * 5 + "1,2\n")
    with blocks_of(path) as blocks:
        parts = blocks.of_kinds({"n": "number"})
        assert len(next(parts)["n"]) == 5
        with pytest.raises(ValueError, match="line 7: expected 1 fields, got 2"):
            next(parts)


# name: (contents, kinds, the message)
OF_KINDS: dict[str, Any] = {
    "a missing column": (
        "age,b\n1,2\n",
        {"agee": "number"},
        "no column 'agee'; did you mean 'age'?",
    ),
    "missing columns": ("a\n1\n", {"x": "text", "y": "text"}, "there are no columns 'x', 'y'"),
    "a word": (
        "a,b\n1,2\n\n3,old\n",
        {"b": "number"},
        "line 4, column 'b': expected a number, got 'old'",
    ),
    "no date": (
        "a\n2024-01-31\n31/01/2024\n",
        {"a": "date"},
        "line 3, column 'a': expected a date such as 2024-01-31, got '31/01/2024'",
    ),
    "no rows": ("a,b\n", {"a": "number"}, "there are no rows"),
}


@pytest.mark.parametrize("name", OF_KINDS)
def test_rows_of_other_kinds(name, written):
    contents, wanted, message = OF_KINDS[name]
    with pytest.raises(ValueError) as error:
        read_of_kinds(written(contents), wanted)
    assert message in str(error.value)


def test_values_that_a_model_has_not_seen_stay(written):
    path = written("b,e,t\ntrue,anything,1\nmaybe,,2\n")
    table = read_of_kinds(path, {"b": "boolean", "e": "empty", "t": "text"})
    assert lists(table) == {"b": [True, "maybe"], "e": [None, None], "t": ["1", "2"]}


# -- Parquet


@pytest.fixture
def arrow() -> Any:
    return pytest.importorskip("pyarrow")


def parquet(path: Path, columns: Any) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, path, row_group_size=2)
    return str(path)


def test_parquet(arrow, tmp_path):
    import datetime as dt

    path = parquet(
        tmp_path / "data.parquet",
        {
            "whole": arrow.array([1, None, 3], arrow.int16()),
            "big": arrow.array([2**63, 1, 2], arrow.uint64()),
            "number": [1.5, float("nan"), None],
            "money": arrow.array([1, 2, 3], arrow.decimal128(5, 2)),
            "flag": [True, None, False],
            "text": ["x", "", None],
            "category": arrow.array(["p", "q", "p"]).dictionary_encode(),
            "day": [dt.date(2024, 1, 31), None, dt.date(1960, 1, 1)],
            "moment": arrow.array([0, 1, None], arrow.timestamp("ns", tz="America/New_York")),
            "empty": arrow.nulls(3),
            "a.b": [1, 2, 3],
            "__index_level_0__": [7, 8, 9],
        },
    )
    table = read_table(path)
    days = table.columns.pop("day")
    moments = table.columns.pop("moment")
    assert lists(table) == {
        "whole": [1, None, 3],
        "big": [2.0**63, 1, 2],
        "number": [1.5, None, None],
        "money": [1, 2, 3],
        "flag": [True, None, False],
        "text": ["x", None, None],
        "category": ["p", "q", "p"],
        "empty": [None] * 3,
        "a.b": [1, 2, 3],
    }
    assert days.astype(str).tolist() == [
        "2024-01-31T00:00:00.000000",
        "NaT",
        "1960-01-01T00:00:00.000000",
    ]
    assert moments.astype("datetime64[s]").astype(str).tolist()[0] == "1970-01-01T00:00:00"
    assert {table.kinds[n] for n in ("whole", "big", "money")} == {"number"}
    assert read_table(path, text=["whole"], drop=["big"]).columns["whole"].tolist() == [
        "1",
        None,
        "3",
    ]
    with pytest.raises(ValueError, match="expected numbers, got text"):
        read_of_kinds(path, {"category": "number"})
    with pytest.raises(ValueError, match="no column 'nmber'; did you mean 'number'"):
        read_of_kinds(path, {"nmber": "number"})


def test_parquet_and_csv_give_the_same(arrow, tmp_path, written):
    text = "n,t,d,b\n1.5,x,2024-01-31T10:00,true\n,,,\n3,z,2023-05-01,false\n"
    expected = read_table(written(text))
    columns = {}
    for name, values in expected.columns.items():
        gaps = kinds.is_gap(values)
        columns[name] = arrow.array(values, mask=gaps)
    found = read_table(parquet(tmp_path / "d.parquet", columns))
    assert found.kinds == expected.kinds
    for name, values in expected.columns.items():
        np.testing.assert_array_equal(found.columns[name], values)


def test_dates_as_text_in_parquet(arrow, tmp_path):
    path = parquet(tmp_path / "d.parquet", {"d": ["2024-01-31", None, "soon"]})
    with pytest.raises(ValueError, match="row 3, column 'd': expected a date"):
        read_of_kinds(path, {"d": "date"})
    assert arrow is not None


def test_parquet_from_a_pipe(arrow, tmp_path, monkeypatch):
    path = parquet(tmp_path / "d.parquet", {"a": arrow.array([1.0, 2.0])})
    from_pipe, to_pipe = os.pipe()
    os.write(to_pipe, Path(path).read_bytes())
    os.close(to_pipe)
    with os.fdopen(from_pipe) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert read_of_kinds("-", {"a": "number"}).columns["a"].tolist() == [1, 2]


def test_parquet_that_is_broken_or_holds_other_things(arrow, tmp_path, written):
    with pytest.raises(ValueError, match=r"data\.csv: "):
        read_table(written(b"PAR1 and no more"))
    path = parquet(tmp_path / "d.parquet", {"a": [[1], [2]], "b": [1, 2]})
    with pytest.raises(ValueError, match="column 'a': expected numbers, text, dates or booleans"):
        read_table(path)
    assert lists(read_table(path, drop=["a"])) == {"b": [1, 2]}
    twice = arrow.table([[1], [2]], names=["a", "a"])
    with pytest.raises(ValueError, match="two columns have the same name, 'a'"):
        read_table(parquet(tmp_path / "e.parquet", twice))
    infinite = parquet(tmp_path / "f.parquet", {"a": [1.0, 2.0, float("inf")]})
    with pytest.raises(ValueError, match="row 3, column 'a': expected a finite number"):
        read_table(infinite)


def test_parquet_without_pyarrow(written, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"data\.csv: reading Parquet needs pyarrow: pip install"):
        read_table(written(b"PAR1 and no more"))
