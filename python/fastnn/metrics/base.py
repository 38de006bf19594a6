"""Metric: a name for what native code counts. No metric of its own is here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastnn import elsewhere, initializers
from fastnn.autodiff.tensor import Tensor
from fastnn.metrics.called import counts
from fastnn.registry import Checked, Registered, Registry
from fastnn.variables import Variable
from fastnn.words import snake_case, text

_UNNAMED: Any = object()


class Metric(Registered):
    """A metric to pass to `compile`: exact over the rows of an epoch.

    In `metrics` each row counts once; in `weighted_metrics` rows count by their weight.
    Missing labels and ignored classes never count.

    A metric of one's own derives from this class, and either names the count that native code makes
    (`counts` and `count_options`, see csrc/core/metric.h) and finishes it, or defines `update_state`
    and `result`. Training stays native then: the rows of an epoch go into `update_state` after it, in
    the batches in which they were trained, y_true and y_pred as Tensors, and logs of an epoch have
    the metric, those of a batch do not. `result` may give a number, an array or a dictionary of
    them. `more_is_better` says its direction, for callbacks such as EarlyStopping, and `gives_array`
    that it is no single number.

        >>> import numpy as np
        >>> import fastnn
        >>> class Largest(fastnn.metrics.Metric):
        ...     def __init__(self, name="largest"):
        ...         super().__init__(name=name)
        ...         self.error = self.add_weight(name="error", initializer="zeros")
        ...     def update_state(self, y_true, y_pred, sample_weight=None):
        ...         errors = np.abs(np.asarray(y_true) - np.asarray(y_pred))
        ...         self.error.assign(max(self.error.numpy(), errors.max()))
        ...     def result(self):
        ...         return self.error.numpy()
        >>> metric = Largest()
        >>> metric.update_state([1.0, 2.0], [1.5, 0.0])
        >>> float(metric.result())
        2.0

    Args:
        name: the name in logs; by default, and for None where Python code counts, that of the class
            ("my_metric" of MyMetric).
        dtype: of the Variables that `add_weight` makes; None: "float32".
    """

    # "mean_of" (a loss), "matches", "hits", "sides", "exact": a sum and its weight. "confusion": for each
    # set of thresholds and each output, weights of true positives, false positives, false
    # negatives and true negatives.
    # "moments": for each output, sums of w, w t, w t^2, w y, w y^2, w t y and w (t - y)^2.
    # "sides", "exact", "moments" and means of losses of numbers need a target for each output.
    counts: ClassVar[str]
    # The kinds of targets that it goes with: "labels" (a class of each row), "targets"
    # (probabilities of classes), "sigmoid" (each output for itself) or "values" (regression).
    goes_with: ClassVar[frozenset[str]]
    # What callbacks with mode="auto" ask for; None: not said, and such callbacks want a mode.
    more_is_better: ClassVar[bool | None] = None

    name = Checked(text)
    _sums: NDArray[np.float64] | None = None  # of update_state
    _inside: ClassVar[tuple[str, ...]] = ("count_on", "counted", "native", "ratio")
    _kept_as: ClassVar[Mapping[str, str | None]] = {"dtype": "_dtype"}

    def __init__(self, name: str | None = _UNNAMED, dtype: str | None = None) -> None:
        unnamed = name is _UNNAMED or (name is None and not hasattr(type(self), "counts"))
        self.name = snake_case(type(self).__name__) if unnamed else name
        self._dtype = "float32" if dtype is None else dtype
        self._variables: list[Variable] = []

    def count_options(self) -> dict[str, Any]:
        """What native code takes for the count, by the name of the count.

            >>> fastnn.metrics.TopKCategoricalAccuracy(3).count_options()
            {'value': 3.0}

        hits: "value", the number k. sides, exact, confusion: "value", the threshold of a probability,
        default 0.5. confusion: "thresholds", an array of probabilities (sets, outputs), and "top",
        how many of the largest outputs of a row may be positive; without both the largest output
        of classes is positive, and others above "value". mean_of: "loss", the name of a row of
        csrc/core/loss.h, and "options".
        """
        return {}

    def native(self, weighted: bool, outputs: int) -> dict[str, Any]:
        """The count as the native `compile` of a model with so many outputs takes it."""
        del outputs  # for subclasses
        # Half is the threshold of a count that gives none.
        return {"kind": self.counts, "weighted": weighted, "value": 0.5, **self.count_options()}

    def gives_array(self, outputs: int) -> bool:
        """Whether `finish` gives an array for so many outputs; a callback cannot monitor one.

        >>> fastnn.metrics.F1Score().gives_array(3), fastnn.metrics.F1Score("macro").gives_array(3)
        (True, False)
        """
        del outputs
        return False

    def ratio(self, output: int) -> tuple[int, int] | None:
        """The places of the two native sums whose ratio is the number of an output, where `finish` gives
        an array of such; None: it gives others."""
        del output
        return None

    def finish(self, sums: NDArray[np.float64]) -> float | NDArray[np.float64]:
        """The metric, from the native sums: here a mean; NaN where nothing counted.

        >>> fastnn.metrics.MeanAbsoluteError().finish(np.array([6.0, 2.0]))  # sum(w * l), sum(w)
        3.0
        """
        return float(sums[0] / sums[1]) if sums[1] else math.nan

    # -- a metric of a loop of one's own

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts rows, natively; `result` is the metric of all rows since `reset_state`.

            >>> metric = fastnn.metrics.MeanAbsoluteError()
            >>> metric.update_state([1.0, 2.0], [[1.0], [5.0]])
            >>> metric.update_state([0.0], [[6.0]])
            >>> metric.result().item()  # (0 + 3 + 6) / 3
            3.0

        Args:
            y_true: labels (n,) or targets (n, outputs), as in `fit`.
            y_pred: outputs (n, outputs), or (n,) for one: a Tensor or an array, of probabilities
                where the metric compares probabilities. A Tensor of a layer without an activation
                holds logits, and a metric of probabilities takes it for those.
            sample_weight: weights of rows (n,).

        Raises:
            ValueError: shapes do not fit, a label or weight is out of range, or outputs are not
                finite.
        """
        native = partial(self.native, sample_weight is not None)
        sums = counts(native, self.goes_with, y_true, y_pred, sample_weight)
        if sums is not None:
            if self._sums is not None and self._sums.shape != sums.shape:
                raise ValueError(
                    f"{self.name}: y_pred has another number of columns than what was counted before; "
                    "call reset_state first"
                )
            self._sums = sums if self._sums is None else self._sums + sums

    def result(self) -> Tensor:
        """The metric of what was counted, a Tensor; NaN where nothing was.

        >>> metric = fastnn.metrics.MeanAbsoluteError()
        >>> metric.result().item()
        nan
        >>> metric.update_state([1.0, 2.0], [[1.0], [5.0]])
        >>> metric.result().item()
        1.5
        """
        return Tensor(np.asarray(math.nan if self._sums is None else self.finish(self._sums)))

    def reset_state(self) -> None:
        """Forgets what was counted, and makes the metric's Variables zero.

        >>> metric = fastnn.metrics.MeanAbsoluteError()
        >>> metric.update_state([1.0, 2.0], [[1.0], [5.0]])
        >>> metric.reset_state()
        >>> metric.update_state([0.0], [[6.0]])
        >>> metric.result().item()
        6.0
        """
        self._sums = None
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape))

    def counted(self) -> list[NDArray[Any]]:
        """What was counted since `reset_state`, for files: sums, and the metric's Variables."""
        sums = np.zeros(0) if self._sums is None else np.asarray(self._sums)
        return [sums, *(variable.numpy() for variable in self.variables)]

    def count_on(self, counted: Sequence[NDArray[Any]]) -> None:
        """Goes on from what `counted` gave."""
        self._sums = np.array(counted[0]) if len(counted[0]) else None
        for variable, value in zip(self.variables, counted[1:], strict=True):
            variable.assign(value)

    def add_weight(
        self,
        shape: Sequence[int] | int = (),
        initializer: Any = "zeros",
        dtype: str | None = None,
        name: str = "variable",
    ) -> Variable:
        """A Variable in which a metric of one's own counts; no tape watches it.

            >>> class Rows(fastnn.metrics.Metric):
            ...     def __init__(self):
            ...         super().__init__("rows")
            ...         self.rows = self.add_weight()
            ...     def update_state(self, y_true, y_pred, sample_weight=None):
            ...         self.rows.assign_add(len(y_pred))
            ...     def result(self):
            ...         return self.rows.numpy()
            >>> metric = Rows()
            >>> metric.update_state([1, 2, 3], [1, 2, 3])
            >>> float(metric.result())
            3.0

        Args:
            shape: of the Variable.
            initializer: "zeros", "ones", or an object or a class of `fastnn.initializers`.
            dtype: "float32" or "float64"; None: that of the metric.
            name: of the Variable.
        """
        axes = (shape,) if isinstance(shape, int) else tuple(shape)
        if initializer in (None, "zeros", "ones"):  # an initializer would draw a key
            values = np.full(axes, float(initializer == "ones"))
        else:
            values = initializers.get(initializer)(axes)
        kept = self._dtype if dtype is None else dtype
        variable = Variable(values, trainable=False, name=name, dtype=kept)
        self._variables = [*self.variables, variable]
        return variable

    add_variable = add_weight

    @property
    def variables(self) -> list[Variable]:
        """The Variables that `add_weight` made."""
        return list(vars(self).get("_variables", ()))

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """`update_state`, then `result`."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    if not TYPE_CHECKING:  # or checkers would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            return elsewhere.attribute_of(self, "of a metric", name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


METRICS = Registry("metric", Metric)
