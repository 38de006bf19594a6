"""`history.plot()`: what is in the figure, and that matplotlib's own state stays as it is."""

from __future__ import annotations

import io
import math
import sys

import cases
import networks
import numpy as np
import pytest

import fastnn
from fastnn.callbacks import History

figures = pytest.importorskip("matplotlib.figure", reason="matplotlib is not installed")


def recorded(epochs=None, **values):
    history = History()
    history.history = {name: list(found) for name, found in values.items()}
    longest = max((len(found) for found in values.values()), default=0)
    history.epoch = list(range(longest)) if epochs is None else epochs
    return history


def lines(axes):
    """The label, epochs and values of each line."""
    return [
        (line.get_label(), list(line.get_xdata()), np.asarray(line.get_ydata(), float))
        for line in axes.get_lines()
    ]


def test_curves_of_a_fit(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    model = networks.sequential((4, 3), ("linear",))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=3, validation_split=0.25, verbose=0)
    figure = history.plot(tmp_path / "curves.png")
    assert isinstance(figure, figures.Figure)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    loss, accuracy = figure.axes
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        assert axes.get_xlabel() == "epoch"
        assert axes.get_ylabel() == name
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [
            "training",
            "validation",
        ]
        (_, epochs, training), (_, _, validation) = lines(axes)
        assert epochs == [1, 2, 3]
        np.testing.assert_array_equal(training, history.history[name])
        np.testing.assert_array_equal(validation, history.history[f"val_{name}"])
        styles = [line.get_linestyle() for line in axes.get_lines()]
        assert styles == ["-", "--"]


def test_panels_by_scale():
    """A rate of 0.001 would be a flat line beside an accuracy."""
    history = recorded(
        accuracy=[0.5, 0.9],
        loss=[2.0, 1.0],
        val_loss=[2.1, 1.2],
        auc=[0.6, 0.95],
        val_auc=[0.5, 0.8],
        learning_rate=[1e-3, 5e-4],
        mean_absolute_error=[30.0, 20.0],
        root_mean_squared_error=[50.0, 45.0],
    )
    figure = history.plot()
    names = [axes.get_ylabel() for axes in figure.axes]
    errors = "mean_absolute_error\nroot_mean_squared_error"
    assert names == ["loss", "accuracy\nauc", "learning_rate", errors]
    assert [line[0] for line in lines(figure.axes[1])] == ["accuracy", "auc", "auc, validation"]
    colors = [line.get_color() for line in figure.axes[1].get_lines()]
    assert colors[1] == colors[2] != colors[0]


def test_chosen_metrics():
    history = recorded(loss=[1.0], val_loss=[1.0], accuracy=[0.5], val_accuracy=[0.4], auc=[0.7])
    for chosen, expected in (
        ("accuracy", ["accuracy"]),
        (["auc", "loss"], ["loss", "auc"]),
        (("val_accuracy", "accuracy"), ["accuracy"]),
    ):
        figure = history.plot(metrics=chosen)
        assert [axes.get_ylabel() for axes in figure.axes] == expected
    with pytest.raises(
        ValueError, match="metrics: unknown name 'acuracy', did you mean 'accuracy'"
    ):
        history.plot(metrics=["acuracy"])
    with pytest.raises(ValueError, match="metrics: expected at least one name"):
        history.plot(metrics=[])
    with pytest.raises(TypeError, match="metrics: expected names, got 3"):
        history.plot(metrics=[3])


def test_one_epoch_is_a_point():
    figure = recorded(loss=[0.5], val_loss=[0.75]).plot()
    training, validation = figure.axes[0].get_lines()
    assert (training.get_marker(), training.get_markevery()) == ("o", [0])
    assert validation.get_markevery() == [0]
    assert lines(figure.axes[0])[0][1] == [1]
    low, high = figure.axes[0].get_xlim()
    assert [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high] == [1]


def test_nan_and_infinity_are_gaps(tmp_path):
    """A number between two gaps is a point; other numbers are joined by the line alone."""
    nan = math.nan
    history = recorded(loss=[1.0, nan, 3.0, math.inf, 5.0, 6.0], val_loss=[nan] * 6)
    figure = history.plot(tmp_path / "gaps.svg")
    training, validation = figure.axes[0].get_lines()
    np.testing.assert_array_equal(training.get_ydata(), [1, nan, 3, nan, 5, 6])
    assert training.get_markevery() == [0, 2]
    assert validation.get_markevery() == []
    low, high = figure.axes[0].get_ylim()
    assert (low < 1, 6 < high < 10) == (True, True)


def test_epochs_are_those_that_were_run():
    """A fit went on at epoch 10; a value that is not in every epoch has its own count."""
    figure = recorded([10, 11, 12], loss=[3.0, 2.0, 1.0], val_loss=[2.0]).plot()
    assert [line[1] for line in lines(figure.axes[0])] == [[11, 12, 13], [1]]


def test_values_that_are_no_numbers_are_left_out():
    history = recorded(
        loss=[1.0, 2.0], note=["a", "b"], table=[[1, 2], [3, 4]], val_only=[1.0, 2.0]
    )
    figure = history.plot()
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "only"]
    assert [line[0] for line in lines(figure.axes[1])] == ["validation"]


@pytest.mark.parametrize(
    ("suffix", "begin"),
    [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG")],
)
def test_the_suffix_decides_the_format(suffix, begin, tmp_path):
    path = str(tmp_path / f"curves{suffix}")
    recorded(loss=[1.0, 0.5]).plot(path, title="Both epochs", figsize=(3, 2))
    with open(path, "rb") as file:  # noqa: PTH123 - a string is what is tested
        assert file.read(5).startswith(begin)
    memory = io.BytesIO()
    recorded(loss=[1.0, 0.5]).plot(memory)
    assert memory.getvalue().startswith(b"\x89PNG")


def test_wrong_use(tmp_path):
    history = recorded(loss=[1.0])
    for path in ("curves", "curves.txt"):
        with pytest.raises(ValueError, match=rf"path: the suffix decides .*\.png.* got '{path}'"):
            history.plot(path)
    with pytest.raises(TypeError, match="path: expected a path or a file, got 3"):
        history.plot(3)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        history.plot(tmp_path / "nowhere" / "a.png")
    for empty in (History(), recorded(loss=[])):
        with pytest.raises(ValueError, match=r"history\.plot: no epoch was finished"):
            empty.plot()


def test_without_matplotlib(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"history\.plot needs matplotlib: .*'\.\[plot\]'"):
        recorded(loss=[1.0]).plot()


def test_pyplot_is_not_touched():
    """Neither imported, nor its figures, its backend or any setting changed."""
    done = cases.python(
        """
import io, sys
import matplotlib
from fastnn.callbacks import History
# Asking for the backend would choose one, by pyplot.
settings = lambda: {k: matplotlib.rcParams[k] for k in matplotlib.rcParams if k != "backend"}
before = settings()
history = History()
history.history, history.epoch = {"loss": [1.0, 0.5]}, [0, 1]
history.plot(io.BytesIO())
print("matplotlib.pyplot" in sys.modules, settings() == before)
"""
    )
    assert done.stdout.split() == ["False", "True"], done.stdout + done.stderr


def test_importing_fastnn_does_without_matplotlib():
    done = cases.python("import sys, fastnn; print('matplotlib' in sys.modules)")
    assert done.stdout.split() == ["False"], done.stdout + done.stderr
    assert fastnn.callbacks.History().history == {}
