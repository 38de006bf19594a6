"""Which steps an epoch of `fit` makes: all of a pass over the rows, or the next `steps_per_epoch` of them.

With steps_per_epoch epochs go on through the rows where the one before ended. A pass ends with its
last step, also where the epoch would have more; the next epoch begins another pass.
"""

from __future__ import annotations

from typing import NamedTuple

from fastnn.console import warn


class Stretch(NamedTuple):
    """Steps `start` to `stop` of a pass of so many."""

    start: int
    stop: int
    whole: int

    @property
    def steps(self) -> int:
        return self.stop - self.start

    @property
    def is_whole(self) -> bool:
        return self.steps == self.whole

    @property
    def ends_pass(self) -> bool:
        return self.stop == self.whole


def stretch_of(epoch: int, whole: int, steps: int | None) -> Stretch:
    """Those of an epoch, counted from 0 at the first that began a pass.

    Args:
        epoch: its number.
        whole: steps of a pass.
        steps: of an epoch; None: all of the pass.
    """
    if steps is None or steps >= whole:
        return Stretch(0, whole, whole)
    start = epoch % -(-whole // steps) * steps
    return Stretch(start, min(start + steps, whole), whole)


def is_short(epoch: int, whole: int, steps: int | None) -> bool:
    """Whether the rows end before the epoch has made its steps."""
    return steps is not None and stretch_of(epoch, whole, steps).steps < steps


def warn_of_short(epoch: int, part: Stretch, steps: int | None) -> None:
    """Warns that the rows end before an epoch has made its steps."""
    warn(
        f"fit: epoch {epoch + 1} has {part.steps} steps, where steps_per_epoch={steps}: the rows make "
        f"{part.whole} batches, after which a pass over them ends; give another batch_size",
        UserWarning,
    )
