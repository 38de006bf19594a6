"""Places of plain values: lists, dictionaries, arrays, cells, attributes and global names.

A place remembers what it held, so that a change in it is seen later. Places are compared by identity
first, which takes a fraction of a microsecond; numbers and words that are equal are no change. What
a place holds inside is a place of its own.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any
from weakref import ref

import numpy as np

from fastnn.layers.base import Layer
from fastnn.models.parts import Parted

MISSING = object()
_SIMPLE = (bool, int, float, complex, str, bytes, type(None))


class Held:
    """Values as they were: parts of models by weak references, so that no model keeps itself alive."""

    __slots__ = ("_ids", "_refs", "_values")

    def __init__(self, values: Sequence[Any]) -> None:
        self._ids = list(map(id, values))
        self._refs = [ref(v) for v in values if isinstance(v, (Layer, Parted))]
        self._values = [None if isinstance(v, (Layer, Parted)) else v for v in values]

    def first_other(self, values: Sequence[Any]) -> int | None:
        """The number of the first value that is another one now; None: all are the same."""
        if self._ids == list(map(id, values)):
            refs = self._refs
            if not refs or all(known() is not None for known in refs):
                return None
        for i, (former, value) in enumerate(zip(self._values, values, strict=False)):
            if self._ids[i] != id(value) and not _equal(former, value):
                return i
        if len(self._ids) != len(values):
            return min(len(self._ids), len(values))
        return None if all(known() is not None for known in self._refs) else 0


def _equal(former: Any, value: Any) -> bool:
    if type(former) is not type(value) or not isinstance(value, _SIMPLE) or value is None:
        return False
    return bool(former == value) or (former != former and value != value)  # noqa: PLR0124 - NaN


class Place(ABC):
    """Something that holds values. `name`: in the words of the program, such as "self.options"."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def changed(self) -> str | None:
        """The name of what is another value now; None: nothing."""


class Several(Place):
    """Of a list, a tuple or a deque."""

    __slots__ = ("_held", "_holder")

    def __init__(self, name: str, holder: Any) -> None:
        super().__init__(name)
        self._holder = holder
        self._held = Held(tuple(holder))

    def changed(self) -> str | None:
        other = self._held.first_other(tuple(self._holder))
        return None if other is None else f"{self.name}[{other}]"


class Mapped(Place):
    """Of a dictionary, or of the attributes of a plain object."""

    __slots__ = ("_held", "_holder", "_keys", "_shown")

    def __init__(self, name: str, holder: Any, shown: str = "{}[{!r}]") -> None:
        super().__init__(name)
        self._holder = holder
        self._shown = shown
        items = list(holder.items())
        self._keys = [key for key, _ in items]
        self._held = Held([value for _, value in items])

    def changed(self) -> str | None:
        items = list(self._holder.items())
        keys = [key for key, _ in items]
        if keys != self._keys:
            former = self._keys
            odd = [k for k in keys if k not in former] + [k for k in former if k not in keys]
            return self._told(odd[0]) if odd else self.name
        other = self._held.first_other([value for _, value in items])
        return None if other is None else self._told(keys[other])

    def _told(self, key: Any) -> str:
        return self._shown.format(self.name, key)


class Members(Place):
    """Of a set."""

    __slots__ = ("_held", "_holder")

    def __init__(self, name: str, holder: Any) -> None:
        super().__init__(name)
        self._holder = holder
        self._held = set(holder)

    def changed(self) -> str | None:
        return None if self._held == self._holder else self.name


class Numbers(Place):
    """Of an array, or of other bytes."""

    __slots__ = ("_held", "_holder")

    def __init__(self, name: str, holder: Any) -> None:
        super().__init__(name)
        self._holder = holder
        self._held = self._seen()

    def _seen(self) -> Any:
        array = np.asarray(self._holder)
        if array.dtype.hasobject:
            return array.shape, array.dtype.str, tuple(map(id, array.flat))
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        data: Any = flat.tobytes() if flat.size <= 256 else zlib.crc32(flat.data)
        return array.shape, array.dtype.str, data

    def changed(self) -> str | None:
        return None if self._seen() == self._held else self.name


class Named(Place):
    """Of some names in a namespace: of a module, a class, or a plain object with slots."""

    __slots__ = ("_held", "_names", "_owner")

    def __init__(self, name: str, owner: Any, names: Sequence[str]) -> None:
        super().__init__(name)
        self._owner = owner
        self._names = tuple(names)
        self._held = Held(self._now())

    def _now(self) -> list[Any]:
        owner = self._owner
        if isinstance(owner, dict):
            return [owner.get(name, MISSING) for name in self._names]
        return [getattr(owner, name, MISSING) for name in self._names]

    def changed(self) -> str | None:
        other = self._held.first_other(self._now())
        return None if other is None else f"{self.name}{self._names[other]}"


class OfPart(Place):
    """Of attributes of a layer or a model."""

    __slots__ = ("_held", "_names", "_part")

    def __init__(self, part: Any, names: Sequence[str]) -> None:
        super().__init__(f"of {part.name!r}")
        self._part = ref(part)
        self._names = tuple(names)
        self._held = Held(self._now())

    @property
    def part(self) -> Any:
        """The layer or model; None: it is gone."""
        return self._part()

    def is_of(self, part: Any, name: str) -> bool:
        """Whether it is the place of this attribute of the part."""
        return self._part() is part and name in self._names

    def _now(self) -> list[Any]:
        part = self._part()
        known = {} if part is None else vars(part)
        return [known.get(name, MISSING) for name in self._names]

    def changed(self) -> str | None:
        other = self._held.first_other(self._now())
        return None if other is None else f"{self._names[other]} {self.name}"


class Celled(Place):
    """Of a variable of the function around another one."""

    __slots__ = ("_cell", "_held")

    def __init__(self, name: str, cell: Any) -> None:
        super().__init__(name)
        self._cell = cell
        self._held = Held([content_of(cell)])

    def changed(self) -> str | None:
        return None if self._held.first_other([content_of(self._cell)]) is None else self.name


def content_of(cell: Any) -> Any:
    """What a cell of a closure holds; MISSING before it holds anything."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING
