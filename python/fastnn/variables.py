"""Variables: named places in the buffer that holds a model's parameters.

The native buffer owns the numbers, a Variable owns none; networks borrow the buffer.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastnn import _core, calling
from fastnn.arrays.host import narrowed, numeric, plain
from fastnn.changes import Change, Switch
from fastnn.claims import Claim, Exclusive
from fastnn.listing import Listed
from fastnn.words import choose, flag


class Place:
    """Where an array lies in a native buffer of parameters."""

    __slots__ = ("dtype", "offset", "parameters", "shape")

    def __init__(self, parameters: Any, offset: int, shape: tuple[int, ...]) -> None:
        self.parameters = parameters  # a Buffer
        self.offset = offset
        self.shape = shape
        self.dtype: np.dtype[Any] = np.dtype(parameters.dtype)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def view(self) -> NDArray[Any]:
        view: NDArray[Any] = self.parameters.view(self.offset, self.shape)
        return view

    def write(self, values: NDArray[Any]) -> None:
        self.parameters.write(self.offset, values)


class Counts:
    """The buffer of one Variable of integers or bools, which no native code reads."""

    __slots__ = ("_values", "version")

    def __init__(self, size: int, dtype: str) -> None:
        self._values: NDArray[Any] = np.zeros(size, dtype)
        self.version = 0

    @property
    def weights_version(self) -> int:
        return self.version

    @property
    def dtype(self) -> str:
        return str(self._values.dtype.name)

    def view(self, offset: int, shape: Sequence[int]) -> NDArray[Any]:
        view: NDArray[Any] = self._values[offset : offset + math.prod(shape)].reshape(tuple(shape))
        view.flags.writeable = False
        return view

    def write(self, offset: int, values: NDArray[Any]) -> None:
        self._values[offset : offset + values.size] = values.ravel()
        self.version += 1

    def write_all(self, offsets: Sequence[int], arrays: Sequence[NDArray[Any]]) -> None:
        for offset, values in zip(offsets, arrays, strict=True):
            self.write(offset, values)


Buffer = _core.Parameters | Counts


class Spot(NamedTuple):
    """Where a Variable is, and its path there."""

    place: Place
    path: str


def within(variable: Variable, flat: NDArray[Any], offset: int) -> NDArray[Any]:
    """The numbers of an array that is laid out as its parameters, from `offset` on, as its shape."""
    numbers: NDArray[Any] = flat[offset : offset + math.prod(variable.shape)]
    return numbers.reshape(variable.shape)


class Variable(Listed):
    """A parameter of a layer: `layer.kernel` and `layer.bias` are Variables.

        >>> w = fastnn.Variable([[1.0, 2.0]], name="w")
        >>> w.assign_add([[10.0, 20.0]])
        >>> (w + 1).numpy().tolist()
        [[12.0, 23.0]]

    Attributes:
        name: "kernel" or "bias".
        path: "model/layer/name", or "layer/name" while the layer stands alone.
        shape: a tuple of ints; kernels are (inputs, units).
        dtype: "float32" or "float64"; of a program's own also "int32", "int64" or "bool".
        trainable: whether optimizers change it; takes effect at the next `compile`.
        regularizer: the penalty of its values that its layer was given, or None (see
            `fastnn.regularizers`).
        constraint: what its values become after each update, or None (see `fastnn.constraints`).

    Layers make their own. The same Variable stays with its layer for life, also when `model.add`
    moves the parameters to a larger buffer. `Variable([[1.0, 2.0]])` makes one of a program's own.

    Args:
        initial_value: numbers; lists of floats become float32.
        trainable: whether tapes watch it, and optimizers change it. Integers never are.
        name: its name.
        dtype: "float32", "float64", "int32", "int64" or "bool", or such a type of NumPy. None: that
            of the value; for integers and bools float32 or, with trainable=False, their own (of
            Python's numbers int32), as a counter has it.

    Raises:
        ValueError: trainable=True with integers, or a number that the dtype does not hold.
    """

    __slots__ = (
        *("__weakref__", "_changes", "_fixed", "_spot", "_trainable"),
        *("by_number", "constraint", "name", "regularizer"),
    )
    # Before NumPy's own operators: array @ Variable is a Tensor.
    __array_priority__ = 1000
    _inside = (
        *(
            "at",
            "becomes",
            "by_number",
            "converted",
            "is_fixed",
            "join",
            "lies_at",
            "move",
            "place",
        ),
        *("set_statistics", "spot"),
    )

    def __init__(
        self,
        initial_value: ArrayLike,
        trainable: bool | None = None,
        name: str = "variable",
        *,
        dtype: DTypeLike | None = None,
    ) -> None:
        values = numeric("initial_value", initial_value)
        listed = not hasattr(initial_value, "dtype")
        checked = _dtype_of(values, listed, trainable, dtype)
        place = Place(_buffer(values.size, checked), 0, values.shape)
        place.write(_held("initial_value", values, checked))
        self._spot = Switch(Spot(place, name))
        self.name = name
        self.trainable = checked in _FLOATS if trainable is None else trainable
        self._fixed = not self._trainable
        self._changes = Exclusive("this variable")
        self.regularizer: Any = None
        self.constraint: Any = None
        # Whether its axes are those of rows, each number of which it scales: it is no matrix.
        self.by_number = False

    @classmethod
    def at(cls, place: Place, name: str, path: str) -> Self:
        """The Variable of a place in a buffer (for layers)."""
        variable = cls.__new__(cls)
        variable._spot = Switch(Spot(place, path))
        variable.name = name
        variable._trainable = True
        variable._fixed = False
        variable._changes = Exclusive("this variable")
        variable.regularizer = variable.constraint = None
        variable.by_number = False
        return variable

    def join(self, changes: Exclusive) -> None:
        """Lets writes wait for these changes, of the layer that the Variable is of (for layers)."""
        self._changes = changes

    @property
    def place(self) -> Place:
        """Where the values are (for models)."""
        return self._spot.now.place

    @property
    def path(self) -> str:
        """ "model/layer/name", or "layer/name" while the layer stands alone."""
        return self._spot.now.path

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, a tuple of ints."""
        return self.place.shape

    @property
    def dtype(self) -> str:
        """ "float32" or "float64"; of a program's own also "int32", "int64" or "bool"."""
        return str(self.place.dtype.name)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.place.size

    @property
    def trainable(self) -> bool:
        """Whether optimizers change it; takes effect at the next `compile`."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        if flag("trainable", value) and self.dtype not in _FLOATS:
            raise ValueError(f"trainable: {self.path} holds {self.dtype}, which has no gradients")
        self._trainable = value

    @property
    def is_fixed(self) -> bool:
        """Whether it was made with trainable=False: `trainable` of a layer leaves it so (for layers)."""
        return self._fixed

    def lies_at(self, path: str) -> None:
        """Gives a new Variable its path (for layers)."""
        self._spot = Switch(Spot(self.place, path))

    def becomes(self, dtype: str) -> None:
        """Converts a new Variable to another type (for layers)."""
        place = Place(_buffer(self.size, dtype), 0, self.shape)
        place.write(self.view().astype(dtype))
        self._spot = Switch(Spot(place, self.path))

    def move(self, spot: Spot, change: Change) -> Switch[Spot]:
        """Goes to another place of the same shape, which holds the same values (for models)."""
        self._spot = self._spot.to(spot, change)
        return self._spot

    @property
    def spot(self) -> Switch[Spot]:
        """What each move replaces (for models)."""
        return self._spot

    def numpy(self) -> NDArray[Any]:
        """A copy of the values, which later training does not change. Errors: see `view`.

        >>> w = fastnn.Variable([1.0, 2.0])
        >>> w.numpy()
        array([1., 2.], dtype=float32)
        """
        return self.view().copy()

    def view(self) -> NDArray[Any]:
        """The values, read-only, without a copy.

            >>> w = fastnn.Variable([1.0, 2.0])
            >>> values = w.view()
            >>> w.assign([3.0, 4.0])
            >>> values.tolist()
            [3.0, 4.0]

        On the CPU the view follows later training. After training on a GPU it is a copy of the
        present values; an earlier view does not follow such training.

        Raises:
            RuntimeError: the GPU was lost with the values; `compile` then goes back to a copy.
                Or this is the child of a fork, and the parent had not read them.
        """
        return self.place.view()

    @property
    def value(self) -> NDArray[Any]:
        """The same as `numpy()`."""
        return self.numpy()

    def assign(self, value: ArrayLike) -> None:
        """Writes `value`, and marks the model changed.

            >>> w = fastnn.Variable([1.0, 2.0])
            >>> w.assign([3.0, 4.0])
            >>> w.numpy().tolist()
            [3.0, 4.0]

        A change of the layer that another thread has begun, such as `add`, is waited for: it moves
        the values.

        Args:
            value: an array of real numbers of exactly this variable's shape (a shape is
                never broadcast); it is converted to this variable's dtype.

        Raises:
            ValueError: the shape differs (both shapes are in the message), or a finite number is
                beyond this variable's dtype.
            TypeError: the values are not real numbers.
            RuntimeError: a `fit` of the model is running in another thread.
        """
        if calling.now().tracing:
            raise calling.Untraceable(f"it changes the Variable {self.path}")
        converted = self.converted(value)
        claim = Claim("assign")
        with claim, claim.lock:
            self._changes.take(claim, waits=True)
            calling.changes(self)
            self.place.write(converted)

    def set_statistics(self, value: ArrayLike) -> None:
        """Writes statistics, which no gradient depends on (for layers). Errors: see `assign`."""
        converted = self.converted(value)
        claim = Claim("assign")
        with claim, claim.lock:
            self._changes.take(claim, waits=True)
            calling.changes(self)
            buffer = self.place.parameters
            assert isinstance(buffer, _core.Parameters)  # statistics are floats
            buffer.write_statistics(self.place.offset, converted)

    def assign_add(self, delta: ArrayLike) -> None:
        """Adds an array of this variable's shape. Errors: see `assign`.

        >>> w = fastnn.Variable([1.0, 2.0])
        >>> w.assign_add([10.0, 20.0])
        >>> w.numpy().tolist()
        [11.0, 22.0]
        """
        self.assign(self.view() + self.converted(delta))

    def assign_sub(self, delta: ArrayLike) -> None:
        """Subtracts an array of this variable's shape. Errors: see `assign`.

        >>> w = fastnn.Variable([1.0, 2.0])
        >>> w.assign_sub([0.5, 0.5])
        >>> w.numpy().tolist()
        [0.5, 1.5]
        """
        self.assign(self.view() - self.converted(delta))

    def converted(self, value: ArrayLike) -> NDArray[Any]:
        """`value` as `assign` would write it: checked and converted, but not written."""
        array = numeric(self.path, value)
        if array.shape != self.shape:
            raise ValueError(f"{self.path}: expected shape {self.shape}, got {array.shape}")
        return _held(self.path, array, self.dtype)

    def __array__(
        self, dtype: np.dtype[Any] | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        if copy is False:
            view = self.view()
            if dtype is not None and np.dtype(dtype) != view.dtype:
                raise ValueError(f"{self.path}: a copy is needed to convert to {dtype}")
            return view
        return np.array(self.view(), dtype=dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is independent: it has the values in a buffer of its own."""
        values = self.numpy()
        limits = (self.regularizer, self.constraint, self.by_number)
        return _restored, (values, self.name, self.path, self.trainable, self._fixed, limits)

    def __copy__(self) -> Variable:
        return copy.deepcopy(self)

    def __repr__(self) -> str:
        told = f"path={self.path}, shape={self.shape}, dtype={self.dtype}"
        return f"<Variable {told}, numpy=\n{self.view()!r}>"

    # Equality is that of the values (see `autodiff.operators`); the identity makes the hash.
    def __hash__(self) -> int:
        return id(self)


def unmoved(seen: Sequence[tuple[Variable, Switch[Spot]]]) -> bool:
    """Whether none of the Variables was moved since it had this Switch."""
    for variable, spot in seen:  # noqa: SIM110 - in every call of a model: a generator costs more
        if variable._spot is not spot:
            return False
    return True


_FLOATS = ("float32", "float64")
_DTYPES = (*_FLOATS, "int32", "int64", "bool")


def _dtype_of(
    values: NDArray[Any], listed: bool, trainable: bool | None, dtype: DTypeLike | None
) -> str:
    """The name of the dtype of a Variable of these values; `listed`: they have none themselves."""
    if dtype is not None:
        try:
            name = np.dtype(dtype).name
        except TypeError:
            name = str(dtype)
        return choose("dtype", name, _DTYPES)
    if values.dtype.kind == "f":
        return "float64" if values.dtype == np.float64 and not listed else "float32"
    if trainable is not False:
        return "float32"
    if values.dtype.kind == "b":
        return "bool"
    return "int32" if listed or values.dtype.itemsize < 4 else "int64"


def _buffer(size: int, dtype: str) -> Buffer:
    checked: Any = dtype
    return _core.Parameters(size, checked) if dtype in _FLOATS else Counts(size, dtype)


def _held(name: str, values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """`values` in a Variable's dtype; ValueError where it does not hold one of them."""
    if dtype in _FLOATS:
        return narrowed(name, values, dtype)
    with np.errstate(invalid="ignore"):
        converted = plain(values, dtype)
    # 2**63 as float64 compares equal to what the greatest int64 becomes.
    same = (converted == values) & (np.abs(values.astype(np.float64)) < 2.0**63)
    if not same.all():
        place = np.unravel_index(int(np.argmin(same)), same.shape)
        raise ValueError(f"{name}: expected numbers of {dtype}, got {values[place]}")
    return converted


def _restored(
    values: NDArray[Any],
    name: str,
    path: str,
    trainable: bool,
    fixed: bool = False,
    limits: tuple[Any, Any, bool] = (None, None, False),
) -> Variable:
    """The Variable that was pickled or copied, in a buffer of its own."""
    place = Place(_buffer(values.size, values.dtype.name), 0, values.shape)
    place.write(values)
    variable = Variable.at(place, name, path)
    variable.trainable = trainable
    variable._fixed = fixed
    variable.regularizer, variable.constraint, variable.by_number = limits
    return variable
