"""Tables of what goes to other packages and comes from there, and errors where one is not installed.

These need no other package.
"""

from __future__ import annotations

import sys

import pytest
import travelling

import fastnn
from fastnn import interop
from fastnn.exports import onnx, onnx_activations
from fastnn.interop import keras_config, keras_export, torch_modules


@pytest.mark.parametrize(
    ("table", "missing"),
    [
        (onnx_activations.ACTIVATIONS, set()),
        (keras_export.ACTIVATIONS, travelling.NOT_IN_KERAS),
        (torch_modules.ACTIVATIONS, travelling.NOT_IN_TORCH),
    ],
    ids=["onnx", "keras", "torch"],
)
def test_every_activation_has_a_form(table, missing):
    assert set(table) - {"rectifier", "glu"} == set(travelling.ACTIVATIONS) - missing


def test_every_layer_of_a_table_is_there():
    """The tests of each package walk the registry; here the tables hold nothing else."""
    for table in (onnx.LAYERS, keras_export.WRITERS, torch_modules.WRITERS):
        assert set(table) <= set(travelling.CLASSES)
    names = {cls.__name__ for cls in travelling.CLASSES}
    assert set(keras_config.RULES) <= names


def _lost(monkeypatch, package):
    """As if the package were not installed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)


CALLS = {
    "torch: to_torch": lambda model, _: fastnn.to_torch(model),
    "torch: save_state_dict": lambda model, path: interop.save_state_dict(model, path / "a.pt"),
    "torch: load_state_dict": lambda model, path: interop.load_state_dict(model, path / "a.pt"),
    "keras: to_keras": lambda model, _: fastnn.to_keras(model),
    "onnx: export_onnx": lambda model, path: model.export_onnx(path / "a.onnx"),
    "h5py: load_keras_weights": lambda model, path: interop.load_keras_weights(
        model, path / "a.weights.h5"
    ),
    "h5py: save_keras": lambda model, path: interop.save_keras(model, path / "a.keras"),
    "h5py: save_keras_weights": lambda model, path: interop.save_keras_weights(
        model, path / "a.weights.h5"
    ),
}
EXTRAS = {"onnx": "onnx", "h5py": "h5"}


@pytest.mark.parametrize("case", CALLS)
def test_without_the_package(case, tmp_path, monkeypatch):
    package, _, doing = case.partition(": ")
    _lost(monkeypatch, package)
    with pytest.raises(
        ImportError, match=f"{doing} needs {package}: pip install {package}"
    ) as told:
        CALLS[case](travelling.chain(["relu"]), tmp_path)
    extra = EXTRAS.get(package)
    assert (f"pip install '.[{extra}]'" in str(told.value)) == (extra is not None)
    assert not list(tmp_path.iterdir())
