"""SwapEMAWeights: validation, and if asked for epochs' ends, with the averages of the weights."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fastnn.callbacks.base import CALLBACKS, Callback
from fastnn.protocols import Logs
from fastnn.registry import Checked
from fastnn.words import flag, keywords


@CALLBACKS.register("swap_ema_weights")
class SwapEMAWeights(Callback):
    """Validates, evaluates and predicts with the averages of the weights that use_ema=True keeps.

    Before validation the averages become the weights, and after it the weights are put back, so that
    training goes on as without it. `fit` ends with the averages in any case.

        >>> import fastnn
        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
        >>> model.compile(fastnn.optimizers.SGD(0.1, use_ema=True), "mse")
        >>> data = [[0.0, 1.0], [1.0, 0.0]], [1.0, 2.0]
        >>> swap = fastnn.callbacks.SwapEMAWeights()
        >>> history = model.fit(*data, epochs=2, verbose=0, validation_data=data, callbacks=[swap])

    Args:
        swap_on_epoch: whether the averages are the weights at the end of each epoch, until the next
            begins, too: for callbacks after this one that save the model.

    Raises:
        ValueError: when `fit` begins, the optimizer keeps no averages.
    """

    swap_on_epoch = Checked(flag)

    @keywords()
    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._kept: list[NDArray[Any]] | None = None  # the weights, while the averages stand there
        self._continues = False  # whether those were what training left
        self._trains = False

    def saved_state(self) -> dict[str, Any]:
        return {"weights": self._kept, "continues": self._continues}

    def put_state(self, state: dict[str, Any]) -> None:
        # The model then has the averages, which go when the next epoch begins.
        self._kept, self._continues = state["weights"], bool(state["continues"])

    def _swap(self) -> None:
        if self._kept is None:
            self._continues = self.model.continues
            self._kept = self.model.get_weights()
            self.model.take_averages()

    def _put_back(self) -> None:
        if self._kept is not None:
            kept, self._kept = self._kept, None
            self._write(kept, self._continues)

    def _write(self, weights: list[NDArray[Any]], continues: bool) -> None:
        """Puts weights back; averages would begin anew if these were taken for others."""
        self.model.set_weights(weights)
        self.model.continues = continues

    def on_train_begin(self, logs: Logs | None = None) -> None:
        del logs
        self._kept, self._trains = None, True
        if not self.model.optimizer.use_ema:
            raise ValueError(
                "SwapEMAWeights: the optimizer keeps no averages of the weights; give it use_ema=True"
            )

    def on_train_end(self, logs: Logs | None = None) -> None:
        del logs
        self._kept, self._trains = None, False  # the averages are the weights from here on

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        del epoch, logs
        self._put_back()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        del epoch, logs
        if self.swap_on_epoch:
            self._swap()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        del logs
        if self._trains:
            self._swap()

    def on_test_end(self, logs: Logs | None = None) -> None:
        del logs
        if self._trains:
            self._put_back()
