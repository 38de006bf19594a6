"""Progress of `fit`: rates and times left, bars of tqdm, and what notebooks show."""

from __future__ import annotations

import importlib.util
import math
import pickle
import sys
import types

import networks
import numpy as np
import pytest

import fastnn
from fastnn.callbacks import History, ProgbarLogger
from fastnn.callbacks.progress import _time

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = X[:, :1]


def model_of(**how):
    model = networks.sequential((3, 1), ("linear",))
    model.compile("sgd", "mse", **how)
    return model


def test_times_that_are_left():
    told = [_time(seconds) for seconds in (0, 0.2, 59.1, 61, 3599.5, 3725)]
    assert told == ["0s", "1s", "1:00", "1:01", "1:00:00", "1:02:05"]


def test_a_rate_and_the_rest(monkeypatch):
    line = ProgbarLogger(live=True)
    line.set_params({"epochs": 1, "steps": 30})
    line.on_epoch_begin(0)
    monkeypatch.setattr(line, "_start", line._start - 2.0)
    monkeypatch.setattr("fastnn.callbacks.progress.time.perf_counter", lambda: line._start + 2.0)
    assert line._rate(10, 30) == " - 5 steps/s - 4s left"
    assert line._rate(10, None) == " - 5 steps/s"
    assert line._rate(0, 30) == ""
    assert line._rate(1000, 3000) == " - 500 steps/s - 4s left"


@pytest.fixture
def bars(monkeypatch):
    """A module in place of tqdm's; the bars that were made."""
    made = []

    class Bar:
        def __init__(self, total=None, **how):
            made.append(self)
            self.total, self.how, self.n, self.told, self.closed = total, how, 0, [], False

        def set_description_str(self, text, refresh):
            assert not refresh
            self.description = text

        def set_postfix_str(self, text, refresh):
            assert not refresh
            self.told.append((self.n, text))

        def refresh(self):
            if getattr(Bar, "broken", False):
                raise OSError("closed")

        def close(self):
            self.closed = True

    module = types.ModuleType("tqdm.auto")
    module.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", module)
    made_by = Bar
    yield made
    made_by.broken = False


def test_a_bar_of_tqdm(bars, capsys):
    history = model_of().fit(X, Y, 16, 3, "tqdm")
    (bar,) = bars
    assert (bar.total, bar.n, bar.closed) == (9, 9, True)
    assert bar.description == "Epoch 3/3"
    assert [n for n, _ in bar.told][-1] == 9
    assert bar.told[-1][1] == f"loss: {history.history['loss'][-1]:.4f}"
    assert capsys.readouterr().out == ""
    type(bar).broken = True
    assert len(model_of().fit(X, Y, 16, 2, "tqdm").epoch) == 2  # what cannot be drawn is left out


def test_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(
        ImportError, match=r"verbose='tqdm' needs tqdm: pip install tqdm.*'progress'"
    ):
        model_of().fit(X, Y, verbose="tqdm")
    with pytest.raises(ValueError, match="verbose"):
        model_of().fit(X, Y, verbose="tdqm")


# -- notebooks and tables


def test_tables_of_notebooks():
    layer = fastnn.layers.Dense(1, input_shape=(3,), name="a<b>&c")
    model = fastnn.Sequential([layer])
    shown = model._repr_html_()
    assert "a&lt;b&gt;&amp;c" in shown
    assert "<b>" not in shown
    assert "Parameters: 4" in shown
    assert fastnn.Sequential()._repr_html_().startswith("<pre>")
    history = History()
    assert history._repr_html_() == "<table><tr><th>epoch</th></tr></table>"
    for epoch in range(30):
        history.on_epoch_end(epoch, {"loss": 1.0 / (epoch + 1), "<i>": epoch})
    shown = history._repr_html_()
    assert "<th>&lt;i&gt;</th>" in shown
    assert shown.count("<tr>") == 17  # names, the first 5, a gap, the last 10
    assert "<td>30</td><td>0.0333</td>" in shown


def test_rows_of_a_history():
    """A value that an epoch has not is NaN, also after another fit and a pickle."""
    model = model_of()
    history = model.fit(X, Y, epochs=4, verbose=0, validation_data=(X, Y), validation_freq=2)
    rows = pickle.loads(pickle.dumps(history))._rows()
    assert rows["loss"] == history.history["loss"]
    found = [math.isnan(value) for value in rows["val_loss"]]
    assert found == [True, False, True, False]
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[history])
    rows = history._rows()
    assert len(rows["loss"]) == len(rows["val_loss"]) == 6
    assert [math.isnan(value) for value in rows["val_loss"]] == [*found, True, True]


def test_a_frame_of_pandas():
    history = model_of().fit(X, Y, epochs=3, verbose=0)
    if importlib.util.find_spec("pandas") is None:
        with pytest.raises(ImportError, match=r"history\.to_frame\(\) needs pandas: pip install"):
            history.to_frame()
        return
    frame = history.to_frame()
    assert frame["loss"].tolist() == history.history["loss"]
    assert frame.index.tolist() == [0, 1, 2]
