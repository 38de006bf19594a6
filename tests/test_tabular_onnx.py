"""Estimators of tables as files of ONNX: ONNX Runtime's answers beside their own."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
onnx = pytest.importorskip("onnx")

from onnx_files import session

from fastnn.sklearn import TabularClassifier, TabularRegressor

pytestmark = pytest.mark.cpu

N = 120
GIVEN: dict[str, Any] = {
    "members": 3,
    "hidden_layer_sizes": (16,),
    "max_epochs": 6,
    "random_state": 0,
    "matmul_precision": "highest",
}


def _table(seed: int = 0) -> dict[str, Any]:
    """Every kind of column, with gaps; dates before 1970 and in leap years."""
    rng = np.random.default_rng(seed)
    days = np.datetime64("1959-12-31T22:10:05") + (rng.random(N) * 3e9).astype("m8[s]")
    days[5:9] = ["2000-02-29T23:59:59", "1900-03-01", "NaT", "2024-12-31T00:00:01"]
    table: dict[str, Any] = {
        "size": np.where(rng.random(N) < 0.2, np.nan, 100 * rng.standard_cauchy(N)),
        "huge": rng.normal(size=N) * 1e300,
        "colour": rng.choice(np.array(["red", "grün", None, "", "blue"], object), N),
        "flag": rng.choice(np.array([True, False, None], object), N),
        "sure": rng.random(N) < 0.5,
        "two": rng.choice(np.array(["a", "b"], object), N),
        "day": days,
        "none": np.full(N, None, object),
        "": rng.normal(size=N),
    }
    return table


def _others() -> dict[str, Any]:
    """Rows with values that training had not."""
    table = _table(1)
    table["colour"][:3] = ["violet", None, ""]
    table["two"][:2] = ["c", None]
    table["none"] = np.full(N, "anything", object)
    table["huge"][0] = 1e308
    return table


def _fed(table: dict[str, Any], columns: list[dict[str, str]]) -> dict[str, Any]:
    """The inputs of the file."""
    found = {}
    for told in columns:
        values = table[told["name"]]
        if told["kind"] == "category":
            fed: Any = np.array(["no level" if v is None else v for v in values], object)
        elif told["kind"] == "empty":
            fed = np.full(N, 7.0)
        elif told["kind"] == "date":
            seconds = (values - np.datetime64(0, "s")) / np.timedelta64(1, "s")
            fed = np.where(np.isnat(values), np.nan, seconds)
        else:
            fed = np.array([np.nan if v is None else float(v) for v in values])
        found[told["input"]] = fed[:, None]
    return found


def _answers(net: Any, table: dict[str, Any], path: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    net.export_onnx(path)
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    about = {prop.key: json.loads(prop.value) for prop in proto.metadata_props}
    run = session(path)
    names = [output.name for output in run.get_outputs()]
    given = _fed(table, about["columns"])
    return dict(zip(names, run.run(None, given), strict=True)), about


@pytest.mark.parametrize("labels", ["texts", "integers", "numbers", "booleans", "dates"])
@pytest.mark.parametrize("calibrate", [True, False])
def test_classes(labels: str, calibrate: bool, tmp_path: Any) -> None:
    table = _table()
    codes = np.arange(N) % 3 % (2 if labels == "booleans" else 3)
    y = {
        "texts": np.array(["né", "zwei", "3"]),
        "integers": np.array([7, -1, 0]),
        "numbers": np.array([1e-3, 2.0, 3.0]).astype(str).astype(object),
        "booleans": np.array([False, True]),
        "dates": np.array(["2024-01-01", "2023-01-01", "1960-01-01"], "M8[D]"),
    }[labels][codes]
    net = TabularClassifier(**GIVEN, calibrate=calibrate).fit(table, y)
    for rows in (table, _others()):
        found, about = _answers(net, rows, tmp_path / "net.onnx")
        np.testing.assert_allclose(found["probabilities"], net.predict_proba(rows), atol=2e-6)
        expected = net.predict(rows)
        if labels in ("texts", "numbers", "dates"):
            expected = expected.astype(str)
        np.testing.assert_array_equal(found["label"], expected)
        assert [told["name"] for told in about["columns"]] == list(table)
        assert len(about["classes"]) == len(net.classes_)


@pytest.mark.parametrize("calibrate", [True, False])
def test_labels_that_do_not_exclude_each_other(calibrate: bool, tmp_path: Any) -> None:
    table = _table()
    y = (np.arange(N)[:, None] % np.array([2, 3, 5]) == 0).astype(int)
    net = TabularClassifier(**GIVEN, calibrate=calibrate).fit(table, y)
    found, _ = _answers(net, _others(), tmp_path / "net.onnx")
    np.testing.assert_allclose(found["probabilities"], net.predict_proba(_others()), atol=2e-6)
    np.testing.assert_array_equal(found["label"], net.predict(_others()))


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("quantiles", [None, (0.9, 0.1, 0.4)])
def test_numbers(outputs: int, quantiles: Any, tmp_path: Any) -> None:
    table = _table()
    y = np.nan_to_num(table[""][:, None] * [3.0, 1e6] + table["sure"][:, None])[:, :outputs]
    y = y[:, 0] if outputs == 1 else y
    net = TabularRegressor(**GIVEN, quantiles=quantiles).fit(table, y)
    for rows in (table, _others()):
        found, about = _answers(net, rows, tmp_path / "net.onnx")
        size = np.abs(y).max()
        np.testing.assert_allclose(found["prediction"], net.predict(rows), atol=1e-5 * size)
        if quantiles:
            expected = net.predict_quantiles(rows)
            np.testing.assert_allclose(found["quantiles"], expected, atol=1e-5 * size)
            assert about["quantiles"] == [0.1, 0.4, 0.9]


def test_dates_by_parts(tmp_path: Any) -> None:
    """The calendar of the file is that of NumPy, on all days of 900 years and at their last seconds."""
    days = np.datetime64("1580-01-01") + np.arange(0, 900 * 365, 1)
    times = np.concatenate(
        [days.astype("M8[s]"), days.astype("M8[s]") + np.timedelta64(86399, "s")]
    )
    net = TabularRegressor(**GIVEN | {"members": 1}, codes="none")
    net.fit({"day": times[:: len(times) // 500]}, np.arange(len(times[:: len(times) // 500])))
    assert {column.part for column in net.encoding_.columns} == {
        *("value", "day", "hour", "month", "weekday"),
    }
    net.export_onnx(tmp_path / "net.onnx")
    seconds = times.astype(np.int64).astype(np.float64)[:, None]
    (found,) = session(tmp_path / "net.onnx").run(["prediction"], {"day": seconds})
    np.testing.assert_allclose(found, net.predict({"day": times}), atol=1e-3)


def test_arrays_without_names_are_one_input(tmp_path: Any) -> None:
    x = np.random.default_rng(0).normal(size=(N, 4))
    x[::7, 2] = np.nan
    net = TabularRegressor(**GIVEN).fit(x, x[:, 0])
    net.export_onnx(tmp_path / "net.onnx")
    (found,) = session(tmp_path / "net.onnx").run(None, {"x": x})
    np.testing.assert_allclose(found, net.predict(x), atol=1e-5)


def test_names_that_inputs_cannot_have(tmp_path: Any) -> None:
    x = np.random.default_rng(0).normal(size=(5, N))
    names = ["", "probabilities", "a\x00b", "\ud800", "table/Cast"]
    table = dict(zip(names, x, strict=True))
    net = TabularClassifier(**GIVEN).fit(table, x[0] > 0)
    found, about = _answers(net, table, tmp_path / "net.onnx")
    assert [told["name"] for told in about["columns"]] == names
    assert len({told["input"] for told in about["columns"]}) == 5
    assert list(found) == ["probabilities", "label"]  # columns do not take the names of outputs
    np.testing.assert_allclose(found["probabilities"], net.predict_proba(table), atol=2e-6)


def test_levels_that_files_cannot_have(tmp_path: Any) -> None:
    """Half a pair of surrogates is no text of UTF-8; other levels keep their numbers."""
    for levels in (["a", "\ud800", "\ud900b"], ["\ud800", "\ud900", "\uda00"]):
        table = {"k": np.array(levels * 20, object)}
        net = TabularClassifier(**GIVEN).fit(table, [0, 1, 0] * 20)
        net.export_onnx(tmp_path / "net.onnx")
        given = {"k": np.array([["a"], ["?"]], object)}
        (found,) = session(tmp_path / "net.onnx").run(["probabilities"], given)
        np.testing.assert_allclose(found, net.predict_proba({"k": ["a", "?"]}), atol=2e-6)


def test_it_needs_a_fit(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="not fitted"):
        TabularRegressor().export_onnx(tmp_path / "net.onnx")
    net = TabularRegressor(**GIVEN).fit({"a": np.arange(20.0)}, np.arange(20.0))
    with pytest.raises(ValueError, match="opset"):
        net.export_onnx(tmp_path / "net.onnx", opset=3)
