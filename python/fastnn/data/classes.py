"""Classes of rows: which class each row has, and weights by class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fastnn.data.table import Table
from fastnn.words import integer, number


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


def class_weights(weights: Mapping[int, float], table: Table, count: int) -> NDArray[np.float64]:
    """The weights of the table's rows, multiplied by the weight of each row's class.

    A class without a weight weighs 1, as in Keras; a class outside the `count` classes is an
    error.
    """
    if not isinstance(weights, Mapping):
        raise TypeError(f"class_weight: expected a dictionary of class to weight, got {weights!r}")
    classes = classes_of(table)
    if classes is None:
        raise ValueError("class_weight: the rows have no classes")
    factor = np.ones(len(table.x)) if table.weights is None else table.weights.copy()
    checked = {
        integer("class_weight: class", key, 0): number(f"class_weight[{key}]", value, 0.0)
        for key, value in weights.items()
    }
    # With an array over the classes, one pass over the rows serves any number of classes.
    by_class = np.ones(count)
    for key, value in checked.items():
        if key >= count:
            raise ValueError(f"class_weight: expected classes in [0, {count}), got {key}")
        by_class[key] = value
    # An ignored class, or a label that native code will refuse, has no place in that array.
    inside = (classes >= 0) & (classes < count)
    factor[inside] *= by_class[classes[inside]]
    return factor
