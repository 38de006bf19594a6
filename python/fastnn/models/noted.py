"""Notes of errors in code of a program's own: which layer's `build` or `call` it was.

A note stands below the message in the traceback, one for each layer and model around the error. The
message itself stays as it was raised.
"""

from __future__ import annotations

from typing import Any

from fastnn.models.own_inputs import has_shape, shapes_in


def note_call(error: BaseException, part: Any, given: tuple[Any, ...]) -> None:
    """Notes the layer or model whose `call` raised, and the shapes of what it was called with."""
    shapes = [str(shapes_in(one)) for one in given if has_shape(one)]
    told = f", called with inputs of shape {', '.join(shapes)}" if shapes else ""
    error.add_note(f"In `call` of {_named(part)}{told}")


def note_build(error: BaseException, part: Any, shapes: tuple[Any, ...]) -> None:
    """Notes the layer whose `build` raised, and the shapes that it was built for."""
    told = f" for input_shape {', '.join(map(str, shapes))}" if shapes else ""
    error.add_note(f"In `build` of {_named(part)}{told}")


def _named(part: Any) -> str:
    kind = "layer" if getattr(part, "_is_layer", True) else "model"
    return f"{kind} {part.name!r} ({type(part).__name__})"
