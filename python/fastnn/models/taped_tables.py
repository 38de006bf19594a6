"""TapedTables: how the data of a call become batches of a model that trains over the tape.

Types, shapes and values are checked before any step; a step of the model's own checks its y itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import calling
from fastnn.arrays.host import numeric
from fastnn.autodiff.quiet import quiet
from fastnn.autodiff.tensor import Tensor
from fastnn.console import warn
from fastnn.data import rows
from fastnn.data.batches import Batches
from fastnn.data.split import Split, held_out, strata_of
from fastnn.data.structures import Form, form_of, is_mapping, is_several, mapped, parts
from fastnn.data.table import Table
from fastnn.layers.base import Shape
from fastnn.models.arguments import no_loss
from fastnn.models.checked import by_leaf, labelled, renamed, stand_in, width_of
from fastnn.models.compiled import Plan
from fastnn.models.objective import Objective, Target, only_native
from fastnn.models.steps import Steps, own_steps
from fastnn.models.tables import parts_of_validation, weights_of_classes, without
from fastnn.words import within

Array = NDArray[Any]


class Given(NamedTuple):
    """The data of a call, as the user gave them."""

    x: object
    y: object = None
    sample_weight: object = None
    class_weight: object = None


class TapedTables(Steps):
    """A model whose steps take batches of the data of a call."""

    def _inputs(self, doing: str, given: Given) -> tuple[Any, int]:
        """x as a structure of arrays of finite numbers, and the number of their rows."""
        if given.x is None:
            raise ValueError(f"{doing}: expected x, got None")
        found = self._input_parts(given.x)
        arrays = parts(found)
        if not arrays:
            raise ValueError("x: expected arrays of rows, got none")
        names = ["x"] if found is arrays[0] else [f"x[{i}]" for i in range(len(arrays))]
        for name, array in zip(names, arrays, strict=True):
            if len(array) != len(arrays[0]):
                raise ValueError(f"x: inputs of {len(arrays[0])} and {len(array)} rows")
            if array.dtype.kind == "f":
                self._check_finite(name, array)
        return found, len(arrays[0])

    def _input_parts(self, x: Any) -> Any:
        """x as a structure of arrays, with the shapes that the model takes."""
        if is_several(x):
            return mapped(lambda part: rows.rows("x", part, None), x)
        shapes = self.row_shapes()
        own = own_steps(self, "train")  # which may make of x what the model takes
        return rows.rows("x", self._joined(x), None if shapes is None or own else shapes[0])

    def _check_finite(self, name: str, array: Array) -> None:
        model: Any = self
        width = math.prod(array.shape[1:])
        network = stand_in(width, self._float_type(), model._takes_gaps())
        with renamed("x: ", f"{name}: "):
            network.check_input(Table(array).native())

    def _float_type(self) -> Any:
        model: Any = self
        return np.dtype(model.dtype)

    @quiet
    def _settled(
        self, doing: str, plan: Plan, inputs: tuple[Any, int], given: Given, size: int, own: bool
    ) -> Sequence[Shape] | None:
        """Builds the layers by a call on a batch, and finds losses and metrics for its outputs.

        Returns shapes of a row of each output; None where a step is the model's `own`, which may
        make of the data what it likes.
        """
        objective = plan.objective
        if own:
            if objective.form is None and not objective.has_several:
                objective.outline(Form())
            return None
        x, n = inputs
        first = Batches(x, None, None, n, self._float_type()).take(slice(0, min(size, n)))[0]
        batch = mapped(Tensor, first)
        outputs = calling.trial(lambda: self._called(batch, training=False))
        form = form_of(outputs, self._output_names())
        objective.outline(form)
        if form.kind is None:
            model: Any = self
            model._check_output_name(objective, model._state.now, known=True)
        for part in form.leaves(outputs):
            if not isinstance(part, Tensor):
                raise TypeError(
                    f"{type(self).__name__}: `call`: expected Tensors, got {type(part).__name__}, "
                    "which has no gradient; compute outputs by fastnn.math"
                )
            if np.ndim(part) == 0 or len(part) != min(size, n):
                raise ValueError(
                    f"{type(self).__name__}: `call`: expected outputs of {min(size, n)} rows, got "
                    f"shape {np.shape(part)}"
                )
        whole: Any = self
        if not objective.all_losses() and not own_steps(self, "train") and not whole.losses:
            raise no_loss()
        ys = objective.targets_of(given.y)
        # A few rows of y tell labels from targets.
        firsts = [None if y is None else numeric("y", y, missing_is_nan=True)[:size] for y in ys]
        if objective.all_losses():
            y = None if given.y is None else form.like(firsts)
            objective.settle(y, outputs, form.names, anew=True)
            for target, part in zip(objective.targets, form.leaves(outputs), strict=True):
                _warn_of_logits(target, part)
        if given.y is None and "compute_loss" not in own_steps(self, "train"):
            _check_without_targets(doing, objective, form.leaves(outputs))
        return [tuple(np.shape(part)[1:]) for part in form.leaves(outputs)]

    def _batches(
        self, doing: str, plan: Plan, inputs: tuple[Any, int], given: Given, own: bool = False
    ) -> Batches:
        """All data of a call, with as many rows each."""
        x, n = inputs
        y = self._targets(plan, given.y, n)
        weights = self._weights(plan, given.sample_weight, n)
        if y is None and not own and any(not one.is_own for one in plan.objective.all_losses()):
            raise without(doing, "y", given.x)
        return Batches(x, y, weights, n, self._float_type())

    def _targets(self, plan: Plan, y: Any, n: int) -> Any:
        """y as a structure of arrays of n rows."""
        form = plan.objective.form
        settled = form is not None and form.kind is not None

        def array(part: Any) -> Array:
            made = numeric("y", part, missing_is_nan=True)
            if made.ndim == 0 or len(made) != n:
                raise ValueError(f"y: expected {n} rows, as x has, got shape {made.shape}")
            return made

        if y is None:
            return None
        listed = isinstance(y, (list, tuple)) and len(y) != n and bool(y)
        lists = listed and all(np.ndim(part) > 0 and len(part) == n for part in y)
        if settled or is_several(y) or lists:
            return by_leaf(array, y)
        return array(y)

    def _weights(self, plan: Plan, weights: Any, n: int) -> Any:
        if weights is None:
            return None

        def array(part: Any) -> Array:
            return rows.weights("sample_weight", part, n, None)

        form = plan.objective.form
        several = form is not None and form.kind is not None
        arrays = isinstance(weights, (list, tuple)) and all(
            part is None or np.ndim(part) > 0 for part in weights
        )
        named = is_mapping(weights) and (several or form is None)
        if named or (several and arrays):
            return by_leaf(array, weights)
        return array(weights)

    def _parted(
        self, plan: Plan, table: Batches, validation: tuple[float, object], own: bool
    ) -> tuple[Batches, Split | None, Batches | None]:
        """The rows to train on, the split if there is one, and the rows to validate on."""
        share, data = validation
        if data is not None:
            x, y, weights = parts_of_validation(data)
            with within("validation_data"):
                given = Given(x, y, weights)
                inputs = self._inputs("validation_data", given)
                shapes = [[a.shape[1:] for a in parts(b)] for b in (table.x, inputs[0])]
                if shapes[0] != shapes[1]:
                    raise ValueError(
                        f"x: expected rows of shape {shapes[0]}, as those to train on, got {shapes[1]}"
                    )
                if y is None and table.y is not None and not own:
                    raise without("validation_data", "y", x)
                return table, None, self._batches("validation_data", plan, inputs, given, own)
        if share == 0.0:
            return table, None, None
        split = self._splits.find(table.rows, share)
        if split is None:
            split = held_out(table.rows, share, self._strata(plan, table), self._key)
        held = table._replace(chosen=split.validation)
        return table._replace(chosen=split.training), split, held

    def _strata(self, plan: Plan, table: Batches) -> Any:
        loss = only_native(plan.objective)
        if loss is None or not isinstance(table.y, np.ndarray):
            return None
        return strata_of(labelled(table, loss), loss.row.targets)

    def _with_class_weights(
        self, plan: Plan, table: Batches, class_weight: Any, shapes: Sequence[Shape] | None
    ) -> Batches:
        if class_weight is None:
            return table
        objective = plan.objective
        if not isinstance(table.y, np.ndarray):
            raise ValueError(  # noqa: TRY004 - no type of its own is wrong
                "class_weight: rows have no one class with several outputs"
            )
        if isinstance(table.weights, (list, tuple, dict)):
            raise TypeError("class_weight: expected one sample_weight for all outputs")
        loss = objective.targets[0].loss if objective.targets else only_native(objective)
        native = loss is not None and not loss.is_own
        width = math.prod(shapes[0]) if shapes else 0
        rows_by_class = labelled(table, loss if native else None, width)
        width = width or width_of(rows_by_class)
        weighed = weights_of_classes(class_weight, rows_by_class, loss if native else None, width)
        return table._replace(weights=weighed)


def _check_without_targets(doing: str, objective: Objective, outputs: Sequence[Tensor]) -> None:
    """ValueError where a loss of the user's own does not do without y: a few rows tell."""
    for target, part in zip(objective.targets, outputs, strict=True):
        if target.loss is not None and target.loss.is_own:
            try:
                target.loss.weighed(None, part)
            except Exception as error:
                raise without(doing, "y", None) from error


def _warn_of_logits(target: Target, outputs: Tensor) -> None:
    """UserWarning for from_logits=True where outputs come out of a softmax or sigmoid."""
    made, loss = outputs.logits, target.loss
    if loss is None or not loss.from_logits or made is None or made[0] is None:
        return
    where = "the model" if target.name is None else f"output {target.name!r}"
    warn(
        f"loss {loss.name}: from_logits=True, but {where} ends in {made[1]}, so its outputs are no "
        f"logits; training uses the logits before the {made[1]}. Leave out from_logits=True, or the "
        f"{made[1]}.",
        UserWarning,
    )
