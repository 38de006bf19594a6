"""The command line on tables with several target columns, and targets of any size."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pages
import pytest
from command_line import PARAMETERS, SMALL, fields, run, table_text

pytest.importorskip("sklearn")

from sklearn import metrics

from fastnn.commands.kinds import is_gap
from fastnn.commands.tables import read_of_kinds, read_table
from fastnn.sklearn import TabularRegressor, load_table_estimator

pytestmark = pytest.mark.cpu

SEVERAL = {
    "numbers": ("pay", "age2"),
    "labels": ("flag", "rich"),
}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables with several targets, and models of them."""
    folder = tmp_path_factory.mktemp("several")
    for name, seed in (("train", 0), ("test", 1)):
        head, *lines = table_text(150, seed).splitlines()
        rows = [line.split(",") for line in lines]
        made = [f"{head},age2,rich"]
        for i, row in enumerate(rows):
            age = 40 if row[1] == "?" else int(row[1])
            made.append(
                f"{','.join(row)},{'' if i == 4 else 2000 * age + i},{int(float(row[7]) > 1)}"
            )
        (folder / f"{name}.csv").write_text("\n".join(made) + "\n")
    drop = {"numbers": "id,kind,income,rich", "labels": "id,kind,income,pay,age2"}
    for name, targets in SEVERAL.items():
        out = folder / f"{name}.safetensors"
        told = ("--target", *targets, "--out", out, "--drop", drop[name], "--quiet", *SMALL)
        assert run("train", folder / "train.csv", *told) == 0
    return folder


@pytest.mark.parametrize("name", SEVERAL)
def test_several_targets_through_all_commands(name, several, tmp_path, capsys):
    """A column each in predictions, and scores each."""
    model, test = several / f"{name}.safetensors", several / "test.csv"
    targets, net = SEVERAL[name], load_table_estimator(model)
    kinds = dict.fromkeys(targets, "number" if name == "numbers" else "text")
    table = read_of_kinds(str(test), {"age": "number", "job": "text", "day": "date", **kinds})
    assert run("predict", model, test) == 0
    header, *rows = fields(capsys.readouterr().out)
    assert header == list(targets)
    found = np.array(rows, float)
    assert found.shape == (150, 2)
    assert run("evaluate", model, test, "--json") == 0
    told = json.loads(capsys.readouterr().out)["targets"]
    assert [one["target"] for one in told] == list(targets)
    there = ~np.any([is_gap(table.columns[target]) for target in targets], axis=0)
    for k, (target, one) in enumerate(zip(targets, told, strict=True)):
        actual = table.columns[target][there]
        if name == "numbers":
            expected = metrics.root_mean_squared_error(actual.astype(float), found[there, k])
            assert one["scores"]["RMSE"] == pytest.approx(expected)
        else:
            actual = np.isin(actual.astype(str), ["True", "1"])
            expected = metrics.log_loss(actual, found[there, k])
            assert one["scores"]["log loss"] == pytest.approx(expected)
            assert one["classes"] == ["0", "1"]
    assert len(net.members_) == 2
    assert run("evaluate", model, test, "--json", "--target", *targets[::-1]) == 0
    assert json.loads(capsys.readouterr().out)["targets"] == told
    assert run("evaluate", model, test, "--target", targets[0], targets[0]) == 1
    assert "named twice" in capsys.readouterr().err
    assert run("evaluate", model, test) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{test}: {there.sum()} rows, target {targets[1]!r}" in lines
    if name == "labels":
        assert run("predict", model, test, "--classes") == 0
        header, *rows = fields(capsys.readouterr().out)
        assert header == list(targets)
        np.testing.assert_array_equal(np.array(rows, float), found > 0.5)
    out = tmp_path / "page.html"
    assert run("report", model, "--out", out, "--data", test, "--repeats", 1) == 0
    page = out.read_text()
    pages.check(page)
    for target in targets:
        assert f"{there.sum()} rows, {target}" in page
    assert "the mean over targets" in page


def test_quantiles_of_several_targets(several, tmp_path, capsys):
    out = tmp_path / "q.safetensors"
    told = ("--drop", "id,kind,income,rich", "--quantiles", "0.1,0.9", "--quiet", *SMALL)
    train = several / "train.csv"
    # The table may stand behind the targets, too.
    assert run("train", "--out", out, *told, "--target", "pay", "age2", train) == 0
    assert run("predict", out, several / "test.csv") == 0
    header, *rows = fields(capsys.readouterr().out)
    assert header == ["pay_0.1", "pay_0.9", "age2_0.1", "age2_0.9"]
    expected = load_table_estimator(out).predict_quantiles(
        {
            name: read_of_kinds(str(several / "test.csv"), {name: kind}).columns[name]
            for name, kind in (
                ("age", "number"),
                ("job", "text"),
                ("day", "date"),
                ("flag", "boolean"),
            )
        }
    )
    np.testing.assert_array_equal(np.array(rows, float), expected.reshape(len(rows), -1))


def test_train_tells_scores_of_each_target(several, tmp_path, capsys):
    train = several / "train.csv"
    told = ("--drop", "id,kind,income,pay,age2", "--validation", several / "test.csv", *SMALL)
    out = tmp_path / "m.safetensors"
    assert run("train", train, "--target", "flag", "--target", "rich", "--out", out, *told) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("targets 'flag', 'rich': 2 labels that do not") for line in lines)
    heads = [line.split() for line in lines]
    assert heads.count(["flag", "rich"]) == 2
    assert sum(len(line) == 3 and line[0] == "accuracy" for line in heads) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--target", "pay", "job"),
            "expected all booleans, or 0 and 1, or all numbers, 'job' is text",
        ),
        (("--target", "pay", "flag"), "or all numbers, 'flag' is boolean, such as"),
        (("--target", "pay", "pay"), "the column 'pay' is named twice"),
        (("--target", "pay", "--weights", "pay"), "the column 'pay' is named twice"),
        (("--target", "pay", "rich", "--task", "classification"), "0 and 1, 'pay' is number"),
        (
            ("--target", "rich", "flag", "--task", "regression"),
            "expected numbers, 'flag' is boolean",
        ),
    ],
)
def test_several_targets_that_do_not_go_together(options, message, several, tmp_path, capsys):
    assert run("train", several / "train.csv", "--out", tmp_path / "m.safetensors", *options) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("alike", [False, True])
def test_importances_over_targets_of_any_size(alike, tmp_path):
    """The squares of some are no numbers of float64, and one may have one value in the rows that are judged."""
    found = []
    for first, second in ((1.0, 1.0), (1e300, 1e-300)):
        rows = [(i, first * (i % 20), second * (20 - i % 20)) for i in range(60)]
        texts = [f"{i},{u!r},{v!r}" for i, u, v in rows]
        (tmp_path / "train.csv").write_text("\n".join(["a,u,v", *texts]) + "\n")
        if alike:
            texts = [f"{i},{0.1 * first!r},{v!r}" for i, _, v in rows]
        (tmp_path / "test.csv").write_text("\n".join(["a,u,v", *texts]) + "\n")
        out = tmp_path / "m.safetensors"
        told = ("--target", "u", "v", "--out", out, "--quiet", *SMALL)
        assert run("train", tmp_path / "train.csv", *told) == 0
        page = tmp_path / "page.html"
        assert run("report", out, "--out", page, "--data", tmp_path / "test.csv", "--force") == 0
        found.append(float(re.findall(r"(\S+) &plusmn;", page.read_text())[0].split(">")[-1]))
    assert 0 < abs(found[0]) < 10
    assert found[1] == pytest.approx(found[0], rel=1e-2)


def test_importances_for_a_huge_number(tmp_path):
    texts = [f"{i},{i % 20}e300" for i in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["a,u", *texts]) + "\n")
    out, page = tmp_path / "m.safetensors", tmp_path / "page.html"
    told = ("--target", "u", "--task", "regression", "--out", out, "--quiet", *SMALL)
    assert run("train", tmp_path / "a.csv", *told) == 0
    assert run("report", out, "--out", page, "--data", tmp_path / "a.csv") == 0
    (spread,) = re.findall(r"&plusmn; ([^<]+)", page.read_text())
    assert 0 <= float(spread) < 1e301


def test_weights_where_targets_are_known(tmp_path, capsys):
    lines = [f"{i},{'' if i % 2 else i},{i % 2}" for i in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["a,y,w", *lines]) + "\n")
    told = ("--target", "y", "--weights", "w", "--out", tmp_path / "m.safetensors")
    assert run("train", tmp_path / "a.csv", *told) == 1
    assert "all numbers in 'w' are 0 where 'y' has a value" in capsys.readouterr().err


def test_targets_of_models_of_programs(several, tmp_path, capsys):
    """Names are not known; evaluate is told them."""
    table = read_table(str(several / "train.csv")).columns
    x = {"age": table["age"], "job": table["job"]}
    there = ~is_gap(table["age2"])
    y = np.stack([table["pay"], table["age2"]], axis=1)[there]
    net = TabularRegressor(**PARAMETERS).fit({n: v[there] for n, v in x.items()}, y)
    net.save(tmp_path / "m.safetensors")
    model, test = tmp_path / "m.safetensors", several / "test.csv"
    assert run("predict", model, test) == 0
    assert fields(capsys.readouterr().out)[0] == ["target_0", "target_1"]
    assert run("evaluate", model, test) == 1
    assert "does not tell what it predicts" in capsys.readouterr().err
    assert run("evaluate", model, test, "--target", "pay") == 1
    assert "the model predicts 2 columns, got 1" in capsys.readouterr().err
    assert run("evaluate", model, test, "--target", "pay", "age2") == 0
    assert run("report", model, "--out", tmp_path / "m.html") == 0
