"""Models of tables as the commands use them: a fitted estimator of fastnn.sklearn and its notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.commands import notes as notes_of_files
from fastnn.commands.kinds import Kind
from fastnn.commands.told import count, several, shown
from fastnn.extras import needed
from fastnn.files import layout
from fastnn.files.layout import ModelFileError

Array = NDArray[Any]
Floats = NDArray[np.float64]

_KIND = "table"  # among the metadata of a file
_KINDS: Mapping[str, Kind] = {
    "number": "number",
    "category": "text",
    "boolean": "boolean",
    "date": "date",
    "empty": "empty",
}


def estimators(command: str) -> Any:
    """The module of the estimators.

    Raises:
        ImportError: scikit-learn is not installed; the message says how to install it.
    """
    needed("sklearn", f"{command}: a model of a table", "sklearn")
    import fastnn.sklearn

    return fastnn.sklearn


def is_table_model(path: str) -> bool:
    """Whether a file has a model of a table. A fault in the file is no error here: reading it raises one."""
    try:
        return layout.metadata_of(path).get("kind") == _KIND
    except (OSError, ModelFileError):
        return False


class TableModel:
    """A model in a file.

    Args:
        path: the file.
        command: that reads it, for errors.

    Attributes:
        estimator: a TabularClassifier or a TabularRegressor.
        notes: of training.
        kinds: of the columns of X, in their order.
        classes: the classes as texts; None: it predicts numbers, or labels that do not exclude each other.
        targets: the names of what it predicts; none: not known.
        width: how many targets there are.

    Raises:
        ModelFileError: the file has no model of a table, or is damaged.
        ImportError: scikit-learn is not installed.
    """

    def __init__(self, path: str, command: str) -> None:
        self.path = path
        metadata = layout.metadata_of(path)
        if metadata.get("kind") != _KIND and "format" in metadata:
            raise ModelFileError(
                f"{path}: a model of rows of numbers, not of a table: `python -m fastnn predict` alone "
                "takes it"
            )
        self.estimator: Any = estimators(command).load_table_estimator(path)
        self.notes = notes_of_files.of(path, metadata)
        sources = self.estimator.encoding_.sources
        self.kinds: dict[str, Kind] = {
            source.name: self.notes.kinds.get(source.name, _KINDS[source.kind])
            for source in sources
        }
        self.levels = {s.name: frozenset(s.levels) for s in sources if s.kind == "category"}
        self.classes = class_names(self.estimator)
        self.width = width_of(self.estimator)
        self.targets = list(self.notes.targets)
        if self.targets and len(self.targets) != self.width:
            raise ModelFileError(
                f"{path}: names of {self.width} targets: got {self.targets!r:.100}"
            )

    @property
    def has_labels(self) -> bool:
        """Whether it predicts labels that do not exclude each other, a target each."""
        return self.classes is None and hasattr(self.estimator, "classes_")

    @property
    def names(self) -> list[str]:
        """The names of targets, also where they are not known."""
        one = [self.targets[0] if self.targets else "prediction"]
        return self.targets or (
            one if self.width == 1 else [f"target_{i}" for i in range(self.width)]
        )

    @property
    def target_kind(self) -> Kind:
        """The kind in which the columns of targets are read."""
        if self.has_labels:
            return "text"  # 0 and 1, or booleans
        return "number" if self.classes is None else kind_of_classes(self.classes)

    @property
    def is_named(self) -> bool:
        """Whether columns had names in training."""
        return hasattr(self.estimator, "feature_names_in_")

    @property
    def quantiles(self) -> list[float]:
        """The quantiles that it predicts; none: it predicts the mean, or classes."""
        return quantiles_of(self.estimator)

    def answers(self, columns: Mapping[str, Array]) -> Floats:
        """Probabilities (n, classes) or (n, labels), or numbers (n,) or (n, targets)."""
        x = self.rows_of(columns)
        if hasattr(self.estimator, "classes_"):
            return np.asarray(self.estimator.predict_proba(x), np.float64)
        return np.asarray(self.estimator.predict(x), np.float64)

    def quantile_answers(self, columns: Mapping[str, Array]) -> Floats:
        """Quantiles (n, quantiles), or (n, targets, quantiles)."""
        return np.asarray(self.estimator.predict_quantiles(self.rows_of(columns)), np.float64)

    def rows_of(self, columns: Mapping[str, Array]) -> Any:
        """The columns as the estimator takes them."""
        x: Any = {name: columns[name] for name in self.kinds}
        if not self.is_named:
            x = np.empty((len(next(iter(x.values()))), len(x)), object)
            for i, name in enumerate(self.kinds):
                x[:, i] = columns[name]
        return x


def class_names(estimator: Any) -> list[str] | None:
    """The classes as texts; None: it is no classifier, or one of labels that do not exclude each other."""
    if not hasattr(estimator, "classes_") or getattr(estimator, "_multilabel", False):
        return None
    return [label_text(label) for label in estimator.classes_.tolist()]


def width_of(estimator: Any) -> int:
    """How many targets an estimator predicts; of classes one."""
    if hasattr(estimator, "classes_"):
        return len(estimator.classes_) if estimator._multilabel else 1
    return len(estimator.y_mean_)


def quantiles_of(estimator: Any) -> list[float]:
    """The quantiles that an estimator predicts, ascending; none: it predicts the mean, or classes."""
    given = getattr(estimator, "quantiles", None)
    return [] if given is None else sorted(map(float, given))


def kind_of_classes(classes: Sequence[str]) -> Kind:
    """The kind of a column in which such classes stand."""
    if set(classes) <= {"True", "False"}:
        return "boolean"
    return "number" if all(map(_is_number, classes)) else "text"


def label_texts(values: Array) -> list[str]:
    """Labels of rows, none of which is a gap, as texts."""
    return [label_text(value) for value in values.tolist()]


def label_text(label: Any) -> str:
    """A label as a text: 1.0 as "1"."""
    if isinstance(label, float) and label.is_integer() and abs(label) < 2**53:
        return str(int(label))
    return str(label)


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def places(model: TableModel, names: Sequence[str], targets: Sequence[str] = ()) -> dict[str, str]:
    """The names that the columns of a model have in a file, by their names in the model.

    A model that was trained without names takes the columns in their order, but for the targets'.

    Raises:
        ValueError: there are more or fewer of them.
    """
    own = list(model.kinds)
    if model.is_named or set(own) <= set(names):
        return {name: name for name in own}
    given = [name for name in names if name not in targets]
    if len(given) != len(own):
        raise ValueError(
            f"the model was trained on {count(len(own), 'column')} without names, and the file has "
            f"{len(given):,} besides its {'target' if len(targets) < 2 else 'targets'}"
        )
    return dict(zip(own, given, strict=True))


class Unseen:
    """Counts values of text columns that a model does not know; for it they are gaps."""

    def __init__(self, model: TableModel) -> None:
        self._model = model
        self._counts: dict[str, int] = {}
        self._examples: dict[str, str] = {}

    def noted(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """The columns, words among booleans as gaps."""
        found = dict(columns)
        for name, values in columns.items():
            if name in self._model.levels:
                levels = self._model.levels[name]
                new = [v for v in values if v is not None and v not in levels]
            elif self._model.kinds.get(name) == "boolean":
                new = [v for v in values if isinstance(v, str)]
                if new:
                    known = [None if isinstance(v, str) else v for v in values]
                    found[name] = np.array(known, object)
            else:
                continue
            if new:
                self._counts[name] = self._counts.get(name, 0) + len(new)
                self._examples.setdefault(name, new[0])
        return found

    def warning(self) -> str | None:
        """What was not known; None: nothing."""
        if not self._counts:
            return None
        told = [
            f"{shown(name)} ({number:,}, such as {shown(self._examples[name])})"
            for name, number in sorted(self._counts.items(), key=lambda item: -item[1])[:8]
        ]
        more = len(self._counts) - len(told)
        rest = f" and {count(more, 'more column')}" if more else ""
        total = sum(self._counts.values())
        return (
            f"{count(total, 'value')} that the model does not know, as they are new or were rare in "
            f"training, {'counts' if total == 1 else 'count'} as missing: in {', '.join(told)}{rest}"
        )


def ignored(names: Sequence[str], used: Sequence[str]) -> str | None:
    """A remark on columns that are not used; None: all are."""
    extra = [name for name in names if name not in set(used)]
    if not extra:
        return None
    return f"columns that the model does not use: {several(extra)}"
