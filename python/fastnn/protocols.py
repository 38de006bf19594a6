"""Trainable: the members of a model that training and callbacks use. No class of models is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import _core

# Numbers by name; those of a metric that says so are arrays (Metric.gives_array).
Logs = dict[str, Any]


class Place(NamedTuple):
    """Where a value of the logs is among the native sums of an epoch: a ratio of two of them."""

    numerator: int
    root: bool  # whether the value is the root of the ratio
    denominator: int


# The place of a name in the logs, or of an output's number in an array of that name; None: it is no
# such ratio.
Places = Callable[..., Place | None]


class Position(NamedTuple):
    """Where training is, or goes on, in a `fit`."""

    epoch: int  # from 0
    step: int = 0  # of the epoch; those before it are done
    # What the steps before it have counted: native sums, or those of each metric over the tape.
    sums: tuple[NDArray[Any], ...] = ()
    # Rows, batch size, and whether rows are shuffled; None: not those of a `fit` that was under way.
    # In the middle of an epoch they have to stay as they are.
    data: tuple[int, int, bool] | None = None
    # Over the tape: what the last step returned. A `train_step` of one's own may return anything.
    logs: Logs | None = None
    # Of data larger than memory: what tells apart data that come in other windows.
    layout: str | None = None
    # Of such data whose length is not known: the steps of the pass over them before the epoch.
    passed: int = 0

    @property
    def goes_on(self) -> bool:
        """Whether it is that of a `fit` that was under way, and not the number of an epoch alone."""
        return self.data is not None

    def check_data(self, of_fit: Position) -> None:
        """ValueError where an epoch that was interrupted cannot go on with the data of a `fit`."""
        if (self.step or self.passed) and self.data != of_fit.data:
            raise ValueError(
                f"fit: training is to go on in the middle of an epoch of {_told(self.data)}, but there "
                f"are {_told(of_fit.data)}"
            )
        if (self.step or self.passed) and self.layout != of_fit.layout:
            raise ValueError(
                "fit: training is to go on in the middle of an epoch of data that came in other chunks, "
                "or windows"
            )


def _told(data: tuple[int, int, bool] | None) -> str:
    rows, batch_size, shuffled = data or (0, 0, False)
    return f"{rows} rows, batch_size={batch_size}, shuffle={shuffled}"


class Backup(NamedTuple):
    """What a backup of training has for a model: all of it is checked, and nothing put back yet."""

    position: Position | None
    more: dict[str, dict[str, Any]]  # further values, by the names of callbacks
    put: Callable[[], None]  # makes the model go on from there


class Seen(Protocol):
    """The rows that a pass has seen, for metrics that are finished from all of them."""

    @property
    def logits(self) -> NDArray[Any]:
        """(rows, outputs), as the model has them before a softmax or sigmoid at its end."""

    def targets(self) -> NDArray[Any]:
        """Labels (rows,), or targets (rows, outputs)."""

    def given_targets(self) -> NDArray[Any]:
        """The same with the axes that the caller gave."""

    def weights(self) -> NDArray[np.float64] | None:
        """Weights (rows,); None: all 1."""

    def batches(self) -> Iterator[slice | NDArray[np.int64]]:
        """Which of the rows each step saw, in the order of the steps."""


class Columns(Protocol):
    """Names of the sums that native code returns: the loss, then the metrics."""

    @property
    def collects(self) -> bool:
        """Whether metrics are finished from the logits of all rows."""

    @property
    def outputs(self) -> int:
        """The number of outputs."""

    def place(self, key: str, output: int | None = None) -> Place | None:
        """The place of the sum whose mean, or the root of it, is a value; None: it is none."""

    @property
    def has_functions(self) -> bool:
        """Whether any metric is a function or a class of the user's."""

    def try_functions(self, seen: Seen) -> None:
        """Calls functions and classes of the user's on some rows: what is wrong with one shows before training."""

    @property
    def names(self) -> list[str]:
        """ "loss", then the names of the metrics."""

    @property
    def width(self) -> int:
        """The number of native sums."""

    def logs(self, sums: NDArray[np.float64], prefix: str = "", seen: Seen | None = None) -> Logs:
        """Names to values, from `width` sums, and from rows where they are given."""

    def values_of_epochs(self, sums: NDArray[np.float64], prefix: str = "") -> dict[str, list[Any]]:
        """What `logs` of each row of sums (epochs, `width`) holds, without metrics of all rows."""


class Optimizer(Protocol):
    """Hyperparameters of the steps, read at every native call."""

    learning_rate: Any  # a number, or a schedule
    taken: int
    use_ema: Any  # whether averages of the weights are kept

    @property
    def schedule(self) -> Any:
        """The schedule of the learning rate; None: it is a number."""

    def settings(self) -> dict[str, float]:
        """Hyperparameters as a native call takes them."""

    def rates(self, steps: int) -> NDArray[np.float64] | None:
        """The learning rate of each of the next steps; None: all have the one of `settings`."""


class Trainable(Protocol):
    """A compiled model."""

    stop_training: bool
    # Where training is, in a callback of `fit`; None elsewhere.
    position: Position | None

    @property
    def network(self) -> _core.Network:
        """The native network."""

    @property
    def columns(self) -> Columns:
        """Names of loss and metrics."""

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer given to `compile`."""

    @property
    def keeps_averages(self) -> bool:
        """Whether training keeps an average of the weights."""

    # Whether the weights are those that training left: else averages of them begin anew.
    continues: bool

    def more_is_better(self, key: str) -> bool | None:
        """Whether more of a value in the logs is better; None where that is not known."""

    def gives_array(self, key: str) -> bool:
        """Whether the logs hold an array under this name, as far as that is known."""

    def get_weights(self) -> list[NDArray[Any]]:
        """Copies of all weights."""

    def weights_from(self, parameters: NDArray[Any]) -> list[NDArray[Any]]:
        """All weights, of which those of the native network are in one array."""

    def take_averages(self) -> None:
        """Makes the averages that the optimizer keeps the weights."""

    def save(self, filepath: Any, overwrite: bool = True) -> None:
        """Writes the model to a file."""

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Writes the weights to a file."""

    def write_state(self, path: Any, more: Mapping[str, Any]) -> None:
        """Writes the weights and the state of training, with further values, to a file."""

    def read_state(self, path: Any) -> Backup:
        """What a file of `save` or `write_state` has for this model."""

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Writes all weights, or none where one does not fit."""
