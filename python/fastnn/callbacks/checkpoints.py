"""Callbacks that write files while a model is trained: ModelCheckpoint and BackupAndRestore."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from fastnn.callbacks.base import CALLBACKS, Callback
from fastnn.callbacks.monitor import Monitor
from fastnn.console import say
from fastnn.files.layout import ModelFileError
from fastnn.files.suffixes import refuse_other_formats
from fastnn.protocols import Logs, Position
from fastnn.registry import Checked
from fastnn.words import flag, integer, keywords, number, optional, path, verbosity

Path = str | os.PathLike[str]
Frequency = int | Literal["epoch"]


def _frequency(name: str, value: object) -> Frequency:
    if isinstance(value, str):
        if value != "epoch":
            raise ValueError(f"{name}: expected 'epoch' or a number of steps, got {value!r}")
        return "epoch"
    return integer(name, value)


def _own_file(name: str, value: object) -> str:
    file = path(name, value)
    refuse_other_formats(f"ModelCheckpoint: {name}", file)  # now, not after the first epoch
    return file


class _Saving(Callback):
    """A callback that acts after each epoch, or after every so many steps of all epochs."""

    save_freq = Checked(_frequency)

    @property
    def ignored_hooks(self) -> tuple[str, ...]:
        """Hooks that need not be called: one of a step makes each step a native call."""
        return ("on_train_batch_end",) if self.save_freq == "epoch" else ()

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self._steps = 0  # since the last time

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            return
        self._steps += 1
        if self._steps >= int(self.save_freq):
            self._steps = 0
            self._act(self._epoch, batch, logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        del logs
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._act(epoch, None, logs)

    def _act(self, epoch: int, batch: int | None, logs: Logs | None) -> None:
        raise NotImplementedError


@CALLBACKS.register("model_checkpoint")
class ModelCheckpoint(_Saving, Monitor):
    """Saves the model, or its weights, while it is trained.

        >>> import os, tempfile
        >>> import fastnn
        >>> path = os.path.join(tempfile.mkdtemp(), "best.safetensors")
        >>> keep = fastnn.callbacks.ModelCheckpoint(path, monitor="loss", save_best_only=True)
        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
        >>> model.compile("sgd", "mse")
        >>> history = model.fit([[0.0, 1.0]], [1.0], epochs=3, verbose=0, callbacks=[keep])
        >>> fastnn.load_model(path).compiled
        True

    Each file is written whole: a kill at any moment leaves the former file or the new one.

    Args:
        filepath: the file; `{epoch:02d}` (from 1), `{batch:02d}` (from 1, with save_freq in steps)
            and `{val_loss:.3f}`, of any value in the logs, are filled in. Folders are made.
        monitor: with save_best_only the value that decides, see `EarlyStopping`.
        verbose: 1 prints each file that is written.
        save_best_only: whether only a model is saved whose value is better than all before.
        save_weights_only: whether `save_weights` is used in place of `save`.
        mode: see `EarlyStopping`.
        save_freq: "epoch", or a number of steps after which it is time again, counted over epochs.
        initial_value_threshold: with save_best_only a value that the first file has to improve on.

    Raises:
        ValueError: the suffix is that of another format, such as .keras. When a file is written: the
            path names a value that the logs have not. When `fit` begins: see `Monitor`.
        OSError: a file cannot be written.
    """

    _inside = ("min_delta",)
    filepath = Checked(_own_file)
    verbose = Checked(verbosity)
    save_best_only = Checked(flag)
    save_weights_only = Checked(flag)
    initial_value_threshold = Checked(optional(number))

    @keywords()
    def __init__(
        self,
        filepath: Path,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: Frequency = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, 0.0)
        self.filepath = filepath
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self.initial_value_threshold = initial_value_threshold
        self.best: float | None = self.initial_value_threshold

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if self.save_best_only:
            super().on_train_begin(logs)

    def saved_state(self) -> dict[str, Any]:
        return {"best": self.best}

    def put_state(self, state: dict[str, Any]) -> None:
        self.best = None if state["best"] is None else float(state["best"])

    def _act(self, epoch: int, batch: int | None, logs: Logs | None) -> None:
        if self.save_best_only:
            value = self.value(logs)
            if value is None or not self.improves(value, self.best):
                return
            self.best = value
        if not self.is_first:
            return
        file = self._filled(epoch, batch, logs or {})
        folder = os.path.dirname(file)  # noqa: PTH120 - pathlib takes long to import
        if folder:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103
        if self.save_weights_only:
            self.model.save_weights(file)
        else:
            self.model.save(file)
        if self.verbose:
            say(f"Epoch {epoch + 1}: saved to {file}")

    def _filled(self, epoch: int, batch: int | None, logs: Logs) -> str:
        known = {**logs, "epoch": epoch + 1}
        if batch is not None:
            known["batch"] = batch + 1
        try:
            return self.filepath.format(**known)
        except (KeyError, IndexError) as why:
            raise ValueError(
                f"ModelCheckpoint: filepath: {self.filepath!r} has {why}, but the logs have "
                f"{', '.join(known)}"
            ) from None


@contextlib.contextmanager
def _told_as_of(file: str, name: str) -> Iterator[None]:
    """Makes an error of a callback about its state an error of the file that it is in."""
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as why:
        told = f"{why} is missing" if isinstance(why, KeyError) else str(why)
        raise ModelFileError(f"{file}: the state of {name}: {told:.300}") from why


@CALLBACKS.register("backup_and_restore")
class BackupAndRestore(_Saving):
    """Keeps a backup of training, from which the next `fit` of the same program goes on.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))], seed=0)
        >>> model.compile("sgd", "mean_squared_error")
        >>> def crash(epoch, logs):
        ...     if epoch == 3:
        ...         raise RuntimeError("the power fails")
        >>> backup = fastnn.callbacks.BackupAndRestore("backup")
        >>> failing = fastnn.callbacks.LambdaCallback(on_epoch_begin=crash)
        >>> x, y = np.ones((8, 2)), np.ones(8)
        >>> model.fit(x, y, epochs=5, verbose=0, callbacks=[backup, failing])
        Traceback (most recent call last):
        RuntimeError: the power fails
        >>> model.fit(x, y, epochs=5, verbose=0, callbacks=[backup]).epoch  # goes on from the third
        [0, 1, 2, 3, 4]

    A `fit` that was interrupted, by an exception or by the end of its process, is called again: it
    goes on after the last backup, also in the middle of an epoch, and ends with the same weights to
    the last bit as if nothing had happened. The History has all epochs, and callbacks such as
    EarlyStopping go on from where they were (those of one's own by `saved_state` and `put_state`).
    A backup that cannot be gone on from is an error that changes neither the model nor callbacks.

    Args:
        backup_dir: a folder for the backup, of this `fit` alone; it is made if need be.
        save_freq: "epoch", or a number of steps after which a backup is made, counted over epochs.
        delete_checkpoint: whether the backup is removed once `fit` has ended.

    Raises:
        ValueError: the backup is of another model, or in the middle of an epoch of other rows or of
            another batch_size.
        fastnn.ModelFileError: the backup is damaged.
        OSError: it cannot be written.
    """

    acts_last = True  # so that a backup has what other callbacks made of an epoch
    backup_dir = Checked(path)
    delete_checkpoint = Checked(flag)

    @keywords()
    def __init__(
        self,
        backup_dir: Path,
        save_freq: Frequency = "epoch",
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        self.backup_dir = backup_dir
        self.save_freq = save_freq
        self.delete_checkpoint = delete_checkpoint

    @property
    def _file(self) -> str:
        return os.path.join(self.backup_dir, "latest.safetensors")  # noqa: PTH118

    def begins_at(self, position: Position, check: Callable[[Position], None]) -> Position | None:
        del position
        if not os.path.exists(self._file):  # noqa: PTH110
            return None
        backup = self.model.read_state(self._file)
        if backup.position is None:
            return None
        check(backup.position)
        with self._put_to_callbacks(backup.more):
            backup.put()
        return backup.position

    @contextlib.contextmanager
    def _put_to_callbacks(self, states: Mapping[str, dict[str, Any]]) -> Iterator[None]:
        """Gives states to the other callbacks, which get theirs back where one, or the block, fails."""
        named = [(name, callback) for name, callback in self._named() if name in states]
        before = [callback.saved_state() for _, callback in named]
        try:
            for name, callback in named:
                with _told_as_of(self._file, name):
                    callback.put_state(states[name])
            yield
        except BaseException:
            for (_, callback), state in zip(named, before, strict=True):
                callback.put_state(state)
            raise

    def _named(self) -> list[tuple[str, Callback]]:
        """The other callbacks of the call, with names that stay the same in the next one."""
        found: list[tuple[str, Callback]] = []
        counts: dict[str, int] = {}
        for reference in self._peers:
            callback = reference()
            if callback is None or callback is self:
                continue
            kind = type(callback).__name__
            counts[kind] = count = counts.get(kind, 0) + 1
            found.append((f"{kind}_{count}", callback))
        return found

    def _act(self, epoch: int, batch: int | None, logs: Logs | None) -> None:
        del epoch, batch, logs
        if not self.is_first:
            return
        os.makedirs(self.backup_dir, exist_ok=True)  # noqa: PTH103
        self.model.write_state(
            self._file, {name: callback.saved_state() for name, callback in self._named()}
        )

    def on_train_end(self, logs: Logs | None = None) -> None:
        del logs
        if self.delete_checkpoint and self.is_first:
            with contextlib.suppress(FileNotFoundError):
                os.remove(self._file)  # noqa: PTH107
            with contextlib.suppress(OSError):  # there are other files in it
                os.rmdir(self.backup_dir)  # noqa: PTH106
