"""Words and numbers from users: names, keywords, hyperparameters.

Every message about an unknown name comes from here, with the nearest known name in it. The
meaning of a word is decided where the word is used.
"""

from __future__ import annotations

import contextlib
import functools
import math
import numbers
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar, overload

from fastnn import elsewhere
from fastnn.console import warn

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Word = TypeVar("Word", bound=str)


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """The message for a name that is not among `known`, with the near match suggested."""
    # difflib is imported only once something has gone wrong.
    import difflib

    names = set(known)
    # Names of classes and abbreviations in capitals are second names; first names are suggested.
    first = sorted(name for name in names if name == name.lower()) or sorted(names)
    near = difflib.get_close_matches(given.lower(), first, n=1)
    if near:
        return f"{what}: unknown name {given!r}, did you mean {near[0]!r}?"
    return f"{what}: unknown name {given!r}, expected one of {', '.join(first)}"


@overload
def choose(what: str, given: object, known: Mapping[str, T]) -> T: ...
@overload
def choose(what: str, given: object, known: tuple[Word, ...]) -> Word: ...
def choose(what: str, given: object, known: Mapping[str, T] | tuple[Word, ...]) -> T | Word:
    """The value of `given` in a mapping, or `given` itself if it is in a tuple of words.

    Raises:
        ValueError: `given` is not known; the near match is suggested.
        TypeError: `given` is not a string.
    """
    if not isinstance(given, str):
        raise TypeError(
            f"{what}: expected a name (a string) or an object of its kind, got {given!r}"
        )
    if given not in known:
        raise ValueError(unknown(what, given, known))
    # Asks for tuple, not for Mapping: isinstance is slow over abstract classes.
    return known[known.index(given)] if isinstance(known, tuple) else known[given]


def refuse_elsewhere(what: str, family: str, given: object) -> None:
    """ValueError, with advice, for a name of Keras or PyTorch that does not exist here."""
    advice = elsewhere.advice(family, given) if isinstance(given, str) else None
    if advice is not None:
        raise ValueError(f"{what}: {given!r} is not in fastnn; {advice}")


def refuse_unknown_keywords(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    """TypeError for the first keyword of `given` that is not `known`."""
    accepted = set(known)
    for keyword in given:
        if keyword not in accepted:
            raise TypeError(unknown_keyword(f"{where}() keyword argument", keyword, accepted))


def unknown_keyword(what: str, given: str, known: Iterable[str]) -> str:
    """The message for an option that is not among `known`, also for one of Keras or PyTorch."""
    advice = elsewhere.keyword_advice(given, known)
    if advice is not None:
        return f"{what}: {given!r} is not in fastnn; {advice}"
    return unknown(what, given, known)


def without_nothing(given: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """`given` without unknown options that ask for nothing, such as Keras's defaults."""
    accepted = set(known)
    return {
        name: value
        for name, value in given.items()
        if name in accepted or not elsewhere.asks_for_nothing(name, value)
    }


def keywords(
    *also: str, old: Mapping[str, str] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates a function so that the error for an unknown keyword argument has a near match.

    For public constructors and methods: Python itself does this from 3.13 on, for every function.
    Keywords of Keras that do not exist here are told with advice, or taken where their value asks
    for nothing, such as `kernel_regularizer=None`. `also` names keywords that the function takes
    in its `**` argument. `old`: former names of keywords, which are taken with a warning.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        # Names come from the code object: `inspect.signature` would slow down the import.
        code = function.__code__
        count = code.co_argcount + code.co_kwonlyargcount
        names = code.co_varnames[:count]
        known = frozenset(names) - {"self"} | frozenset(also)
        where = function.__qualname__.removesuffix(".__init__")
        # Messages name a method by the public class of its object: Sequential.fit, not Trainer.fit.
        inherited = names[:1] == ("self",) and function.__name__ != "__init__"

        @functools.wraps(function)
        def checked(*args: P.args, **given: P.kwargs) -> R:
            if not known.issuperset(given):
                for former, name in (old or {}).items():
                    if former in given:
                        _rename(where, given, former, name, names[: len(args)])
                for name in given.keys() - without_nothing(given, known).keys():
                    del given[name]
                public = where
                if inherited:
                    public = f"{type(args[0]).__name__}.{function.__name__}"
                elif where[0] == "_":  # the constructor of a base that is not for users
                    public = type(args[0]).__name__
                refuse_unknown_keywords(public, given, known)
            return function(*args, **given)

        return checked

    return decorate


def _rename(
    where: str, given: dict[str, Any], former: str, name: str, taken: Iterable[str]
) -> None:
    """Gives the value of a keyword's former name to its name; `taken`: arguments by position."""
    if name in given or name in taken:
        raise TypeError(
            f"{where}() got both {name} and {former}={given[former]!r}, its former name; give "
            f"{name} alone"
        )
    warn(f"{where}(): {former} is the former name of {name}; give {name}", DeprecationWarning)
    given[name] = given.pop(former)


def scalar(value: object) -> object:
    """The number in an array without axes; all else as it is, also a masked number."""
    item = getattr(value, "item", None)
    if item is None or getattr(value, "ndim", None) != 0 or hasattr(value, "mask"):
        return value
    return item()


def snake_case(name: str) -> str:
    """ "InputLayer" -> "input_layer"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function, also of a partial one; that of the class of other callables."""
    inner = getattr(function, "func", function)  # of functools.partial
    name = getattr(inner, "__name__", None) or snake_case(type(inner).__name__)
    return "lambda" if name == "<lambda>" else name


def optional(check: Callable[[str, Any], T]) -> Callable[[str, Any], T | None]:
    """`check`, with None taken for what it is."""
    return lambda name, value: None if value is None else check(name, value)


def text(name: str, value: object) -> str:
    """`value` if it is a string."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a string, got {value!r}")
    return value


def path(name: str, value: object) -> str:
    """`value` as the path of a file: a string, or an object that stands for one (PathLike)."""
    try:
        given = os.fspath(value)  # type: ignore[call-overload]
    except TypeError:
        given = None
    if not isinstance(given, str) or not given:
        raise TypeError(f"{name}: expected a path, got {value!r}")
    return given


def verbosity(name: str, value: object) -> int:
    """`value` as 0, 1 or 2; True is 1."""
    if isinstance(value, bool):
        return int(value)
    return integer(name, value, 0, 2)


def integer(name: str, value: object, low: int = 1, high: int = 2**63 - 1) -> int:
    """`value` as an int from `low` to `high`; NumPy integers are taken, bools are not.

    An array without axes counts as the number in it. `high` is the largest number that 64 bits,
    or native code, can hold.
    """
    given = scalar(value)
    if isinstance(given, bool) or not isinstance(given, numbers.Integral):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    result = int(given)
    if not low <= result <= high:
        kind = f"an integer in [{low}, {high}]"
        if high == 2**63 - 1:
            below = "a positive integer" if low == 1 else f"an integer of at least {low}"
            kind = below if result < low else "an integer below 2**63"
        raise ValueError(f"{name}: expected {kind}, got {value!r}")
    return result


def int32(name: str, value: object) -> int:
    """`value` as an int of 32 bits, the type of labels in native code."""
    return integer(name, value, -(2**31), 2**31 - 1)


def number(
    name: str,
    value: object,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """`value` as a finite float between `low` and `high` (included unless `open_*`).

    An array without axes counts as the number in it.
    """
    given = scalar(value)
    if isinstance(given, bool) or not isinstance(given, numbers.Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    try:
        result = float(given)
    except OverflowError:  # an integer beyond all floats
        result = math.inf
    above = result > low if open_low else result >= low
    below = result < high if open_high else result <= high
    if not (math.isfinite(result) and above and below):
        bounds = _interval(low, high, open_low, open_high)
        raise ValueError(f"{name}: expected a finite number{bounds}, got {value!r}")
    return result


def _interval(low: float, high: float, open_low: bool, open_high: bool) -> str:
    if low == -math.inf and high == math.inf:
        return ""
    if high == math.inf:
        return f" above {low:g}" if open_low else f" of at least {low:g}"
    left = "(" if open_low or low == -math.inf else "["
    right = ")" if open_high else "]"
    return f" in {left}{low:g}, {high:g}{right}"


def flag(name: str, value: object) -> bool:
    """`value` as a bool; anything but True and False (NumPy's too) is a TypeError."""
    if not isinstance(value, bool) and type(value).__name__ not in ("bool_", "bool"):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


@contextlib.contextmanager
def within(argument: str) -> Iterator[None]:
    """Puts the name of an argument before the messages of errors about its parts."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if str(error).startswith(f"{argument}: "):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{argument}: {error}") from error.__cause__
