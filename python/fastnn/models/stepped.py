"""Stepped: a functional model some of whose calls are no graph of layers, which are made one by one.

It also makes one such call of a model that is called on symbols. What the calls are is in `opaque`.
"""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import calling
from fastnn.autodiff import functions
from fastnn.autodiff.tensor import Tensor
from fastnn.autodiff.tensor import borrowed as as_tensor
from fastnn.calling import Untraceable
from fastnn.changes import Change, forget_former
from fastnn.data.structures import Form
from fastnn.layers.base import Shape
from fastnn.models.compiled import State
from fastnn.models.drawn import input_labels
from fastnn.models.opaque import Steps, built_parts, called_opaquely, convert, give_paths
from fastnn.models.saved import Saved


class Stepped(Saved):
    """A model that may have such calls."""

    _steps: Steps | None = None  # of a functional model that has some

    @abstractmethod
    def _draw_key(self) -> None:
        """Takes the key, and the dtype, from the model around this one."""

    @abstractmethod
    def _give_dtype(self) -> None:
        """Lets layers that are not built yet have the model's dtype."""

    @abstractmethod
    def _joined_one(self, x: Any) -> Any:
        """The rows of the one input, which may be named or listed."""

    def take_steps(
        self, steps: Steps, form: Form, shapes: Sequence[Shape], names: int | list[str] | None
    ) -> None:
        """Makes calls the model of which some are no graph of layers."""
        self._input_names = names
        self._steps = steps
        state = self._state.now._replace(inputs=tuple(shapes), form=form)
        self._settle_steps("Model", steps, state)
        if self._given_dtype is not None:
            convert(steps.parts, self._given_dtype)
        built_parts(steps)
        give_paths(steps.parts, self)

    def _settle_steps(self, doing: str, steps: Steps, state: State) -> None:
        """Names the parts of such a model, whose home it is."""
        self._input_labels = input_labels(steps.entries, self._input_names)
        change = Change(doing)
        with change, change.lock:
            self._changes.take(change, waits=True)
            parts = [*steps.entries, *steps.parts]
            names = self.names_for(parts)
            switches = [
                part.stand(change, name=name, home=weakref.ref(self))
                for part, name in zip(parts, names, strict=True)
                if part.home is None
            ]
            self._state = self._state.to(state, change)
            change.settled = True
            forget_former([*switches, self._state])

    def _drawn_in(self, inputs: Any, training: bool | None) -> Any:
        """The symbol, or the structure of several, of a call on symbols."""
        try:
            return self._called_on_symbols(inputs, drops=training is not False)
        except Untraceable as why:
            if calling.now().tracing:
                raise
            self._draw_key()
            self._give_dtype()
            options = {} if training is None else {"training": training}
            return called_opaquely(self, (inputs,), options, str(why), self.dtype)

    def _output_rows(self, _args: tuple[Any, ...], _options: dict[str, Any]) -> Any:
        """A few rows of the outputs of a call on symbols; None: only a call tells."""
        return None

    def _rows_given(self, inputs: Any) -> Any:
        """The rows of each input as a Tensor; ValueError where they have another shape."""
        names = self._input_names
        parts = [self._joined_one(inputs)] if names is None else self._several_of(inputs)
        found = []
        assert self._steps is not None
        shapes = self._state.now.inputs
        for entry, label, part, shape in zip(
            self._steps.entries, self._input_labels, parts, shapes, strict=True
        ):
            x = rows_of(part)
            x = as_entered(x, entry, self.dtype)
            if x.shape == (len(x),) and shape == (1,):
                x = functions.reshape(x, (-1, 1))
            if x.shape[1:] != shape:
                raise ValueError(
                    f"{self.name}: input {label!r}: expected rows of shape {shape}, got {x.shape[1:]}"
                )
            found.append(x)
        if isinstance(names, list):
            return dict(zip(names, found, strict=True))
        return found[0] if names is None else found


def as_entered(x: Tensor, entry: Any, dtype: str) -> Tensor:
    """Rows of integers in the type of the model, unless the Input asks for integers, as in Keras."""
    asked = None if entry is None else entry.dtype
    whole = x.dtype.kind in "iub" and (asked is None or np.dtype(asked).kind == "f")
    return functions.cast(x, dtype) if whole else x


def rows_of(inputs: Any) -> Tensor:
    try:
        x = as_tensor(inputs)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("value: ", "x: ", 1)) from error.__cause__
    if x.ndim == 0:
        raise ValueError("x: expected rows, got a single number")
    return x
