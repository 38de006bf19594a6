"""`python -m fastnn train`, `predict`, `evaluate` and `report`: models of tables in files."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pages
import pytest
from command_line import PARAMETERS, SMALL, fields, run, table_text

import fastnn
from fastnn import layers
from fastnn.__main__ import main

pytest.importorskip("sklearn")

from sklearn import metrics

from fastnn.commands import csv_files, kept
from fastnn.commands.kinds import is_gap
from fastnn.commands.tables import read_of_kinds, read_table
from fastnn.sklearn import TabularClassifier, TabularRegressor, load_table_estimator

pytestmark = pytest.mark.cpu

COLUMNS = ("age", "job", "day", "flag")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.csv, test.csv, classes.safetensors and numbers.safetensors."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "train.csv").write_text(table_text())
    (folder / "test.csv").write_text(table_text(90, 1))
    for target, name in (("income", "classes"), ("pay", "numbers")):
        arguments = ["train", str(folder / "train.csv"), "--target", target]
        arguments += ["--out", str(folder / f"{name}.safetensors"), "--quiet", *SMALL]
        arguments += [
            "--drop",
            "id",
            "--drop",
            "kind," + ("pay" if target == "income" else "income"),
        ]
        assert main(arguments) == 0
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Any:
    """Writes a file, and returns its path."""

    def write(text: str, name: str = "data.csv") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(fastnn.__file__).parent.parent)}


# -- train


def test_train_fits_the_estimator_on_the_columns(made):
    """To the same bits as a program that gives it the columns itself."""
    table = read_table(str(made / "train.csv"), drop=["id", "kind"])
    x = {name: table.columns[name] for name in COLUMNS}
    expected = TabularClassifier(**PARAMETERS).fit(x, table.columns["income"])
    found = load_table_estimator(made / "classes.safetensors")
    assert type(found) is TabularClassifier
    np.testing.assert_array_equal(found.predict_proba(x), expected.predict_proba(x))
    expected = TabularRegressor(**PARAMETERS).fit(x, table.columns["pay"])
    found = load_table_estimator(made / "numbers.safetensors")
    np.testing.assert_array_equal(found.predict(x), expected.predict(x))


def test_train_says_what_it_understood_and_how_good_it_is(data, tmp_path, capsys):
    path, out = data(table_text()), tmp_path / "m.safetensors"
    assert run("train", path, "--target", "income", "--out", out, "--drop", "pay", *SMALL) == 0
    told = capsys.readouterr()
    for words in (
        "data.csv: 240 rows, 6 columns",
        "  id    number   7 to 246",
        "  job   text     3 values (",
        " gaps",
        "  day   date     2020-01",
        "  flag  boolean  2 values (False, True)",
        "target 'income': classification, 2 classes: ",
        "rows of training, by the members that did not learn from them",
        "  accuracy ",
        "m.safetensors: ",
        "2 members",
    ):
        assert words in told.out
    assert "train: 'id' seems to name rows; --drop leaves such columns out" in told.err
    estimator = load_table_estimator(out)
    there = np.isfinite(estimator.oof_[:, 0])
    p, known = estimator.oof_[there], estimator.targets_[there]
    scores = {line[:26].strip(): line[26:].strip() for line in told.out.splitlines()}
    accuracy = np.mean(estimator.classes_[p.argmax(axis=1)] == known)
    assert scores["accuracy"] == f"{accuracy:.4g}"
    assert scores["log loss"] == f"{metrics.log_loss(known, p):.4g}"
    assert run("train", path, "--target", "income", "--out", out, "--quiet", *SMALL) == 0
    assert capsys.readouterr().out == ""


# name: (values of the target, options, what is said)
TASKS: dict[str, Any] = {
    "words": (["a", "b"], (), "classification, 2 classes: a (50.0%), b (50.0%)"),
    "booleans": (["true", "FALSE"], (), "classification, 2 classes: "),
    "few whole numbers": (
        [1, 2, 3],
        (),
        "classification, 3 classes: 1 (33.3%), 2 (33.3%), 3 (33.3%); --task regression would take it",
    ),
    "many whole numbers": (list(range(50)), (), "regression of numbers, 0 to 49; --task classif"),
    "fractions": ([0.5, 1.5], (), "regression of numbers, 0.5 to 1.5\n"),
    "fractions as classes": (
        [0.5, 1.5],
        ("--task", "classification"),
        "classification, 2 classes: 0.5 (50.0%)",
    ),
    "whole numbers as numbers": (
        [1, 2],
        ("--task", "regression"),
        "regression of numbers, 1 to 2\n",
    ),
    "numbers as text": ([0, 1], ("--text", "y"), "classification, 2 classes: 0 (50.0%)"),
    "gaps": (["a", "b", ""], (), "classification, 2 classes"),
}


@pytest.mark.parametrize("name", TASKS)
def test_tasks(name, data, tmp_path, capsys):
    values, options, told = TASKS[name]
    rows = [(i * 0.37 % 1, values[i % len(values)]) for i in range(120)]
    path = data("x,y\n" + "".join(f"{x},{y}\n" for x, y in rows))
    out = tmp_path / "m.safetensors"
    assert run("train", path, "--target", "y", "--out", out, *SMALL, *options) == 0
    said = capsys.readouterr()
    assert told in said.out
    assert ("40 rows without 'y' left out" in said.err) == (name == "gaps")
    kind = TabularClassifier if "classification" in told.partition(";")[0] else TabularRegressor
    assert type(load_table_estimator(out)) is kind
    # The file's own rows can be judged, whatever labels look like.
    assert run("evaluate", out, path, "--json") == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert ("accuracy" in scores) == (kind is TabularClassifier)
    assert run("predict", out, path, *(("--classes",) * (kind is TabularClassifier))) == 0
    answers = capsys.readouterr().out.splitlines()
    assert answers[0] == "y"
    if kind is TabularClassifier:
        written = {"true": "True", "FALSE": "False"}
        assert set(answers[1:]) <= {written.get(str(v), str(v)) for v in values}


def test_weights_and_validation(made, data, tmp_path, capsys):
    lines = table_text().splitlines()
    weighted = [lines[0] + ",w"] + [line + f",{i % 3}" for i, line in enumerate(lines[1:])]
    path, out = data("\n".join(weighted)), tmp_path / "m.safetensors"
    options = ("--drop", "id,pay,kind", "--weights", "w", "--validation", made / "test.csv")
    assert run("train", path, "--target", "income", "--out", out, *options, *SMALL) == 0
    assert "test.csv, 90 rows" in capsys.readouterr().out
    table = read_table(path, drop=["id", "pay", "kind"])
    x = {name: table.columns[name] for name in COLUMNS}
    weights = np.arange(240) % 3
    expected = TabularClassifier(**PARAMETERS).fit(x, table.columns["income"], weights)
    found = load_table_estimator(out)
    np.testing.assert_array_equal(found.predict_proba(x), expected.predict_proba(x))


def test_time_limit_and_seed(data, tmp_path, capsys):
    path = data(table_text(2000))
    out = tmp_path / "m.safetensors"
    options = ("--drop", "id,pay", "--set", "max_epochs=300")
    begun = time.monotonic()
    assert (
        run("train", path, "--target", "income", "--out", out, "--time-limit", "1s", *options) == 0
    )
    assert time.monotonic() - begun < 30
    assert "members trained within the time limit" in capsys.readouterr().err
    found = []
    for seed in (1, 1, 2):
        options = ("--drop", "id,pay", "--seed", seed, "--quiet", *SMALL)
        assert run("train", path, "--target", "income", "--out", out, *options) == 0
        found.append(load_table_estimator(out).oof_)
    np.testing.assert_array_equal(found[0], found[1])
    assert np.nanmax(np.abs(found[0] - found[2])) > 0


def test_stdin_and_gzip(made, tmp_path, monkeypatch, capsys):
    path = tmp_path / "train.csv.gz"
    path.write_bytes(gzip.compress((made / "train.csv").read_bytes()))
    buffer = io.BytesIO((made / "train.csv").read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(buffer))
    for given, name in ((path, "a"), ("-", "b")):
        options = ("--target", "income", "--drop", "id,kind,pay", "--quiet", *SMALL)
        assert run("train", given, "--out", tmp_path / name, *options) == 0
    expected = load_table_estimator(made / "classes.safetensors").oof_
    for name in "ab":
        np.testing.assert_array_equal(load_table_estimator(tmp_path / name).oof_, expected)
    assert capsys.readouterr().out == ""


# name: (contents, options, the message)
REFUSED: dict[str, Any] = {
    "no target": (
        "age,job\n1,2\n",
        ("--target", "jop"),
        "there is no column 'jop'; did you mean 'job'?",
    ),
    "a target without values": ("x,y\n1,\n2,NA\n", (), "the target 'y' has no value"),
    "a target of one value": (
        "x,y\n1,a\n2,a\n",
        (),
        "the target 'y' has one value, 'a', in all rows",
    ),
    "a target of dates": ("x,y\n1,2024-01-01\n2,2024-01-02\n", (), "the target 'y' is a date"),
    "a regression of words": (
        "x,y\n1,a\n2,b\n",
        ("--task", "regression"),
        "--task regression: the target 'y' is text, such as 'a'",
    ),
    "names as classes": (
        "x,y\n" + "".join(f"{i},name {i}\n" for i in range(100)),
        (),
        "the target 'y' has 100 values in 100 rows; expected classes that several rows have",
    ),
    "no other column": ("y\na\nb\n", (), "no column besides the target"),
    "another delimiter": ("x:y\n1:2\n", (), "there is no column 'y'"),
    "a dropped target": ("x,y\n1,2\n", ("--drop", "y"), "--drop: the column 'y' is needed"),
    "no such column to drop": ("x,y\n1,2\n", ("--drop", "z"), "there is no column 'z'"),
    "weights below 0": (
        "x,y,w\n1,a,1\n2,b,-1\n",
        ("--weights", "w"),
        "expected numbers of at least 0 in 'w', got -1 in row 2",
    ),
    "weights with gaps": ("x,y,w\n1,a,1\n2,b,\n", ("--weights", "w"), "got a gap in row 2"),
    "weights that are words": ("x,y,w\n1,a,p\n2,b,q\n", ("--weights", "w"), "'w' is text"),
    "weights of zeros": ("x,y,w\n1,a,0\n2,b,0\n", ("--weights", "w"), "all numbers in 'w' are 0"),
    "a broken row": ("x,y\n1,a\n2\n", (), "data.csv: line 3: expected 2 fields, got 1"),
    "an unknown parameter": (
        "x,y\n" + "1,a\n2,b\n" * 20,
        ("--set", "member=3"),
        "--set: parameter: unknown name 'member', did you mean 'members'?",
    ),
    "a wrong value": ("x,y\n" + "1,a\n2,b\n" * 20, ("--set", "dropout=2"), "dropout"),
    "quantiles of classes": (
        "x,y\n" + "1,a\n2,b\n" * 20,
        ("--quantiles", "0.5"),
        "--quantiles: the task is a classification",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_tables_that_cannot_be_learned(name, data, tmp_path, capsys):
    contents, options, message = REFUSED[name]
    out = tmp_path / "m.safetensors"
    target = () if "--target" in options else ("--target", "y")
    assert run("train", data(contents), "--out", out, *target, *options) == 1
    said = capsys.readouterr().err.splitlines()
    assert message in said[-1]
    assert said[-1].startswith("train: ")
    assert not out.exists()


def test_what_is_replaced(made, data, tmp_path, capsys):
    path, out = data(table_text(60)), tmp_path / "m.safetensors"
    command = ("train", path, "--target", "income", "--quiet", *SMALL)
    out.write_text("a diary")
    assert run(*command, "--out", out) == 1
    assert "exists, and is no model of a table; --force replaces it" in capsys.readouterr().err
    assert out.read_text() == "a diary"
    assert run(*command, "--out", out, "--force") == 0
    first = out.read_bytes()
    assert run(*command, "--out", out, "--seed", 5) == 0  # a model is replaced
    assert out.read_bytes() != first
    assert run(*command, "--out", path, "--force") == 1
    assert "is the file of the data" in capsys.readouterr().err
    assert Path(path).read_text() == table_text(60)
    assert run(*command, "--out", tmp_path / "none" / "m.safetensors") == 1
    assert "there is no folder" in capsys.readouterr().err
    assert run(*command, "--out", tmp_path) == 1
    assert "is a folder" in capsys.readouterr().err
    assert made.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "the following arguments are required: --target, --out"),
        (["train", "--target", "y", "--out", "m"], "arguments are required: data"),
        (["train", "d", "--target", "y", "--out", "o", "--members", "0"], "at least 1, got '0'"),
        (["train", "d", "--target", "y", "--out", "o", "--time-limit", "soon"], "90s, 5m or 1h"),
        (["train", "d", "--target", "y", "--out", "o", "--set", "members"], "NAME=VALUE"),
        (["train", "d", "--target", "y", "--out", "o", "--seed", "-1"], "--seed: expected"),
        (["train", "d", "--target", "y", "--out", "o", "--quantiles", "2"], "above 0 and below 1"),
        (["train", "d", "--target", "y", "--out", "o", "--task", "x"], "invalid choice"),
        (["evaluate", "m"], "the following arguments are required: data"),
        (["report"], "the following arguments are required: model"),
        (["report", "m", "--repeats", "x"], "at least 1, got 'x'"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "report"])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert "Exit status: 0; 1 for a fault" in " ".join(capsys.readouterr().out.split())
    assert main(["--help"]) == 0
    assert command in capsys.readouterr().out


def test_without_scikit_learn(made, data, tmp_path, monkeypatch, capsys):
    """As where it is not installed."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    path = data(table_text(60))
    model = made / "classes.safetensors"
    for command in (
        ("train", path, "--target", "income", "--out", tmp_path / "m"),
        ("predict", model, path),
        ("evaluate", model, path),
        ("report", model, "--out", tmp_path / "r.html"),
    ):
        assert run(*command) == 1
        said = capsys.readouterr().err
        assert said.splitlines()[-1].startswith(f"{command[0]}: ")
        assert "pip install '.[sklearn]'" in said


# -- predict


def test_predictions_are_those_of_the_estimator(made, tmp_path, monkeypatch, capsys):
    """In blocks of any size, from a file, by gzip and from a pipe."""
    test = str(made / "test.csv")
    model = made / "classes.safetensors"
    estimator = load_table_estimator(model)
    kinds = {"age": "number", "job": "text", "day": "date", "flag": "boolean"}
    x = read_of_kinds(test, kinds).columns
    expected = estimator.predict_proba(x)
    packed = tmp_path / "test.csv.gz"
    packed.write_bytes(gzip.compress(Path(test).read_bytes()))
    for at_a_time in (1 << 17, 100):
        monkeypatch.setattr(csv_files, "_FIELDS_AT_A_TIME", at_a_time)
        for given in (test, packed, "-"):
            buffer = io.BytesIO(Path(test).read_bytes())
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(buffer))
            assert run("predict", model, given) == 0
            rows = fields(capsys.readouterr().out)
            assert rows[0] == ["high", "low"]
            np.testing.assert_allclose(np.array(rows[1:], float), expected, rtol=1e-6)
    monkeypatch.setattr(csv_files, "_FIELDS_AT_A_TIME", 1 << 17)
    assert run("predict", model, test) == 0
    exact = np.array(fields(capsys.readouterr().out)[1:], float)
    np.testing.assert_array_equal(exact, expected)
    assert run("predict", model, test, "--classes") == 0
    rows = fields(capsys.readouterr().out)
    assert rows[0] == ["income"]
    assert [row[0] for row in rows[1:]] == estimator.predict(x).tolist()
    out = tmp_path / "answers.csv"
    assert run("predict", made / "numbers.safetensors", test, "--out", out) == 0
    rows = fields(out.read_text())
    assert rows[0] == ["pay"]
    expected = load_table_estimator(made / "numbers.safetensors").predict(x)
    np.testing.assert_array_equal(np.array(rows[1:], float)[:, 0], expected)


def test_quantiles(made, data, tmp_path, capsys):
    out = tmp_path / "q.safetensors"
    options = ("--drop", "id,kind,income", "--quantiles", "0.9,0.1,0.5", "--quiet", *SMALL)
    assert run("train", made / "train.csv", "--target", "pay", "--out", out, *options) == 0
    assert run("predict", out, made / "test.csv") == 0
    header, *rows = fields(capsys.readouterr().out)
    assert header == ["pay_0.1", "pay_0.5", "pay_0.9"]
    found = np.array(rows, float)
    assert (np.diff(found, axis=1) >= 0).all()
    assert run("evaluate", out, made / "test.csv", "--json") == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    actual = read_of_kinds(str(made / "test.csv"), {"pay": "number"}).columns["pay"]
    assert scores["RMSE"] == pytest.approx(np.sqrt(np.mean((found[:, 1] - actual) ** 2)))
    told = "scores are of the quantile 0.5, of those learned: 0.1, 0.5, 0.9"
    assert run("evaluate", out, made / "test.csv") == 0
    assert told in capsys.readouterr().err
    assert run("report", out, "--out", tmp_path / "q.html", "--data", made / "test.csv") == 0
    page = (tmp_path / "q.html").read_text()
    pages.check(page)
    assert f"Rows of training: {told}" in page
    assert f"test.csv: {told}" in page
    assert "root mean squared error of the quantile 0.5 rises" in page
    assert data is not None


def test_columns_by_name(made, data, capsys):
    """In any order; others are ignored with a remark, but for the target without one."""
    model = made / "classes.safetensors"
    text = "flag,job,extra,day,age,income\ntrue,nurse,9,2021-05-05,44,high\n"
    assert run("predict", model, data(text)) == 0
    first = capsys.readouterr()
    assert first.err == "predict: columns that the model does not use: 'extra'\n"
    text = "age,job,day,flag\n44,nurse,2021-05-05,true\n"
    assert run("predict", model, data(text)) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert second.err == ""


def test_a_missing_column(made, data, tmp_path, capsys):
    model, out = made / "classes.safetensors", tmp_path / "answers.csv"
    assert (
        run("predict", model, data("age,jobs,day,flag\n1,a,2021-01-01,true\n"), "--out", out) == 1
    )
    assert capsys.readouterr().err == (
        f"predict: {tmp_path / 'data.csv'}: there is no column 'job'; did you mean 'jobs'?\n"
    )
    assert run("predict", model, data("age\n1\n"), "--out", out) == 1
    assert "there are no columns 'job', 'day', 'flag'" in capsys.readouterr().err
    assert not out.exists()


def test_new_values_count_as_missing_with_one_warning(made, data, monkeypatch, capsys):
    model = made / "classes.safetensors"
    head = "age,job,day,flag\n"
    known = [f"{20 + i},,2021-05-05,\n" for i in range(6)]
    new = [
        f"{20 + i},{job},2021-05-05,{flag}\n"
        for i, (job, flag) in enumerate(
            [("pilot", "maybe"), ("diver", "perhaps"), ("pilot", "maybe")] * 2
        )
    ]
    assert run("predict", model, data(head + "".join(known))) == 0
    expected = capsys.readouterr()
    assert expected.err == ""
    for at_a_time in (1 << 17, 8):
        monkeypatch.setattr(csv_files, "_FIELDS_AT_A_TIME", at_a_time)
        assert run("predict", model, data(head + "".join(new))) == 0
        found = capsys.readouterr()
        np.testing.assert_allclose(
            np.array(fields(found.out)[1:], float),
            np.array(fields(expected.out)[1:], float),
            rtol=1e-6,
        )
        assert found.err == (
            "predict: 12 values that the model does not know, as they are new or were rare in training, "
            "count as missing: in 'job' (6, such as 'pilot'), 'flag' (6, such as 'maybe')\n"
        )


# name: (rows below the header age,job,day,flag, the message)
WRONG_ROWS: dict[str, Any] = {
    "a word": (
        "44,a,2021-01-01,true\nold,a,2021-01-01,true\n",
        "line 3, column 'age': expected a number",
    ),
    "no date": (
        "44,a,soon,true\n",
        "line 2, column 'day': expected a date such as 2024-01-31, got 'soon'",
    ),
    "too few": ("44,a\n", "line 2: expected 4 fields, got 2"),
    "none": ("", "there are no rows"),
}


@pytest.mark.parametrize("name", WRONG_ROWS)
def test_wrong_rows(name, made, data, tmp_path, capsys):
    rows, message = WRONG_ROWS[name]
    out = tmp_path / "answers.csv"
    out.write_text("kept")
    path = data("age,job,day,flag\n" + rows)
    assert run("predict", made / "classes.safetensors", path, "--out", out) == 1
    assert message in capsys.readouterr().err
    assert out.read_text() == "kept"


def test_options_that_a_model_has_not(made, capsys):
    test = made / "test.csv"
    assert run("predict", made / "numbers.safetensors", test, "--classes") == 1
    assert "--classes: the model predicts numbers" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        run("predict", made / "classes.safetensors", test, "--names", "a,b")
    assert end.value.code == 2


def test_columns_that_were_empty_in_training(data, tmp_path, capsys):
    text = "x,empty,y\n" + "".join(f"{i % 7},NA,{'ab'[i % 2]}\n" for i in range(60))
    out = tmp_path / "m.safetensors"
    assert run("train", data(text), "--target", "y", "--out", out, *SMALL) == 0
    assert "  empty  empty   60 gaps" in capsys.readouterr().out
    assert run("predict", out, data("x,empty\n1,anything\n2,7\n")) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_models_of_programs(data, tmp_path, capsys):
    """Without notes, and without names of columns."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    y = (x[:, 0] > 0).astype(int)
    named, plain = tmp_path / "named.safetensors", tmp_path / "plain.safetensors"
    TabularClassifier(**PARAMETERS).fit({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2]}, y).save(named)
    without = TabularClassifier(**PARAMETERS).fit(x, y)
    without.save(plain)
    rows = "".join(f"{a},{b},{c},{label}\n" for (a, b, c), label in zip(x, y, strict=True))
    path = data("a,b,c,y\n" + rows)
    assert run("evaluate", named, path) == 1
    assert (
        "--target: the file of the model does not tell what it predicts" in capsys.readouterr().err
    )
    for model in (named, plain):
        assert run("evaluate", model, path, "--target", "y", "--json") == 0
        assert json.loads(capsys.readouterr().out)["scores"]["accuracy"] > 0.5
        assert run("report", model, "--out", tmp_path / "r.html") == 0
        assert "Importance of columns" in pages.check((tmp_path / "r.html").read_text()).text
        capsys.readouterr()
    path = data("p,q,r\n" + "".join(f"{a},{b},{c}\n" for a, b, c in x))
    assert run("predict", plain, path) == 0
    header, *found = fields(capsys.readouterr().out)
    assert header == ["0", "1"]
    np.testing.assert_array_equal(np.array(found, float), without.predict_proba(x))
    assert run("predict", plain, data("p,q\n1,2\n")) == 1
    assert "3 columns without names, and the file has 2" in capsys.readouterr().err


def test_files_that_are_no_models_of_tables(data, tmp_path, capsys):
    plain = tmp_path / "plain.safetensors"
    fastnn.Sequential([layers.Dense(2, input_shape=(3,))]).save(plain)
    for command in ("evaluate", "report"):
        options = (data("a,y\n1,2\n"),) if command == "evaluate" else ()
        assert run(command, plain, *options) == 1
        assert "a model of rows of numbers, not of a table" in capsys.readouterr().err
        assert run(command, tmp_path / "none", *options) == 1
        assert "none" in capsys.readouterr().err
        assert run(command, data("no model", "broken"), *options) == 1
        assert capsys.readouterr().err.startswith(f"{command}: ")


def test_damaged_notes(made, tmp_path, capsys):
    """They never raise but as errors of the file."""
    from fastnn.files import layout

    contents = layout.read(made / "classes.safetensors")
    told = json.loads(contents.metadata["command"])
    path = tmp_path / "m.safetensors"
    wrong: list[Any] = [
        *({name: value for name, value in told.items() if name != left} for left in told),
        *(told | {name: 7} for name in told if name != "version"),
        told | {"kinds": {"age": "elephant"}},
        told | {"columns": [["a"]]},
        told | {"facts": [["a", "b", "c"]]},
        [],
    ]
    for damaged in wrong:
        text = json.dumps(damaged)
        layout.write(path, layout.Contents(contents.metadata | {"command": text}, contents.tensors))
        assert run("evaluate", path, made / "test.csv") == 1, damaged
        assert "m.safetensors: command" in capsys.readouterr().err
    text = json.dumps(told | {"version": 99})
    layout.write(path, layout.Contents(contents.metadata | {"command": text}, contents.tensors))
    assert run("predict", path, made / "test.csv") == 0


# -- evaluate


def test_evaluate_classes(made, capsys):
    model, test = made / "classes.safetensors", made / "test.csv"
    assert run("predict", model, test) == 0
    p = np.array(fields(capsys.readouterr().out)[1:], float)
    y = read_of_kinds(str(test), {"income": "text"}).columns["income"].astype(str)
    assert run("evaluate", model, test, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    answers = np.array(["high", "low"])[p.argmax(axis=1)]
    assert found["rows"] == 90
    assert found["target"] == "income"
    assert found["scores"]["accuracy"] == pytest.approx(metrics.accuracy_score(y, answers))
    assert found["scores"]["log loss"] == pytest.approx(metrics.log_loss(y, p))
    expected = metrics.confusion_matrix(y, answers, labels=found["classes"])
    assert found["confusion"] == expected.tolist()
    assert run("evaluate", model, test) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{test}: 90 rows"
    assert any(line.split() == ["high", "low"] for line in lines)
    assert any(line.split() == ["high", *map(str, expected[0])] for line in lines)


def test_evaluate_numbers(made, capsys):
    model, test = made / "numbers.safetensors", made / "test.csv"
    assert run("predict", model, test) == 0
    answers = np.array(fields(capsys.readouterr().out)[1:], float)[:, 0]
    y = read_of_kinds(str(test), {"pay": "number"}).columns["pay"]
    assert run("evaluate", model, test, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"]["RMSE"] == pytest.approx(metrics.root_mean_squared_error(y, answers))
    assert found["error_quantiles"]["1.0"] == pytest.approx(np.abs(y - answers).max())
    assert run("evaluate", model, test) == 0
    assert "quantiles of |predicted - actual|" in capsys.readouterr().out


def test_evaluate_with_gaps_and_unknown_classes(made, data, capsys):
    lines = table_text(30, 2).splitlines()
    lines[1] = lines[1].replace(",high,", ",,").replace(",low,", ",,")
    for i in (2, 3):
        lines[i] = lines[i].replace(",high,", ",middle,").replace(",low,", ",middle,")
    assert run("evaluate", made / "classes.safetensors", data("\n".join(lines))) == 0
    said = capsys.readouterr()
    assert ": 29 rows\n" in said.out
    assert "middle" in said.out
    assert "evaluate: 1 row without 'income' left out\n" in said.err
    assert "2 rows of classes that the model does not know: 'middle'" in said.err
    assert (
        run("evaluate", made / "classes.safetensors", data("\n".join(lines)), "--target", "age")
        == 1
    )
    assert "'age' is a column that the model predicts from" in capsys.readouterr().err
    text = "\n".join(line.replace(",high,", ",,").replace(",low,", ",,") for line in lines[:2])
    assert run("evaluate", made / "classes.safetensors", data(text)) == 1
    assert "the target 'income' has no value" in capsys.readouterr().err


def test_many_classes(data, tmp_path, capsys):
    text = "x,y\n" + "".join(f"{i % 30},c{i % 30}\n" for i in range(600))
    path, out = data(text), tmp_path / "m.safetensors"
    assert run("train", path, "--target", "y", "--out", out, "--quiet", *SMALL) == 0
    assert run("evaluate", out, path) == 0
    assert "the mistakes that are made most often" in capsys.readouterr().out
    assert run("report", out, "--data", path, "--out", tmp_path / "r.html") == 0
    assert "Among 30 classes" in pages.check((tmp_path / "r.html").read_text()).text


# -- report


def test_report(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, words in (
        ("classes", ("2 classes", "Calibration", "Rows of each class", "log loss")),
        ("numbers", ("regression", "Residuals", "RMSE")),
    ):
        model = made / f"{name}.safetensors"
        assert run("report", model, "--out", "report.html") == 0
        assert capsys.readouterr().out == "report.html\n"
        alone = pages.check(Path("report.html").read_text())
        assert (
            run("report", model, "--out", "report.html", "--data", made / "test.csv", "--quiet")
            == 0
        )
        assert capsys.readouterr().out == ""
        found = pages.check(Path("report.html").read_text())
        every = (
            *words,
            *COLUMNS,
            "Rows of training, by the members that did not learn from them",
            "On held-out rows",
            "Importance of columns",
            "hidden_layer_sizes",
            fastnn.__version__,
            "train.csv",
        )
        for word in every:
            assert word in alone.text, word
            assert word in found.text, word
        assert "test.csv: 90 rows" in found.text
        assert found.tags.count("svg") > alone.tags.count("svg")


@pytest.mark.parametrize("name", ["classes", "numbers"])
def test_shuffled_answers_are_those_for_shuffled_columns(name, made):
    """Of each column, as the estimator answers for a table in which it was shuffled."""
    kinds = {"age": "number", "job": "text", "day": "date", "flag": "boolean"}
    x = read_of_kinds(str(made / "test.csv"), kinds).columns
    estimator = load_table_estimator(made / f"{name}.safetensors")
    answer = estimator.predict if name == "numbers" else estimator.predict_proba
    orders = [np.random.default_rng(i).permutation(90) for i in range(4)]
    plain, *found = kept.shuffled_answers(estimator, x, orders)
    np.testing.assert_allclose(plain, answer(x), rtol=1e-5)
    for column, order, one in zip(kinds, orders, found, strict=True):
        expected = answer({**x, column: x[column][order]})
        np.testing.assert_allclose(one, expected, rtol=1e-5)
        assert np.abs(expected - plain).max() > 1e-4


def test_the_page_beside_the_model(made, capsys):
    assert run("report", made / "classes.safetensors") == 0
    assert capsys.readouterr().out == f"{made / 'classes.html'}\n"
    assert (made / "classes.html").read_text().startswith("<!doctype html>")
    (made / "classes.html").write_text("a diary")
    assert run("report", made / "classes.safetensors") == 1
    assert "exists, and is no page of HTML; --force replaces it" in capsys.readouterr().err
    assert (made / "classes.html").read_text() == "a diary"
    assert run("report", made / "classes.safetensors", "--force") == 0
    assert run("report", made / "classes.safetensors") == 0


def test_hostile_names_go_through_all_commands(data, tmp_path, capsys):
    """From the header of a file to the page, and never as commands to a terminal."""
    names = ["<script>alert(1)</script>", "a\x1b[31mred", "\u202eback", "it's; --drop", "日本🙂"]
    header = ",".join(f'"{name}"' for name in [*names, "y"])
    rows = "".join(
        ",".join([str(i % (k + 2)) for k in range(4)] + [f"<b>{i % 3}</b>", f"<i>{i % 2}</i>"])
        + "\n"
        for i in range(80)
    )
    path, out, page = data(header + "\n" + rows), tmp_path / "m.safetensors", tmp_path / "r.html"
    assert run("train", path, "--target", "y", "--out", out, *SMALL) == 0
    assert run("evaluate", out, path) == 0
    assert run("report", out, "--data", path, "--out", page) == 0
    said = capsys.readouterr()
    assert all(c.isprintable() or c == "\n" for c in said.out + said.err)
    found = pages.check(page.read_text())
    assert names[0] in found.text
    assert "<b>" in found.text


@pytest.mark.skipif(pages.CHROMIUM is None, reason="Chromium is not installed")
def test_the_page_in_a_browser(made, tmp_path):
    path = tmp_path / "r.html"
    model = made / "classes.safetensors"
    assert run("report", model, "--data", made / "test.csv", "--out", path, "--quiet") == 0
    for width in (360, 1280):
        found = pages.measured(path, width)
        assert int(found["scroll"]) <= width
        assert float(found["small"]) >= 8
        assert (found["broken"], found["asked"]) == ("0", "0")


# -- processes


def start(folder: Path, *words: object, program: str = "", **given: Any) -> subprocess.Popen[str]:
    """The command in a process of its own; `program`: what runs there before it.

    Where the tests run in the background of a shell, Ctrl-C is ignored, in the processes that they
    start as well.
    """
    listens = "import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
    text = f"{listens}\n{program}\nfrom fastnn.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", text, *map(str, words)],
        cwd=folder,
        env=environment(),
        text=True,
        stderr=subprocess.PIPE,
        **given,
    )


LONG = ("--set", "max_epochs=100000", "--members", "1")


def test_an_interrupted_training_leaves_no_file(data, tmp_path):
    path = data(table_text())
    words = ("train", path, "--target", "income", "--out", "m.safetensors", *LONG)
    with start(tmp_path, *words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while "target" not in process.stdout.readline():
            pass
        time.sleep(1.5)  # until it trains
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(60) == 130
    assert said.splitlines()[-1] == "train: interrupted; no model was written"
    assert "Traceback" not in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.csv"]


def test_a_killed_writer_leaves_the_old_model(made, tmp_path):
    """Killed while the new file is written; the next writer removes what is left."""
    out = tmp_path / "m.safetensors"
    out.write_bytes((made / "classes.safetensors").read_bytes())
    before = out.read_bytes()
    program = (
        "import os, time\n"
        "def wait(_): print('writing', flush=True); time.sleep(60)\n"
        "os.fsync = wait"
    )
    words = ("train", made / "train.csv", "--target", "income", "--out", out, "--quiet", *SMALL)
    with start(tmp_path, *words, program=program, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.kill()
        process.wait(60)
    assert out.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2
    assert run(*words) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]
    load_table_estimator(out)


@pytest.mark.parametrize("how", ["closed", "a pipe that nothing reads", "full"])
def test_standard_output_does_not_decide_over_training(how, data, tmp_path):
    path = data(table_text(60))
    words = ("train", path, "--target", "income", "--out", "m.safetensors", *SMALL)
    if how == "full":
        if not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full")
        with open("/dev/full", "w") as full, start(tmp_path, *words, stdout=full) as process:  # noqa: PTH123
            assert process.wait(60) == 0
    elif how == "closed":
        program = "import os; os.close(1)"
        with start(tmp_path, *words, program=program, stdout=subprocess.PIPE) as process:
            assert process.wait(60) == 0
    else:
        from_pipe, to_pipe = os.pipe()
        os.close(from_pipe)
        with start(tmp_path, *words, stdout=to_pipe) as process:
            os.close(to_pipe)
            assert process.wait(60) == 0
    load_table_estimator(tmp_path / "m.safetensors")


def test_a_pipe_that_closes_ends_predictions(made, data, tmp_path):
    """As of `| head`: no words, no traceback."""
    lines = "age,job,day,flag\n" + "44,nurse,2021-05-05,true\n" * 60_000
    words = ("predict", made / "classes.safetensors", data(lines))
    with start(tmp_path, *words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "high,low\n"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(60) == 1


def test_parquet_through_all_commands(made, tmp_path, capsys):
    """The same model and the same answers as from CSV."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("train", "test"):
        table = read_table(str(made / f"{name}.csv"))
        columns = {n: arrow.array(v, mask=is_gap(v)) for n, v in table.columns.items()}
        parquet.write_table(arrow.table(columns), tmp_path / f"{name}.parquet")
    out = tmp_path / "m.safetensors"
    options = ("--target", "income", "--drop", "id,kind,pay", "--quiet", *SMALL)
    assert run("train", tmp_path / "train.parquet", "--out", out, *options) == 0
    assert run("predict", made / "classes.safetensors", made / "test.csv") == 0
    expected = capsys.readouterr().out
    assert run("predict", out, tmp_path / "test.parquet") == 0
    assert capsys.readouterr().out == expected
    assert run("evaluate", out, tmp_path / "test.parquet") == 0


def test_texts_of_dates_in_parquet_are_dates(tmp_path: Path, capsys: Any) -> None:
    """As in CSV, and as the estimators take them; but not those named in --text."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    days = [f"2024-03-{1 + i % 28:02d}" if i % 9 else None for i in range(60)]
    columns = {"day": days, "odd": [*days[:-1], "later"], "kept": days, "y": ["a", "b"] * 30}
    parquet.write_table(arrow.table(columns), tmp_path / "d.parquet")
    out = tmp_path / "d.safetensors"
    options = ("--target", "y", "--text", "kept", "--out", out, *SMALL)
    assert run("train", tmp_path / "d.parquet", *options) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["day", "date", "2024-03-01", "to", "2024-03-28,", "7", "gaps"] in lines
    kinds = {source.name: source.kind for source in load_table_estimator(out).encoding_.sources}
    assert kinds == {"day": "date", "odd": "category", "kept": "category"}
    assert run("predict", out, tmp_path / "d.parquet") == 0


def test_dates_named_as_text_are_levels(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "text.safetensors"
    told = ["train", str(made / "train.csv"), "--target", "income", "--text", "day"]
    assert main([*told, "--out", str(out), "--quiet", *SMALL]) == 0
    kinds = {source.name: source.kind for source in load_table_estimator(out).encoding_.sources}
    assert kinds["day"] == "category"


def test_predict_does_not_write_over_the_model(made: Path, tmp_path: Path, capsys: Any) -> None:
    model, rows = tmp_path / "m.safetensors", tmp_path / "rows.csv"
    model.write_bytes((made / "classes.safetensors").read_bytes())
    rows.write_bytes((made / "test.csv").read_bytes())
    before = model.read_bytes()
    assert main(["predict", str(model), str(rows), "--out", str(model)]) == 1
    assert "is the file of the model" in capsys.readouterr().err
    assert model.read_bytes() == before
    # Rows may be replaced by their answers.
    assert main(["predict", str(model), str(rows), "--out", str(tmp_path / "answers.csv")]) == 0
    assert main(["predict", str(model), str(rows), "--out", str(rows)]) == 0
    assert rows.read_bytes() == (tmp_path / "answers.csv").read_bytes()
