"""Names of Keras and PyTorch that are not here, and the nearest to each in meaning.

A message about such a name says "X is not in fastnn" and the advice of `elsewhere_tables`, before a
name that is only spelt alike is suggested. Names that fastnn has are never looked up here.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any, NoReturn


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


@functools.cache
def _family(family: str) -> dict[str, str]:
    """Advice by name, in small letters without underscores."""
    from fastnn.elsewhere_tables import NAMES

    return {
        _plain(name): f"use {advice!r}" if " " not in advice else advice
        for advice, names in NAMES.get(family, {}).items()
        for name in names.split()
    }


def advice(family: str, name: str) -> str | None:
    """What to do instead of `name`, of a family of classes or functions; None: not known."""
    return _family(family).get(_plain(name))


def keyword_advice(keyword: str, known: Iterable[str]) -> str | None:
    """What to do instead of a keyword, for a function that has those of `known`."""
    from fastnn.elsewhere_tables import BESIDE, KEYWORDS

    accepted = set(known)
    if BESIDE.get(keyword, keyword) not in accepted | {keyword}:
        return None
    for text, keywords in KEYWORDS.items():
        if keyword in keywords.split():
            if " " in text:
                return text
            if text in accepted:
                return f"use {text!r}"
    return None


def asks_for_nothing(keyword: str, value: object) -> bool:
    """Whether a keyword that is not here has a value that changes nothing, such as its default."""
    from fastnn.elsewhere_tables import NONE, NOTHING

    if value is None and keyword in NONE.split():
        return True
    # `is` or equality of one type: 1 and True, or arrays, must not be mistaken.
    nothing = NOTHING.get(keyword, ())
    return any(
        value is other or (type(value) is type(other) and value == other) for other in nothing
    )


def attributes(
    module: str, family: str, known: Callable[[], Mapping[str, Any]] = dict
) -> Callable[[str], NoReturn]:
    """A `__getattr__` for a module: names of Keras that it lacks are told with advice.

    `known`: words of the family, and for each the class or the advice that it means.
    """

    def refuse(name: str) -> NoReturn:
        told = "" if name.startswith("__") else _told(family, name, known)
        if told and _is_import(sys._getframe(1)):
            # `from ... import` would replace an AttributeError by a message of its own.
            raise ImportError(f"cannot import name {name!r} from {module!r}{told}", name=module)
        raise AttributeError(
            f"module {module!r} has no attribute {name!r}{told}",
            name=name,
            obj=sys.modules.get(module),
        )

    return refuse


def names_inside() -> dict[str, str]:
    """Where the names of the modules stand that a program looks for in the package itself."""
    package = sys.modules["fastnn"]
    homes = (
        *("layers", "losses", "optimizers", "metrics", "callbacks", "initializers", "regularizers"),
        *("constraints", "activations", "datasets", "utils", "data", "ops"),
    )
    found = {
        name: f"use fastnn.{home}.{name}"
        for home in reversed(homes)
        for name in getattr(package, home).__all__
    }
    for name in ("MLPClassifier", "MLPRegressor", "TabularClassifier", "TabularRegressor"):
        found[name] = f"use fastnn.sklearn.{name}, after import fastnn.sklearn"
    found["sklearn"] = "import fastnn.sklearn, which needs scikit-learn"
    return found


def attribute_of(owner: object, family: str, name: str) -> Any:
    """For the `__getattr__` of a class: the AttributeError for `name`, with advice where it is known.

    A property that raises AttributeError is asked again, since Python has dropped its message.
    """
    if hasattr(type(owner), name):
        return object.__getattribute__(owner, name)
    text = None if name.startswith("_") else advice(family, name)
    told = "" if text is None else f": it is not in fastnn; {text}"
    raise AttributeError(
        f"{type(owner).__name__!r} object has no attribute {name!r}{told}", name=name, obj=owner
    )


def refuse_reserved(owner: object, name: str, error: AttributeError) -> None:
    """AttributeError with advice, where `name` is a property of the package that cannot be set."""
    base = next((base for base in type(owner).__mro__ if name in vars(base)), None)
    if base is None or not isinstance(vars(base)[name], property):
        return
    if base.__module__.partition(".")[0] == "fastnn":
        raise AttributeError(
            f"{type(owner).__name__}: {name!r} is a property that fastnn has for all layers and models, "
            f"and cannot be set; choose another name, such as self.own_{name}",
            name=name,
            obj=owner,
        ) from error


def _told(family: str, name: str, known: Callable[[], Mapping[str, Any]]) -> str:
    text = advice(family, name)
    if text is None and name in ("serialize", "deserialize"):
        text = "use get_config() and from_config()"
    if text is not None:
        return f": it is not in fastnn; {text}"
    meant = known().get(name)
    if meant is None:
        return ""
    return f": {meant}" if isinstance(meant, str) else f": use {meant.__name__}"


def _is_import(frame: FrameType) -> bool:
    """Whether the frame is at `from ... import`, which hides an AttributeError."""
    import opcode

    code = frame.f_code.co_code
    place = frame.f_lasti
    return 0 <= place < len(code) and code[place] == opcode.opmap.get("IMPORT_FROM")
