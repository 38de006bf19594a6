"""Tensor: an array whose operations a tape can record. The operations are in `functions`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnn.arrays.host import numeric
from fastnn.autodiff import operand
from fastnn.autodiff.quiet import quiet
from fastnn.variables import Variable

Array = NDArray[Any]
# From the gradients at the outputs (None: no gradient arrives) to those at the inputs.
Pull = Callable[..., "Sequence[Tensor | None]"]


# The table of operations, which give Tensors for Tensors.
operations: dict[str, Callable[..., Tensor]] = operand.operations


class Tensor(operand.Operand):
    """An array of numbers, never changed, whose operations a `GradientTape` can record.

        >>> import fastnn
        >>> x = fastnn.constant([[1.0, 2.0], [3.0, 4.0]])
        >>> (x @ x + 1).numpy().tolist()
        [[8.0, 11.0], [16.0, 23.0]]

    Operators, broadcasting, indexing and types work as NumPy's; `fastnn.math` has functions. NumPy's
    own (np.exp, np.mean, np.concatenate) are these where there are such. Other functions of NumPy give
    plain numbers, and raise a TypeError where a tape watches the Tensor, whose gradient they lose.
    Python numbers take the type of the Tensor beside them. Lists of floats become float32.

    Args:
        value: the array that it holds; `fastnn.constant` makes a Tensor of lists and numbers, too.

    Attributes:
        shape, ndim, size, dtype: as of an array.
    """

    __slots__ = ("__weakref__", "logits", "value")
    # Before NumPy's own operators: array + Tensor is a Tensor. Its functions are in `numpy_functions`.
    __array_priority__ = 1000

    def __init__(self, value: Any) -> None:
        self.value: Array = value if type(value) is np.ndarray else converted(value)
        # For losses: the Tensor that softmax or sigmoid made this of, and which of them; or None and
        # "linear" where a layer without an activation made it.
        self.logits: tuple[Tensor | None, str] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes, a tuple."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.value.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.value.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers, one of NumPy."""
        return self.value.dtype

    def numpy(self) -> Any:
        """A copy as an array, or as a NumPy number where there are no axes.

        >>> fastnn.constant([1.0, 2.0]).numpy()
        array([1., 2.], dtype=float32)
        """
        return self.value[()] if self.value.ndim == 0 else self.value.copy()

    def item(self) -> Any:
        """The only number, as a number of Python.

            >>> fastnn.constant([[2.5]]).item()
            2.5

        Raises:
            ValueError: there are more or fewer than one.
        """
        return self.value.item()

    def tolist(self) -> Any:
        """The numbers in lists of Python, as deep as there are axes.

        >>> fastnn.constant([[1.0, 2.0]]).tolist()
        [[1.0, 2.0]]
        """
        return self.value.tolist()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            if dtype is not None and np.dtype(dtype) != self.value.dtype:
                raise ValueError(f"a copy is needed to convert {self.value.dtype} to {dtype}")
            return self.value
        return np.array(self.value, dtype=dtype)

    def __float__(self) -> float:
        return float(self.value.item())

    def __int__(self) -> int:
        return int(self.value.item())

    def __index__(self) -> int:
        if self.value.dtype.kind not in "iu":
            raise TypeError(f"only integers are indices, got a Tensor of {self.value.dtype}")
        return int(self.value.item())

    def __bool__(self) -> bool:
        return bool(self.value)

    def __len__(self) -> int:
        if self.value.ndim == 0:
            raise TypeError("a Tensor without axes has no len()")
        return len(self.value)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __format__(self, spec: str) -> str:
        # The numbers alone, as TensorFlow writes f"{loss}".
        return format(self.value.item(), spec) if spec and self.value.ndim == 0 else str(self.value)

    def __repr__(self) -> str:
        return f"<Tensor shape={self.shape}, dtype={self.dtype}, numpy=\n{self.value!r}>"


# What arrays mostly hold: `numeric` passes it as it is.
_USUAL = frozenset(np.dtype(kind) for kind in ("f4", "f8", "i4", "i8", "u1", "?"))


def converted(value: Any) -> Array:
    """`value` as an array of numbers or bools; lists of floats and Python's floats are float32."""
    if type(value) is np.ndarray and value.dtype in _USUAL:
        return value
    if isinstance(value, Tensor):
        return value.value
    if isinstance(value, Variable):
        return value.view()
    if isinstance(value, (np.ndarray, np.generic)):
        return numeric("value", np.asarray(value))
    if isinstance(value, (list, tuple)) and _holds_tensors(value):
        return np.stack([converted(part) for part in value])
    array = numeric("value", value)
    if array.dtype == np.float64 and not hasattr(value, "dtype") and not hasattr(value, "dtypes"):
        return _float32(array)
    return array


@quiet
def _float32(array: Array) -> Array:
    return array.astype(np.float32)


_ones: dict[np.dtype[Any], Tensor] = {}


def one(dtype: np.dtype[Any]) -> Tensor:
    """The number 1 without axes: the gradient of a loss at itself, one object for each type."""
    found = _ones.get(dtype)
    if found is None:
        found = _ones[dtype] = Tensor(np.ones((), dtype))
    return found


class _Recorder:
    """Where operations are recorded; `tape` sets it."""

    active: Any = None
    record: Any = None


def set_recorder(active: Any, record: Callable[..., None]) -> None:
    """`active.tapes` are the tapes of this thread, on which `record` leaves entries."""
    _Recorder.active, _Recorder.record = active, record


def recorded(output: Tensor, inputs: tuple[Any, ...], pull: Pull) -> Tensor:
    """`output`, recorded as made of the inputs."""
    if _Recorder.active.tapes:
        _Recorder.record(inputs, (output,), pull)
    return output


def followed(output: Tensor, *inputs: Any, adds_axis: bool = False) -> Tensor:
    """`output`, told to the follower as made of the inputs: for operations without gradients."""
    if _Recorder.active.follower is not None:
        _Recorder.active.follower.follow(inputs, output, adds_axis=adds_axis)
    return output


def begin_following(follower: Any) -> tuple[Any, Any]:
    """Has `follower` get all operations of this thread; returns what `end_following` wants."""
    active = _Recorder.active
    before = active.tapes, active.follower
    active.tapes, active.follower = (*before[0], follower), follower
    return before


def followers() -> tuple[Any, ...]:
    """What follows the operations of this thread; nothing, mostly."""
    active = _Recorder.active
    return () if active.follower is None else active.tapes


def end_following(before: tuple[Any, Any]) -> None:
    """Ends what `begin_following` began."""
    _Recorder.active.tapes, _Recorder.active.follower = before


def marked(y: Tensor, x: Tensor, operation: Callable[[Tensor], Tensor]) -> Tensor:
    """y, which an operation made of x without a change of numbers, with what losses are to know of x.

    Logits of a softmax are those of y as long as the last axis stays whole.
    """
    made = x.logits
    if made is not None:
        logits, kind = made
        if logits is None:
            y.logits = made
        elif kind == "sigmoid" or (y.ndim and y.shape[-1:] == x.shape[-1:]):
            y.logits = operation(logits), kind
    return y


def tensor(value: Any) -> Tensor:
    """`value` as a Tensor, which later changes of an array or a Variable do not change.

    The reading of a Variable is recorded, and so is a list of Tensors, which are stacked.
    """
    if type(value) is Tensor:
        return value
    if isinstance(value, Variable):
        return _read(value)
    if type(value) is np.ndarray:
        return Tensor(np.array(converted(value)))
    if isinstance(value, (list, tuple)) and _holds_tensors(value):
        return operations["stack"](value)
    return Tensor(value)


def borrowed(value: Any) -> Tensor:
    """The same without a copy of an array where no tape records, for rows that are read at once."""
    if type(value) is np.ndarray and not _Recorder.active.tapes:
        return Tensor(value)
    return tensor(value)


def _holds_tensors(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_holds_tensors(part) for part in value)
    return isinstance(value, (Tensor, Variable))


def _read(variable: Variable) -> Tensor:
    parameters = variable.place.parameters
    version = parameters.version
    output = Tensor(variable.numpy())

    def pull(dy: Tensor) -> tuple[Tensor]:
        if parameters.version != version:
            raise RuntimeError(
                f"gradient: {variable.path} was changed after it was used; take the gradient "
                "before weights are changed"
            )
        return (dy,)

    return recorded(output, (variable,), pull)
