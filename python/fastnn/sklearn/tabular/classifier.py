"""TabularClassifier: classes, or labels that do not exclude each other, from tables."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_y, check_is_fitted

from fastnn import losses
from fastnn.sklearn.tabular.base import BaseTabular
from fastnn.sklearn.tabular.members import Data, Task
from fastnn.sklearn.tabular.temperature import temperature, tempered
from fastnn.sklearn.words_of_y import refuse_name

if TYPE_CHECKING:
    from fastnn.sklearn.tabular.exported import Exported

Array = NDArray[Any]
Floats = NDArray[np.float64]

_SHARE = 1.0  # of accuracy in the choice of epochs
_FEWEST = 50  # held-out rows that tell a temperature
_SURER = 0.12  # the share of the temperature that many members take away


class TabularClassifier(ClassifierMixin, BaseTabular):
    """Classes, or labels that do not exclude each other, from a table as it is.

        >>> import numpy as np
        >>> from fastnn.sklearn import TabularClassifier
        >>> table = {"size": [1.0, 2.0, None, 4.0] * 10, "colour": ["red", "blue", "red", None] * 10}
        >>> y = ["a", "b", "a", "b"] * 10
        >>> net = TabularClassifier(members=2, max_epochs=20, random_state=0).fit(table, y)
        >>> net.predict({"size": [None, 4.0], "colour": ["red", "blue"]}).tolist()
        ['a', 'b']

    X is a pandas, polars or Arrow table, a dict of columns, or an array (n, columns): numbers with gaps,
    categories, strings, booleans and dates (docs/tables.md). y is labels (n,) of any type, or a matrix
    (n, labels) of zeros and ones. Several networks learn, each with another fifth of the rows held out,
    by which it chooses its epoch; the answer is the mean of their probabilities.

    Args:
        members: the number of networks.
        hidden_layer_sizes: the number of units of each hidden layer, of every member.
        activation: of the hidden layers, see `fastnn.activations`.
        dropout: the share of each hidden layer's outputs left out in a step.
        learning_rate: the highest rate; "auto": 0.006.
        weight_decay: of kernels, decoupled; see `fastnn.optimizers.AdamW`.
        batch_size: rows of a step; "auto": 32 to 256, by the number of rows.
        max_epochs: epochs of a member; "auto": 8 to 60 of the first one, fewer of more rows; the
            others have fewer or more as its curve says, see docs/tables.md.
        codes: which members have codes of numbers beside them. "mixed": by turns none, piecewise linear ones and
            trained periodic ones; "half", "all", "none": piecewise linear ones, of so many members.
        bins: the number of piecewise linear codes of a column.
        label_smoothing: s in [0, 1): the targets become (1 - s) * y + s / classes.
        class_weight: None, "balanced" or weights by class, as in other classifiers of scikit-learn.
        calibrate: whether probabilities are tempered so that held-out rows are most likely.
        time_limit: seconds, after which no member is begun; the first one is cut. None: no limit.
        random_state: an integer or a RandomState.
        n_jobs: how many members train at the same time, each on a thread; None, -1: as many as fastnn has
            threads. The answers do not depend on it.
        device, matmul_precision: see `Model.compile`.
        verbose: 1 prints a line for each member.

    Attributes:
        classes_: the labels, in their order.
        temperature_: p becomes p ** (1 / temperature_), scaled to the sum 1, of a label together with 1 - p.
            It is the temperature at which held-out rows are most likely, or less for several members, whose
            mean is less sure than each of them; 1 without calibrate, and for fewer than 50 such rows.
        members_, weights_: the trained networks, and what each counts for; see docs/tables.md.
        encoding_: how columns became inputs.
        targets_: y of training.
        feature_importances_: see there.
        folds_: the number of the fold of each row of training; member m held fold m % 5 out. -1: a row of
            weight 0, which has no answer in oof_.
        oof_: of each row of training, the mean answer of the members that did not learn from it, tempered
            to be most likely, shaped as `predict_proba` gives; NaN where there is none. None: too few rows to hold some out.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseTabular._parameter_constraints,
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "calibrate": ["boolean"],
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }
    _default_rate = 0.006
    _exported = ("probabilities", "label")
    _fitted = (*BaseTabular._fitted, "classes_", "temperature_", "_multilabel")

    if TYPE_CHECKING:  # scikit-learn's carries no types

        def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float: ...

    def __init__(
        self,
        members: int = 6,
        *,
        hidden_layer_sizes: Any = (128, 128, 128),
        activation: str = "silu",
        dropout: float = 0.0,
        learning_rate: Any = "auto",
        weight_decay: float = 0.0,
        batch_size: Any = "auto",
        max_epochs: Any = "auto",
        codes: str = "mixed",
        bins: int = 16,
        label_smoothing: float = 0.1,
        class_weight: Any = None,
        calibrate: bool = True,
        time_limit: float | None = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        device: str = "auto",
        matmul_precision: str | None = "medium",
        verbose: Any = 0,
    ) -> None:
        given = dict(locals())
        del given["self"]
        self.__dict__.update(given)

    # -- y

    def _learn_targets(self, y: Any, rows: int) -> tuple[Array, Any]:
        refuse_name(y)
        _check_labels(y)
        y = _check_y(y, multi_output=True, estimator=self)
        if len(y) != rows:
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: [{rows}, {len(y)}]"
            )
        check_classification_targets(y)
        self._multilabel = type_of_target(y) == "multilabel-indicator"
        if self._multilabel:
            self.classes_ = np.arange(y.shape[1])
            return np.asarray(y, np.float32), None
        y = column_or_1d(y, warn=True)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has one class, {self.classes_.tolist()[0]!r}; expected at least two classes"
            )
        return np.eye(len(self.classes_), dtype=np.float32)[codes], codes

    def _weigh(self, y: Any, weights: Floats | None) -> Floats | None:
        if self.class_weight is None:
            return weights
        of_classes: Floats = compute_sample_weight(self.class_weight, y)
        return of_classes if weights is None else weights * of_classes

    def _task(self, outputs: int) -> Task:
        if self._multilabel:
            return Task(outputs, losses.BinaryCrossentropy())
        loss = losses.CategoricalCrossentropy(label_smoothing=float(self.label_smoothing))
        return Task(outputs, loss, _SHARE)

    def _width(self) -> int:
        return len(self.classes_) if self.temperature_ > 0 else 0

    def _answers_of(self, outputs: Array) -> Floats:
        z = np.asarray(outputs, np.float64)
        if self._multilabel:
            return 1.0 / (1.0 + np.exp(-z))
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))

    def _losses_of(self, answers: Floats, targets: Array) -> Floats:
        p = np.clip(answers, 1e-7, 1.0)
        losses_of = -(targets * np.log(p))
        if self._multilabel:
            losses_of -= (1.0 - targets) * np.log(np.clip(1.0 - answers, 1e-7, 1.0))
        return np.asarray(losses_of.sum(axis=1))

    def _calibrate(self, data: Data) -> None:
        self.temperature_ = 1.0
        if self.calibrate and self.oof_ is not None:
            known = np.isfinite(self.oof_[:, 0])
            if known.sum() < _FEWEST:
                return
            weights = None if data.weights is None else data.weights[known]
            found = temperature(
                self.oof_[known], data.targets[known], weights, labels=self._multilabel
            )
            self.oof_ = tempered(self.oof_, found, labels=self._multilabel)
            # The mean of several members is less sure than the one or two that held a row out.
            self.temperature_ = found * (1.0 - _SURER * (1.0 - 1.0 / len(self.members_)))

    def _export_answers(self, to: Exported) -> dict[str, Any]:
        if self._multilabel:
            answers = [to.add("Sigmoid", outputs) for outputs in to.answers]
        else:
            answers = [to.add("Softmax", outputs, axis=1) for outputs in to.answers]
        mean = to.mean(answers, self.weights_.tolist())
        p = to.tempered(mean, self.temperature_, labels=self._multilabel)
        count = len(self.classes_)
        to.output("probabilities", p, [count])
        if self._multilabel:
            label = to.add("Greater", p, to.constant(0.5))
            to.output(
                "label", to.add("Cast", label, to=to.onnx.TensorProto.INT64), [count], "INT64"
            )
            return {"classes": list(range(count))}
        place = to.add("ArgMax", p, axis=1, keepdims=0)
        labels = self.classes_.tolist()
        if self.classes_.dtype.kind in "iub":
            values, kind = np.array([int(label) for label in labels], np.int64), "INT64"
        elif self.classes_.dtype.kind == "f":
            values, kind = np.array(labels, np.float64), "DOUBLE"
        else:
            # Dates as NumPy writes them; what UTF-8 has not, as a question mark.
            texts = [str(label).encode(errors="replace").decode() for label in self.classes_]
            values, kind = np.array(texts, object), "STRING"
        to.output("label", to.add("Gather", to.constant(values), place, axis=0), [], kind)
        return {"classes": values.tolist()}

    # -- what programs call

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> TabularClassifier:
        """Trains on a table X (n rows) and y; `TabularClassifier` has an example.

        Args:
            X: a table, see `TabularClassifier`.
            y: labels (n,), or zeros and ones (n, labels).
            sample_weight: (n,), at least 0; rows of weight 0 are as if they were not there.

        Returns:
            The estimator.

        Raises:
            ValueError, TypeError: a parameter, X or y cannot be taken.
        """
        self._fit(X, y, sample_weight)
        return self

    def predict_proba(self, X: Any, *, return_std: bool = False) -> Any:
        """The probability of each class, (n, classes), or of each label, (n, labels).

        Args:
            X: a table with the columns of `fit`.
            return_std: whether to return, too, the standard deviation of the members' probabilities, of
                the same shape: what they do not agree on.
        """
        check_is_fitted(self)
        each = self._each(X)
        found = tempered(self._mean(each), self.temperature_, labels=self._multilabel)
        return (found, self._spread(each)) if return_std else found

    def predict(self, X: Any) -> Array:
        """The most probable class of each row, (n,), or a matrix of zeros and ones (n, labels)."""
        check_is_fitted(self)
        found: Floats = self.predict_proba(X)
        if self._multilabel:
            return (found > 0.5).astype(np.int64)
        return np.asarray(self.classes_[found.argmax(axis=1)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _check_labels(y: Any) -> None:
    """ValueError for labels among which are gaps, or that have no order because their types differ."""
    array = np.asarray(y)
    if array.dtype != object or array.ndim != 1:
        return
    for row, label in enumerate(array):
        if label is None or (isinstance(label, float) and np.isnan(label)):
            raise ValueError(f"Input y contains NaN: expected a label, got {label!r} at row {row}")
    texts = [isinstance(label, str) for label in array]
    if any(texts) and not all(texts):
        text, other = texts.index(True), texts.index(False)
        raise ValueError(
            f"y: expected labels of one type, got {array[text]!r} at row {text} and {array[other]!r} at "
            f"row {other}"
        )
