"""Every public name has a docstring with an example, and every example runs and shows what it says.

The names are those that `dir()` of the modules lists, and the methods of the classes in METHODS_OF.
NumPy and fastnn are imported, and the working folder is empty.
"""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn

# Classes whose methods have examples, too: those that users call. Other methods have a docstring.
METHODS_OF = {
    *("fastnn.GradientTape", "fastnn.Model", "fastnn.Predictor", "fastnn.Sequential"),
    *("fastnn.Tensor", "fastnn.Variable"),
    *("fastnn.keras.Layer", "fastnn.losses.Loss", "fastnn.metrics.Metric"),
    "fastnn.optimizers.Optimizer",
}
# What the examples of these names need beside NumPy: packages, or CUDA.
NEEDS = {
    "fastnn.Model.export_onnx": "onnx onnxruntime",
    "fastnn.ops.DeviceArray": "CUDA",
    "fastnn.utils.array_to_img": "PIL",
    "fastnn.utils.load_img": "PIL",
    "fastnn.utils.save_img": "PIL",
}
# Names without an example. This set only shrinks.
_WITHOUT = """
    fastnn.Input
    fastnn.callbacks.BackupAndRestore
    fastnn.callbacks.CallbackList
    fastnn.callbacks.EarlyStopping
    fastnn.callbacks.History
    fastnn.callbacks.History.plot
    fastnn.callbacks.LambdaCallback
    fastnn.callbacks.ProgbarLogger
    fastnn.from_keras
    fastnn.from_onnx
    fastnn.from_sklearn
    fastnn.from_torch
    fastnn.initializers.Identity
    fastnn.initializers.Orthogonal
    fastnn.interop.load_keras_weights
    fastnn.interop.load_state_dict
    fastnn.interop.save_keras
    fastnn.interop.save_keras_weights
    fastnn.interop.save_state_dict
    fastnn.layers.Activation
    fastnn.layers.Add
    fastnn.layers.AlphaDropout
    fastnn.layers.Average
    fastnn.layers.Concatenate
    fastnn.layers.Dropout
    fastnn.layers.ELU
    fastnn.layers.Flatten
    fastnn.layers.GaussianDropout
    fastnn.layers.GaussianNoise
    fastnn.layers.InputLayer
    fastnn.keras.Layer.build
    fastnn.keras.Layer.call
    fastnn.keras.Layer.compute_output_shape
    fastnn.keras.Layer.count_params
    fastnn.layers.LayerNormalization
    fastnn.layers.LeakyReLU
    fastnn.layers.Maximum
    fastnn.layers.Minimum
    fastnn.layers.Multiply
    fastnn.layers.RMSNormalization
    fastnn.layers.ReLU
    fastnn.layers.RepeatVector
    fastnn.layers.Rescaling
    fastnn.layers.Reshape
    fastnn.layers.Softmax
    fastnn.layers.Subtract
    fastnn.layers.UnitNormalization
    fastnn.layers.add
    fastnn.layers.average
    fastnn.layers.concatenate
    fastnn.layers.maximum
    fastnn.layers.minimum
    fastnn.layers.multiply
    fastnn.layers.subtract
    fastnn.losses.BinaryCrossentropy
    fastnn.losses.BinaryFocalCrossentropy
    fastnn.losses.CategoricalCrossentropy
    fastnn.losses.Gamma
    fastnn.losses.Hinge
    fastnn.losses.Huber
    fastnn.losses.LogCosh
    fastnn.losses.Loss.call
    fastnn.losses.Loss.from_config
    fastnn.losses.Loss.get_config
    fastnn.losses.MAE
    fastnn.losses.MAPE
    fastnn.losses.MSE
    fastnn.losses.MSLE
    fastnn.losses.MeanAbsoluteError
    fastnn.losses.MeanAbsolutePercentageError
    fastnn.losses.MeanSquaredError
    fastnn.losses.MeanSquaredLogarithmicError
    fastnn.losses.Poisson
    fastnn.losses.Quantile
    fastnn.losses.SparseCategoricalCrossentropy
    fastnn.losses.SquaredHinge
    fastnn.losses.Tweedie
    fastnn.losses.binary_crossentropy
    fastnn.losses.binary_focal_crossentropy
    fastnn.losses.categorical_crossentropy
    fastnn.losses.get
    fastnn.losses.hinge
    fastnn.losses.huber
    fastnn.losses.log_cosh
    fastnn.losses.poisson
    fastnn.losses.sparse_categorical_crossentropy
    fastnn.losses.squared_hinge
    fastnn.metrics.BinaryAccuracy
    fastnn.metrics.BinaryCrossentropy
    fastnn.metrics.CategoricalAccuracy
    fastnn.metrics.CategoricalCrossentropy
    fastnn.metrics.F1Score
    fastnn.metrics.FBetaScore
    fastnn.metrics.HammingLoss
    fastnn.metrics.Hinge
    fastnn.metrics.MeanAbsoluteError
    fastnn.metrics.MeanAbsolutePercentageError
    fastnn.metrics.MeanOf
    fastnn.metrics.MeanSquaredError
    fastnn.metrics.MeanSquaredLogarithmicError
    fastnn.metrics.Metric.add_weight
    fastnn.metrics.Metric.count_options
    fastnn.metrics.Metric.finish
    fastnn.metrics.Metric.gives_array
    fastnn.metrics.Metric.reset_state
    fastnn.metrics.Metric.result
    fastnn.metrics.Metric.update_state
    fastnn.metrics.Poisson
    fastnn.metrics.Precision
    fastnn.metrics.R2Score
    fastnn.metrics.Recall
    fastnn.metrics.RootMeanSquaredError
    fastnn.metrics.SparseCategoricalAccuracy
    fastnn.metrics.SparseCategoricalCrossentropy
    fastnn.metrics.SparseTopKCategoricalAccuracy
    fastnn.metrics.Specificity
    fastnn.metrics.SquaredHinge
    fastnn.metrics.Sum
    fastnn.metrics.TopKCategoricalAccuracy
    fastnn.metrics.get
    fastnn.ops.activation_backward
    fastnn.ops.activation_forward
    fastnn.ops.adadelta_step
    fastnn.ops.adagrad_step
    fastnn.ops.adam_step
    fastnn.ops.adamax_step
    fastnn.ops.amsgrad_step
    fastnn.ops.binary_focal_crossentropy
    fastnn.ops.dense_backward
    fastnn.ops.dense_forward
    fastnn.ops.embedding_backward
    fastnn.ops.gamma
    fastnn.ops.hinge
    fastnn.ops.huber
    fastnn.ops.layer_normalization_backward
    fastnn.ops.lion_step
    fastnn.ops.log_cosh
    fastnn.ops.mean_absolute_error
    fastnn.ops.mean_absolute_percentage_error
    fastnn.ops.mean_squared_error
    fastnn.ops.mean_squared_logarithmic_error
    fastnn.ops.nadam_step
    fastnn.ops.poisson
    fastnn.ops.quantile
    fastnn.ops.rms_normalization_backward
    fastnn.ops.rmsprop_step
    fastnn.ops.sgd_step
    fastnn.ops.sigmoid_cross_entropy
    fastnn.ops.softmax
    fastnn.ops.softmax_cross_entropy
    fastnn.ops.squared_hinge
    fastnn.ops.tweedie
    fastnn.ops.unit_normalization_backward
    fastnn.optimizers.Adadelta
    fastnn.optimizers.Adagrad
    fastnn.optimizers.Adam
    fastnn.optimizers.AdamW
    fastnn.optimizers.Adamax
    fastnn.optimizers.Lion
    fastnn.optimizers.Nadam
    fastnn.optimizers.Optimizer
    fastnn.optimizers.Optimizer.exclude_from_weight_decay
    fastnn.optimizers.RMSprop
    fastnn.optimizers.SGD
    fastnn.optimizers.get
    fastnn.optimizers.schedules.CosineDecay
    fastnn.optimizers.schedules.CosineDecayRestarts
    fastnn.optimizers.schedules.ExponentialDecay
    fastnn.optimizers.schedules.InverseTimeDecay
    fastnn.optimizers.schedules.OneCycle
    fastnn.optimizers.schedules.PiecewiseConstantDecay
    fastnn.optimizers.schedules.PolynomialDecay
    fastnn.optimizers.schedules.deserialize
    fastnn.optimizers.schedules.serialize
    fastnn.to_keras
    fastnn.to_sklearn
    fastnn.to_torch
"""
WITHOUT = set(_WITHOUT.split())


def _is_ours(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).split(".")[0] == "fastnn"


def _modules() -> dict[str, Any]:
    """The public modules, by their shortest names."""
    found: dict[int, tuple[str, Any]] = {id(fastnn): ("fastnn", fastnn)}
    queue = ["fastnn"]
    while queue:
        path = queue.pop(0)
        module = next(m for p, m in found.values() if p == path)
        for name in dir(module):
            value = None if name.startswith("_") else getattr(module, name)
            inside = inspect.ismodule(value) and value.__name__.startswith("fastnn")
            if inside and id(value) not in found:
                found[id(value)] = f"{path}.{name}", value
                queue.append(f"{path}.{name}")
    return dict(found.values())


def _public() -> dict[str, Any]:
    """Functions and classes, each once, by the shortest of its names."""
    found: dict[int, tuple[str, Any]] = {}
    for path, module in _modules().items():
        for name in dir(module):
            value = getattr(module, name)
            if not name.startswith("_") and callable(value) and _is_ours(value):
                found.setdefault(id(value), (f"{path}.{name}", value))
    return dict(found.values())


def _methods(path: str, cls: type) -> Iterator[tuple[str, Any]]:
    """The functions and properties of a class, also those of its bases in this package."""
    for name in dir(cls):
        owner = next((base for base in cls.__mro__ if name in vars(base)), None)
        if name.startswith("_") or owner is None or not _is_ours(owner):
            continue
        member = vars(owner)[name]
        function = getattr(member, "__func__", member)
        if inspect.isroutine(function) or isinstance(member, property):
            yield f"{path}.{name}", function


NAMES = _public()
# By identity: a method of a base class is tested once, under its first class.
METHODS: dict[str, Any] = dict(
    {
        id(function): (path, function)
        for owner in sorted(METHODS_OF, reverse=True)
        for path, function in _methods(owner, NAMES[owner])
        if inspect.isroutine(function)
    }.values()
)
METHODS["fastnn.callbacks.History.plot"] = fastnn.callbacks.History.plot
ALL = NAMES | METHODS


def _example(value: Any) -> str:
    """The lines of the docstring that are examples."""
    return inspect.cleandoc(value.__doc__ or "") if ">>>" in (value.__doc__ or "") else ""


@pytest.mark.cpu
@pytest.mark.parametrize("name", [name for name, value in ALL.items() if _example(value)])
def test_example(name, tmp_path, monkeypatch):
    needed = NEEDS.get(name, "").split()
    if needed == ["CUDA"] and not fastnn._core.cuda_state()["usable"]:
        pytest.skip("needs CUDA")
    for package in set(needed) - {"CUDA"}:
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    fastnn.utils.set_random_seed(0)
    example = doctest.DocTestParser().get_doctest(
        _example(ALL[name]), {"__name__": "examples", "np": np, "fastnn": fastnn}, name, None, 0
    )
    told: list[str] = []
    runner = doctest.DocTestRunner(
        verbose=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    runner.run(example, out=told.append)
    assert runner.tries, "an example"
    assert not runner.failures, "".join(told)


def test_every_name_has_an_example():
    without = {name for name, value in ALL.items() if not _example(value)}
    assert without == WITHOUT, "a name needs an example, or has one and stays in WITHOUT"


def test_every_method_has_a_docstring():
    silent = [
        path
        for name, value in NAMES.items()
        if isinstance(value, type)
        for path, function in _methods(name, value)
        if not inspect.getdoc(getattr(value, path.rpartition(".")[2])) and not function.__doc__
    ]
    assert not silent


def test_packages_are_named_where_they_are_needed():
    assert set(NEEDS) <= set(ALL)
