"""The base of both tabular estimators: columns, folds, members, answers. What y means is in the two classes."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from fastnn.data.encoding import Encoding
from fastnn.data.frame import Frame
from fastnn.files.atomic import replacing
from fastnn.files.suffixes import OF_TABLES, refuse_other_formats
from fastnn.sklearn.net import checked_sizes
from fastnn.sklearn.tabular.importances import rises
from fastnn.sklearn.tabular.members import Data, Member, Task, fit_members
from fastnn.sklearn.tabular.names import checked_frame
from fastnn.sklearn.tabular.net import takes_periodic
from fastnn.sklearn.tabular.recipe import KINDS, Plan, Recipe, kind_of, length
from fastnn.sklearn.tabular.stored import write

if TYPE_CHECKING:
    from fastnn.sklearn.tabular.exported import Exported

Array = NDArray[Any]
Floats = NDArray[np.float64]

_FOLDS = 5
_FEWEST = 10  # rows from which on some are held out
_SAMPLE = 2000  # rows of training that importances are measured on


class Sample(NamedTuple):
    """Rows of training: their raw columns, targets and folds."""

    raw: NDArray[np.float32]
    targets: NDArray[np.float32]
    folds: NDArray[np.int64]


class BaseTabular(BaseEstimator):
    """What TabularClassifier and TabularRegressor have in common; not for use by itself."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "members": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [str],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "learning_rate": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "codes": [StrOptions({"mixed", "half", "all", "none"})],
        "bins": [Interval(Integral, 2, None, closed="left")],
        "time_limit": [Interval(Real, 0, None, closed="neither"), None],
        "random_state": ["random_state"],
        "n_jobs": [Interval(Integral, 1, None, closed="left"), Options(Integral, {-1}), None],
        "device": [StrOptions({"auto", "cpu", "cuda"})],
        "matmul_precision": [StrOptions({"highest", "high", "medium"}), None],
        "verbose": ["verbose"],
    }

    oof_: Array | None
    # Fitted attributes besides members and encoding, as files have them.
    _fitted: ClassVar[tuple[str, ...]] = (
        *(
            "n_features_in_",
            "feature_names_in_",
            "folds_",
            "oof_",
            "targets_",
            "weights_",
            "_importances",
        ),
    )

    # -- what the classes say of y

    _default_rate: ClassVar[float]
    _exported: ClassVar[tuple[str, ...]]  # names of outputs of ONNX

    def _learn_targets(self, y: Any, rows: int) -> tuple[Array, Any]:
        """y as targets (n, outputs) of the network, and by what folds are stratified, or None."""
        raise NotImplementedError

    def _task(self, outputs: int) -> Task:
        raise NotImplementedError

    def _width(self) -> int:
        """The number of answers to a row."""
        raise NotImplementedError

    def _weigh(self, y: Any, weights: Floats | None) -> Floats | None:
        """Weights of rows with those of classes."""
        del y
        return weights

    def _answers_of(self, outputs: Array) -> Floats:
        """Outputs of one member as numbers of which members' mean is the answer."""
        raise NotImplementedError

    def _losses_of(self, answers: Floats, targets: Array) -> Floats:
        """What answers of one member for rows are worth, (n,): less is better. For importances."""
        raise NotImplementedError

    # -- fit

    def _fit(self, X: Any, y: Any, sample_weight: ArrayLike | None) -> None:
        begun = time.monotonic()
        frame = checked_frame(self, X, reset=True)
        weights = None
        counts = np.ones(len(frame), bool)
        given = y
        if sample_weight is not None:
            rows = np.empty((len(frame), 1))
            weights = np.array(_check_sample_weight(sample_weight, rows), np.float64)
            if not weights.sum() > 0 or weights.min() < 0:
                raise ValueError("sample_weight: expected weights of at least 0, and one above 0")
            counts = weights > 0
        if weights is not None and not counts.all() and np.shape(np.asarray(y))[:1] == counts.shape:
            frame, y, weights = frame.take(counts), np.asarray(y)[counts], weights[counts]
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        targets, strata = self._learn_targets(y, len(frame))
        weights = self._weigh(y, weights)
        random = check_random_state(self.random_state)
        seed = int(random.randint(2**31 - 1))
        self.encoding_ = Encoding.fitted(frame, int(self.bins))
        raw = self.encoding_.raw(frame)
        members = int(self.members)
        self.folds_ = _folds(len(frame), strata, np.random.default_rng([seed, 0]))
        plans = [self._plan(number, seed) for number in range(members)]
        data = Data(
            raw,
            self.encoding_,
            np.ascontiguousarray(targets, np.float32),
            weights,
        )
        left = None if self.time_limit is None else self.time_limit - (time.monotonic() - begun)
        task = self._task(targets.shape[1])
        found = fit_members(data, task, plans, self._recipe(len(plans[0].train)), left)
        self.members_ = [one.member for one in found]
        self.weights_ = _weights(self.members_)
        self.targets_ = np.array(given)
        self._finish(len(targets), plans, [one.outputs for one in found])
        self._calibrate(data)
        self._importances: Floats | None = None
        chosen = np.sort(np.random.default_rng([seed, 2]).permutation(len(raw))[:_SAMPLE])
        self._sample = Sample(raw[chosen], data.targets[chosen], self.folds_[chosen])
        if len(frame) < len(counts):
            self.folds_ = _among(counts, self.folds_, -1)
            self.oof_ = None if self.oof_ is None else _among(counts, self.oof_, np.nan)

    def _recipe(self, rows: int) -> Recipe:
        """What members share, for so many rows to learn from."""
        batch, epochs = length(rows)
        rate = self._default_rate if self.learning_rate == "auto" else float(self.learning_rate)
        return Recipe(
            hidden=checked_sizes(self.hidden_layer_sizes),
            activation=self.activation,
            dropout=float(self.dropout),
            learning_rate=rate,
            weight_decay=float(self.weight_decay),
            batch_size=batch if self.batch_size == "auto" else int(self.batch_size),
            epochs=epochs if self.max_epochs == "auto" else int(self.max_epochs),
            adapts=self.max_epochs == "auto",
            threads=None if self.n_jobs in (None, -1) else int(self.n_jobs),
            device=self.device,
            matmul_precision=self.matmul_precision,
            verbose=int(self.verbose),
        )

    def _plan(self, number: int, seed: int) -> Plan:
        folds = self.folds_
        held = _held_out(folds, number)
        encoding = self.encoding_
        kind = kind_of(
            number,
            self.codes,
            pieces=encoding.code_width > 0,
            periodic=takes_periodic(encoding),
        )
        return Plan(
            np.flatnonzero(~held),
            np.flatnonzero(held),
            kind,
            int(np.random.default_rng([seed, 1, number]).integers(2**31 - 1)),
        )

    def _finish(self, rows: int, plans: Sequence[Plan], outputs: Sequence[Array]) -> None:
        """Answers for rows by members that did not learn from them, whose outputs for these are given."""
        total: Any = None
        counts = np.zeros(rows)
        for plan, own in zip(plans, outputs, strict=False):
            if len(plan.held):
                found = self._answers_of(own)
                if total is None:
                    total = np.zeros((rows, *found.shape[1:]))
                total[plan.held] += found
                counts[plan.held] += 1
        if total is None:
            self.oof_ = None
            return
        shape = (-1, *[1] * (total.ndim - 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            self.oof_ = np.where(counts.reshape(shape) > 0, total / counts.reshape(shape), np.nan)

    def _calibrate(self, data: Data) -> None:
        """What follows from the answers in `oof_`."""

    # -- what columns are worth

    @property
    def feature_importances_(self) -> Floats:
        """How much worse held-out rows are answered where a column is shuffled, (n_features_in_,): shares
        of 1, 0 for columns without which they would be answered better. It is computed when it is first
        asked for, from at most 2,000 rows of training, by members that did not learn from them; of fewer
        than 10 rows, of which none is held out, from those that they learned from."""
        check_is_fitted(self)
        if self._importances is None:
            self._importances = self._measured_importances()
        return self._importances

    def _measured_importances(self) -> Floats:
        sample = self._sample
        random = np.random.default_rng(0)
        found = np.zeros(self.n_features_in_)
        for number, member in enumerate(self.members_):
            # Of too few rows to hold some out, those of training have to do.
            held = np.flatnonzero(_held_out(sample.folds, number) | (self.oof_ is None))
            if not len(held):
                continue
            found += rises(
                member.model,
                self.encoding_,
                member.codes,
                sample.raw[held],
                functools.partial(self._losses_of_outputs, targets=sample.targets[held]),
                random,
            )
        found = np.maximum(found, 0.0)
        total = found.sum()
        return found / total if total > 0 else found

    def _losses_of_outputs(self, outputs: Array, targets: Array) -> Floats:
        return self._losses_of(self._answers_of(outputs), targets)

    # -- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the estimator to one file of the layout of safetensors: parameters, columns, members.

        `fastnn.sklearn.load_table_estimator` reads it, without pickle. A random_state that is an object is
        not written.

        Args:
            path: the file, for example "prices.safetensors".

        Raises:
            sklearn.exceptions.NotFittedError: `fit` was not called.
            TypeError: labels of classes are neither texts nor numbers.
            ValueError: the suffix is that of another format, such as .onnx.
            OSError: the file cannot be written.
        """
        check_is_fitted(self)
        refuse_other_formats("save", os.fspath(path), OF_TABLES)
        _ = self.feature_importances_
        params = self.get_params(deep=False)
        if not isinstance(params["random_state"], (Integral, type(None))):
            params["random_state"] = None
        names = [name for name in self._fitted if hasattr(self, name)]
        state = {name: getattr(self, name) for name in names}
        state |= {"encoding_": self.encoding_, "members_": self.members_}
        write(path, type(self).__name__, params, state)

    def export_onnx(self, path: str | os.PathLike[str], *, opset: int = 17) -> None:
        """Writes the whole estimator as one file of ONNX: columns, members, and what their answers become.

        Inputs: one for each column of the table, of its name unless an output has that, (batch, 1): texts of
        a category as strings, all else in float64, booleans as 0 and 1, dates as seconds since 1970 (UTC). A
        gap is NaN, and any text that is no level. A table without names, of numbers alone, is one input "x"
        (batch, columns). Outputs in float64: of a classifier "probabilities", as `predict_proba`, and
        "label"; of a regressor "prediction", as `predict`, and with quantiles also "quantiles", as
        `predict_quantiles`.
        Metadata, as JSON: "columns" (name, kind, input) and "classes" or "quantiles".

        Answers are those of the estimator but for roundings: members compute in float32, and by
        `matmul_precision` "medium" `predict` itself rounds operands to bfloat16 on processors that multiply these.
        It needs the package onnx (the extra `onnx`); ONNX Runtime runs the file.

        Args:
            path: the file, for example "prices.onnx". At any moment it is what was there before, or the new one.
            opset: the version of the operations, 17 or later.

        Raises:
            sklearn.exceptions.NotFittedError: `fit` was not called.
            ImportError: onnx is not installed.
            OSError: the file cannot be written.
        """
        from fastnn.sklearn.tabular.exported import Exported

        check_is_fitted(self)
        to = Exported(self.encoding_, self.members_, self._exported, opset)
        about = self._export_answers(to)
        made = to.proto(type(self).__name__, about).SerializeToString()
        with replacing(path) as file:
            file.write(made)

    def _export_answers(self, to: Exported) -> dict[str, Any]:
        """Adds outputs to a file of ONNX; returns what its metadata tell of them."""
        raise NotImplementedError

    # -- answers

    def _frame(self, X: Any) -> Frame:
        return checked_frame(self, X, reset=False)

    def _each(self, X: Any) -> Floats:
        """The answers of each member: (members, n, ...)."""
        return self._each_of(self.encoding_.raw(self._frame(X)))

    def _each_of(self, raw: NDArray[np.float32]) -> Floats:
        """The answers of each member to raw columns."""
        answers = (member.model.predict(raw, verbose=0) for member in self.members_)
        return np.stack([self._answers_of(outputs) for outputs in answers])

    def _mean(self, each: Floats) -> Floats:
        """The answers of all members together."""
        return np.asarray(np.tensordot(self.weights_, each, 1))

    def _spread(self, each: Floats) -> Floats:
        """The standard deviation of the members' answers."""
        return np.asarray(np.sqrt(self._mean((each - self._mean(each)) ** 2)))

    def check_answers(self) -> None:
        """ValueError, TypeError and the like where the parts of a file do not go together."""
        columns = len(self.encoding_.columns)
        found = self._mean(self._each_of(np.full((1, columns), np.nan, np.float32)))
        if found.shape[:2] != (1, self._width()) or not np.isfinite(found).all():
            raise ValueError(f"members answer {found!r:.100} to a row of {columns} gaps")
        sources = len(self.encoding_.sources)
        names = getattr(self, "feature_names_in_", None)
        if self.n_features_in_ != sources or (names is not None and len(names) != sources):
            raise ValueError(f"expected names of {sources} columns")
        if self._importances is None or self._importances.shape != (sources,):
            raise ValueError(f"importances of {sources} columns: got {self._importances!r:.100}")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "members_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.non_deterministic = False
        return tags


def _among(chosen: NDArray[np.bool_], values: Array, other: float) -> Array:
    """Values of chosen rows among all rows, of which the others have another one."""
    found = np.full((len(chosen), *values.shape[1:]), other, values.dtype)
    found[chosen] = values
    return found


def _held_out(folds: NDArray[np.int64], number: int) -> NDArray[np.bool_]:
    """The rows that a member holds out; of few rows, which are all in fold 0, none."""
    return np.asarray(folds == (number % _FOLDS if folds.max() > 0 else -1))


def _folds(rows: int, strata: Any, random: np.random.Generator) -> NDArray[np.int64]:
    """The number of each row's fold; each class is spread over all. Few rows are all in fold 0."""
    if rows < _FEWEST:
        return np.zeros(rows, np.int64)
    if strata is None:
        return random.permutation(rows) % _FOLDS
    folds = np.empty(rows, np.int64)
    for value in np.unique(strata):
        of_class = random.permutation(np.flatnonzero(strata == value))
        folds[of_class] = (np.arange(len(of_class)) + random.integers(_FOLDS)) % _FOLDS
    return folds


def _weights(members: Sequence[Member]) -> Floats:
    """What members count for, (members,), with the sum 1.

    Those of a kind count alike, and a kind by the mean loss on its held-out rows to the power -4. Single
    members' losses differ as folds do.
    """
    found = np.ones(len(members))
    kinds = np.array([member.kind for member in members])
    losses = [
        member.curve["val_loss"][member.epoch] if "val_loss" in member.curve else 1.0
        for member in members
    ]
    for kind in KINDS:
        if (kinds == kind).any():
            mean = float(
                np.mean([loss for loss, own in zip(losses, kinds, strict=True) if own == kind])
            )
            found[kinds == kind] = max(mean, 1e-12) ** -4.0
    return np.asarray(found / found.sum())
