"""Strangers: Variables that a model's `call` uses and that are no weights of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.models.reached import Reached, has_code
from fastnn.variables import Variable


def refuse_strangers(model: Any, variables: Sequence[Variable]) -> None:
    """Raises ValueError if there are any. The message names them, their user and how to keep them."""
    if not variables:
        return
    names = ", ".join(variable.path for variable in variables[:3])
    more = f" and {len(variables) - 3} more" if len(variables) > 3 else ""
    raise ValueError(
        f"{_user(model, variables)}: its `call` uses the trainable Variables {names}{more}, which are no "
        f"weights of the model {model.name!r}: no file and no copy of it would have them. Keep what has "
        "them, a layer or a Variable, as an attribute (self.x = ...) of the model or of a layer of "
        "your own, in place of a Lambda, a closure or a global name; or make it trainable=False"
    )


def _user(model: Any, variables: Sequence[Variable]) -> str:
    """The layer or model whose code names the Variables, as far as that is found."""
    wanted = {id(variable) for variable in variables}
    for part in model._models_within():
        if not has_code(part):
            continue
        for name, value in Reached(part).variables_of:
            found = [value] if isinstance(value, Variable) else getattr(value, "weights", ())
            if not wanted.isdisjoint(map(id, found)):
                kind = "layer" if part._is_layer else "model"
                return f"{kind} {part.name!r} ({name})"
    return f"model {model.name!r}"
