"""Many networks trained by one call: cross-validations, ensembles, seeds, searches of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.callbacks.base import Callback, History
from fastnn.data.rows import rows_of_model
from fastnn.data.structures import is_several
from fastnn.models.call_words import DEFAULT_BATCH, batch_size_of, frequency_of
from fastnn.models.trainer import Trainer
from fastnn.training.abreast import abreast
from fastnn.training.calls import Calls
from fastnn.training.loops import Schedule
from fastnn.training.side_by_side import Stop
from fastnn.words import flag, integer

Array = NDArray[Any]
Callbacks = Callable[[int], Sequence[Callback]]


def fit_many(
    models: Sequence[Any],
    x: object = None,
    y: object = None,
    *,
    rows: Sequence[Any] | None = None,
    validation_rows: Sequence[Any] | None = None,
    sample_weight: object = None,
    callbacks: Callbacks | None = None,
    each: Sequence[Mapping[str, Any]] | None = None,
    threads: int | None = None,
    **options: Any,
) -> list[History]:
    """Trains compiled models side by side, one thread each; each as its own `fit` would, bit for bit.

        >>> x, y = fastnn.datasets.load_digits()
        >>> folds = np.arange(len(x)) % 4
        >>> def made(seed):
        ...     layers = [fastnn.layers.Dense(16, "relu", input_shape=(64,)), fastnn.layers.Dense(10)]
        ...     model = fastnn.Sequential(layers, seed=seed)
        ...     model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        ...     return model
        >>> models = [made(seed) for seed in range(4)]
        >>> histories = fastnn.fit_many(
        ...     models, x / 16, y, epochs=8,
        ...     rows=[np.flatnonzero(folds != k) for k in range(4)],
        ...     validation_rows=[np.flatnonzero(folds == k) for k in range(4)],
        ... )
        >>> min(history.history["val_accuracy"][-1] for history in histories) > 0.8
        True

    x and y are converted once. A model that ends early leaves its place to the next one. Narrow networks
    of one shape are stepped sixteen at a time, by one thread, each in a lane of the processor's vectors
    (docs/many.md says which). Rows, seeds, rates and rules are a model's own, so neither the order of
    the models nor the number of threads changes a bit.

    Args:
        models: different models, each compiled, which share no layers. Rates, losses and metrics are
            those they were compiled with. A callback of one can use another only before that begins
            to train or after it has ended.
        x, y, sample_weight: of all models, see `Sequential.fit`; a model may have its own in `each`.
        rows: for each model the indices of the rows that it trains on, or None for all; by them
            `sample_weight` is of all rows of x.
        validation_rows: for each model the indices of the rows that it is validated on, or None.
        callbacks: a function of a model's number that makes its callbacks: they keep state, so no two
            models share one.
        each: for each model a dictionary of arguments that differ from those of all.
        threads: models that train at the same time; None: `fastnn.get_num_threads()`. With 1 the
            calling thread trains all: those that share no lanes one after another, each by all threads.
        options: other arguments of `Sequential.fit`. `verbose` is 0.

    Returns:
        The histories, in the order of the models.

    Raises:
        TypeError, ValueError: arguments cannot be taken. A model is told by its number where one of
            its own is meant.
        Exception: what the `fit` of a model raised; the others end within some 0.1 s, or with their epoch
            where a callback in Python acts between epochs, and keep their weights.
        KeyboardInterrupt: Ctrl-C; all end so, and keep their weights.
    """
    return fit_each(
        models,
        (),
        x=x,
        y=y,
        rows=rows,
        validation_rows=validation_rows,
        sample_weight=sample_weight,
        callbacks=callbacks,
        each=each,
        threads=threads,
        **options,
    )


def fit_each(
    models: Sequence[Any],
    catches: tuple[type[Exception], ...],
    *,
    x: object = None,
    y: object = None,
    rows: Sequence[Any] | None = None,
    validation_rows: Sequence[Any] | None = None,
    callbacks: Callbacks | None = None,
    each: Sequence[Mapping[str, Any]] | None = None,
    threads: int | None = None,
    **options: Any,
) -> list[Any]:
    """`fit_many`, with an exception of `catches` that a model raised in place of its history."""
    models = _models(models)
    count = len(models)
    if len({id(model) for model in models}) < count:
        raise ValueError("models: expected different models, got one of them twice")
    for name, given in (("rows", rows), ("validation_rows", validation_rows), ("each", each)):
        if given is not None and len(given) != count:
            raise ValueError(
                f"{name}: expected one entry for each of the {count} models, got {len(given)}"
            )
    check_callbacks(callbacks)
    at_once = None if threads is None else integer("threads", threads, 1)
    x = x if x is None or is_several(x) else rows_of_model("x", x, None)
    if not (y is None or hasattr(y, "dtype") or (x is not None and _is_parts(y, _rows_of(x)))):
        y = np.asarray(y)
    shared = {"x": x, "y": y, "verbose": 0, **options}
    tasks = []
    for number, model in enumerate(models):
        own: dict[str, Any] = {**shared, **({} if each is None else each[number])}
        make = None if "callbacks" in own else callbacks
        chosen = None if rows is None else rows[number]
        held = None if validation_rows is None else validation_rows[number]
        tasks.append(partial(_fit, _Job(model, number, own, make, chosen, held, catches)))
    return abreast(tasks, at_once)


def _models(given: Any) -> list[Any]:
    """The models as a list. TypeError for one alone, a function that makes them, and other objects."""
    if isinstance(given, Trainer) or not isinstance(given, Iterable):
        raise TypeError(
            f"models: expected a list of compiled models, got {given!r:.100}; of one model use its fit"
        )
    found = list(given)
    for number, model in enumerate(found):
        if not isinstance(model, Trainer):
            raise TypeError(
                f"models: expected compiled models, got {model!r:.100} as number {number}"
            )
    return found


def check_callbacks(given: object) -> None:
    """TypeError for callbacks of several models that are not made by a function of a model's number."""
    if given is not None and not callable(given):
        raise TypeError(
            "callbacks: expected a function of a model's number that makes the callbacks of this model, "
            f"such as lambda number: [EarlyStopping()], got {given!r:.100}"
        )


def _is_parts(value: object, count: int) -> bool:
    """Whether it is arrays of so many rows, of several inputs or outputs."""
    if isinstance(value, Mapping):
        return True
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(getattr(part, "ndim", 0) >= 1 and len(part) == count for part in value)
    )


class _Job(NamedTuple):
    model: Any
    number: int
    options: dict[str, Any]
    callbacks: Callbacks | None
    rows: object
    validation_rows: object
    catches: tuple[type[Exception], ...]


def _fit(job: _Job, stop: Stop) -> Calls[History | Exception]:
    options = dict(job.options)
    try:
        if job.callbacks is not None:
            options["callbacks"] = job.callbacks(job.number)
        with stop.ends(job.model):
            if job.rows is None and job.validation_rows is None:
                history: History = yield from job.model.fit_calls(options)
                return history
            count = _rows_of(options["x"])
            chosen = _indices("rows", job.rows, count)
            held = _indices("validation_rows", job.validation_rows, count)
            return (yield from _fit_rows(job.model, chosen, held, **options))
    except job.catches as error:
        return error
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        error.add_note(f"in model {job.number} of fit_many")
        raise


def _fit_rows(
    model: Trainer,
    chosen: NDArray[np.int64] | None,
    held_out: NDArray[np.int64] | None,
    *,
    x: Any,
    y: Any,
    sample_weight: object = None,
    class_weight: Any = None,
    batch_size: int | None = None,
    epochs: int = 1,
    initial_epoch: int = 0,
    shuffle: bool = True,
    validation_freq: Any = 1,
    callbacks: Any = None,
    verbose: Any = 0,
    **others: Any,
) -> Calls[History]:
    """`fit` on some rows of x, validated on others of them."""
    if others:
        raise ValueError(f"{next(iter(others))}: is not taken beside rows or validation_rows")
    plan = model._compiled("fit")
    if model._reason_for(plan, x) is not None:  # over the tape, from copies
        n = _rows_of(x)
        taken = [_taken(part, chosen, n) for part in (x, y, sample_weight)]
        held = None if held_out is None else (_taken(x, held_out, n), _taken(y, held_out, n))
        options = {
            "x": taken[0],
            "y": taken[1],
            "sample_weight": taken[2],
            "class_weight": class_weight,
            "batch_size": batch_size,
            "epochs": epochs,
            "initial_epoch": initial_epoch,
            "shuffle": shuffle,
            "validation_freq": validation_freq,
            "validation_data": held,
            "callbacks": callbacks,
            "verbose": verbose,
        }
        return (yield from model.fit_calls(options))
    table = model._table("fit", x, y, sample_weight)
    for name, part in (("rows", chosen), ("validation_rows", held_out)):
        if part is not None and (part.min() < 0 or part.max() >= len(table.x)):
            raise ValueError(
                f"{name}: expected indices in [0, {len(table.x)}), got {part.min()} to {part.max()}"
            )
    train = model._weigh_classes(table._replace(chosen=chosen), class_weight)
    validation = None if held_out is None else table._replace(chosen=held_out, weights=None)
    size = batch_size_of("batch_size", batch_size, DEFAULT_BATCH)
    schedule = Schedule(
        size,
        integer("epochs", epochs, 0),
        integer("initial_epoch", initial_epoch, 0),
        flag("shuffle", shuffle),
        frequency_of(validation_freq),
        size,
    )
    return (yield from model.fit_tables_calls(train, validation, schedule, callbacks, verbose))


def _taken(part: Any, chosen: NDArray[np.int64] | None, count: int) -> Any:
    if part is None or chosen is None:
        return part
    if isinstance(part, Mapping):
        return {name: _taken(one, chosen, count) for name, one in part.items()}
    if _is_parts(part, count):
        return [_taken(one, chosen, count) for one in part]
    return (part if hasattr(part, "dtype") else np.asarray(part))[chosen]


def _rows_of(x: Any) -> int:
    parts = list(x.values()) if isinstance(x, Mapping) else x if is_several(x) else [x]
    return len(parts[0])


def _indices(name: str, given: object, count: int) -> NDArray[np.int64] | None:
    if given is None:
        return None
    found = np.asarray(given)
    if found.dtype == bool:
        if found.shape != (count,):
            raise ValueError(
                f"{name}: expected a mask of {count} rows, got one of shape {found.shape}"
            )
        found = np.flatnonzero(found)
    if found.ndim != 1 or found.dtype.kind not in "iu" or len(found) == 0:
        raise ValueError(f"{name}: expected indices of rows (k,), or a mask of all rows")
    return found.astype(np.int64)
