"""`dir()`, and the completion of names with it, shows the public names and no others."""

from __future__ import annotations

import importlib
import inspect
import itertools
import pickle
import rlcompleter

import networks
import numpy as np
import pytest
import test_registry

import fastnn
from fastnn.registry import FAMILIES

MODULES = [
    "fastnn",
    *(
        f"fastnn.{name}"
        for name in sorted(fastnn.__all__)
        if inspect.ismodule(getattr(fastnn, name))
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_modules(name):
    module = importlib.import_module(name)
    assert dir(module) == sorted(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        value = getattr(module, public)
        assert public in ("__version__", "newaxis") or inspect.getdoc(value), public
        # Nothing of NumPy, of the standard library, or of another public module.
        if not isinstance(value, np.dtype):
            assert getattr(value, "__module__", "fastnn").startswith("fastnn"), public


def test_the_modules_are_those_of_the_documentation():
    assert set(MODULES) == {
        "fastnn",
        *(f"fastnn.{name}" for name in ("activations", "callbacks", "datasets", "initializers")),
        *(f"fastnn.{name}" for name in ("constraints", "regularizers")),
        *(f"fastnn.{name}" for name in ("layers", "losses", "metrics", "models", "ops")),
        *(f"fastnn.{name}" for name in ("keras", "math", "optimizers", "preprocessing", "utils")),
        *(f"fastnn.{name}" for name in ("config", "dtypes", "interop", "linalg", "nn", "random")),
        *("fastnn.data", "fastnn.saving"),
    }


HOMES = {name: f"{name}s" for name in FAMILIES} | {"loss": "losses"}
HOMES["schedule"] = "optimizers.schedules"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_registered_class_is_public(family):
    """A class that a name finds can be imported, too; Input makes an InputLayer."""
    home = importlib.import_module(f"fastnn.{HOMES[family]}")
    names = {cls.__name__ for cls in FAMILIES[family].classes.values()} - {"InputLayer"}
    assert names <= set(home.__all__)
    assert FAMILIES[family].base.__name__ in home.__all__


HOOKS = {name for name in vars(fastnn.callbacks.Callback) if name.startswith("on_")}
CONFIG = {"get_config", "from_config"}
# What the documentation gives every object of a family, beside its arguments.
OF_ALL = {
    "layer": CONFIG
    | {
        "build",
        "built",
        "call",
        "compute_output_shape",
        "count_params",
        "dtype",
        "get_weights",
        "name",
    }
    | {
        "input",
        "output",
        "input_shape",
        "non_trainable_weights",
        "output_shape",
        "set_weights",
        "trainable",
    }
    | {"trainable_weights", "variables", "weights"}
    | {"trainable_variables", "non_trainable_variables", "losses"},
    "loss": CONFIG | {"name", "reduction", "call"},
    "metric": CONFIG
    | {"name", "count_options", "counts", "finish", "gives_array", "goes_with"}
    | {"more_is_better", "reset_state", "result", "update_state"}
    | {"add_variable", "add_weight", "variables"},
    "optimizer": CONFIG
    | {"apply", "apply_gradients", "build", "exclude_from_weight_decay"}
    | {"finalize_variable_values", "iterations", "learning_rate", "minimize", "schedule"}
    | {"multiply_learning_rate", "variables"},
    "initializer": CONFIG,
    "regularizer": CONFIG,
    "constraint": CONFIG,
    "schedule": CONFIG,
    "callback": CONFIG
    | HOOKS
    | {"model", "params", "put_state", "saved_state", "set_model", "set_params"},
}
# What some classes have of their own.
OWN = {
    "RMSNormalization": {"scale"},
    "Adam": {"amsgrad"},
    "AdamW": {"amsgrad"},
    "Dense": {"kernel", "bias"},
    "F1Score": {"beta"},
    "BatchNormalization": {"gamma", "beta", "moving_mean", "moving_variance"},
    "Embedding": {"embeddings"},
    "GroupNormalization": {"gamma", "beta"},
    "GroupedDense": {"bias", "kernel"},
    "Scale": {"bias", "scale"},
    "ColumnEncoding": {"adapt", "center", "edges", "factor", "fill"},
    "Normalization": {"adapt", "mean", "variance"},
    "LayerNormalization": {"gamma", "beta"},
    "PReLU": {"alpha"},
    "History": {"epoch", "history", "plot", "to_frame"},
    "ReduceLROnPlateau": {"best", "cooldown_counter", "wait"},
    "TensorBoard": {"writer"},
    "TqdmBar": {"live"},
    "ModelCheckpoint": {"best"},
    "EarlyStopping": {"best", "best_epoch", "best_weights", "stopped_epoch", "wait"},
}

# And what some have not: metrics of a loop of one's own count nothing natively.
NOT_COUNTED = {"count_options", "counts", "finish", "goes_with", "more_is_better"}
ABSENT = {"Mean": NOT_COUNTED, "Sum": NOT_COUNTED}


def shown(value):
    return {name for name in dir(value) if not name.startswith("_")}


def family_of(cls):
    return next(name for name, family in FAMILIES.items() if issubclass(cls, family.base))


@pytest.mark.parametrize("cls", test_registry.CLASSES, ids=lambda cls: cls.__name__)
def test_objects_of_registered_classes(cls):
    value = test_registry.plain(cls)
    arguments = {name for name in cls._arguments() if cls._kept_as.get(name, name) == name}
    own = OWN.get(cls.__name__, set()) | arguments
    absent = ABSENT.get(cls.__name__, set())
    assert shown(value) == (OF_ALL[family_of(cls)] | own) - absent


MODEL = {
    *(
        *("add", "pop", "call", "get_layer", "layers", "name", "build", "built", "dtype"),
        *("summary", "plot", "input", "inputs", "output", "outputs"),
    ),
    *("input_shape", "output_shape", "count_params", "get_weights", "set_weights", "weights"),
    *("variables", "trainable", "trainable_variables", "trainable_weights"),
    *("non_trainable_weights", "non_trainable_variables", "add_weight", "add_variable"),
    *(
        "compile",
        "compiled",
        "loss",
        "optimizer",
        "metrics",
        "metrics_names",
        "matmul_precision",
    ),
    *("export_onnx", "add_loss", "losses"),
    *("save", "save_weights", "load_weights", "to_json", "get_config", "from_config"),
    *("get_compile_config", "compile_from_config", "position"),
    *(
        "fit",
        "evaluate",
        "predict",
        "predict_on_batch",
        "predict_proba",
        "predictor",
        "train_on_batch",
    ),
    *("test_on_batch", "value_and_grad", "take_averages", "history", "stop_training", "session"),
    *("train_step", "test_step", "predict_step", "compute_loss", "compute_metrics"),
    *("get_metrics_result", "reset_metrics"),
}


def test_models():
    """Before and after each call that leaves something in them."""
    model = fastnn.Sequential([fastnn.layers.Dense(3)])
    assert shown(model) <= MODEL
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert shown(model) <= MODEL
    model.fit(np.ones((5, 4)), np.zeros(5, int), verbose=0, validation_split=0.2)
    model.predict(np.ones((5, 4)))
    assert shown(model) == MODEL
    for name in shown(model):
        getattr(model, name)


OTHERS = {
    "Variable": {
        "assign",
        "assign_add",
        "assign_sub",
        "constraint",
        "regularizer",
        "dtype",
        "name",
        "ndim",
        "numpy",
        "path",
        "shape",
        "size",
    }
    | {"trainable", "value", "view"},
    "Predictor": {"dtype", "input_shape", "output_shape"},
    "InputLayer": OF_ALL["layer"] | {"batch_size", "activity_regularizer"},
    "Symbol": {"inputs", "layer", "name", "row_shape", "shape"},
}


def test_other_objects():
    model = networks.sequential((4, 3), ("relu",))
    for value in (model.weights[0], model.predictor(), fastnn.layers.InputLayer((4,))):
        assert shown(value) == OTHERS[type(value).__name__]
    error = fastnn.TrainingDiverged("x")
    assert shown(error) - shown(ArithmeticError()) <= {"epoch", "step"}


def completions(value):
    """What Python's own prompt offers after `value.`; it looks into classes and their bases."""
    completer = rlcompleter.Completer({"value": value})
    found = itertools.takewhile(bool, (completer.complete("value.", i) for i in itertools.count()))
    return {name.removeprefix("value.").rstrip("()") for name in found}


def test_classes_and_completion_at_the_prompt():
    model = networks.sequential((4, 3), ("relu",))
    assert shown(fastnn.Sequential) <= MODEL
    assert completions(model) == shown(model)
    assert shown(fastnn.layers.Dense) <= shown(model.layers[0])
    values = (model.layers[0], model.weights[0], fastnn.callbacks.EarlyStopping("loss"))
    for value in (
        *values,
        fastnn.optimizers.Adam(),
        fastnn.metrics.BinaryAccuracy(),
        fastnn.callbacks.History(),
    ):
        assert completions(value) == shown(value)


def test_what_users_add_is_shown():
    """Methods and attributes of subclasses, and attributes of single objects."""

    class Own(fastnn.Sequential):
        def own_method(self):
            """Their own."""

    model = Own()
    model.own_attribute = 1
    model._own = 2
    assert {"own_method", "own_attribute"} <= shown(model)
    assert "_own" not in dir(model)
    assert {"__init__", "__class__", "__dict__"} <= set(dir(model))


def test_the_inside_works_as_before():
    """It is left out of lists only; pickles and configs know nothing of it."""
    layer = fastnn.layers.Dense(3, activation="relu", name="own")
    assert layer.given_name == "own"
    assert pickle.loads(pickle.dumps(layer.get_config())) == layer.get_config()
    assert fastnn.layers.Dense.from_config(layer.get_config()).get_config() == layer.get_config()
