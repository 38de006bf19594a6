"""Weights alone: by their names, all or none, with differences told; from files of others too."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import saved_models
from saved_models import X, Y, bits

import fastnn
from fastnn import callbacks, layers
from fastnn.files.layout import Contents, ModelFileError, read, write

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "w.safetensors"


def tensors(model: Any, path: Path) -> dict[str, Any]:
    model.save_weights(path)
    return dict(read(path).tensors)


@pytest.mark.parametrize("kind", saved_models.KINDS)
def test_weights_of_every_kind(kind: str, path: Path) -> None:
    """From `save_weights` and from `save`; what the optimizer has is kept."""
    model, other = saved_models.KINDS[kind](), saved_models.KINDS[kind]()
    for made in (model, other):
        made.fit(X, Y, verbose=0)
    other.set_weights([weight * 0 for weight in other.get_weights()])
    for save in (model.save_weights, model.save):
        save(path)
        before = other.optimizer.iterations
        other.load_weights(path)
        assert bits(other) == bits(model)
        assert other.optimizer.iterations == before
        other.set_weights([weight * 0 for weight in other.get_weights()])
    assert read(path).metadata["kind"] == "model"


def test_order_does_not_matter_and_names_do(path: Path) -> None:
    model = saved_models.chain()
    found = tensors(model, path)
    write(path, Contents({}, dict(reversed(found.items()))))  # also without our metadata
    other = saved_models.chain()
    other.load_weights(str(path))
    assert bits(other) == bits(model)
    write(path, Contents({}, {name.replace("dense_1", "head"): v for name, v in found.items()}))
    with pytest.raises(ModelFileError, match="no 'dense_1/kernel', and the model has no 'head/k"):
        other.load_weights(path)


def test_differences_are_told_and_change_nothing(path: Path) -> None:
    model = saved_models.chain()
    found = tensors(model, path)
    model.set_weights([weight + 1 for weight in model.get_weights()])
    before = bits(model)
    bias = "dense/bias"
    wrong: list[tuple[dict[str, Any], str]] = [
        ({**found, bias: np.zeros(9, np.float32)}, r"'dense/bias' has shape \(9,\), but .* \(8,\)"),
        ({**found, bias: np.zeros((), np.float32)}, r"'dense/bias' has shape \(\), but"),
        (
            {**found, bias: np.full(8, 1e300)},
            r"bias: expected finite numbers of float32, got 1e\+3",
        ),
        ({name: v for name, v in found.items() if name != bias}, "the file has no 'dense/bias'"),
        ({**found, "more": np.zeros(2)}, "the model has no 'more'"),
        ({}, "the file has no 'dense/kernel'"),
    ]
    for given, message in wrong:
        write(path, Contents({}, given))
        with pytest.raises(ModelFileError, match=message):
            model.load_weights(path)
        assert bits(model) == before
    write(path, Contents({"format": "fastnn", "version": "2"}, found))
    with pytest.raises(ModelFileError, match="format '2' is not known"):
        model.load_weights(path)
    write(path, Contents({"format": "pt"}, found))  # of another program
    model.load_weights(path)
    assert bits(model) == [value.tobytes() for value in found.values()]


def test_numbers_of_other_types(path: Path) -> None:
    model, double = saved_models.chain(), saved_models.chain(dtype="float64")
    double.save_weights(path)
    model.load_weights(path)
    for got, want in zip(model.get_weights(), double.get_weights(), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, want.astype(np.float32))
    half = {name: value.astype(np.float16) for name, value in read(path).tensors.items()}
    write(path, Contents({}, half))
    double.load_weights(path)
    assert [w.tolist() for w in double.get_weights()] == [v.tolist() for v in half.values()]


def test_skip_mismatch(path: Path) -> None:
    model = saved_models.chain()
    found = tensors(model, path)
    other = saved_models.chain()
    other.set_weights([weight + 1 for weight in other.get_weights()])
    before = dict(zip(found, other.get_weights(), strict=True))
    given = {**found, "dense/bias": np.zeros(9, np.float32), "more": np.zeros(3)}
    del given["dense_1/kernel"]
    write(path, Contents({}, given))
    with pytest.warns(UserWarning, match="for dense/bias, dense_1/kernel: they stay as they are"):
        other.load_weights(path, skip_mismatch=True)
    for name, value in zip(found, other.get_weights(), strict=True):
        kept = name in ("dense/bias", "dense_1/kernel")
        np.testing.assert_array_equal(value, before[name] if kept else found[name])
    write(path, Contents({}, {**found, "more": np.zeros(3)}))
    other.load_weights(path, skip_mismatch=True)  # nothing to tell
    assert bits(other) == bits(model)


def test_into_another_network_by_names(path: Path) -> None:
    """A trained first layer goes into a network with another head."""
    model = saved_models.chain()
    model.save_weights(path)
    other = fastnn.Sequential(
        [layers.Dense(8, "relu", input_shape=(4,), name="dense"), layers.Dense(5, name="head")]
    )
    with pytest.warns(UserWarning, match="for head/bias, head/kernel: they stay"):
        other.load_weights(path, skip_mismatch=True)
    assert bits(other)[:2] == bits(model)[:2]


def test_while_a_model_is_trained(path: Path, tmp_path: Path) -> None:
    """A callback of the `fit` may write and read files; another thread is refused."""
    model = saved_models.chain()
    model.save_weights(path)
    start = bits(model)
    told: list[str] = []

    def elsewhere() -> None:
        for act in (model.save, model.save_weights, model.load_weights):
            try:
                act(path)
            except RuntimeError as error:
                told.append(str(error))

    class Acts(callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            del epoch, logs
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            model.save(tmp_path / "within.safetensors")
            model.load_weights(path)

    model.fit(X, Y, verbose=0, callbacks=[Acts()])
    assert len(told) == 3
    assert all("this model is in a fit in another thread" in text for text in told)
    assert bits(model) == start
    assert bits(fastnn.load_model(tmp_path / "within.safetensors")) != start
    thread = threading.Thread(target=lambda: told.append(str(model.load_weights(path))))
    thread.start()
    thread.join()
    assert told[-1] == "None"


@pytest.mark.parametrize("given", [3, None, "", b"m", 0.5])
def test_paths_that_are_none(given: Any, tmp_path: Path) -> None:
    del tmp_path
    model = saved_models.chain()
    for act in (model.save, model.save_weights, model.load_weights, fastnn.load_model):
        with pytest.raises(TypeError, match=f"filepath: expected a path, got {given!r}"):
            act(given)


def test_models_without_weights(path: Path) -> None:
    model = fastnn.Sequential([layers.Dense(3)])
    with pytest.raises(ValueError, match="save_weights: the model is not built"):
        model.save_weights(path)
    with pytest.raises(ValueError, match="load_weights: the model is not built"):
        model.load_weights(path)
    assert not path.exists()


def test_places_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    model = saved_models.chain()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="expected the path of a file, got a device or a pipe"):
        model.save(pipe)
    assert pipe.is_fifo()
    for act in (fastnn.load_model, model.load_weights):
        with pytest.raises(ModelFileError, match="pipe: expected a file, got a device or a pipe"):
            act(pipe)
    with pytest.raises(IsADirectoryError):
        model.save(tmp_path)
    with pytest.raises(IsADirectoryError):
        fastnn.load_model(tmp_path)
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "none" / "m.safetensors")
    with pytest.raises(FileNotFoundError):
        fastnn.load_model(tmp_path / "none")
    link = tmp_path / "link"
    link.symlink_to("there")
    model.save(link)
    assert link.is_symlink()
    assert bits(fastnn.load_model(tmp_path / "there")) == bits(model)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    model = saved_models.chain()
    model.save(tmp_path / "m.safetensors")
    before = (tmp_path / "m.safetensors").read_bytes()
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(PermissionError):
            model.save(tmp_path / "m.safetensors")
    finally:
        tmp_path.chmod(0o755)
    assert (tmp_path / "m.safetensors").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
