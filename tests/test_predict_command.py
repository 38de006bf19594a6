"""`python -m fastnn predict`: rows of every form, numbers and classes, errors with their place."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers
from fastnn.__main__ import main

pytestmark = pytest.mark.cpu

RNG = np.random.default_rng(5)
X = RNG.normal(size=(7, 3)).round(3)


def network(end: str = "linear", outputs: int = 2, dtype: str = "float32") -> fastnn.Model:
    return fastnn.Sequential(
        [layers.Dense(8, "tanh", input_shape=(3,)), layers.Dense(outputs, end)],
        dtype=dtype,
        seed=4,
    )


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets the command load a model that a test gives."""

    def loaded(given: Any) -> Any:
        monkeypatch.setattr(fastnn, "load_model", lambda _: given)
        return given

    return loaded


def lines(x: np.ndarray, header: str = "") -> str:
    rows = [",".join(map(str, row)) for row in x.reshape(len(x), -1).tolist()]
    return "\n".join([header] * bool(header) + rows) + "\n"


def run(*arguments: object) -> int:
    return main(["predict", "model.safetensors", *map(str, arguments)])


def numbers(text: str, header: bool = False) -> np.ndarray:
    rows = text.splitlines()[header:]
    return np.array([row.split(",") for row in rows], np.float64)


@pytest.fixture
def rows(tmp_path: Path) -> Any:
    """Writes rows to a file, and returns its path."""

    def written(text: str | bytes, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return written


# -- forms of rows


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_numbers_of_predict(dtype, model, rows, capsys):
    """In the fewest digits that give the same float."""
    expected = model(network(dtype=dtype)).predict(X)
    assert run(rows(lines(X))) == 0
    out = capsys.readouterr().out
    np.testing.assert_array_equal(numbers(out).astype(dtype), expected)
    assert dtype == "float64" or max(map(len, re.split("[,\n]", out))) < 15


FORMS = {
    "header": ("a,b,c\n{0}", True),
    "quoted header": ('"a, b","c ""d""",e\n{0}', True),
    "empty lines": ("\n{0}\n\n", False),
    "a byte order mark": ("\ufeff{0}", False),
    "a mark before a header": ("\ufeffa,b,c\n{0}", True),
    "no line end at the end": ("{0}", False),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_csv(name, model, rows, capsys):
    form, header = FORMS[name]
    expected = model(network()).predict(X)
    text = form.format(lines(X).rstrip("\n") if "no line end" in name else lines(X))
    for ends in (text, text.replace("\n", "\r\n")):
        assert run(rows(ends)) == 0
        out = capsys.readouterr().out
        assert out.startswith("output_0,output_1\n") == header
        np.testing.assert_array_equal(numbers(out, header).astype(np.float32), expected)


def test_spaces_quotes_and_exponents(model, rows, capsys):
    expected = model(network()).predict([[1.0, -2.5, 3e-3]])
    assert run(rows('" 1.0 ", -2.5 ,3E-3\n')) == 0
    np.testing.assert_array_equal(numbers(capsys.readouterr().out).astype(np.float32), expected)


def test_another_delimiter_and_said_headers(model, rows, capsys):
    expected = model(network()).predict(X)
    assert run(rows(lines(X).replace(",", ";")), "--delimiter", ";") == 0
    np.testing.assert_array_equal(numbers(capsys.readouterr().out).astype(np.float32), expected)
    path = rows("2019,2020,2021\n" + lines(X))
    assert run(path, "--header", "yes") == 0
    assert len(capsys.readouterr().out.splitlines()) == 8
    assert run(path) == 0
    assert len(capsys.readouterr().out.splitlines()) == 8
    assert run(rows("a,b,c\n" + lines(X)), "--header", "no") == 1
    assert "row 1 (line 1), column 1: expected a number, got 'a'" in capsys.readouterr().err


def test_stdin(model, capsys, monkeypatch):
    expected = model(network()).predict(X)
    buffer = io.BytesIO(lines(X, "a,b,c").encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(buffer))
    assert run("-") == 0
    np.testing.assert_array_equal(
        numbers(capsys.readouterr().out, True).astype(np.float32), expected
    )
    assert not sys.stdin.closed


def test_a_pipe_by_its_path(model, capsys):
    """As of `<(...)` in a shell, which can be read once only."""
    expected = model(network()).predict(X)
    from_pipe, to_pipe = os.pipe()
    try:
        os.write(to_pipe, lines(X, "a,b,c").encode())
    finally:
        os.close(to_pipe)
    assert run(f"/proc/self/fd/{from_pipe}") == 0
    os.close(from_pipe)
    np.testing.assert_array_equal(
        numbers(capsys.readouterr().out, True).astype(np.float32), expected
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8", ">f4", "float16"])
def test_arrays_of_numpy(dtype, model, tmp_path, capsys):
    x = (X * 10).astype(dtype)
    expected = model(network()).predict(x)
    for order in "CF":
        np.save(tmp_path / "rows.npy", np.asarray(x, order=order))
        assert run(tmp_path / "rows.npy") == 0
        found = numbers(capsys.readouterr().out).astype(np.float32)
        np.testing.assert_array_equal(found, expected)


def test_pictures(model, rows, tmp_path, capsys):
    """Of CSV pixel by pixel; of arrays with their axes, too."""
    given = model(fastnn.Sequential([layers.Flatten(input_shape=(2, 3)), layers.Dense(1)]))
    x = RNG.random((5, 2, 3))
    expected = given.predict(x)
    np.save(tmp_path / "rows.npy", x)
    np.save(tmp_path / "flat.npy", x.reshape(5, 6))
    for path in (rows(lines(x)), tmp_path / "rows.npy", tmp_path / "flat.npy"):
        assert run(path) == 0
        found = numbers(capsys.readouterr().out).astype(np.float32)
        np.testing.assert_array_equal(found, expected)


def test_many_rows_in_bounded_memory(model, rows, monkeypatch, capsys):
    """Over the limit of a batch: places stay right, and memory does not grow with the rows."""
    monkeypatch.setattr("fastnn.commands.predict._NUMBERS_AT_A_TIME", 1 << 13)
    given = model(network("softmax"))
    x = RNG.normal(size=(4_000, 3)).round(2)
    expected = given.predict(x)
    path = rows(lines(x))
    output = path.with_name("out.csv")
    peaks = []
    for text in (lines(x), lines(np.concatenate([x, x, x]))):
        path.write_text(text)
        tracemalloc.start()
        try:
            assert run(path, "--output", output) == 0
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        np.testing.assert_array_equal(
            numbers(output.read_text()).astype(np.float32)[: len(x)], expected
        )
    assert peaks[1] < 1.2 * peaks[0]
    path.write_text(lines(x) + "1,2,x\n")
    assert run(path) == 1
    assert "row 4001 (line 4001), column 3: expected a number, got 'x'" in capsys.readouterr().err


# -- outputs


def test_an_output_file_is_replaced_whole(model, rows, tmp_path, capsys):
    expected = model(network()).predict(X)
    path, output = rows(lines(X, "a,b,c")), tmp_path / "out.csv"
    assert run(path, "--output", output) == 0
    assert capsys.readouterr().out == ""
    np.testing.assert_array_equal(numbers(output.read_text(), True).astype(np.float32), expected)
    output.write_text("kept")
    assert run(rows(lines(X) + "1,2\n"), "--output", output) == 1
    assert output.read_text() == "kept"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "rows.csv"]
    # Rows may be replaced by their predictions.
    path.write_text(lines(X))
    assert run(path, "--output", path) == 0
    np.testing.assert_array_equal(numbers(path.read_text()).astype(np.float32), expected)
    assert run(path, "--output", tmp_path / "missing" / "out.csv") == 1
    assert run(path, "--output", tmp_path) == 1


@pytest.mark.skipif(not Path(os.devnull).exists(), reason="there is no /dev/null")
def test_a_device_is_written_and_not_replaced(model, rows):
    model(network())
    assert run(rows(lines(X)), "--output", os.devnull) == 0
    assert not Path(os.devnull).is_file()


def end_of(end: str, outputs: int, loss: str | None = None) -> fastnn.Model:
    made = network(end, outputs)
    if loss is not None:
        made.compile("sgd", loss)
    return made


# name: (model, options, header, the fields of predictions y)
CLASSES: dict[str, Any] = {
    "softmax": (lambda: end_of("softmax", 4), (), "class", lambda y: y.argmax(1)[:, None]),
    "logits": (lambda: end_of("linear", 4), (), "class", lambda y: y.argmax(1)[:, None]),
    "names": (
        lambda: end_of("softmax", 3),
        ("--names", "cat,dog,cow"),
        "class",
        lambda y: np.array(["cat", "dog", "cow"])[y.argmax(1)][:, None],
    ),
    "sigmoid": (lambda: end_of("sigmoid", 1), (), "class", lambda y: (y > 0.5).astype(int)),
    "a logit": (lambda: end_of("linear", 1), (), "class", lambda y: (y > 0).astype(int)),
    "names of two": (
        lambda: end_of("sigmoid", 1),
        ("--names", "no,yes"),
        "class",
        lambda y: np.where(y > 0.5, "yes", "no"),
    ),
    "labels": (
        lambda: end_of("sigmoid", 3),
        (),
        "output_0,output_1,output_2",
        lambda y: (y > 0.5).astype(int),
    ),
    "labels with names": (
        lambda: end_of("sigmoid", 3),
        ("--names", "red,soft,new"),
        "red,soft,new",
        lambda y: (y > 0.5).astype(int),
    ),
    "logits of labels": (
        lambda: end_of("linear", 2, "binary_crossentropy"),
        (),
        "output_0,output_1",
        lambda y: (y > 0).astype(int),
    ),
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes(name, model, rows, capsys):
    make, options, header, fields = CLASSES[name]
    expected = fields(model(make()).predict(X))
    assert run(rows(lines(X, "a,b,c")), "--classes", *options) == 0
    first, *found = capsys.readouterr().out.splitlines()
    assert first == header
    assert found == [",".join(map(str, row)) for row in expected]


def test_several_inputs_and_outputs(model, rows, capsys):
    a, b = fastnn.Input((2,), name="a"), fastnn.Input((1,), name="b")
    h = layers.Concatenate()([a, b])
    given = model(
        fastnn.Model(
            {"a": a, "b": b},
            {"kind": layers.Dense(2, "softmax")(h), "size": layers.Dense(1, "relu")(h)},
        )
    )
    expected = given.predict({"a": X[:, :2], "b": X[:, 2:]})
    assert run(rows(lines(X, "x,y,z"))) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "kind_0,kind_1,size"
    np.testing.assert_array_equal(
        numbers(out, True).astype(np.float32), np.concatenate([*expected.values()], axis=1)
    )
    assert run(rows(lines(X)), "--classes") == 1
    assert "size ends in relu, which decides for no class" in capsys.readouterr().err


# -- errors

# name: (contents of the file, options, the message)
WRONG: dict[str, Any] = {
    "a word": ("1,2,3\n4,x,6\n", (), "row 2 (line 2), column 2: expected a number, got 'x'"),
    "a word under a header": (
        "a,b,c\n1,2,3\n\n4,5,?\n",
        (),
        "row 2 (line 4), column 3 'c': expected a number, got '?'",
    ),
    "a line of two lines": (
        '"a\nb",c,d\n1,2,3\n4,5,?\n',
        (),
        "row 2 (line 4), column 3 'd': expected a number",
    ),
    "a word in the first line": ("1,x,3\n", (), "row 1 (line 1), column 2: expected a number"),
    "nothing": ("1,,3\n", (), "column 2: expected a number, got an empty field"),
    "an underscore": ("1,2_000,3\n", (), "column 2: expected a number, got '2_000'"),
    "NaN": (
        "a,b,c\n1,2,nan\n",
        (),
        "row 1 (line 2), column 3 'c': expected a finite number, got nan",
    ),
    "infinity": (
        "1,2,3\n1,-inf,3\n",
        (),
        "row 2 (line 2), column 2: expected a finite number, got -inf",
    ),
    "beyond float32": (
        "1e39,2,3\n",
        (),
        "column 1: expected a finite number of float32, got 1e+39",
    ),
    "too few": ("1,2,3\n1,2\n", (), "row 2 (line 2): expected 3 columns, got 2"),
    "too many": ("1,2,3,4\n", (), "row 1 (line 1): expected 3 columns, got 4"),
    "another delimiter": (
        "1;2;3\n4;5;6\n",
        (),
        "header: expected names of 3 columns, got 1: 1;2;3",
    ),
    "a header of other columns": (
        "a,b,c,d\n1,2,3,4\n",
        (),
        "header: expected names of 3 columns, got 4: a,b,c,d",
    ),
    "no rows": ("", (), "rows.csv: there are no rows"),
    "a header alone": ("a,b,c\n", (), "rows.csv: there are no rows"),
    "an open quote": ('1,2,"3\n', (), "rows.csv: line 1: unexpected end of data"),
    "no text": (b"1,2,3\n\xff\xfe,2,3\n", (), "no UTF-8"),
    "a zero byte": (b"1,2,3\n1,\x00,3\n", (), "column 2: expected a number"),
    "a zip archive": (b"PK\x03\x04", (), "expected CSV or an array of numpy.save, got a zip"),
    "a cut array": (b"\x93NUMPY\x01\x00", (), "rows.csv: "),
    "names": (
        "1,2,3\n",
        ("--names", "a,b,c"),
        "--names: expected 2 names for output, got 3: a, b, c",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_rows(name, model, rows, capsys):
    contents, options, message = WRONG[name]
    model(network())
    assert run(rows(contents), *options) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.startswith("predict: ")
    assert len(said.err.splitlines()) == 1


# name: (array, the message)
WRONG_ARRAYS: dict[str, Any] = {
    "NaN": (np.where(np.arange(21).reshape(7, 3) == 13, np.nan, X), "at [4, 1]: expected a finite"),
    "a shape": (X[:, :2], "expected shape (n, 3), got (7, 2)"),
    "a number": (np.float64(3), "expected shape (n, 3), got ()"),
    "no rows": (X[:0], "there are no rows"),
    "words": (np.array([["a"] * 3]), "expected numbers, got dtype <U1"),
    "complex numbers": (X + 0j, "expected numbers, got dtype complex128"),
}


@pytest.mark.parametrize("name", WRONG_ARRAYS)
def test_wrong_arrays(name, model, tmp_path, capsys):
    array, message = WRONG_ARRAYS[name]
    model(network())
    np.save(tmp_path / "rows.npy", array)
    assert run(tmp_path / "rows.npy") == 1
    assert message in capsys.readouterr().err


def test_objects_in_an_array_are_never_loaded(model, tmp_path, capsys):
    model(network())
    np.save(tmp_path / "rows.npy", np.array([[None] * 3]), allow_pickle=True)
    assert run(tmp_path / "rows.npy") == 1
    assert "Python objects" in capsys.readouterr().err


def test_files_and_models_that_are_missing(model, rows, tmp_path, monkeypatch, capsys):
    model(network())
    assert run(tmp_path / "none.csv") == 1
    assert "none.csv" in capsys.readouterr().err
    assert run(tmp_path) == 1

    def fails(_: str) -> Any:
        raise fastnn.ModelFileError("model.safetensors: expected a header, got 3 bytes")

    monkeypatch.setattr(fastnn, "load_model", fails)
    assert run(rows(lines(X))) == 1
    assert capsys.readouterr().err.endswith("expected a header, got 3 bytes\n")
    model(fastnn.Sequential([layers.Dense(3)]))
    assert run(rows(lines(X))) == 1
    assert "not built" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: model, rows"),
        (["m"], "the following arguments are required: rows"),
        (["m", "r", "--delimiter", ""], "--delimiter: expected one character, got ''"),
        (["m", "r", "--header", "x"], "invalid choice: 'x'"),
        (["m", "r", "--clases"], "unrecognized arguments: --clases"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(["predict", *arguments])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_closed_pipe(tmp_path):
    """As `| head` closes it: no words, no traceback."""
    (tmp_path / "rows.csv").write_text(lines(RNG.normal(size=(60_000, 3)).round(2)))
    program = (
        "import sys, fastnn; from fastnn import layers; from fastnn.__main__ import main;"
        "fastnn.load_model = lambda _: fastnn.Sequential([layers.Dense(2, input_shape=(3,))]);"
        "sys.exit(main(['predict', 'm', 'rows.csv']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 1


def test_a_saved_model(tmp_path):
    given = network("softmax", 3)
    given.save(tmp_path / "model.safetensors")
    (tmp_path / "rows.csv").write_text(lines(X, "a,b,c"))
    words = [sys.executable, "-m", "fastnn", "predict", "model.safetensors", "rows.csv"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = numbers(done.stdout, True).astype(np.float32)
    np.testing.assert_array_equal(found, given.predict(X))
