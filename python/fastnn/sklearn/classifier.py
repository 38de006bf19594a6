"""MLPClassifier: classes, two of them, or labels that do not exclude each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from fastnn import losses
from fastnn.losses import Loss
from fastnn.sklearn.base import BaseMLP
from fastnn.sklearn.rows import Targets
from fastnn.sklearn.solvers import Scale

Array = NDArray[Any]
_FLOATS = (np.float64, np.float32)


def _binarizer(y: Any) -> LabelBinarizer:
    """LabelBinarizer().fit(y); without its checks, which take longer than a short training, for labels
    of a kind that has none to fail."""
    made = LabelBinarizer()
    if type(y) is not np.ndarray or y.ndim != 1 or y.dtype.kind not in "biuU":
        return made.fit(y)
    classes = np.unique(y)
    if 2 * len(classes) > len(y):  # which some versions warn of
        return made.fit(y)
    made.y_type_ = "binary" if len(classes) <= 2 else "multiclass"
    made.sparse_input_ = False
    made.classes_ = classes
    return made


class MLPClassifier(ClassifierMixin, BaseMLP):
    """A multi-layer perceptron for classification: `sklearn.neural_network.MLPClassifier`, faster.

        >>> import numpy as np
        >>> from fastnn.sklearn import MLPClassifier
        >>> x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> y = ["no", "yes", "yes", "no"]
        >>> mlp = MLPClassifier((8,), activation="tanh", solver="lbfgs", random_state=1).fit(x, y)
        >>> mlp.predict(x).tolist()
        ['no', 'yes', 'yes', 'no']
        >>> mlp.predict_proba(x).shape, mlp.classes_.tolist()
        ((4, 2), ['no', 'yes'])

    Parameters up to `max_fun`, their defaults, methods and fitted attributes are scikit-learn's, with
    the same meaning; docs/sklearn.md goes through them. X of float32 computes in float32, other types
    in float64. y is labels (n,) of any type, or a matrix (n, labels) of zeros and ones.

    Args:
        hidden_layer_sizes: the number of units of each hidden layer.
        activation: of the hidden layers, "identity", "logistic", "tanh" or "relu".
        solver: "adam", "sgd" or "lbfgs" (all rows at once, by SciPy).
        alpha: the penalty alpha / 2 * sum(W ** 2) of a batch is divided by its rows.
        batch_size: rows of a step; "auto" is min(200, n).
        learning_rate: of sgd, "constant", "invscaling" or "adaptive".
        learning_rate_init: the rate of the first step.
        power_t: the exponent of "invscaling".
        max_iter: epochs, or iterations of lbfgs.
        shuffle: whether each epoch has another order.
        random_state: an integer or a RandomState; first weights and the rows that are held out are
            those of scikit-learn, the order of epochs and dropout are this package's.
        tol, n_iter_no_change: training ends when the loss, or the score of early_stopping, was not
            better by tol for more than so many epochs.
        verbose: whether to print a line for each epoch.
        warm_start: whether `fit` goes on from the weights of the last call.
        momentum, nesterovs_momentum: of sgd.
        early_stopping: whether to hold rows out, and to end by the accuracy on them, with the best
            weights.
        validation_fraction: the share of rows to hold out.
        beta_1, beta_2, epsilon: of adam.
        max_fun: evaluations of lbfgs.
        loss: "log_loss", or a loss of `fastnn.losses` that gives probabilities: an object or a name,
            for example "categorical_focal_crossentropy".
        class_weight: None, "balanced" or weights by class, as in other classifiers of scikit-learn.
        dropout: the share of each hidden layer's outputs left out in a step.
        layer_norm: whether hidden layers normalize rows before their activation.
        scale: whether to standardize the columns of X inside.
        optimizer: of `fastnn.optimizers`, a name or an object, in place of the solver's.
        schedule: of the learning rate, see `fastnn.optimizers.schedules`.
        validation_data: (X, y) or (X, y, sample_weight) to validate on, in place of rows held out.
        monitor: a name in the logs, such as "val_loss", that tol and n_iter_no_change look at.
        device: "auto", "cpu" or "cuda"; see `Model.compile`, and for matmul_precision, too.
        callbacks: of `fastnn.callbacks`.
        progress: False; True shows a live line, "tqdm" a bar.

    Attributes:
        classes_, coefs_, intercepts_, loss_, best_loss_, loss_curve_, validation_scores_,
        best_validation_score_, n_iter_, t_, n_layers_, n_outputs_, out_activation_,
        n_features_in_, feature_names_in_: as in scikit-learn. Arrays of coefs_ and intercepts_ are
            read-only; the lists, or arrays in them, may be replaced.
        model_: the `fastnn.Sequential`.
        history_: the logs of the last call's epochs, by name.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMLP._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }

    if TYPE_CHECKING:  # scikit-learn's carries no types

        def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float: ...

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        loss: Any = "log_loss",
        class_weight: Any = None,
        dropout: float = 0.0,
        layer_norm: bool = False,
        scale: bool = False,
        optimizer: Any = None,
        schedule: Any = None,
        validation_data: Any = None,
        monitor: str | None = None,
        device: str = "auto",
        matmul_precision: str | None = None,
        callbacks: Any = None,
        progress: Any = False,
    ) -> None:
        given = dict(locals())
        del given["self"]
        self.__dict__.update(given)

    # -- y

    def _validated(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Targets]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=_FLOATS,
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = _binarizer(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_classes(unique_labels(y))
        return X, self._targets(y)

    def _check_classes(self, found: Array) -> None:
        """ValueError for classes of y that are not those of earlier calls."""
        if self.warm_start:
            if set(found) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous "
                    f"call to fit. Previously got {self.classes_}, `y` has {found}"
                )
        elif len(np.setdiff1d(found, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has "
                f"{found}."
            )

    @property
    def _kind(self) -> str:
        """ "multiclass", "binary" or "multilabel-indicator"."""
        kind: str = self._label_binarizer.y_type_
        return kind if kind != "binary" or len(self.classes_) <= 2 else "multiclass"

    def _targets(self, y: Any) -> Targets:
        if self._kind == "multiclass":
            return Targets(np.searchsorted(self.classes_, y).astype(np.int32))
        # Two numbers other than 0 and 1 may stand for them: zeros, and what is larger.
        values = np.asarray(self._label_binarizer.transform(y), np.float32)
        return Targets(None, np.minimum(values, 1.0, out=values))

    def _validation_targets(self, y: Any) -> Targets:
        y = np.asarray(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.ndim == 1:
            unknown = np.setdiff1d(y, self.classes_)
            if len(unknown):
                raise ValueError(f"validation_data: y has classes that y of fit has not: {unknown}")
        return self._targets(y)

    def _weigh(self, y: Any, weights: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        if self.class_weight is None:
            return weights
        of_classes: NDArray[np.float64] = compute_sample_weight(self.class_weight, y)
        return of_classes if weights is None else weights * of_classes

    # -- the loss

    def _loss_of(self) -> tuple[Loss, str]:
        several = self._kind == "multiclass"
        activation = "softmax" if several else "logistic"
        if isinstance(self.loss, str) and self.loss == "log_loss":
            if several:
                return losses.SparseCategoricalCrossentropy(), activation
            return losses.BinaryCrossentropy(), activation
        loss = losses.get(self.loss)
        wanted = "softmax" if several else "sigmoid"
        if loss.is_own or loss.folds != wanted or (several and not loss.takes_labels):
            raise ValueError(
                f"loss: expected 'log_loss' or a loss of classes that ends in {wanted}"
                f"{' and takes labels' if several else ''}, got {self.loss!r}"
            )
        return loss, activation

    def _scale_of(self, targets: Targets) -> Scale:
        # Labels that do not exclude each other: the loss here is their mean, there their sum.
        labels = targets.width if targets.labels is None else 1
        return Scale(float(labels), 1.0 / labels)

    # -- what programs call

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> MLPClassifier:
        """Trains on X (n, features), dense or sparse, and y.

            >>> import numpy as np
            >>> from fastnn.sklearn import MLPClassifier
            >>> mlp = MLPClassifier((4,), solver="lbfgs", random_state=0)
            >>> mlp.fit(np.eye(3), ["a", "b", "c"]).predict(np.eye(3)).tolist()
            ['a', 'b', 'c']

        Args:
            X: numbers; NaN and infinity are refused.
            y: labels (n,), or zeros and ones (n, labels).
            sample_weight: (n,), at least 0. The gradient of a batch is divided by its weight, as in
                scikit-learn; with class_weight by its rows times the mean weight of all rows, so
                that weights do not fade out in small batches.

        Returns:
            The estimator.

        Raises:
            ValueError: a parameter, X or y cannot be taken, or training diverged.

        Warns:
            sklearn.exceptions.ConvergenceWarning: max_iter ended training.
        """
        self._fit(X, y, sample_weight, incremental=False)
        return self

    @available_if(lambda self: self._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> MLPClassifier:
        """Trains for one epoch on these rows, from where the last call ended.

        Args:
            X, y, sample_weight: see `fit`.
            classes: all classes that there will be; the first call needs them.
        """
        if _check_partial_fit_first_call(self, classes):
            is_multilabel = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if is_multilabel else classes)
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, (n, classes), or of each label, (n, labels)."""
        found = self._outputs(X)
        if self.n_outputs_ > 1:
            return found
        both = np.empty((len(found), 2), found.dtype)
        both[:, 1] = found[:, 0]
        np.subtract(1, found[:, 0], out=both[:, 0])
        return both

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithms of `predict_proba`."""
        found = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return np.log(found, out=found)

    def predict(self, X: Any) -> Any:
        """The most probable class of each row, (n,), or a matrix of zeros and ones (n, labels)."""
        check_is_fitted(self)
        found = self._outputs(X)
        if self._kind == "multiclass":
            return self.classes_[found.argmax(axis=1)]
        return self._label_binarizer.inverse_transform(
            found[:, 0] if self.n_outputs_ == 1 else found
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
