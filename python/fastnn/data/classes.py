"""Classes of rows: which class each row has, and weights by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.arrays.host import numeric
from fastnn.data.rows import times
from fastnn.data.table import Table
from fastnn.words import choose, number, scalar


def classes_of(table: Table) -> NDArray[np.int64] | None:
    """The class of each row, -1 where it has none; None where a row is not of one class.

    A label is a class; the largest of several targets is the class; one target is class 0 or 1.
    """
    if table.labels is not None:
        return table.labels.astype(np.int64)
    y = table.targets
    if y is None:
        return None
    if y.shape[1] == 1:
        column = y[:, 0]
        chosen = np.where(np.isnan(column), -1, column > 0.5)
    else:
        chosen = y.argmax(axis=1)
    classes: NDArray[np.int64] = chosen.astype(np.int64)
    return classes


def class_weights(
    given: object, table: Table, count: int, ignored: int | None = None
) -> NDArray[np.float64]:
    """The weights of the table's rows, multiplied by the weight of each row's class.

    Args:
        given: "balanced", or the weights of classes (see `weights_by_class`).
        table: the rows; those chosen are the ones that "balanced" counts.
        count: the number of classes.
        ignored: a class whose rows "balanced" does not count.

    Raises:
        TypeError, ValueError: the weights cannot be taken; see `weights_by_class`.
    """
    classes = classes_of(table)
    if classes is None:
        raise ValueError("class_weight: the rows have no classes")
    if isinstance(given, str):
        choose("class_weight", given, ("balanced",))
        by_class = balanced(
            classes if table.chosen is None else classes[table.chosen], count, ignored
        )
    else:
        by_class = weights_by_class(given, count)
    factor = np.ones(len(table.x))
    # With an array over the classes, one pass over the rows serves any number of classes. An ignored
    # class, or a label that native code will refuse, has no place in that array.
    inside = (classes >= 0) & (classes < count)
    factor[inside] = by_class[classes[inside]]
    return times(table.weights, factor)


def label_weights(given: object, table: Table) -> NDArray[np.float64]:
    """The weights (n, labels) of labels that do not exclude each other, times those of the table.

    Args:
        given: the weight of each label, as a dictionary or Series of label to weight (1 where it has
            none) or one number for each label; or for each label the weights of no and yes, as a
            list, a dictionary or "balanced": rows / (2 * rows with that answer), as in scikit-learn,
            of the rows of the table that count. "balanced" alone is that of every label.
        table: the rows, with targets (n, labels); a missing one (NaN) is no answer.

    Raises:
        TypeError, ValueError: the weights cannot be taken; see `weights_by_class`.
    """
    y = table.targets
    assert y is not None
    labels = y.shape[1]
    answers = np.where(np.isnan(y), -1, y > 0.5).astype(np.int64)
    each: list[object] | None = None
    if isinstance(given, str):
        choose("class_weight", given, ("balanced",))
        each = [given] * labels
    elif isinstance(given, Sequence) and any(
        isinstance(one, (Mapping, Sequence, np.ndarray)) for one in given
    ):
        each = list(given)
    factor = np.ones(y.shape)
    if each is None:
        return times(table.weights, factor * weights_by_class(given, labels, "label"))
    if len(each) != labels:
        raise ValueError(
            f"class_weight: expected weights of {labels} labels, got those of {len(each)}"
        )
    chosen = answers if table.chosen is None else answers[table.chosen]
    for j, one in enumerate(each):
        if isinstance(one, str):
            choose(f"class_weight[{j}]", one, ("balanced",))
            by_answer = balanced(chosen[:, j], 2, None)
        else:
            by_answer = weights_by_class(one, 2)
        known = answers[:, j] >= 0
        factor[known, j] = by_answer[answers[known, j]]
    return times(table.weights, factor)


def balanced(classes: NDArray[np.int64], count: int, ignored: int | None) -> NDArray[np.float64]:
    """n / (k * rows of the class), as in scikit-learn, of n rows in the k classes that are there."""
    kept = classes[(classes >= 0) & (classes < count)]
    if ignored is not None:
        kept = kept[kept != ignored]
    return balanced_of(np.bincount(kept, minlength=count))


def balanced_of(rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The same, of the number of rows that each class has."""
    there = rows > 0
    by_class = np.ones(len(rows))
    by_class[there] = rows.sum() / (there.sum() * rows[there])
    return by_class


def weights_by_class(given: object, count: int, what: str = "class") -> NDArray[np.float64]:
    """The weight of each of `count` classes; 1 where a dictionary or Series has none, as in Keras.

    Args:
        given: a dictionary or pandas Series of class to weight, or one number for each class in a
            list or array. A class may be an integer, a float without fraction, or a bool, as
            `np.unique(y)` gives them.

    Raises:
        TypeError: none of these, or a class or weight is no number.
        ValueError: a class is outside [0, count) or named twice, a weight is negative or not
            finite, or there are not `count` numbers.
    """
    by_class = np.ones(count)
    pairs = _pairs(given)
    if pairs is None:
        numbers = _numbers(given)
        if numbers.shape != (count,):
            raise ValueError(
                f"class_weight: expected {count} numbers, one for each {what}, got shape "
                f"{numbers.shape}"
            )
        pairs = list(enumerate(numbers.tolist()))
    seen: set[int] = set()
    for key, value in pairs:
        number_of_class = _class(key)
        if not 0 <= number_of_class < count:
            raise ValueError(f"class_weight: expected {_many(what)} in [0, {count}), got {key!r}")
        if number_of_class in seen:
            raise ValueError(f"class_weight: {what} {number_of_class} has two weights")
        seen.add(number_of_class)
        by_class[number_of_class] = number(f"class_weight[{key!r}]", value, 0.0)
    return by_class


def _many(what: str) -> str:
    return "classes" if what == "class" else "labels"


def _pairs(given: Any) -> list[tuple[object, object]] | None:
    """Classes and weights of a dictionary or Series; None for other objects."""
    # pandas is not imported: a Series has an index and, unlike a frame, one axis.
    is_series = hasattr(given, "index") and getattr(given, "ndim", None) == 1
    if isinstance(given, Mapping) or (is_series and hasattr(given, "items")):
        return list(given.items())
    return None


def _numbers(given: Any) -> NDArray[Any]:
    if isinstance(given, (Sequence, np.ndarray)) or hasattr(given, "__array__"):
        return numeric("class_weight", given)
    raise TypeError(
        "class_weight: expected a dictionary or Series of class to weight, a number for each class, "
        f"or 'balanced', got {given!r}"
    )


def _class(key: object) -> int:
    """The class that a key names: an integer, a whole float or a bool, of Python or NumPy."""
    value = scalar(key)
    if isinstance(value, Real) and not isinstance(value, Integral):
        value = float(value)
        if value.is_integer():
            return int(value)
    if not isinstance(value, Integral):
        raise TypeError(f"class_weight: class: expected an integer, got {key!r}")
    return int(value)
