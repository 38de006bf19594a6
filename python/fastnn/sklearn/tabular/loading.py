"""Loading: an estimator from the file that `save` wrote."""

from __future__ import annotations

import os
from typing import Any

from fastnn.files.layout import ModelFileError
from fastnn.sklearn.tabular.classifier import TabularClassifier
from fastnn.sklearn.tabular.regressor import TabularRegressor
from fastnn.sklearn.tabular.stored import read

_CLASSES = {kind.__name__: kind for kind in (TabularClassifier, TabularRegressor)}


def load_table_estimator(path: str | os.PathLike[str]) -> Any:
    """The TabularClassifier or TabularRegressor that `save` wrote to a file.

        >>> from fastnn.sklearn import TabularRegressor, load_table_estimator
        >>> x = np.linspace(0, 1, 50)[:, None]
        >>> net = TabularRegressor(members=1, max_epochs=5, random_state=0).fit(x, x[:, 0])
        >>> net.save("line.safetensors")
        >>> again = load_table_estimator("line.safetensors")
        >>> bool((again.predict(x) == net.predict(x)).all())
        True

    Args:
        path: the file.

    Raises:
        fastnn.ModelFileError: the file is damaged, or has no estimator of tables; the message names the
            fault.
        OSError: it cannot be opened or read.
    """
    name, params, state = read(path)
    kind = _CLASSES.get(name)
    where = os.fspath(path)
    if kind is None:
        raise ModelFileError(f"{where}: the class {name!r:.60} is not known")
    names = {*kind._fitted, "encoding_", "members_"}
    missing = [name for name in sorted(names - {"feature_names_in_"}) if name not in state]
    if missing:
        raise ModelFileError(f"{where}: estimator: {missing[0]} is missing")
    try:
        made: Any = kind(**params)
        made.__dict__.update({name: value for name, value in state.items() if name in names})
        made.check_answers()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as why:
        raise ModelFileError(f"{where}: estimator: {why!s:.300}") from why
    return made
