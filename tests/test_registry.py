"""Registered classes: names, configs, and what is answered to names and options that do not exist.

The tests walk the registries: a class that is added is tested with no line here, unless one of its
arguments has a name that no class has had before.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

import fastnn
from fastnn import (
    callbacks,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    registry,
    regularizers,
)
from fastnn.callbacks import checkpoints
from fastnn.callbacks.monitor import Monitor
from fastnn.layers import activation, merge, noise, of_rows
from fastnn.layers.outputs import Outputs
from fastnn.losses.functions import FunctionLoss
from fastnn.metrics import agreement, collected, confusion, means, points, tallies, values
from fastnn.metrics.functions import FunctionMetric
from fastnn.models.bound import Bound
from fastnn.models.sums import LossTracker, PartOfLoss
from fastnn.optimizers import learning_rates, schedules
from fastnn.registry import FAMILIES, Registered, Registry

CLASSES = [cls for family in FAMILIES.values() for cls in family.classes.values()]

# Arguments that have no default.
REQUIRED = {"units": 4, "activation": "tanh", "rate": 0.25, "scale": 0.5, "shape": (4,)}
REQUIRED |= {"stddev": 0.25, "input_dim": 5, "output_dim": 3, "num_tokens": 6, "dims": (2, 1)}
REQUIRED |= {"target_shape": (2, 6), "n": 3, "filepath": "a.safetensors", "backup_dir": "a"}
REQUIRED |= {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5, "max_lr": 0.5}
REQUIRED |= {"groups": 2}
REQUIRED |= {"function": "abs", "begin": 1, "size": 2}
REQUIRED |= {"num_classes": 3, "target_class_ids": [1]}
REQUIRED |= {"axes": 1, "seconds": 30.0, "filename": "a.csv"}
REQUIRED |= {"recall": 0.5, "precision": 0.5, "specificity": 0.5, "sensitivity": 0.5}
REQUIRED |= {"first_decay_steps": 8, "total_steps": 20, "boundaries": [1, 2], "values": [3, 2, 1]}
# A value of each argument that differs from the default, in all classes or in one.
OTHERS = {
    "history_size": 5,
    "max_evaluations": 9,
    "tolerance_change": 1e-3,
    "tolerance_grad": 1e-3,
    "adam_beta_1": 0.8,
    "adam_beta_2": 0.9,
    "adam_lr_ratio": 0.5,
    "adam_weight_decay": 0.25,
    "exclude_layers": ["last"],
    "exclude_embeddings": False,
    "muon_a": 3.0,
    "muon_b": -4.0,
    "muon_c": 2.0,
    "ns_steps": 4,
    "rms_rate": 0.5,
    ("Muon", "nesterov"): False,
    "gradient_accumulation_steps": 4,
    "axes": (1, -1),
    ("Dot", "normalize"): True,
    "alpha_initializer": "ones",
    "alpha_regularizer": regularizers.L2(0.25),
    "alpha_constraint": constraints.NonNeg(),
    "activity_regularizer": regularizers.L1(0.25),
    "shared_axes": [1],
    "kernel_regularizer": regularizers.L2(0.25),
    "bias_regularizer": regularizers.L1L2(0.5, 0.125),
    "gamma_regularizer": regularizers.L1(0.25),
    "beta_regularizer": regularizers.OrthogonalRegularizer(0.5),
    "embeddings_regularizer": regularizers.L2(0.25),
    "embeddings_constraint": constraints.NonNeg(),
    "kernel_constraint": constraints.MaxNorm(3.0),
    "bias_constraint": constraints.NonNeg(),
    "gamma_constraint": constraints.MinMaxNorm(0.5, 2.0),
    "beta_constraint": constraints.UnitNorm(),
    "l1": 0.5,
    "l2": 0.25,
    "factor": 0.5,
    ("OrthogonalRegularizer", "mode"): "columns",
    "max_value": 3.5,
    "min_value": 0.125,
    ("MinMaxNorm", "rate"): 0.75,
    "amsgrad": True,
    "gain": 0.5,
    "centered": True,
    "initial_accumulator_value": 0.25,
    "anneal_strategy": "linear",
    "boundaries": [2.0, 5.0],
    "cycle": True,
    "cycles": 3,
    "decay_rate": 0.25,
    "decay_steps": 3.0,
    "div_factor": 5.0,
    "end_learning_rate": 0.01,
    "final_div_factor": 9.0,
    "first_decay_steps": 4.0,
    "initial_learning_rate": 0.375,
    "m_mul": 0.5,
    "max_lr": 0.75,
    "pct_start": 0.25,
    "staircase": True,
    "t_mul": 3.0,
    "total_steps": 50,
    "values": [0.5, 0.25, 0.125],
    "warmup_steps": 6.0,
    "warmup_target": 0.875,
    "adjusted": True,
    "append": True,
    "normalize": "true",
    "num_classes": 4,
    "target_class_ids": [0],
    "weights": "linear",
    ("CosineSimilarity", "axis"): 1,
    ("Tversky", "alpha"): 0.25,
    "cooldown": 2,
    "filename": "b.csv",
    "log_dir": "b",
    "min_lr": 0.125,
    "seconds": 60.0,
    "separator": ";",
    "swap_on_epoch": True,
    "update_freq": 5,
    "curve": "PR",
    "label_weights": [1.0, 2.0],
    "multi_label": True,
    "num_labels": 3,
    "num_thresholds": 50,
    "precision": 0.75,
    "recall": 0.75,
    "sensitivity": 0.75,
    "specificity": 0.75,
    "summation_method": "minoring",
    ("AveragePrecision", "average"): "micro",
    "backup_dir": "b",
    "delete_checkpoint": False,
    "filepath": "b{epoch}.safetensors",
    "initial_value_threshold": 0.5,
    "save_best_only": True,
    "save_freq": 7,
    "save_weights_only": True,
    "delta": 2.5,
    "ema_momentum": 0.5,
    "ema_overwrite_frequency": 3,
    "rho": 0.75,
    "use_ema": True,
    "loss": "poisson",
    "activation": "softplus",
    "alpha": 0.5,
    "apply_class_balancing": True,
    "power": 1.25,
    "quantile": 0.75,
    ("BinaryFocalCrossentropy", "gamma"): 1.0,
    ("CategoricalFocalCrossentropy", "gamma"): 1.0,
    ("SparseCategoricalFocalCrossentropy", "gamma"): 1.0,
    "eps": 1e-4,
    "full": True,
    "ignore_nan": True,
    "average": "macro",
    "beta": 2.0,
    "beta_initializer": "ones",
    "center": False,
    "gamma_initializer": "zeros",
    ("LayerNormalization", "scale"): False,
    "arguments": {"axis": 1},
    "begin": 0,
    "function": "reduce_mean",
    "size": 3,
    ("BatchNormalization", "scale"): False,
    ("GroupNormalization", "scale"): False,
    ("Scale", "use_bias"): True,
    ("Normalization", "mean"): [0.5, 1.5],
    "moving_mean_initializer": "ones",
    "moving_variance_initializer": "zeros",
    "embeddings_initializer": "ones",
    "input_dim": 7,
    "output_dim": 2,
    "variance": [2.0, 3.0],
    "invert": True,
    "num_tokens": 9,
    "scale_initializer": "zeros",
    "scale_regularizer": regularizers.L1(0.25),
    "scale_constraint": constraints.NonNeg(),
    "levels": [0, 3],
    "missing": True,
    "bins": [4, 0],
    "clip": None,
    "fill": [0.5],
    ("ColumnEncoding", "center"): 1.5,
    ("ColumnEncoding", "factor"): 2.0,
    "edges": [0.0, 1.0, 2.0],
    "output_mode": "count",
    "groups": 4,
    "dims": (3, 1, 2),
    "negative_slope": 0.125,
    "baseline": 0.5,
    "batch_size": 8,
    "class_id": 1,
    "class_aggregation": "variance_weighted_average",
    "beta_1": 0.8,
    "beta_2": 0.95,
    "clipnorm": 1.5,
    "bias_initializer": "ones",
    "distribution": "uniform",
    "dtype": "float64",
    "epsilon": 1e-5,
    "from_logits": True,
    "ignore_class": -1,
    "input_shape": (3, 4),
    "k": 3,
    "kernel_initializer": initializers.VarianceScaling(3.0, seed=7),
    "label_smoothing": 0.125,
    "learning_rate": 0.03,
    "live": True,
    "maxval": 0.75,
    "mean": 0.5,
    "min_delta": 0.25,
    "minval": -0.75,
    "mode": "fan_out",
    "momentum": 0.9,
    "monitor": "loss",
    "name": "another",
    "nesterov": True,
    "offset": -1.0,
    "patience": 3,
    "pos_weight": [1.5, 2.0],
    "rate": 0.5,
    "reduction": "mean",
    "restore_best_weights": True,
    "scale": 2.0,
    "seed": 3,
    "shape": (2, 3),
    "start_from_epoch": 2,
    "stddev": 0.125,
    "threshold": 0.25,
    "thresholds": [0.25, 0.75],
    "top_k": 2,
    "trainable": False,
    "units": 7,
    "axis": 1,
    "n": 4,
    "target_shape": (3, -1),
    "use_bias": False,
    "value": 2.5,
    "verbose": 1,
    "weight_decay": 0.125,
    ("EarlyStopping", "mode"): "max",
    ("ModelCheckpoint", "mode"): "max",
    ("ReduceLROnPlateau", "mode"): "max",
}
# Arguments that exclude one of those above.
EXCLUDED = ("clipvalue", "global_clipnorm")


def names(classes):
    return [cls.__name__ for cls in classes]


def options(cls):
    """The arguments that a config holds."""
    return [name for name in cls._arguments() if cls._kept_as.get(name, name) is not None]


def plain(cls):
    return cls(**{name: REQUIRED[name] for name in cls._arguments() if name in needed(cls)})


def needed(cls):
    """Arguments without a default: the constructor names them."""
    try:
        cls()
    except (TypeError, ValueError) as error:
        return [name for name in REQUIRED if name in str(error)]
    return []


def other(cls):
    """An object of which every option differs from that of `plain`."""
    values = {}
    for name in options(cls):
        if name in EXCLUDED:
            continue
        key = (cls.__name__, name)
        assert key in OTHERS or name in OTHERS, f"OTHERS has no value of {name}, for {cls.__name__}"
        values[name] = OTHERS.get(key, OTHERS.get(name))
    return cls(**values)


def subclasses(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from subclasses(sub)


@pytest.mark.parametrize("cls", CLASSES, ids=names(CLASSES))
def test_a_config_makes_an_equal_object(cls):
    for made in (plain(cls), other(cls)):
        config = made.get_config()
        assert list(config) == options(cls)
        again = cls.from_config(json.loads(json.dumps(config)))
        assert type(again) is cls
        assert again.get_config() == config
    differing = [name for name, value in plain(cls).get_config().items() if value != config[name]]
    assert differing == [name for name in options(cls) if name not in EXCLUDED]


@pytest.mark.parametrize("cls", CLASSES, ids=names(CLASSES))
def test_an_unknown_option_is_answered_with_the_near_match(cls):
    config = plain(cls).get_config()
    near = next(iter(config), None)
    wrong = "optoin" if near is None else f"{near}x"
    expected = "expected one of" if near is None else f"did you mean '{near}'"
    with pytest.raises(ValueError, match=f"^{cls.__name__}.from_config.*'{wrong}', {expected}"):
        cls.from_config({**config, wrong: 1})
    with pytest.raises(TypeError, match="dictionary"):
        cls.from_config([("name", "a")])


def test_every_public_class_with_options_is_registered():
    bases = {family.base for family in FAMILIES.values()}
    # Functions have no config, and some are bases.
    left_out = {
        callbacks.LambdaCallback,
        initializers._FromFunction,
        means._OfCrossentropy,
        means._OfLoss,
        Monitor,
    }
    left_out |= {merge.Merge, merge._Elementwise, confusion.Confusion, confusion._Share}  # bases
    left_out |= {noise.Noise, noise._Rated, of_rows.OfRows, of_rows.Scaled}
    left_out |= {callbacks.LearningRateScheduler}  # of a function
    left_out |= {collected.Collected, points._AtPoint, tallies._Tally}
    left_out |= {agreement._FromMatrix, agreement._Overlap}
    left_out |= {learning_rates.Formula, learning_rates.FunctionSchedule}
    left_out |= {activation._WithParameters}
    left_out |= {losses.numbers.OfNumbers, losses.whole_rows._CategoricalFocal}
    left_out |= {losses.overlap.OfBatch}
    left_out |= {values._OfValues, checkpoints._Saving}
    left_out |= {regularizers._Factors, regularizers.FunctionRegularizer}
    left_out |= {constraints._Norm, constraints.FunctionConstraint}
    left_out |= {FunctionLoss, FunctionMetric, Bound, LossTracker, PartOfLoss, Outputs}  # of
    # functions and models
    found = {cls for cls in subclasses(Registered) if cls.__module__.startswith("fastnn.")}
    # Estimators have optimizers of their own, where another test has imported them.
    found = {cls for cls in found if not cls.__module__.startswith("fastnn.sklearn.")}
    assert found - bases - left_out == set(CLASSES)
    assert set(FAMILIES) == {
        *("loss", "optimizer", "schedule", "metric", "initializer", "layer", "callback"),
        *("regularizer", "constraint"),
    }
    public = (layers, losses, optimizers, schedules, metrics, initializers, callbacks)
    public += (regularizers, constraints)
    for cls in CLASSES:
        assert any(getattr(module, cls.__name__, None) is cls for module in public), cls


@pytest.mark.parametrize("family", FAMILIES)
def test_names(family):
    """The name, the class's own name and the aliases mean the class; objects mean themselves."""
    found = FAMILIES[family]
    for name, cls in found.names.items():
        assert found.find(name) is cls
        if not needed(cls):
            assert type(found.get(name)) is cls
        assert type(found.get(cls)) is cls if not needed(cls) else True
        made = plain(cls)
        assert found.get(made) is made
        described = {"class_name": cls.__name__, "config": made.get_config()}
        assert found.get(described).get_config() == made.get_config()
    for name, cls in found.classes.items():
        assert name == name.lower()
        assert {name, cls.__name__} <= set(found.names)


@pytest.mark.parametrize(
    ("get", "words", "cls"),
    [
        (losses.get, "bce BCE", losses.BinaryCrossentropy),
        (losses.get, "mse MSE", losses.MeanSquaredError),
        (lambda word: metrics.get(word, "sigmoid"), "bce BCE", metrics.BinaryCrossentropy),
        (lambda word: metrics.get(word, "values"), "mse MSE", metrics.MeanSquaredError),
        (lambda word: metrics.get(word, "values"), "mae MAE", metrics.MeanAbsoluteError),
        (lambda word: metrics.get(word, "values"), "rmse RMSE", metrics.RootMeanSquaredError),
        (lambda word: metrics.get(word, "sigmoid"), "acc accuracy", metrics.BinaryAccuracy),
        (lambda word: metrics.get(word, "targets"), "acc", metrics.CategoricalAccuracy),
        (lambda word: metrics.get(word, "labels"), "acc", metrics.SparseCategoricalAccuracy),
        (optimizers.get, "sgd SGD", optimizers.SGD),
        (optimizers.get, "adamw AdamW", optimizers.AdamW),
    ],
)
def test_aliases(get, words, cls):
    for word in words.split():
        assert type(get(word)) is cls
    assert metrics.get("rmse", "values").name == "rmse"


def test_a_class_of_the_users_own():
    class Slow(optimizers.Adam):
        def __init__(self, factor=0.5, **options):
            super().__init__(**options)
            self.factor = factor

    class Forgetful(optimizers.SGD):
        def __init__(self, factor=0.5):  # noqa: ARG002
            super().__init__()

    made = optimizers.get(Slow)
    assert type(made) is Slow
    config = made.get_config()
    assert config["factor"] == 0.5
    assert config["beta_1"] == 0.9
    assert Slow.from_config({**config, "beta_1": 0.5}).beta_1 == 0.5
    with pytest.raises(TypeError, match=r"^Forgetful\.get_config.*'factor'"):
        Forgetful().get_config()
    model = fastnn.Sequential([layers.Dense(3, input_shape=(2,))])
    model.compile(Slow, "mse")
    assert type(model.optimizer) is Slow


def test_a_base_class_means_nothing():
    with pytest.raises(TypeError, match=r"^loss: expected a name"):
        losses.get(losses.Loss)
    with pytest.raises(TypeError, match=r"^metrics: expected a name"):
        metrics.get(3, "labels")


def test_the_name_and_type_of_a_layer_are_checked_later_too():
    layer = layers.Dense(3)
    for wrong in ("", "a/b", 3, None):
        with pytest.raises(ValueError, match=r"^name: expected a non-empty string without"):
            layer.name = wrong
    with pytest.raises(ValueError, match="dtype"):
        layer.dtype = "float16"
    layer.dtype = np.float64
    assert (layer.name, layer.dtype) == ("dense", "float64")


# Values that some argument or other refuses.
ODD = (-1, -0.5, 0, 1, 1.0, 1.5, 2, 5, 1e400, np.nan, "x", "adm", b"x", [1.0, -2.0], None, True, {})


def outcome(call):
    """The type of error that a call raises, and its message; None where it raises none."""
    try:
        call()
    except (TypeError, ValueError) as error:
        return type(error), str(error)
    return None


@pytest.mark.parametrize("cls", CLASSES, ids=names(CLASSES))
def test_attributes_are_checked_as_arguments_are(cls):
    """What the constructor refuses cannot be assigned later, and nothing has changed then."""
    required = {name: REQUIRED[name] for name in cls._arguments() if name in needed(cls)}
    for name in options(cls):
        if cls._kept_as.get(name, name) != name:
            continue  # fixed when the object is made
        refused = 0
        for value in (*ODD, OTHERS.get((cls.__name__, name), OTHERS.get(name))):
            if value is None and name == "name":
                continue  # some constructors take the name of a loss then
            made, before = plain(cls), plain(cls).get_config()[name]
            given = outcome(lambda: cls(**{**required, name: value}))  # noqa: B023
            later = outcome(lambda: setattr(made, name, value))  # noqa: B023
            # The two bounds of an interval are checked in one order by the constructor.
            if name in ("minval", "maxval", "min_value", "max_value"):
                given, later = given and given[0], later and later[0]
            assert later == given, (name, value)
            if given is not None:
                refused += 1
                assert made.get_config()[name] == before
            else:
                again = cls(**{**required, name: value})
                assert made.get_config()[name] == again.get_config()[name]
        assert refused > 0, name


def test_names_of_keras_in_messages():
    with pytest.raises(
        ValueError, match=r"^loss: 'KLDivLoss' is not in fastnn; use 'kl_divergence'"
    ):
        losses.get("KLDivLoss")
    with pytest.raises(ValueError, match=r"^optimizer: 'Adafactor' is not in fastnn; use 'adam'"):
        optimizers.get("Adafactor")
    with pytest.raises(ValueError, match=r"^metrics: 'OneHotMeanIoU' is not in fastnn"):
        metrics.get("OneHotMeanIoU", "labels")
    with pytest.raises(ValueError, match=r"^kernel_initializer: 'STFT' is not in fastnn"):
        layers.Dense(3, kernel_initializer="STFT")


def test_functions_have_no_config():
    layer = layers.Dense(3, kernel_initializer=lambda shape, _dtype: np.ones(shape))
    with pytest.raises(TypeError, match="function"):
        layer.get_config()
    with pytest.raises(TypeError, match="LambdaCallback"):
        callbacks.LambdaCallback(on_epoch_end=print).get_config()
    with pytest.raises(TypeError, match=r"^Odd.get_config: part: a set"):
        odd().get_config()


def odd():
    class Odd(Registered):
        def __init__(self, part=frozenset()):
            self.part = set(part)

    return Odd()


def test_a_layer_of_a_model_keeps_the_name_that_the_model_gave():
    model = fastnn.Sequential(
        [layers.Dense(3, input_shape=(2,)), layers.Dense(4), layers.Flatten()]
    )
    assert [layer.get_config()["name"] for layer in model.layers] == ["dense", "dense_1", "flatten"]
    again = fastnn.Sequential([type(old).from_config(old.get_config()) for old in model.layers])
    assert [layer.name for layer in again.layers] == ["dense", "dense_1", "flatten"]
    assert again.output_shape == model.output_shape


def test_a_seed_is_kept():
    first = layers.Dense(3, kernel_initializer=initializers.HeNormal(seed=5), input_shape=(4,))
    second = layers.Dense.from_config(first.get_config())
    for layer in (first, second):
        layer.build((None, 4))
    np.testing.assert_array_equal(first.get_weights()[0], second.get_weights()[0])


def test_two_classes_cannot_have_one_name():
    class Thing(Registered):
        pass

    try:
        things = Registry("thing", Thing)
        things.register("one", "I")(type("One", (Thing,), {}))
        with pytest.raises(AssertionError, match="two meanings"):
            things.register("two", "I")(type("Two", (Thing,), {}))
    finally:
        del registry.FAMILIES["thing"]


@pytest.mark.parametrize(
    "room",
    ["constraints", "initializers", "layers", "losses", "metrics", "optimizers", "regularizers"],
)
def test_rooms_serialize_as_in_keras(room):
    module, again = getattr(fastnn, room), 0
    for cls in CLASSES:
        if cls.__module__.startswith(f"fastnn.{room}") and not issubclass(
            cls, schedules.LearningRateSchedule
        ):
            told = module.serialize(plain(cls))
            assert told["class_name"] == cls.__name__
            made = module.deserialize(json.loads(json.dumps(told)))
            assert type(made) is cls
            again += 1
    assert again > 3
    with pytest.raises(TypeError, match="serialize: expected an object of"):
        module.serialize(3)


def test_rooms_deserialize_classes_of_ones_own():
    class Own(losses.MeanSquaredError):
        pass

    told = losses.serialize(Own())
    assert type(losses.deserialize(told, custom_objects={"Own": Own})) is Own
    with pytest.raises(ValueError, match="Own"):
        losses.deserialize(told)
    assert losses.deserialize("mse").name == "mean_squared_error"


@pytest.mark.parametrize("given", [{0: 1}, {"a": 1}, [1], {1}, 3])
def test_what_is_no_name_is_told(given):
    """Also what has no hash."""
    for room in (fastnn.optimizers, fastnn.losses, fastnn.metrics, fastnn.initializers, schedules):
        get = room.deserialize if room is schedules else room.get
        with pytest.raises(TypeError, match=r": expected .*, got [\[{3]"):
            get(given)
