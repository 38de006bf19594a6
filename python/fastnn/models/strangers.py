"""Strangers: Variables that a model's `call` uses and that are no weights of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.variables import Variable


def refuse_strangers(model: Any, variables: Sequence[Variable]) -> None:
    """ValueError, where there are any, which names them and how to keep them."""
    if not variables:
        return
    names = ", ".join(variable.path for variable in variables[:3])
    more = f" and {len(variables) - 3} more" if len(variables) > 3 else ""
    raise ValueError(
        f"model {model.name!r}: its `call` uses the trainable Variables {names}{more}, which are no "
        "weights of the model: no file and no copy of it would have them. Keep what has them, a layer "
        "or a Variable, as an attribute (self.x = ...) of the model or of a layer of your own, in "
        "place of a Lambda, a closure or a global name; or make it trainable=False"
    )
