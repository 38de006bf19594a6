"""The classes of `fastnn.optimizers`: settings, training, limits of gradients, averages, decay.

Expected weights come from gradients of `value_and_grad` and the steps of the oracle.
"""

from __future__ import annotations

import copy
import json
import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import cases
import networks
import numpy as np
import pytest
import reference
import tolerances
from numpy.typing import NDArray

import fastnn
from fastnn import callbacks, layers, losses, ops, optimizers
from fastnn.optimizers.base import OPTIMIZERS
from fastnn.variables import Place

Array = NDArray[Any]

CLASSES = tuple(cls for cls in OPTIMIZERS.classes.values() if not cls.full_batch)
MAKE: dict[str, Callable[..., optimizers.Optimizer]] = {
    "sgd": lambda **how: optimizers.SGD(0.1, **how),
    "momentum": lambda **how: optimizers.SGD(0.1, momentum=0.8, **how),
    "adam": lambda **how: optimizers.Adam(0.02, **how),
    "rmsprop": lambda **how: optimizers.RMSprop(0.02, **how),
    "rmsprop, all": lambda **how: optimizers.RMSprop(
        0.02, rho=0.8, momentum=0.5, epsilon=1e-4, centered=True, weight_decay=0.1, **how
    ),
    "lion": lambda **how: optimizers.Lion(0.01, weight_decay=0.1, **how),
    "amsgrad": lambda **how: optimizers.Adam(0.02, amsgrad=True, **how),
    "adamax": lambda **how: optimizers.Adamax(0.02, weight_decay=0.1, **how),
    "nadam": lambda **how: optimizers.Nadam(0.02, **how),
    "adagrad": lambda **how: optimizers.Adagrad(0.1, initial_accumulator_value=0.2, **how),
    "adadelta": lambda **how: optimizers.Adadelta(5.0, weight_decay=0.01, **how),
    "lamb": lambda **how: optimizers.Lamb(0.05, weight_decay=0.1, **how),
    "muon": lambda **how: optimizers.Muon(0.02, adam_lr_ratio=0.5, **how),
    "muon, else": lambda **how: optimizers.Muon(
        0.02, rms_rate=None, nesterov=False, ns_steps=3, weight_decay=0.1, **how
    ),
}
# At first, whatever the size of a gradient is.
STEPS_BY_SIGNS = ("adam", "amsgrad", "adamax", "nadam", "lion", "lamb", "muon", "muon, else")
EVERY = pytest.mark.parametrize("name", MAKE)

WIDTHS = (5, 7, 3)
ROWS = 60


def problem(seed: int = 1) -> tuple[Array, Array]:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(ROWS, 5)), 3 * draw.normal(size=(ROWS, 3))


def compiled(optimizer: optimizers.Optimizer, *, dtype: str = "float64") -> fastnn.Sequential:
    """A regression whose first weights are always the same."""
    model = networks.sequential(WIDTHS, ("tanh", "linear"), dtype=dtype)
    model.compile(optimizer, "mse")
    model.set_weights(cases.glorot(np.random.default_rng(2), WIDTHS))
    return model


Change = Callable[[list[Array]], list[Array]]


def followed(
    optimizer: optimizers.Optimizer, steps: int, change: Change = lambda gradients: gradients
) -> list[list[Array]]:
    """Weights after each step on all rows, by the oracle; `change` is made to gradients before."""
    x, y = problem()
    model = compiled(optimizer)
    update, _ = reference.OPTIMIZERS[optimizer.native]
    settings: dict[str, Any] = dict(optimizer.settings())
    for flag in ("nesterov", "centered"):
        if flag in settings:
            settings[flag] = bool(settings[flag])
    weights = model.get_weights()
    state = [reference.first_state(optimizer.native, w, optimizer.initial_state) for w in weights]
    found = []
    for step in range(1, steps + 1):
        model.set_weights(weights)
        gradients = change(model.value_and_grad(x, y)[1])
        count = reference.number_of(optimizer.native, step)
        for i, g in enumerate(gradients):
            weights[i], *state[i] = update(weights[i], g, *state[i], **settings, **count)
        found.append(list(weights))
    return found


def fitted(optimizer: optimizers.Optimizer, steps: int) -> list[Array]:
    """Weights after so many steps of `fit` on all rows."""
    x, y = problem()
    model = compiled(optimizer)
    model.fit(x, y, batch_size=ROWS, epochs=steps, verbose=0)
    return model.get_weights()


def assert_same(found: list[Array], expected: list[Array]) -> None:
    for i, (got, want) in enumerate(zip(found, expected, strict=True)):
        tolerances.check(got, want, "trajectory", "float64", what=f"weight {i}")


# -- training ----------------------------------------------------------------------------


@EVERY
def test_as_the_oracle(name: str) -> None:
    assert_same(fitted(MAKE[name](), 8), followed(MAKE[name](), 8)[-1])


@pytest.mark.parametrize("word", [*(cls.__name__ for cls in CLASSES), "rmsprop", "lion"])
def test_every_name_trains(word: str) -> None:
    x, y = problem()
    model = compiled(optimizers.get(word))
    history = model.fit(x, y, epochs=20, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert model.optimizer.iterations == 40


@EVERY
@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_a_model_of_one_batch_at_a_time(dtype: str, name: str) -> None:
    """train_on_batch carries the state on: as `fit`, bit for bit."""
    x, y = problem()
    one, other = compiled(MAKE[name](), dtype=dtype), compiled(MAKE[name](), dtype=dtype)
    one.fit(x, y, batch_size=20, epochs=1, shuffle=False, verbose=0)
    for first in range(0, ROWS, 20):
        other.train_on_batch(x[first : first + 20], y[first : first + 20])
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# -- settings ----------------------------------------------------------------------------

BAD: dict[str, tuple[Any, ...]] = {
    "learning_rate": (-0.1, np.nan, np.inf, "fast", True),
    "weight_decay": (-1e-3, np.nan, "0"),
    "momentum": (1.0, -0.5, np.nan),
    "nesterov": (0.5, "yes", None),
    "beta_1": (1.0, -0.1, np.nan, None),
    "beta_2": (1.0, 2, np.inf),
    "epsilon": (-1.0, 0.0, np.nan),
    "rho": (1.0, -1e-9),
    "initial_accumulator_value": (-0.1, np.nan, "0"),
    "gradient_accumulation_steps": (0, -1, 1.5, "2"),
    "adam_lr_ratio": (0.0, np.nan),
    "ns_steps": (-1, 1.5, None),
    "rms_rate": (0.0, -0.1),
    "exclude_layers": ("dense", [3]),
    "exclude_embeddings": (1, None),
    "centered": (2, None),
    "clipnorm": (0.0, -1.0, np.nan, "1"),
    "clipvalue": (0.0, -1.0, np.inf),
    "global_clipnorm": (0.0, -1),
    "use_ema": (1, None, "no"),
    "ema_momentum": (1.0, -0.1, None),
}
SETTINGS = [
    (cls, name, value)
    for cls in CLASSES
    for name, values in BAD.items()
    if name in cls._arguments()
    for value in values
]


@pytest.mark.parametrize(("cls", "name", "value"), SETTINGS)
def test_a_setting_out_of_range_is_refused(cls: Any, name: str, value: Any) -> None:
    """By the constructor, and alike by assignment, which then changes nothing."""
    with pytest.raises((ValueError, TypeError), match=f"^{name}: ") as refused:
        cls(**{name: value})
    optimizer = cls()
    before = getattr(optimizer, name)
    with pytest.raises(refused.type, match=f"^{re.escape(str(refused.value))}$"):
        setattr(optimizer, name, value)
    assert getattr(optimizer, name) == before
    assert cls().get_config() == optimizer.get_config()


def test_amsgrad_is_fixed_when_the_object_is_made() -> None:
    for wrong in (1, None, "yes"):
        with pytest.raises(TypeError, match=r"^amsgrad: expected True or False"):
            optimizers.Adam(amsgrad=wrong)
    optimizer = optimizers.AdamW(amsgrad=True)
    with pytest.raises(AttributeError, match="amsgrad"):
        optimizer.amsgrad = False
    assert optimizer.amsgrad
    assert optimizers.AdamW.from_config(optimizer.get_config()).native == "amsgrad"


def test_settings_keep_their_types() -> None:
    optimizer = optimizers.RMSprop(centered=True)
    assert optimizer.centered is True
    optimizer.centered = False
    assert optimizer.centered is False
    optimizer.rho = np.float32(0.5)
    assert type(optimizer.rho) is float
    assert optimizer.settings() == {
        "learning_rate": 0.001,
        "weight_decay": 0.0,
        "rho": 0.5,
        "momentum": 0.0,
        "epsilon": 1e-7,
        "centered": 0.0,
    }


def test_settings_may_change_between_fits() -> None:
    """A rate or beta that is assigned acts at the next step."""
    x, y = problem()
    model = compiled(optimizers.Lion(0.01))
    model.fit(x, y, batch_size=ROWS, verbose=0)
    model.optimizer.learning_rate = 0.0
    before = model.get_weights()
    model.fit(x, y, batch_size=ROWS, verbose=0)
    assert_same(model.get_weights(), before)
    model.optimizer.learning_rate, model.optimizer.weight_decay = 0.25, 4.0
    model.fit(x, y, batch_size=ROWS, verbose=0)
    for w in model.get_weights():
        np.testing.assert_allclose(np.abs(w), 0.25, rtol=1e-12)  # all of the weight decays


# -- limits of gradients -----------------------------------------------------------------


def norm(gradient: Array) -> float:
    return float(np.linalg.norm(gradient))


LIMITS: dict[str, tuple[float, Change]] = {
    "clipvalue": (0.1, lambda gradients: [np.clip(g, -0.1, 0.1) for g in gradients]),
    "clipnorm": (0.3, lambda gradients: [g * min(1, 0.3 / norm(g)) for g in gradients]),
    "global_clipnorm": (
        0.5,
        lambda gradients: [
            g * min(1, 0.5 / np.sqrt(sum(norm(g) ** 2 for g in gradients))) for g in gradients
        ],
    ),
}


@pytest.mark.parametrize("limit", LIMITS)
@EVERY
def test_gradients_are_limited(name: str, limit: str) -> None:
    value, change = LIMITS[limit]
    limited = followed(MAKE[name](), 5, change)[-1]
    assert_same(fitted(MAKE[name](**{limit: value}), 5), limited)
    if name not in STEPS_BY_SIGNS:
        assert norm(limited[0] - followed(MAKE[name](), 5)[-1][0]) > 1e-3


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_out_of_reach_changes_nothing(limit: str) -> None:
    for a, b in zip(fitted(MAKE["sgd"](**{limit: 1e9}), 3), fitted(MAKE["sgd"](), 3), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


@pytest.mark.parametrize("cls", CLASSES)
def test_at_most_one_limit(cls: Any) -> None:
    message = (
        "at most one of clipnorm, clipvalue and global_clipnorm, got clipnorm=1.0, clipvalue=2.0"
    )
    with pytest.raises(ValueError, match=message):
        cls(clipnorm=1.0, clipvalue=2.0)
    with pytest.raises(ValueError, match="at most one"):
        cls(clipvalue=1.0, global_clipnorm=2.0)
    optimizer = cls(clipnorm=1.0)
    with pytest.raises(ValueError, match="at most one"):
        optimizer.clipvalue = 2.0
    assert (optimizer.clipnorm, optimizer.clipvalue) == (1.0, None)
    optimizer.clipnorm = None
    optimizer.clipvalue = 2
    assert optimizer.stage()["clip_value"] == 2.0


def test_a_limit_that_is_assigned_acts_at_the_next_compile() -> None:
    x, y = problem()
    optimizer = MAKE["sgd"]()
    model = compiled(optimizer)
    optimizer.clipvalue = 1e-9
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    assert norm(model.get_weights()[0] - before[0]) > 1e-3
    model.compile(optimizer, "mse")
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    assert 0 < norm(model.get_weights()[0] - before[0]) < 1e-6


# -- averages of weights -----------------------------------------------------------------


def averaged(trail: list[list[Array]], momentum: float) -> list[Array]:
    average = trail[0]
    for weights in trail[1:]:
        average = [momentum * a + (1 - momentum) * w for a, w in zip(average, weights, strict=True)]
    return average


@EVERY
def test_fit_ends_with_the_average(name: str) -> None:
    for momentum in (0.0, 0.75):
        expected = averaged(followed(MAKE[name](), 6), momentum)
        assert_same(fitted(MAKE[name](use_ema=True, ema_momentum=momentum), 6), expected)


def test_the_average_of_a_frozen_layer_is_itself() -> None:
    x, y = problem()
    model = compiled(optimizers.Adam(0.02, use_ema=True))
    model.layers[0].trainable = False
    model.compile(model.optimizer, "mse")
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    after = model.get_weights()
    for i in range(2):
        np.testing.assert_array_equal(after[i], before[i])
    assert norm(after[2] - before[2]) > 1e-3


def test_a_fit_without_steps_leaves_the_weights() -> None:
    """Also where an earlier fit has left an average."""
    x, y = problem()
    model = compiled(optimizers.Adam(0.02, use_ema=True))
    model.fit(x, y, epochs=3, verbose=0)
    mine = [np.full_like(w, 0.5) for w in model.get_weights()]
    model.set_weights(mine)
    model.fit(x, y, epochs=0, verbose=0)
    assert_same(model.get_weights(), mine)


@pytest.mark.parametrize("how", ["between fits", "in a callback"])
def test_averages_go_on_from_weights_that_are_written(how: str) -> None:
    """What was averaged before has no part in them."""
    x, y = problem()
    model = compiled(optimizers.SGD(1e-12, use_ema=True))
    mine = [np.full_like(w, 5) for w in model.get_weights()]

    class Write(fastnn.callbacks.Callback):
        def on_epoch_end(self, epoch: int, _logs: object = None) -> None:
            if epoch == 1:
                model.set_weights(mine)

    if how == "between fits":
        model.fit(x, y, epochs=3, verbose=0)
        model.set_weights(mine)
        model.fit(x, y, epochs=2, verbose=0)
    else:
        model.fit(x, y, epochs=4, verbose=0, callbacks=[Write()])
    for w in model.get_weights():
        np.testing.assert_allclose(w, 5, rtol=1e-6)


def test_take_averages_after_train_on_batch() -> None:
    x, y = problem()
    model = compiled(MAKE["adam"](use_ema=True, ema_momentum=0.5))
    for _ in range(4):
        model.train_on_batch(x, y)
    trail = followed(MAKE["adam"](), 4)
    assert_same(model.get_weights(), trail[-1])
    model.take_averages()
    assert_same(model.get_weights(), averaged(trail, 0.5))


def test_an_average_that_compile_did_not_ask_for_is_not_taken() -> None:
    """use_ema is read at compile: assigned later, fit does not take a moment for an average."""
    x, y = problem()
    model = compiled(MAKE["adam"]())
    model.optimizer.use_ema = True
    model.fit(x, y, batch_size=ROWS, epochs=5, verbose=0)
    assert_same(model.get_weights(), followed(MAKE["adam"](), 5)[-1])
    with pytest.raises(RuntimeError, match="take_averages: compiled without averages"):
        model.take_averages()
    # And the other way round.
    model = compiled(MAKE["adam"](use_ema=True, ema_momentum=0.5))
    model.optimizer.use_ema = False
    model.fit(x, y, batch_size=ROWS, epochs=5, verbose=0)
    assert_same(model.get_weights(), averaged(followed(MAKE["adam"](), 5), 0.5))


def test_take_averages_needs_a_compiled_model() -> None:
    with pytest.raises(RuntimeError, match="take_averages: the model is not compiled"):
        fastnn.Sequential([layers.Dense(1)]).take_averages()


def test_a_model_that_is_built_by_its_data_is_averaged_too() -> None:
    x, y = problem()
    fastnn.utils.set_random_seed(3)
    found = []
    for momentum in (None, 0.0):
        fastnn.utils.set_random_seed(3)
        model = fastnn.Sequential([layers.Dense(4, "tanh"), layers.Dense(3)])
        words = {} if momentum is None else {"use_ema": True, "ema_momentum": momentum}
        model.compile(optimizers.SGD(0.1, **words), "mse")
        model.fit(x, y, epochs=2, verbose=0)
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


# -- parameters without decay ------------------------------------------------------------


def decayed(exclude: Callable[[optimizers.Optimizer, fastnn.Sequential], None]) -> list[float]:
    """What is left of each parameter after a step that takes a quarter by decay alone."""
    x, _ = problem()
    model = networks.sequential(WIDTHS, ("linear", "linear"), dtype="float64")
    optimizer = optimizers.SGD(0.25, weight_decay=1.0)
    exclude(optimizer, model)
    # Nothing but the decay acts where the error is 0.
    model.compile(optimizer, losses.MeanAbsoluteError())
    weights = [np.zeros((5, 7)), np.ones(7), np.zeros((7, 3)), np.ones(3)]
    model.set_weights(weights)
    ones = [np.ones_like(w) for w in weights]
    model.set_weights(ones)
    model.fit(x, model.predict(x), batch_size=ROWS, verbose=0)
    return [float(w.mean()) for w in model.get_weights()]


EXCLUDE: dict[str, tuple[Callable[[Any, Any], None], list[float]]] = {
    "nothing": (lambda _o, _m: None, [0.75, 0.75, 0.75, 0.75]),
    "names": (
        lambda o, _m: o.exclude_from_weight_decay(var_names=["bias"]),
        [0.75, 1.0, 0.75, 1.0],
    ),
    "a pattern": (
        lambda o, m: o.exclude_from_weight_decay(var_names=[f"^.*/{m.layers[-1].name}/kernel$"]),
        [0.75, 0.75, 1.0, 0.75],
    ),
    "variables": (
        lambda o, m: o.exclude_from_weight_decay([m.layers[-2].kernel, m.layers[-1].bias]),
        [1.0, 0.75, 0.75, 1.0],
    ),
    "both": (
        lambda o, m: o.exclude_from_weight_decay([m.layers[-2].kernel], ["bias"]),
        [1.0, 1.0, 0.75, 1.0],
    ),
    "one after the other": (
        lambda o, _m: (
            o.exclude_from_weight_decay(var_names=["bias"]),
            o.exclude_from_weight_decay(var_names=["kernel"]),
        ),
        [1.0, 1.0, 1.0, 1.0],
    ),
    "no name that exists": (
        lambda o, _m: o.exclude_from_weight_decay(var_names=["gamma"]),
        [0.75, 0.75, 0.75, 0.75],
    ),
}


@pytest.mark.parametrize("case", EXCLUDE)
def test_exclude_from_weight_decay(case: str) -> None:
    exclude, expected = EXCLUDE[case]
    assert decayed(exclude) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"var_names": "bias"}, TypeError, "var_names: expected a list of strings, got 'bias'"),
        ({"var_names": [1]}, TypeError, r"var_names: expected a list of strings, got \[1\]"),
        ({"var_names": ["("]}, re.error, "missing"),
        ({"var_list": ["bias"]}, TypeError, "var_list: expected Variables, got 'bias'"),
    ],
)
def test_what_cannot_be_excluded(words: Any, error: Any, message: str) -> None:
    optimizer = optimizers.SGD(weight_decay=0.1)
    with pytest.raises(error, match=message):
        optimizer.exclude_from_weight_decay(**words)
    assert optimizer.groups(compiled(optimizer).layers[-1].variables) == ([{}], [0, 0])


# -- iterations ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["x", -3, 1.5, None, True])
def test_iterations_are_checked(value: Any) -> None:
    optimizer = optimizers.Adam()
    optimizer.iterations = np.int64(5)
    with pytest.raises((TypeError, ValueError), match="iterations: expected an integer"):
        optimizer.iterations = value
    assert optimizer.iterations == 5


def test_iterations_that_were_set_do_not_fall_below_0() -> None:
    """A divergence takes more steps back than were made since a callback has set them."""

    def reset(epoch: int, _: Any) -> None:
        if epoch == 3:
            model.optimizer.iterations, model.optimizer.learning_rate = 0, 1e30

    model = fastnn.Sequential([layers.Dense(1, input_shape=(1,))], seed=0)
    model.compile(optimizers.SGD(0.01), "mse")
    hook = callbacks.LambdaCallback(on_epoch_begin=reset)
    with pytest.raises(fastnn.TrainingDiverged):
        model.fit(np.ones((9, 1)), np.ones(9), 1, epochs=9, verbose=0, callbacks=[hook])
    assert model.optimizer.iterations == 0
    assert model.network.steps == 0


# -- copies ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["copy", "pickle"]
)
def test_copies_have_the_same_settings(again: Callable[[Any], Any]) -> None:
    optimizer = optimizers.RMSprop(0.02, momentum=0.5, clipnorm=2.0, use_ema=True, ema_momentum=0.9)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.iterations = 7
    other = again(optimizer)
    assert other.get_config() == optimizer.get_config()
    assert (other.iterations, other._undecayed_names) == (7, ["bias"])
    other.learning_rate = 0.5
    assert optimizer.learning_rate == 0.02


# -- the learning rate ---------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.25, np.float32(0.25), np.array(0.25), np.float64(0.25), 1, 0])
def test_the_learning_rate_is_a_float_that_can_be_set(value):
    """As Keras's variable: from numbers and arrays without axes, by either way."""
    optimizer = optimizers.Adam(0.5)
    kept = optimizer.learning_rate
    for assign in (
        lambda: setattr(optimizer, "learning_rate", value),
        lambda: optimizer.learning_rate.assign(value),
    ):
        optimizer.learning_rate = 0.5
        assign()
        rate = optimizer.learning_rate
        assert isinstance(rate, float)
        assert rate == float(value)
        assert rate.numpy() == float(value)
        assert isinstance(rate.numpy(), np.floating)
        assert optimizer.settings()["learning_rate"] == float(value)
    assert kept == 0.5
    assert optimizers.Adam(learning_rate=value).learning_rate == float(value)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, ValueError),
        (np.nan, ValueError),
        (np.array(-1.0), ValueError),
        (10**400, ValueError),
        (np.array([0.1]), TypeError),
        ("0.1", TypeError),
        (np.array(True), TypeError),
        (np.ma.masked, TypeError),
        (None, TypeError),
    ],
)
def test_what_a_learning_rate_refuses(value, error):
    optimizer = optimizers.SGD(0.5)
    for assign in (
        lambda: setattr(optimizer, "learning_rate", value),
        lambda: optimizer.learning_rate.assign(value),
        lambda: optimizers.SGD(value),
    ):
        with pytest.raises(error, match="learning_rate"):
            assign()
    assert optimizer.learning_rate == 0.5


def test_a_learning_rate_is_kept_as_a_plain_number():
    optimizer = optimizers.SGD(0.125)
    rate = optimizer.learning_rate
    copies = (copy.copy(rate), copy.deepcopy(rate), pickle.loads(pickle.dumps(rate)), rate * 1)
    for plain in (*copies, optimizer.get_config()["learning_rate"]):
        assert type(plain) is float
        assert plain == 0.125
    assert json.dumps({"rate": rate}) == '{"rate": 0.125}'
    assert (repr(rate), str(rate), f"{rate:.2f}") == ("0.125", "0.125", "0.12")
    again = pickle.loads(pickle.dumps(optimizer))
    again.learning_rate.assign(1)
    assert (again.learning_rate, optimizer.learning_rate) == (1, 0.125)
    optimizer.learning_rate *= 0.5
    assert optimizer.learning_rate == 0.0625


# -- numbers that float32 does not hold ----------------------------------------------------

TINY = {
    "adam": lambda e: optimizers.Adam(epsilon=e),
    "adam, clipped": lambda e: optimizers.Adam(epsilon=e, global_clipnorm=0.01),
    "adamw, averaged": lambda e: optimizers.AdamW(epsilon=e, use_ema=True),
    "rmsprop": lambda e: optimizers.RMSprop(epsilon=e),
    "rmsprop, centered": lambda e: optimizers.RMSprop(epsilon=e, centered=True, momentum=0.9),
}


@pytest.mark.parametrize("epsilon", [1e-30, 1e-44, 1e-46, 1e-320])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", TINY)
def test_a_tiny_epsilon_is_no_0(name, dtype, epsilon):
    """Weights whose gradient is 0 stay; others move as with an epsilon that is merely small."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5))
    x[:, 2] = 0
    y = rng.normal(size=(60, 3))
    trained = []
    for value in (epsilon, 1e-12):
        model = networks.sequential((5, 7, 3), ("relu", "linear"), dtype=dtype)
        model.compile(TINY[name](value), "mse")
        model.set_weights(
            [np.linspace(-1, 1, w.size).reshape(w.shape) for w in model.get_weights()]
        )
        first = model.get_weights()[0][2]
        history = model.fit(x, y, epochs=3, shuffle=False, verbose=0).history
        assert history["loss"][-1] < history["loss"][0]
        trained.append(model.get_weights())
        if "adamw" not in name:  # which decays them
            np.testing.assert_array_equal(model.get_weights()[0][2], first)
    for a, b in zip(*trained, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    param = np.ones(2, dtype)
    slots = np.zeros((2, 2), dtype)
    if name == "adam":
        ops.adam_step(param, np.zeros(2, dtype), *slots, step=1, epsilon=epsilon)
    elif name == "rmsprop":
        ops.rmsprop_step(param, np.zeros(2, dtype), slots[0], epsilon=epsilon)
    np.testing.assert_array_equal(param, 1)


@pytest.mark.cpu
@pytest.mark.parametrize("session", ["plain", "streaming", "tiled"])
@pytest.mark.parametrize("options", [{}, {"global_clipnorm": 0.1}, {"clipnorm": 0.1}])
def test_what_lies_between_parameters_is_none_of_them(session, options, monkeypatch):
    """The memory between a kernel and its bias, for alignment, may hold anything."""
    monkeypatch.setenv("FASTNN_SESSION", session if not options else "plain")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)), rng.normal(size=(60, 3))
    results = []
    for spoilt in (False, True):
        fastnn.utils.set_random_seed(2)
        model = networks.sequential((5, 7, 3), ("relu", "linear"))
        model.compile(optimizers.SGD(0.01, **options), "mse")
        if spoilt:
            places = model.network.parameters
            ends = [offset + math.prod(shape) for offset, shape in places]
            starts = [offset for offset, _ in places[1:]] + [model.network.parameter_size]
            gaps = [(end, start - end) for end, start in zip(ends, starts, strict=True)]
            assert sum(gap > 0 for _, gap in gaps) == 4
            for end, gap in gaps:
                Place(model.weights[0].place.parameters, end, (gap,)).write(
                    np.full(gap, np.nan, np.float32)
                )
        history = model.fit(x, y, epochs=2, verbose=0).history
        results.append((history, [w.tobytes() for w in model.get_weights()]))
    assert results[0] == results[1]


# -- the former name of the learning rate ----------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES)
def test_lr_is_the_former_name_of_learning_rate(cls):
    """It is taken, with a warning at the caller's line, and changes nothing else."""
    with pytest.warns(DeprecationWarning, match=rf"{cls.__name__}\(\): lr .*learning_rate") as seen:
        optimizer = cls(lr=0.25)
    assert [each.filename for each in seen] == [__file__]
    assert optimizer.learning_rate == 0.25
    assert optimizer.get_config() == cls(learning_rate=0.25).get_config()
    with pytest.warns(DeprecationWarning, match="lr"):
        assert cls.from_config({"lr": 0.5}).learning_rate == 0.5
    config = {"class_name": cls.__name__, "config": {"lr": 0.5}}
    with pytest.warns(DeprecationWarning, match="lr"):
        assert optimizers.get(config).learning_rate == 0.5
    with pytest.warns(DeprecationWarning, match="lr"), pytest.raises(ValueError, match="-1"):
        cls(lr=-1)


@pytest.mark.parametrize("cls", CLASSES)
def test_lr_beside_learning_rate(cls):
    for given in (lambda: cls(0.1, lr=0.2), lambda: cls(learning_rate=0.1, lr=0.2)):
        with pytest.raises(TypeError, match=r"got both learning_rate and lr=0\.2, its former name"):
            given()


@pytest.mark.parametrize("cls", CLASSES)
def test_lr_is_no_attribute(cls):
    """Reading or setting it names learning_rate; a silent attribute would change nothing."""
    optimizer = cls(learning_rate=0.125)
    assert not hasattr(optimizer, "lr")
    for use in (lambda: optimizer.lr, lambda: setattr(optimizer, "lr", 0.5)):
        with pytest.raises(AttributeError, match="'lr': it is not in fastnn; use 'learning_rate'"):
            use()
    assert optimizer.learning_rate == 0.125
    assert copy.copy(optimizer).learning_rate == 0.125
    assert "lr" not in dir(optimizer)


def test_a_class_of_ones_own_takes_lr():
    class Own(optimizers.SGD):
        def __init__(self, **options):
            super().__init__(**{"momentum": 0.5, **options})

    with pytest.warns(DeprecationWarning, match="lr"):
        assert Own(lr=0.5).learning_rate == 0.5


@pytest.mark.parametrize("cls", CLASSES)
def test_decay_names_schedules(cls):
    with pytest.raises(
        TypeError, match=r"'decay' is not in fastnn; give learning_rate InverseTimeDecay"
    ):
        cls(decay=1e-6)
    assert cls(decay=0.0).learning_rate == cls().learning_rate


def test_epsilon_of_none_is_the_default():
    for cls in (optimizers.Adam, optimizers.AdamW, optimizers.RMSprop):
        assert cls(epsilon=None).get_config() == cls().get_config()
        with pytest.raises(ValueError, match="epsilon"):
            cls(epsilon=-1.0)
