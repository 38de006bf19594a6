"""Callbacks that write the values of epochs to files: CSVLogger and TensorBoard."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Protocol, TextIO

import numpy as np

from fastnn.callbacks.base import CALLBACKS, Callback
from fastnn.callbacks.events import EventFile
from fastnn.console import warn
from fastnn.protocols import Logs
from fastnn.registry import Checked
from fastnn.words import flag, integer, keywords, path, text

Path = str | os.PathLike[str]


def _separator(name: str, value: object) -> str:
    given = text(name, value)
    if len(given) != 1:
        raise ValueError(f"{name}: expected one letter, got {value!r}")
    return given


@CALLBACKS.register("csv_logger")
class CSVLogger(Callback):
    """Writes a line of CSV for each epoch: its number from 0, then its values in the order of names.

        >>> import pathlib, tempfile
        >>> import fastnn
        >>> file = pathlib.Path(tempfile.mkdtemp(), "log.csv")
        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
        >>> model.compile(fastnn.optimizers.SGD(0.0), "mse")
        >>> log = fastnn.callbacks.CSVLogger(file)
        >>> history = model.fit([[0.0, 0.0]], [2.0], epochs=2, verbose=0, callbacks=[log])
        >>> print(file.read_text(), end="")
        epoch,loss
        0,4.0
        1,4.0

    A value that an epoch has not is "NA"; an array is written as "[a, b]". Each line is on the disk
    before the next epoch begins. A `fit` that goes on from a backup goes on in the file, too.

    Args:
        filename: the file; folders are made.
        separator: the letter between values.
        append: whether lines are added to a file that is there, whose first line says the columns.

    Raises:
        ValueError: an option is out of range.
        OSError: the file cannot be written.
    """

    only_tells = True
    filename = Checked(path)
    separator = Checked(_separator)
    append = Checked(flag)

    @keywords()
    def __init__(self, filename: Path, separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename = filename
        self.separator = separator
        self.append = append
        self._reset()

    def _reset(self) -> None:
        self._file: TextIO | None = None
        self._keys: list[str] = []
        self._goes_on: int | None = None  # at this place of the file

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_file": None}

    def saved_state(self) -> dict[str, Any]:
        place = 0 if self._file is None else self._file.tell()
        return {"place": place, "keys": list(self._keys)}

    def put_state(self, state: dict[str, Any]) -> None:
        place, keys = integer("place", state["place"], 0), [str(key) for key in state["keys"]]
        if place > 0 and os.path.exists(self.filename):  # noqa: PTH110 - pathlib takes long to import
            self._goes_on, self._keys = place, keys

    def on_train_begin(self, logs: Logs | None = None) -> None:
        del logs
        self._close()
        self._reset()

    def _open(self, logs: Logs) -> csv.DictWriter[str]:
        """The file, opened at the first epoch: a backup may say where it goes on."""
        if self._file is None:
            folder = os.path.dirname(self.filename)  # noqa: PTH120
            if folder:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103
            self._file = self._begun(logs)
        return csv.DictWriter(
            self._file,
            ["epoch", *self._keys],
            restval="NA",
            extrasaction="ignore",
            delimiter=self.separator,
            lineterminator="\n",
        )

    def _begun(self, logs: Logs) -> TextIO:
        if self._goes_on is not None:
            file = open(self.filename, "r+", encoding="utf-8", newline="")  # noqa: PTH123, SIM115
            file.truncate(self._goes_on)
            file.seek(0, os.SEEK_END)
            return file
        named = {*logs, *self.params.get("metrics", ())}
        self._keys = sorted(named - {"epoch"})
        if self.append and (known := self._header()):
            self._keys = [key for key in known if key != "epoch"]
            return open(self.filename, "a", encoding="utf-8", newline="")  # noqa: PTH123
        file = open(self.filename, "a" if self.append else "w", encoding="utf-8", newline="")  # noqa: PTH123, SIM115
        csv.writer(file, delimiter=self.separator, lineterminator="\n").writerow(
            ["epoch", *self._keys]
        )
        return file

    def _header(self) -> list[str]:
        """Names of the columns of a file that is there."""
        try:
            with open(self.filename, encoding="utf-8", newline="") as file:  # noqa: PTH123
                return next(csv.reader(file, delimiter=self.separator), [])
        except FileNotFoundError:
            return []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        given = logs or {}
        writer = self._open(given)
        writer.writerow({"epoch": epoch, **{name: _told(value) for name, value in given.items()}})
        assert self._file is not None
        self._file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        del logs
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        if vars(self).get("_file") is not None:
            self._close()


def _told(value: object) -> object:
    """A value as CSV has it."""
    if isinstance(value, (str, bytes)):
        return value
    if getattr(value, "ndim", 0) or (isinstance(value, Iterable) and not hasattr(value, "ndim")):
        return f"[{', '.join(str(part) for part in np.asarray(value).tolist())}]"
    return float(value) if isinstance(value, np.floating) else value


class Writer(Protocol):
    """What TensorBoard writes by: a SummaryWriter of PyTorch or tensorboardX, or one like it."""

    def add_scalar(self, tag: str, value: float, step: int, /) -> Any:
        """Writes a number under a name, for a step."""


Frequency = int | Literal["epoch", "batch"]
# Arguments of TensorBoard without a config: a writer is an object, and the others do nothing.
_NOT_KEPT = (
    *("histogram_freq", "write_graph", "write_images", "write_steps_per_second"),
    *("profile_batch", "embeddings_freq", "writer"),
)


def _frequency(name: str, value: object) -> Frequency:
    if isinstance(value, str):
        if value not in ("epoch", "batch"):
            raise ValueError(
                f"{name}: expected 'epoch', 'batch' or a number of steps, got {value!r}"
            )
        return "epoch" if value == "epoch" else "batch"
    return integer(name, value)


@CALLBACKS.register("tensor_board", "tensorboard")
class TensorBoard(Callback):
    """Writes the values of epochs to event files, which TensorBoard shows.

    As in Keras there are files for training in `log_dir`/train and for validation in
    `log_dir`/validation, with names such as "epoch_loss", "epoch_accuracy" and
    "epoch_learning_rate". They are written without further packages. (Graphs, histograms, images,
    profiles and embeddings are not.)

        >>> import tempfile
        >>> import fastnn
        >>> board = fastnn.callbacks.TensorBoard(tempfile.mkdtemp())

    Args:
        log_dir: the folder; it is made.
        histogram_freq, write_graph, write_images, write_steps_per_second, profile_batch,
            embeddings_freq: taken as in Keras, and unused.
        update_freq: "epoch"; "batch", or a number of steps, after which the values so far are
            written, too, as "batch_loss" and so on: this makes each step a call from Python.
        writer: an object with `add_scalar(tag, value, step)` that gets all values instead, such as
            `torch.utils.tensorboard.SummaryWriter()`; those of validation as "epoch_val_loss". It is
            flushed after each epoch, where it has `flush`, and never closed.

    Raises:
        TypeError: the writer has no `add_scalar`.
        OSError: a file cannot be written.

    Warns:
        UserWarning: histograms, images, rates of steps, profiles or embeddings are asked for.
    """

    only_tells = True
    log_dir = Checked(path)
    update_freq = Checked(_frequency)
    _kept_as: ClassVar[Mapping[str, str | None]] = dict.fromkeys(_NOT_KEPT, None)

    @keywords()
    def __init__(
        self,
        log_dir: Path = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: Frequency = "epoch",
        profile_batch: int = 0,
        embeddings_freq: int = 0,
        *,
        writer: Writer | None = None,
    ) -> None:
        super().__init__()
        if writer is not None and not callable(getattr(writer, "add_scalar", None)):
            raise TypeError(f"writer: expected an object with add_scalar, got {writer!r}")
        self.log_dir = log_dir
        self.update_freq = update_freq
        self.writer = writer
        asked = {
            "histogram_freq": histogram_freq,
            "write_images": write_images,
            "write_steps_per_second": write_steps_per_second,
            "profile_batch": profile_batch,
            "embeddings_freq": embeddings_freq,
        }
        for name, value in asked.items():
            if value:
                warn(f"TensorBoard: {name}: only numbers are written to event files", UserWarning)
        self._files: dict[str, EventFile] = {}
        self._steps = 0

    @property
    def ignored_hooks(self) -> tuple[str, ...]:
        """Hooks that need not be called: one of a step makes each step a native call."""
        return ("on_train_batch_end",) if self.update_freq == "epoch" else ()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_files": {}}

    def saved_state(self) -> dict[str, Any]:
        return {"steps": self._steps}

    def put_state(self, state: dict[str, Any]) -> None:
        self._steps = integer("steps", state["steps"], 0)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        del logs
        self._close()
        self._steps = 0

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        del batch
        self._steps += 1
        every = 1 if self.update_freq == "batch" else self.update_freq
        if self.update_freq != "epoch" and self._steps % int(every) == 0:
            self._write("batch_", logs or {}, self._steps)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        rate = {"learning_rate": float(optimizer.learning_rate)}
        self._write("epoch_", {**rate, **(logs or {})}, epoch)
        for file in self._files.values():
            file.flush()
        flush = getattr(self.writer, "flush", None)
        if callable(flush):
            flush()

    def _write(self, prefix: str, logs: Logs, step: int) -> None:
        for name, value in logs.items():
            try:
                numbers = np.asarray(value, np.float64)
            except (TypeError, ValueError):  # what a callback put there
                continue
            several = [(name, numbers)] if numbers.ndim == 0 else _parts(name, numbers)
            for tag, number in several:
                self._add(prefix, tag, float(number), step)

    def _add(self, prefix: str, tag: str, number: float, step: int) -> None:
        if self.writer is not None:
            self.writer.add_scalar(prefix + tag, number, step)
            return
        validates = tag.startswith("val_")
        folder = "validation" if validates else "train"
        if folder not in self._files:
            self._files[folder] = EventFile(os.path.join(self.log_dir, folder))  # noqa: PTH118
        self._files[folder].add_scalar(prefix + tag.removeprefix("val_"), number, step)

    def on_train_end(self, logs: Logs | None = None) -> None:
        del logs
        self._close()

    def _close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files = {}


def _parts(name: str, numbers: Any) -> list[tuple[str, float]]:
    return [(f"{name}/{i}", float(number)) for i, number in enumerate(numbers.ravel())]
