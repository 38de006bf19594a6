"""Search: the best of many settings, by random draws or a grid, and successive halving."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Literal

import numpy as np

from fastnn import keys
from fastnn.callbacks.limits import TimeLimit
from fastnn.console import say
from fastnn.data.split import held_out
from fastnn.models.many import Callbacks, check_callbacks, fit_each
from fastnn.models.trainer import Trainer
from fastnn.words import choose, integer, number, unknown

Space = Mapping[str, Any]


@dataclass
class Trial:
    """One setting: its parameters, the epochs it was trained for, and what came of it.

    `value` is the monitored number after the last of these epochs; NaN where the model was never
    trained. `history` has the lists of all its epochs. `error` is what building or training raised.
    """

    number: int
    params: dict[str, Any]
    epochs: int = 0
    value: float = math.nan
    history: dict[str, list[float]] = field(default_factory=dict)
    error: str | None = None


@dataclass
class Found:
    """What a search found.

    `model` is the best one as it was trained, and `trial` is its setting; `trials` are all, in the
    order in which they were drawn.
    """

    model: Any
    trial: Trial
    trials: list[Trial]

    @property
    def params(self) -> dict[str, Any]:
        """The best setting."""
        return self.trial.params

    @property
    def value(self) -> float:
        """The monitored number of the best."""
        return self.trial.value


def search(
    build: Callable[..., Any],
    space: Space,
    x: object,
    y: object,
    *,
    trials: int | Literal["grid"] = 20,
    epochs: int = 10,
    halving: float | None = 3,
    monitor: str = "val_loss",
    mode: Literal["auto", "min", "max"] = "auto",
    validation_split: float = 0.2,
    validation_data: object = None,
    seed: int = 0,
    time_limit: float | None = None,
    threads: int | None = None,
    verbose: int = 0,
    **options: Any,
) -> Found:
    """Trains models of many settings side by side, and drops the worse ones early.

        >>> x, y = fastnn.datasets.load_digits()
        >>> def build(units, rate):
        ...     layers = [fastnn.layers.Dense(units, "relu", input_shape=(64,)), fastnn.layers.Dense(10)]
        ...     model = fastnn.Sequential(layers, seed=0)
        ...     model.compile(fastnn.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        ...     return model
        >>> space = {"units": [16, 32, 64], "rate": (1e-4, 1e-1, "log")}
        >>> found = fastnn.search(build, space, x / 16, y, trials=9, epochs=9)
        >>> sorted(found.params), [trial.epochs for trial in found.trials].count(9) >= 1
        (['rate', 'units'], True)

    Settings are drawn at random (Bergstra and Bengio, 2012), or are all of a grid. With `halving`
    they all train for a few epochs, the best share of 1 / halving goes on for `halving` times as many,
    and so on, until the last ones have trained for `epochs` (Jamieson and Talwalkar, 2016, arXiv:1502.07943).
    All are validated on the same rows.

    Args:
        build: called with a setting as keyword arguments; gives a compiled model. Draw its weights from a
            seed, `Sequential(..., seed=0)`, to have the same search again.
        space: for each parameter a list of choices, (low, high) of numbers, (low, high, "log") to draw
            evenly on a logarithmic scale, or a function of a `numpy.random.Generator`. Between two
            integers integers are drawn, both ends included.
        x, y: rows and what to learn of them, see `Sequential.fit`.
        trials: how many settings are drawn; "grid": every combination of lists.
        epochs: that the last ones are trained for.
        halving: above 1; None: every setting is trained for all epochs.
        monitor, mode: what is compared after an epoch, and whether less ("min") or more is better;
            "auto" asks the metric.
        validation_split, validation_data: the share of rows that is held out, classes alike, by `seed`;
            or data to validate on.
        seed: of the settings and of the rows held out.
        time_limit: seconds, after which no model is begun or goes on, and those that train end.
        threads: see `fastnn.fit_many`.
        verbose: 1 prints a line for each round.
        options: other arguments of `Sequential.fit`, for all models; but `callbacks` is a function of a
            model's number that makes the callbacks of this model, as in `fastnn.fit_many`, in each round anew:
            they keep state, so no list of them is taken. Neither are `rows` and `validation_rows`.

    Raises:
        TypeError, ValueError: an argument cannot be taken, or every model failed; the message has the first error.
        KeyboardInterrupt: Ctrl-C.
    """
    for name in ("rows", "validation_rows", "each"):
        if name in options:
            raise TypeError(
                f"{name}: search holds rows out itself; expected validation_data or a share"
            )
    check_callbacks(options.get("callbacks"))
    _check_kinds(build, space)
    epochs = integer("epochs", epochs, 1)
    ratio = math.inf if halving is None else number("halving", halving, 1.0, open_low=True)
    choose("mode", mode, ("auto", "min", "max"))
    begun = time.monotonic()
    limit = None if time_limit is None else number("time_limit", time_limit, 0.0, open_low=True)
    generator = np.random.default_rng(integer("seed", seed, 0))
    listed = [Trial(i, params) for i, params in enumerate(_settings(space, trials, generator))]
    given = {**options, "x": x, "y": y, "threads": threads}
    if validation_data is None:
        shape = getattr(x, "shape", None)  # of an array or a sparse matrix, which has no len
        count = len(x) if shape is None else int(shape[0])  # type: ignore[arg-type]
        split = held_out(count, validation_split, _strata(y), keys.key_of(seed))
        rows: Any = split
    else:
        given["validation_data"] = validation_data
        rows = None
    models: dict[int, Any] = {}
    left = listed
    signs: list[int] = []
    for stage in _stages(len(listed), epochs, ratio):
        remaining = None if limit is None else limit - (time.monotonic() - begun)
        if remaining is not None and remaining <= 0 and models:
            break
        for trial in left:
            if trial.number not in models:
                _build(build, trial, models)
        running = [trial for trial in left if trial.number in models]
        if not running:
            break
        if not signs:
            signs.append(_sign(models[running[0].number], monitor, mode))
        _train(running, models, stage.epochs, given, rows, remaining, monitor)
        ranked = sorted(running, key=lambda trial: _rank(trial, signs[0]))
        if verbose:
            say(
                f"{len(running)} settings, {stage.epochs} epochs: best {monitor} "
                f"{ranked[0].value:.5g} of {ranked[0].params}"
            )
        left = ranked[: stage.kept]
        for trial in ranked[stage.kept :]:
            models.pop(trial.number, None)
    done = [trial for trial in left if trial.number in models and not math.isnan(trial.value)]
    if not done:
        why = next((trial.error for trial in listed if trial.error is not None), "none was trained")
        raise ValueError(f"search: no model has a value of {monitor}: {why}")
    best = min(done, key=lambda trial: _rank(trial, signs[0]))
    return Found(models[best.number], best, listed)


def _check_kinds(build: object, space: object) -> None:
    """TypeError for a model in place of the function that makes models, and for names without values."""
    if isinstance(build, Trainer) or not callable(build):
        raise TypeError(
            f"build: expected a function that makes a compiled model, got {build!r:.100}"
        )
    if not isinstance(space, Mapping):
        raise TypeError(
            f"space: expected a dictionary, such as {{'units': [16, 32]}}, got {space!r:.100}"
        )


@dataclass(frozen=True)
class _Stage:
    epochs: int  # that models have been trained for after it
    kept: int  # that go on


def _stages(count: int, epochs: int, ratio: float) -> list[_Stage]:
    """The rounds of successive halving: the last has all epochs."""
    rounds = 1
    if math.isfinite(ratio):
        rounds += int(min(math.log(max(count, 1), ratio), math.log(epochs, ratio)) + 1e-9)
    found: list[_Stage] = []
    left = count
    for stage in range(rounds):
        left = left if stage == rounds - 1 else max(1, math.ceil(left / ratio - 1e-9))
        done = max(1, round(epochs / ratio ** (rounds - 1 - stage))) if rounds > 1 else epochs
        if found and found[-1].epochs == done:  # a round without an epoch chooses by nothing
            found.pop()
        found.append(_Stage(done, left))
    return found


def _train(
    running: list[Trial],
    models: dict[int, Any],
    until: int,
    given: dict[str, Any],
    rows: Any,
    remaining: float | None,
    monitor: str,
) -> None:
    """Trains all to `until` epochs. One that diverges, or that cannot be trained, is out."""
    each = [{"initial_epoch": trial.epochs, "epochs": until} for trial in running]
    count = len(running)
    options = dict(given)
    if rows is not None:
        options["rows"] = [rows.training] * count
        options["validation_rows"] = [rows.validation] * count
    if remaining is not None:
        end = time.monotonic() + max(remaining, 1e-3)
        own: Callbacks | None = options.get("callbacks")
        options["callbacks"] = lambda number: [
            *((own(number) or []) if own is not None else []),
            TimeLimit(max(end - time.monotonic(), 1e-3)),
        ]
    fitted = [models[trial.number] for trial in running]
    catches = (ValueError, ArithmeticError)
    for trial, came in zip(running, fit_each(fitted, catches, each=each, **options), strict=True):
        if isinstance(came, Exception):
            trial.error, trial.value = f"{type(came).__name__}: {came}", math.nan
            continue
        trial.epochs += len(came.epoch)
        for name, values in came.history.items():
            trial.history.setdefault(name, []).extend(values)
        if monitor not in came.history:
            raise ValueError(f"monitor: {monitor!r} is not among {sorted(came.history)}")
        trial.value = float(came.history[monitor][-1])


def _build(build: Callable[..., Any], trial: Trial, models: dict[int, Any]) -> None:
    try:
        model = build(**trial.params)
    except (ValueError, ArithmeticError) as error:
        trial.error = f"{type(error).__name__}: {error}"
        return
    if not isinstance(model, Trainer):
        raise TypeError(f"build: expected it to return a compiled model, got {model!r:.100}")
    if not model.compiled:
        raise RuntimeError(
            "build: expected it to return a compiled model; call model.compile(...) in it"
        )
    models[trial.number] = model


def _rank(trial: Trial, sign: int) -> tuple[bool, float, int]:
    return math.isnan(trial.value), sign * trial.value, trial.number


def _sign(model: Any, monitor: str, mode: str) -> int:
    """1 where less is better, -1 where more is."""
    if mode != "auto":
        return 1 if mode == "min" else -1
    more = model.more_is_better(monitor)
    if more is None:
        known = [f"val_{name}" for name in model.metrics_names]
        told = "" if monitor in known else f"{unknown('monitor', monitor, known)} "
        raise ValueError(f"{told}Whether more of {monitor!r} is better is not known: give mode")
    return -1 if more else 1


def _strata(y: Any) -> Any:
    """Classes, where y is one integer for each row."""
    found = np.asarray(y)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    return found.astype(np.int64) if found.ndim == 1 and found.dtype.kind in "biu" else None


def _settings(
    space: Space, trials: int | str, random: np.random.Generator
) -> Iterator[dict[str, Any]]:
    if not space:
        raise ValueError("space: expected at least one parameter, got none")
    if trials == "grid":
        for name, values in space.items():
            if not isinstance(values, list):
                raise TypeError(f"space: {name}: a grid takes lists of choices, got {values!r}")
        yield from (
            dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())
        )
        return
    for _ in range(integer("trials", trials, 1)):
        yield {name: _drawn(name, values, random) for name, values in space.items()}


def _drawn(name: str, values: Any, random: np.random.Generator) -> Any:
    if callable(values):
        return values(random)
    if isinstance(values, list) and values:
        return values[int(random.integers(len(values)))]
    log = isinstance(values, tuple) and len(values) == 3 and values[2] == "log"
    if not (isinstance(values, tuple) and (len(values) == 2 or log)):
        raise ValueError(
            f"space: {name}: expected a list of choices, (low, high), (low, high, 'log') or a "
            f"function, got {values!r}"
        )
    low, high = values[:2]
    if not low < high or (log and not low > 0):
        raise ValueError(
            f"space: {name}: expected low < high{', above 0' if log else ''}, got {values!r}"
        )
    whole = isinstance(low, Integral) and isinstance(high, Integral)
    if not log:
        return int(random.integers(low, high + 1)) if whole else float(random.uniform(low, high))
    ends = (low - 0.5, high + 0.5) if whole else (low, high)
    found = math.exp(random.uniform(math.log(ends[0]), math.log(ends[1])))
    return min(max(round(found), low), high) if whole else found
