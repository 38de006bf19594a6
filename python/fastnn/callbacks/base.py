"""The hooks of callbacks with Keras's names, and the two callbacks that only follow hooks."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from fastnn.protocols import Logs, Places, Position, Trainable
from fastnn.registry import Registered, Registry
from fastnn.words import refuse_unknown_keywords


class Callback(Registered):
    """The base of callbacks: override the hooks that you need.

        >>> import fastnn
        >>> class Halve(fastnn.callbacks.Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         self.model.optimizer.learning_rate *= 0.5

    Attributes:
        model: the model, as long as something else refers to it; set `model.stop_training = True`
            to end `fit` after the epoch, or, from a batch hook, after the batch.
        params: "epochs", "steps" (batches an epoch) and "verbose"; in `fit` also "metrics", the
            names of all values that it puts into the logs of epochs.

    `logs` holds the loss and metrics so far, exact over the rows seen in the epoch; in
    `on_epoch_end` also the values of validation, named "val_...". A value that a callback adds
    to the logs of an epoch is kept in the History if the callback stands before it in the list.
    """

    # Hooks that the callback overrides and does not need now.
    ignored_hooks: Any = ()
    acts_last: ClassVar[bool] = False  # whether its hooks are called after those of all others
    only_tells: ClassVar[bool] = False  # whether it prints or writes, and nothing else
    _peers: Sequence[weakref.ref[Callback]] = ()  # all callbacks of the call
    _inside: ClassVar[tuple[str, ...]] = (
        *(
            "acts_last",
            "begins_at",
            "ignored_hooks",
            "is_first",
            "only_tells",
            "replay",
            "set_peers",
            "watch",
        ),
    )
    # Weak: a model keeps its History, and would never be freed if that kept the model.
    _model: weakref.ref[Trainable] | None = None

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}

    @property
    def is_first(self) -> bool:
        """Whether this process prints and writes files: over ranks the first one alone."""
        return not self.params.get("rank", 0)

    @property
    def model(self) -> Trainable:
        """The model that `fit`, `evaluate` or `predict` was called on; AttributeError before that."""
        if self._model is None:
            raise AttributeError("the callback has no model until fit, evaluate or predict runs")
        model = self._model()
        if model is None:
            raise AttributeError("the model of the callback is gone: nothing else refers to it")
        return model

    def set_model(self, model: Trainable) -> None:
        """Tells the callback its model, before training begins (for the loops)."""
        self._model = weakref.ref(model)

    def __getstate__(self) -> dict[str, Any]:
        """What pickles and copies hold: all but the model."""
        return {n: value for n, value in vars(self).items() if n not in ("_model", "_peers")}

    def set_peers(self, callbacks: Sequence[Callback]) -> None:
        """Tells the callback all callbacks of the call, itself among them."""
        self._peers = [weakref.ref(callback) for callback in callbacks]

    def set_params(self, params: dict[str, Any]) -> None:
        """Tells the callback the numbers of the call, `params`: epochs, steps, verbose (for the loops)."""
        self.params = params

    def begins_at(self, position: Position, check: Callable[[Position], None]) -> Position | None:
        """Called once all callbacks had `on_train_begin`: where `fit` goes on, if not at `position`.

        BackupAndRestore puts the state of the model back here, unless `check` raises a ValueError:
        this `fit` could not go on there.
        """
        del position, check  # for subclasses
        return None

    def saved_state(self) -> dict[str, Any]:
        """What the callback has to go on from where a `fit` was interrupted: numbers, words, lists,
        and arrays. A BackupAndRestore keeps it, and gives it to `put_state`."""
        return {}

    def put_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `saved_state` gave."""

    def watch(self, place: Places) -> dict[str, Any] | None:
        """The rule by which native code ends a call, for callbacks that act after few epochs.

        None: `on_epoch_end` has to be called after each epoch. Else it is called for the epochs of a
        native call when that has ended, as it does no later than after an epoch in which the callback
        acts.

        Args:
            place: the place among native sums of the value of a name, and whether it is a root;
                None: native code does not know the value.
        """
        del place  # for subclasses
        return None

    def replay(self, first: int, logs: Sequence[Logs], best: Callable[[], list[Any]]) -> None:
        """`on_epoch_end` for the epochs of a native call that has ended.

        Args:
            first: the number of the first epoch.
            logs: of each epoch.
            best: gives the weights of the best epoch of that call.
        """
        del best  # for subclasses
        for epoch, row in enumerate(logs, first):
            self.on_epoch_end(epoch, row)

    def _only_follows(self, cls: type[Callback]) -> bool:
        """Whether `on_epoch_end` is that of a class, so that its rule is known."""
        own = "on_epoch_end" in vars(self)
        return not own and type(self).on_epoch_end is cls.on_epoch_end

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called when `fit` begins."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called when `fit` ends, with the logs of the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before epoch `epoch` (from 0)."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after epoch `epoch` and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each step of an epoch (from 0)."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each step of an epoch."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of `on_train_batch_end`."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called when `evaluate`, or the validation of `fit`, begins."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called when `evaluate`, or the validation of `fit`, ends."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of `evaluate` or validation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch of `evaluate` or validation.

        Listening costs a second pass: the result comes from one over all rows, so that it is the
        same to the last bit as without hooks.
        """

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called when `predict` begins."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called when `predict` ends."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch of `predict`; logs hold "outputs"."""


CALLBACKS = Registry("callback", Callback)


class Curves(dict[str, list[Any]]):
    """Lists of values by name; a name that is not there is told with those that are, and why."""

    def __missing__(self, name: object) -> list[Any]:
        if (
            isinstance(name, str)
            and name.startswith("val_")
            and not any(other.startswith("val_") for other in self)
        ):
            why = "fit had no validation rows: give it validation_split or validation_data"
        elif isinstance(name, str) and name.replace("acc", "accuracy", 1) in self:
            why = f"the name is {name.replace('acc', 'accuracy', 1)!r}"
        else:
            why = "metrics of compile are kept beside the loss, and what callbacks add to the logs"
        listed = f"there are {', '.join(self)}" if self else "no epoch was run"
        raise KeyError(f"history: no {name!r}; {listed}; {why}")


@CALLBACKS.register("history")
class History(Callback):
    """The result of `fit`: `history`, a list of values for each name, and `epoch`, their numbers.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
        >>> model.compile("sgd", "mean_squared_error", metrics=["mae"])
        >>> history = model.fit(np.ones((8, 2)), np.ones(8), epochs=3, verbose=0)
        >>> sorted(history.history), len(history.history["loss"]), history.epoch
        (['loss', 'mae'], 3, [0, 1, 2])

    Values are floats; those of a metric without an average, such as F1Score(average=None), are
    arrays. `history["loss"]` is `history.history["loss"]`.

    Raises:
        KeyError: a name that is not there is asked for; the message lists those that are.
    """

    _inside = ("extend",)

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = Curves()
        self.epoch: list[int] = []
        # The row of each value of a name, among all epochs: a name may be missing in some.
        self._at: dict[str, list[int]] = {}
        self._count = 0

    def __getitem__(self, name: str) -> list[Any]:
        return self.history[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.history)

    def saved_state(self) -> dict[str, Any]:
        return {
            "history": dict(self.history),
            "epoch": list(self.epoch),
            "rows": {name: list(rows) for name, rows in self._at.items()},
        }

    def put_state(self, state: dict[str, Any]) -> None:
        self.history = Curves({name: list(own) for name, own in state["history"].items()})
        self.epoch = list(state["epoch"])
        at = state.get("rows", {})
        self._at = {name: [int(row) for row in rows] for name, rows in at.items()}
        self._count = len(self.epoch)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
            self._at.setdefault(name, []).append(self._count)
        self._count += 1

    def extend(self, epoch: int, count: int, values: Mapping[str, list[Any]]) -> None:
        """Adds so many epochs from number `epoch` on, with the values of each name."""
        longer = {name: [*self.history.get(name, ()), *own] for name, own in values.items()}
        self.history.update(longer)
        rows = range(self._count, self._count + count)
        for name in values:
            self._at.setdefault(name, []).extend(rows)
        self._count += count
        self.epoch = [*self.epoch, *range(epoch, epoch + count)]

    def to_frame(self) -> Any:
        """The values as a table of pandas: a row for each epoch, a column for each name.

            >>> import fastnn
            >>> history = fastnn.callbacks.History()
            >>> history.on_epoch_end(0, {"loss": 0.5})
            >>> print(history.to_frame())  # doctest: +SKIP
                   loss
            epoch
            0       0.5

        Epochs, which count from 0, are the index; a value that an epoch has not is NaN. After several
        `fit`s with one History the rows of the first come first.

        Raises:
            ImportError: pandas is not installed.
        """
        from fastnn.extras import needed

        pandas = needed("pandas", "history.to_frame()")
        count = max(map(len, self.history.values()), default=0)
        rows = self._rows()
        epochs = [*range(count - len(self.epoch)), *self.epoch]
        index = pandas.Index(epochs if len(epochs) == count else range(count), name="epoch")
        return pandas.DataFrame(rows, index=index)

    def _rows(self) -> dict[str, list[Any]]:
        """The values of each name, with NaN for epochs that have none."""
        count = max(map(len, self.history.values()), default=0)
        rows = {}
        for name, values in self.history.items():
            at = self._at.get(name, ())
            known = at if len(at) == len(values) else range(len(values))
            column: list[Any] = [math.nan] * count
            for place, value in zip(known, values, strict=True):
                if place < count:
                    column[place] = value
            rows[name] = column
        return rows

    def _repr_html_(self) -> str:
        """The table that notebooks show: the first and the last epochs."""
        from fastnn.callbacks.tables import html_of

        return html_of(self._rows(), self.epoch)

    def plot(
        self,
        path: Any = None,
        metrics: str | Sequence[str] | None = None,
        *,
        title: str | None = None,
        figsize: tuple[float, float] | None = None,
    ) -> Any:
        """Draws the curves over the epochs, from 1. Needs matplotlib (the extra `plot`).

            >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
            >>> model.compile("sgd", "mean_squared_error", metrics=["mae"])
            >>> history = model.fit(np.ones((8, 2)), np.ones(8), epochs=3, verbose=0)
            >>> figure = history.plot("curves.png")
            >>> len(figure.axes)
            2

        The loss has a panel of its own; other values share one where they are of the same size.
        Validation stands beside training, dashed. Epochs whose value is NaN are gaps.

        Args:
            path: a file to write, whose suffix decides the format (.png, .svg, .pdf and others),
                or a file that is open for writing bytes, for PNG; None: no file.
            metrics: the name, or names, of the values to draw, without "val_"; None: all.
            title: above the panels.
            figsize: (width, height) of the picture in inches; None: by the number of panels.

        Returns:
            A `matplotlib.figure.Figure`. It has nothing to do with pyplot: no display is needed.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: a name is unknown, no epoch was finished, or the suffix is of no format.
        """
        from fastnn.callbacks.curves import plot

        return plot(self.history, self.epoch, path, metrics, title, figsize)


class LambdaCallback(Callback):
    """Hooks as functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: print(logs))`.

        >>> report = fastnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, *logs))
        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
        >>> model.compile("sgd", "mean_squared_error")
        >>> history = model.fit(np.ones((8, 2)), np.ones(8), epochs=2, verbose=0, callbacks=[report])
        0 loss
        1 loss

    Takes a function for any hook of `Callback` by the hook's name.

    Raises:
        TypeError: a hook of this name does not exist.
    """

    def __init__(self, **hooks: Callable[..., Any] | None) -> None:
        super().__init__()
        known = [name for name in vars(Callback) if name.startswith("on_")]
        refuse_unknown_keywords("LambdaCallback", hooks, known)
        for name, function in hooks.items():
            if function is not None:
                setattr(self, name, function)

    def get_config(self) -> dict[str, Any]:
        raise TypeError("LambdaCallback: functions have no config; use a subclass of Callback")
