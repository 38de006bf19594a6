"""Files in the layout of safetensors: written whole, and read with no trust in what they say."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import stat
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.files.layout import MOST_HEADER, Contents, ModelFileError, parsed, read, write

pytestmark = pytest.mark.cpu

TYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]
SAMPLE = Contents(
    {"a": "b", "größe": "x\u2028\n"},
    {
        "kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
        "empty": np.zeros((0, 3)),
        "number": np.array(7),
        "model/dense/bias": np.array([True, False]),
    },
)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_same(one: Contents, other: Contents) -> None:
    assert one.metadata == other.metadata
    assert one.tensors.keys() == other.tensors.keys()
    for name, array in one.tensors.items():
        got = other.tensors[name]
        assert (got.dtype, got.shape) == (array.dtype, array.shape)
        assert got.tobytes() == array.tobytes()


def made(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(begin: int, end: int, shape: Any = None, dtype: Any = "U8") -> dict[str, Any]:
    shape = [end - begin] if shape is None else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


# -- what is written can be read, here and elsewhere


def test_all_types_and_shapes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        f"{dtype}-{shape}": (rng.random(shape) * 100).astype(dtype)
        for dtype in TYPES
        for shape in ((), (1,), (3, 5), (2, 0, 4), (2, 3, 4, 5))
    }
    write(tmp_path / "file", Contents({}, tensors))
    assert_same(read(tmp_path / "file"), Contents({}, tensors))


def test_arrays_in_any_order_of_bytes_and_axes(tmp_path: Path) -> None:
    x = np.arange(24, dtype=">f8").reshape(4, 6)
    given_ = {"big": x, "columns": x.T, "every other": x[::2, ::-1]}
    write(tmp_path / "file", Contents({}, given_))
    for name, array in read(tmp_path / "file").tensors.items():
        np.testing.assert_array_equal(array, given_[name])
        assert array.dtype.isnative
        assert array.flags["C_CONTIGUOUS"]


def test_the_safetensors_package_reads_and_writes_the_same(tmp_path: Path) -> None:
    package = pytest.importorskip("safetensors")
    numpy = pytest.importorskip("safetensors.numpy")
    write(tmp_path / "ours", SAMPLE)
    with package.safe_open(tmp_path / "ours", framework="numpy") as file:
        assert file.metadata() == SAMPLE.metadata
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert_same(
        Contents({}, dict(SAMPLE.tensors)), Contents({}, {n: found[n] for n in SAMPLE.tensors})
    )
    numpy.save_file(dict(SAMPLE.tensors), tmp_path / "theirs", SAMPLE.metadata)
    theirs = read(tmp_path / "theirs")
    assert theirs.metadata == SAMPLE.metadata
    for name, array in SAMPLE.tensors.items():
        np.testing.assert_array_equal(theirs.tensors[name], array)


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5, np.inf, 3.0e38], np.float32)
    bits = (values.view(np.uint32) >> 16).astype("<u2")
    path = tmp_path / "file"
    path.write_bytes(made({"x": tensor(0, 8, [4], "BF16")}, bits.tobytes()))
    got = read(path).tensors["x"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, (bits.astype(np.uint32) << 16).view(np.float32))


def test_what_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, SAMPLE)
    for array in (np.array(["a"]), np.array([1j]), np.array([None])):
        with pytest.raises(TypeError, match="tensor 'x': files have no type"):
            write(path, Contents({}, {"x": array}))
    with pytest.raises(ValueError, match="taken by the layout"):
        write(path, Contents({}, {"__metadata__": np.zeros(2)}))
    assert_same(read(path), SAMPLE)
    assert names_in(tmp_path) == ["file"]


# -- hostile files

X = {"x": tensor(0, 4)}
FAULTS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "0 bytes is too short"),
    "seven bytes": (b"\x01" * 7, "7 bytes is too short"),
    "no header": (made(X)[:20], "cut short, or no safetensors file"),
    "length overflows": (made(X, b"1234", 2**64 - 1), "said to have 18446744073709551615 bytes"),
    "length of 100 MB": (made(X, b"1234", 100 * 2**20), "said to have 104857600 bytes"),
    "no object": (made([1, 2]), r"expected an object, got \[1, 2\]"),
    "no JSON": (made(b"{'x': 1}"), "the header is no JSON"),
    "no UTF-8": (made(b'{"\xff": 1}'), "the header is no UTF-8"),
    "two objects": (made(b"{}{}"), "the header is no JSON"),
    "a pickle": (b"\x80\x04\x95" + b"\x00" * 40, "a pickle, and no safetensors file"),
    "an array": (
        b"\x93NUMPY\x01\x00" + b"\x00" * 40,
        r"an array of NumPy \(np.load reads it\), and no",
    ),
    "text": (b"name,price\n" * 9, "text, and no safetensors file"),
    "a header of 128 bytes that is cut short": (
        b"\x80" + b"\x00" * 20,
        "cut short, or no safetensors",
    ),
    "deep": (made(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "nested too deeply"),
    "deep objects": (made(b'{"x":' * 20_000 + b"1" + b"}" * 20_000), "nested too deeply"),
    "twice": (made(b'{"x": 1, "x": 2}'), "the key 'x' occurs twice"),
    "twice within": (
        made(b'{"x": {"dtype": "U8", "dtype": "U8", "shape": [], "data_offsets": [0, 1]}}', b"1"),
        "the key 'dtype' occurs twice",
    ),
    "NaN": (made(b'{"x": NaN}'), "NaN is no number"),
    "infinity": (made(b'{"x": -Infinity}'), "-Infinity is no number"),
    "too large": (made(b'{"x": 1e999}'), "'1e999' is too large"),
    "a number of 5,000 digits": (made(b'{"x": ' + b"9" * 5000 + b"}"), "the header is no JSON"),
    "metadata is no object": (made({"__metadata__": []}), "from text to text"),
    "metadata of numbers": (made({"__metadata__": {"a": 1}}), "from text to text"),
    "not described": (made({"x": 3}), "tensor 'x': expected dtype, shape and data_offsets, got 3"),
    "a part is missing": (made({"x": {"dtype": "U8", "shape": [1]}}), "expected dtype, shape and"),
    "a part too many": (made({"x": {**tensor(0, 4), "more": 1}}, b"1234"), "expected dtype, shape"),
    "type": (made({"x": tensor(0, 4, dtype="Q4")}, b"1234"), "the type 'Q4' is not known"),
    "type is a list": (
        made({"x": tensor(0, 4, dtype=[1])}, b"1234"),
        r"the type \[1\] is not known",
    ),
    "shape is text": (made({"x": tensor(0, 4, "4")}, b"1234"), "whole numbers, got '4'"),
    "shape is negative": (made({"x": tensor(0, 4, [-4])}, b"1234"), r"whole numbers, got \[-4\]"),
    "shape is a fraction": (
        made({"x": tensor(0, 4, [4.0])}, b"1234"),
        r"whole numbers, got \[4.0\]",
    ),
    "shape is yes": (made({"x": tensor(0, 1, [True])}, b"1"), r"whole numbers, got \[True\]"),
    "shape of many axes": (made({"x": tensor(0, 1, [1] * 33)}, b"1"), "at most 32 whole numbers"),
    "shape overflows": (
        made({"x": tensor(0, 0, [2**32, 2**32])}),
        r"shape \[4294967296, 4294967296\] has 18446744073709551616 bytes, but data_offsets give 0",
    ),
    "shape of nothing overflows": (
        made({"x": tensor(0, 0, [0, 2**62], "F64")}),
        r"tensor 'x': the shape \[0, 4611686018427387904\] is too large for any array",
    ),
    "shape is huge": (made({"x": tensor(0, 4, [2**70])}, b"1234"), "whole numbers"),
    "offsets swapped": (made({"x": tensor(4, 0, [4])}, b"1234"), r"\[begin, end\], got \[4, 0\]"),
    "offsets of three": (
        made({"x": {"dtype": "U8", "shape": [4], "data_offsets": [0, 2, 4]}}, b"1234"),
        r"\[begin, end\], got \[0, 2, 4\]",
    ),
    "offsets and shape": (
        made({"x": tensor(0, 4, [3])}, b"1234"),
        r"\[3\] has 3 bytes, but .* give 4",
    ),
    "overlapping": (
        made({"x": tensor(0, 4), "y": tensor(2, 6)}, b"123456"),
        "tensor 'y' overlaps the one before it",
    ),
    "the same bytes": (
        made({"x": tensor(0, 4), "y": tensor(0, 4)}, b"1234"),
        "tensor 'y' overlaps the one before it",
    ),
    "a gap": (
        made({"x": tensor(0, 4), "y": tensor(5, 6)}, b"123456"),
        "tensor 'y' leaves a gap before it",
    ),
    "a gap at the beginning": (made({"x": tensor(1, 4)}, b"1234"), "leaves a gap"),
    "cut short": (made(X, b"123"), "is cut short: tensors of 4 bytes, and 3 bytes for them"),
    "trailing bytes": (made(X, b"12345"), "goes on after the last tensor: tensors of 4 bytes"),
    "trailing bytes alone": (made({}, b"1"), "goes on after the last tensor"),
    "a bool of 2": (made({"x": tensor(0, 2, dtype="BOOL")}, b"\x01\x02"), "neither 0 nor 1"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_damaged_files(name: str, tmp_path: Path) -> None:
    data, message = FAULTS[name]
    path = tmp_path / "some model"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < len(str(path)) + 400


@pytest.mark.parametrize("length", [0x280, 0x480, 0x580, 0x8B1F])
def test_lengths_of_headers_that_look_like_other_files(length: int, tmp_path: Path) -> None:
    """The first bytes of such a header are those of a pickle, or of gzip."""
    header = json.dumps({"a": tensor(0, 2)}).encode()
    path = tmp_path / "file"
    path.write_bytes(made(header + b" " * (length - len(header)), b"\x01\x02"))
    assert read(path).tensors["a"].tolist() == [1, 2]


def test_a_header_of_100_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write((100 * 2**20).to_bytes(8, "little"))
        file.truncate(8 + 100 * 2**20)
    tracemalloc.start()
    with pytest.raises(ModelFileError, match=f"more than {MOST_HEADER} are not read"):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_texts_that_would_be_refused_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for tensors, metadata, message in (
        ({"x" * MOST_HEADER: np.ones(1)}, {}, "a file may have 16777216 bytes of them"),
        ({"\ud800": np.ones(1)}, {}, "no Unicode that a file could hold"),
        ({}, {"a": "\ud800"}, "no Unicode that a file could hold"),
    ):
        with pytest.raises(ValueError, match=message):
            write(path, Contents(metadata, tensors))
    assert names_in(tmp_path) == []


def test_errors_of_writing_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "file", tmp_path / ("n" * 256)):
        with pytest.raises(OSError, match=r"No such file|name too long") as caught:
            write(path, SAMPLE)
        assert caught.value.filename == str(path)
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(OSError, match="symbolic links"):
        write(link, SAMPLE)
    assert names_in(tmp_path) == ["link"]


def test_errors_of_a_program_keep_their_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError("the quota of this project is used up")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="the quota of this project"):
        write(tmp_path / "file", SAMPLE)
    assert names_in(tmp_path) == []


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read(tmp_path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing")
    with pytest.raises(IsADirectoryError, match="expected the path of a file"):
        write(tmp_path, SAMPLE)
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "missing" / "file", SAMPLE)


def test_names_are_never_paths(tmp_path: Path) -> None:
    names = ["../../up", "/etc/x", "a\x00b", "", " ", "con", "x" * 5000]
    tensors = {name: np.ones(2) for name in names}
    write(tmp_path / "file", Contents({}, tensors))
    assert read(tmp_path / "file").tensors.keys() == tensors.keys()
    assert names_in(tmp_path) == ["file"]


def test_json_of_other_parts() -> None:
    assert parsed("it", '{"a": [1, 2.5, null, true, "x"]}') == {"a": [1, 2.5, None, True, "x"]}
    with pytest.raises(ModelFileError, match="it: expected an object"):
        parsed("it", "[]")


def _sample_bytes(folder: Path) -> bytes:
    write(folder / "sample", SAMPLE)
    return (folder / "sample").read_bytes()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_changed_bytes_are_told_or_harmless(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = folder / "changed"
    whole = bytearray(_sample_bytes(folder))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        what = data.draw(st.sampled_from(["byte", "cut", "insert", "copy"]))
        if what == "byte":
            whole[at] = data.draw(st.integers(0, 255))
        elif what == "cut":
            del whole[at : at + data.draw(st.integers(1, 40))]
        elif what == "insert":
            whole[at:at] = data.draw(st.binary(max_size=20))
        else:
            whole[at:at] = whole[: data.draw(st.integers(0, 60))]
        if not whole:
            break
    path.write_bytes(whole)
    _read_safely(path, len(whole))


@settings(max_examples=60, deadline=None)
@given(
    header=st.dictionaries(
        st.text(max_size=5) | st.sampled_from(["x", "__metadata__"]),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "U8", "BOOL", "BF16", "F", ""]) | st.none(),
                "shape": st.lists(st.integers(-1, 2**65) | st.integers(0, 4), max_size=3),
                "data_offsets": st.lists(st.integers(-1, 2**65) | st.integers(0, 8), max_size=3),
            }
        )
        | st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), st.lists),
        max_size=3,
    ),
    data=st.binary(max_size=12),
)
def test_any_header_is_told_or_read(
    header: Any, data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(made(header, data))
    _read_safely(path, path.stat().st_size)


def _read_safely(path: Path, length: int) -> None:
    tracemalloc.start()
    with contextlib.suppress(ModelFileError):  # any other error fails the test
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000 + 50 * length


# -- the file is the old one or the new one


def _contents(number: int) -> Contents:
    return Contents({"n": str(number)}, {"x": np.full(50_000, number, np.int32)})


def _write_on(path: Path, first: int) -> None:
    for number in range(first, first + 1000):
        write(path, _contents(number))


@pytest.mark.parametrize("times", [40, pytest.param(1000, marks=pytest.mark.long)])
def test_a_writer_that_is_killed(times: int, tmp_path: Path) -> None:
    path = tmp_path / "model"
    write(path, _contents(-1))
    moments = random.Random(0)
    seen = set()
    for i in range(times):
        child = os.fork()
        if child == 0:
            try:
                _write_on(path, 1000 * i)
            finally:
                os._exit(1)
        time.sleep(moments.random() * 0.02)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        contents = read(path)
        number = int(contents.metadata["n"])
        assert (contents.tensors["x"] == number).all()
        seen.add(number)
    assert len(seen) > 1  # and some were killed after a file was whole


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    write(path, _contents(1))
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            write(path, _contents(2))
        except OSError as why:
            os._exit(0 if why.filename == str(path) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert read(path).metadata == {"n": "1"}
    assert names_in(tmp_path) == ["model"]


def test_permissions_and_links_are_kept(tmp_path: Path) -> None:
    path, link = tmp_path / "model", tmp_path / "link"
    before = os.umask(0o027)
    try:
        write(path, _contents(1))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    link.symlink_to(path)
    write(link, _contents(2))
    assert link.is_symlink()
    assert read(path).metadata == {"n": "2"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
