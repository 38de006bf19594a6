"""TqdmBar: the progress of `fit` as a bar of tqdm, which notebooks show, too."""

from __future__ import annotations

import contextlib
from typing import Any

from fastnn.callbacks.base import CALLBACKS
from fastnn.callbacks.progress import ProgbarLogger
from fastnn.callbacks.told import short
from fastnn.extras import needed
from fastnn.protocols import Logs


@CALLBACKS.register("tqdm_bar")
class TqdmBar(ProgbarLogger):
    """A bar of tqdm over all steps of `fit`, with the values of the epoch beside it.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
        >>> model.compile("sgd", "mean_squared_error")
        >>> history = model.fit(np.ones((8, 2)), np.ones(8), epochs=2, verbose="tqdm")

    `fit` adds it where verbose="tqdm". It needs tqdm (the extra `progress`). A bar that cannot be
    drawn is left out; training goes on.

        >>> import fastnn
        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
        >>> model.compile("sgd", "mse")
        >>> bar = fastnn.callbacks.TqdmBar()  # the same as verbose="tqdm"
        >>> history = model.fit([[1.0]], [2.0], verbose=0, callbacks=[bar])
    """

    def __init__(self) -> None:
        super().__init__(live=True)
        self._bar: Any = None
        self._first = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_bar": None}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        del logs
        self._close()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        steps, epochs = self.params.get("steps"), int(self.params.get("epochs", 1))
        with contextlib.suppress(Exception):
            if self._bar is None:
                self._first = epoch
                total = None if steps is None else steps * (epochs - epoch)
                tqdm = needed("tqdm.auto", "verbose='tqdm'", "progress").tqdm
                self._bar = tqdm(total=total, unit="step", dynamic_ncols=True)
            self._bar.set_description_str(f"Epoch {epoch + 1}/{epochs}", refresh=False)

    def _show(self, steps: int, logs: Logs) -> None:
        self._at(self._epoch, steps, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        steps = self.params.get("steps")
        self._at(epoch, self._steps if steps is None else steps, logs or {})

    def _at(self, epoch: int, steps: int, logs: Logs) -> None:
        """Draws the bar after so many steps of an epoch."""
        self._steps = steps
        of_epoch = self.params.get("steps") or 0
        with contextlib.suppress(Exception):
            if self._bar is None:
                return
            self._bar.n = (epoch - self._first) * of_epoch + steps
            told = ", ".join(f"{name}: {short(value)}" for name, value in logs.items())
            self._bar.set_postfix_str(told, refresh=False)
            self._bar.refresh()

    def on_train_end(self, logs: Logs | None = None) -> None:
        del logs
        self._close()

    _steps = 0  # of the epoch, that were made

    def _close(self) -> None:
        with contextlib.suppress(Exception):
            if self._bar is not None:
                self._bar.close()
        self._bar = None
