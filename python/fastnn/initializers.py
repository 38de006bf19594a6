"""First values of parameters: Keras's initializers, drawn natively from the model's key.

The same seed gives the same bits on any machine and thread count. These classes hold
distributions; the random numbers are made in the native buffer.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import _core, elsewhere, keys
from fastnn.arrays.host import narrowed, numeric
from fastnn.listing import names_of
from fastnn.registry import Checked, Registered, Registry
from fastnn.variables import Place
from fastnn.words import choose, integer, keywords, number, optional

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "get",
]

__dir__ = names_of(__all__)

# The standard deviation of a standard normal cut at two standard deviations.
_TRUNCATED_STDDEV = 0.87962566103423978


class Initializer(Registered, ABC):
    """How a parameter gets its first values.

    Called with a shape, an initializer returns an array, as in Keras:

        >>> import fastnn
        >>> fastnn.initializers.Zeros()((2, 3)).shape
        (2, 3)

    With `seed=None` the values come from the model's key and the layer's index, so two
    layers never share them. With a seed they are the same at every use.
    """

    seed = Checked(optional(partial(integer, low=0)))
    _inside: ClassVar[tuple[str, ...]] = ("fill", "seed")

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def fill(self, place: Place, key: int, stream: int) -> None:
        """Writes the values; `key` and `stream` name the random numbers to use."""
        if self.seed is not None:
            key, stream = keys.key_of(self.seed), 0
        self._fill(place, key, stream)

    @abstractmethod
    def _fill(self, place: Place, key: int, stream: int) -> None:
        """Writes the values; `key` and `stream` are final, also with a seed."""

    def __call__(
        self, shape: tuple[int, ...], dtype: Literal["float32", "float64"] = "float32"
    ) -> NDArray[Any]:
        place = Place(_core.Parameters(math.prod(shape), dtype), 0, tuple(shape))
        self.fill(place, keys.next_key() if self.seed is None else 0, 0)
        return np.array(place.view())


INITIALIZERS = Registry(
    "initializer",
    Initializer,  # type: ignore[type-abstract]
)


@INITIALIZERS.register("constant")
class Constant(Initializer):
    """Every element is `value`.

        >>> fastnn.initializers.Constant(0.5)((2, 2)).tolist()
        [[0.5, 0.5], [0.5, 0.5]]

    Args:
        value: a number.
    """

    value = Checked(number)
    _inside = ("value",)

    @keywords()
    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def _fill(self, place: Place, _key: int, _stream: int) -> None:
        value = narrowed("value", np.array(self.value), place.parameters.dtype)
        place.write(np.full(place.shape, value))


@INITIALIZERS.register("zeros", "zero")
class Zeros(Constant):
    """Every element is 0; the default for biases.

    >>> fastnn.initializers.Zeros()((3,)).tolist()
    [0.0, 0.0, 0.0]
    """

    @keywords()
    def __init__(self) -> None:
        super().__init__(0.0)


@INITIALIZERS.register("ones", "one")
class Ones(Constant):
    """Every element is 1.

    >>> fastnn.initializers.Ones()((3,)).tolist()
    [1.0, 1.0, 1.0]
    """

    @keywords()
    def __init__(self) -> None:
        super().__init__(1.0)


class _Bound(Checked[float]):
    """An end of an interval, which must not pass the other end."""

    def __init__(self) -> None:
        super().__init__(number)

    def checked(self, holder: Any, value: Any) -> float:
        if self.name == "minval":
            return number(self.name, value, high=vars(holder).get("maxval", math.inf))
        return number(self.name, value, low=holder.minval)


@INITIALIZERS.register("random_uniform", "uniform")
class RandomUniform(Initializer):
    """Uniform in [minval, maxval).

        >>> w = fastnn.initializers.RandomUniform(-1.0, 2.0, seed=0)((30, 30))
        >>> bool((w >= -1).all() and (w < 2).all())
        True

    Args:
        minval, maxval: the ends of the interval.
        seed: see `Initializer`.

    Raises:
        ValueError: maxval is below minval.
    """

    minval = _Bound()
    maxval = _Bound()

    @keywords()
    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def _fill(self, place: Place, key: int, stream: int) -> None:
        place.parameters.fill_uniform(
            place.offset, place.size, self.minval, self.maxval, key=key, stream=stream
        )


@INITIALIZERS.register("random_normal", "normal")
class RandomNormal(Initializer):
    """Normal with `mean` and `stddev`.

        >>> w = fastnn.initializers.RandomNormal(mean=3.0, stddev=0.5, seed=0)((100, 100))
        >>> round(float(w.mean()), 1), round(float(w.std()), 1)
        (3.0, 0.5)

    Args:
        mean, stddev: numbers; stddev is at least 0.
        seed: see `Initializer`.
    """

    _truncated = False
    mean = Checked(number)
    stddev = Checked(partial(number, low=0.0))

    @keywords()
    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def _fill(self, place: Place, key: int, stream: int) -> None:
        place.parameters.fill_normal(
            place.offset,
            place.size,
            self.mean,
            self.stddev,
            truncated=self._truncated,
            key=key,
            stream=stream,
        )


@INITIALIZERS.register("truncated_normal")
class TruncatedNormal(RandomNormal):
    """Normal with `mean` and `stddev`, redrawn beyond two standard deviations.

        >>> w = fastnn.initializers.TruncatedNormal(stddev=1.0, seed=0)((30, 30))
        >>> bool((abs(w) <= 2).all())
        True

    Args:
        mean, stddev: of the distribution before numbers are redrawn, which have a standard deviation
            of 0.88 stddev.
        seed: see `Initializer`.
    """

    _truncated = True


def _fan(name: str, value: object) -> str:
    return choose(name, value, ("fan_in", "fan_out", "fan_avg"))


def _distribution(name: str, value: object) -> str:
    return choose(name, value, ("uniform", "truncated_normal", "untruncated_normal"))


@INITIALIZERS.register("variance_scaling")
class VarianceScaling(Initializer):
    """Values whose variance is `scale` / fan, so that signals keep their size through a layer.

        >>> w = fastnn.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal", seed=0)((50, 900))
        >>> round(float(w.var() * 50), 1)  # scale / fan is 2 / 50
        2.0

    Args:
        scale: a positive number.
        mode: the fan: "fan_in" (inputs), "fan_out" (units) or "fan_avg" (their mean).
        distribution: "uniform", "untruncated_normal" or "truncated_normal" (its stddev is
            divided by 0.8796, so that the variance is the same after the cut).
        seed: see `Initializer`.
    """

    scale = Checked(partial(number, low=0.0, open_low=True))
    mode = Checked(_fan)
    distribution = Checked(_distribution)
    _inside = ("distribution", "mode", "scale")

    @keywords()
    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        self.scale = scale
        self.mode = mode
        self.distribution = distribution

    def _fill(self, place: Place, key: int, stream: int) -> None:
        fan_in, fan_out = _fans(place.shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = math.sqrt(self.scale / max(1.0, fan))
        inner: Initializer
        if self.distribution == "uniform":
            # A uniform variable on [-a, a] has the standard deviation a / sqrt(3).
            inner = RandomUniform(-math.sqrt(3.0) * stddev, math.sqrt(3.0) * stddev)
        elif self.distribution == "truncated_normal":
            inner = TruncatedNormal(0.0, stddev / _TRUNCATED_STDDEV)
        else:
            inner = RandomNormal(0.0, stddev)
        inner.fill(place, key, stream)


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs and units of a weight of this shape, as Keras counts them: axes before the last two
    count for both."""
    if len(shape) < 2:
        return (shape or (1,))[0], (shape or (1,))[0]
    before = math.prod(shape[:-2])
    return before * shape[-2], before * shape[-1]


@INITIALIZERS.register("glorot_uniform")
class GlorotUniform(VarianceScaling):
    """Uniform within sqrt(6 / (inputs + units)) (Glorot and Bengio, 2010); the default.

        >>> w = fastnn.initializers.GlorotUniform(seed=0)((4, 2))  # sqrt(6 / (4 + 2)) is 1
        >>> bool((abs(w) <= 1).all())
        True

    Args:
        seed: see `Initializer`.
    """

    @keywords()
    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed)


@INITIALIZERS.register("glorot_normal")
class GlorotNormal(VarianceScaling):
    """Truncated normal of variance 2 / (inputs + units).

        >>> w = fastnn.initializers.GlorotNormal(seed=0)((150, 50))
        >>> round(float(w.std()), 1)  # sqrt(2 / 200)
        0.1

    Args:
        seed: see `Initializer`.
    """

    @keywords()
    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed)


@INITIALIZERS.register("he_uniform")
class HeUniform(VarianceScaling):
    """Uniform within sqrt(6 / inputs) (He et al., 2015); for relu and its relatives.

        >>> w = fastnn.initializers.HeUniform(seed=0)((6, 9))  # sqrt(6 / 6) is 1
        >>> bool((abs(w) <= 1).all())
        True

    Args:
        seed: see `Initializer`.
    """

    @keywords()
    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed)


@INITIALIZERS.register("he_normal")
class HeNormal(VarianceScaling):
    """Truncated normal of variance 2 / inputs (He et al., 2015).

        >>> w = fastnn.initializers.HeNormal(seed=0)((200, 50))
        >>> round(float(w.std()), 1)  # sqrt(2 / 200)
        0.1

    Args:
        seed: see `Initializer`.
    """

    @keywords()
    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed)


@INITIALIZERS.register("lecun_uniform")
class LecunUniform(VarianceScaling):
    """Uniform within sqrt(3 / inputs) (LeCun et al., 1998).

        >>> w = fastnn.initializers.LecunUniform(seed=0)((3, 9))  # sqrt(3 / 3) is 1
        >>> bool((abs(w) <= 1).all())
        True

    Args:
        seed: see `Initializer`.
    """

    @keywords()
    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed)


@INITIALIZERS.register("lecun_normal")
class LecunNormal(VarianceScaling):
    """Truncated normal of variance 1 / inputs (LeCun et al., 1998).

        >>> w = fastnn.initializers.LecunNormal(seed=0)((100, 50))
        >>> round(float(w.std()), 1)  # sqrt(1 / 100)
        0.1

    Args:
        seed: see `Initializer`.
    """

    @keywords()
    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed)


@INITIALIZERS.register("orthogonal", "OrthogonalInitializer")
class Orthogonal(Initializer):
    """A matrix whose rows or columns, whichever are fewer, are orthogonal (Saxe et al., 2014).

        >>> w = fastnn.initializers.Orthogonal(seed=0)((4, 4))
        >>> bool(np.allclose(w @ w.T, np.eye(4), atol=1e-6))
        True

    It is the Q of a QR decomposition of a random normal matrix, with signs that make it uniform among
    orthogonal matrices; its last bits may differ where NumPy has another LAPACK. A shape of more
    than two axes is that of a matrix whose columns are the last axis.

    Args:
        gain: a factor.
        seed: see `Initializer`.

    Raises:
        ValueError: the shape has fewer than two axes.
    """

    gain = Checked(number)
    _inside = ("gain",)

    @keywords()
    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def _fill(self, place: Place, key: int, stream: int) -> None:
        shape = place.shape
        if len(shape) < 2:
            raise ValueError(f"Orthogonal: expected a shape of at least two axes, got {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall, wide = max(rows, columns), min(rows, columns)
        drawn = Place(_core.Parameters(tall * wide, "float64"), 0, (tall, wide))
        RandomNormal(0.0, 1.0).fill(drawn, key, stream)
        q, r = np.linalg.qr(drawn.view())
        q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
        matrix = self.gain * (q if rows >= columns else q.T)
        place.write(narrowed("gain", matrix.reshape(shape), place.parameters.dtype))


@INITIALIZERS.register("identity", "IdentityInitializer")
class Identity(Initializer):
    """`gain` on the diagonal of a matrix, and 0 beside it.

        >>> fastnn.initializers.Identity(2.0)((2, 3)).tolist()
        [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]

    Args:
        gain: a factor.

    Raises:
        ValueError: the shape does not have two axes.
    """

    gain = Checked(number)
    _inside = ("gain",)

    @keywords()
    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain

    def _fill(self, place: Place, _key: int, _stream: int) -> None:
        if len(place.shape) != 2:
            raise ValueError(f"Identity: expected a shape of two axes, got {place.shape}")
        place.write(narrowed("gain", self.gain * np.eye(*place.shape), place.parameters.dtype))


class _FromFunction(Initializer):
    """A user's function (shape, dtype) -> array."""

    def __init__(self, function: Callable[[tuple[int, ...], str], ArrayLike]) -> None:
        super().__init__()
        self.function = function

    def get_config(self) -> dict[str, Any]:
        raise TypeError("initializer: a function has no config; use a subclass of Initializer")

    def _fill(self, place: Place, _key: int, _stream: int) -> None:
        dtype = place.parameters.dtype
        values = numeric("initializer", self.function(place.shape, dtype))
        if values.shape != place.shape:
            raise ValueError(
                f"initializer: expected an array of shape {place.shape}, got {values.shape}"
            )
        place.write(narrowed("initializer", values, dtype))


InitializerLike = (
    str
    | Initializer
    | type[Initializer]
    | Callable[[tuple[int, ...], str], Any]
    | Mapping[str, Any]
)


def checked(name: str, value: Any) -> Initializer:
    """As `get`; errors call it `name`."""
    return get(value, name)


def get(identifier: Any, what: str = "initializer") -> Initializer:
    """The initializer that a name, an object, a class or a function (shape, dtype) means.

        >>> fastnn.initializers.get("zeros")((2,)).tolist()
        [0.0, 0.0]
        >>> fastnn.initializers.get(lambda shape, dtype: np.full(shape, 7, dtype))((2,)).tolist()
        [7.0, 7.0]

    Args:
        identifier: "zeros", an Initializer, a class of one, its config, or such a function.
        what: names the argument in errors.

    Raises:
        ValueError: the name is not known.
        TypeError: it is nothing of the kind.
    """
    is_class = isinstance(identifier, type) and issubclass(identifier, Initializer)
    if callable(identifier) and not is_class and not isinstance(identifier, Initializer):
        return _FromFunction(identifier)
    return INITIALIZERS.get(identifier, what)


# Keras's other names of the classes.
constant = Constant
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
identity = Identity
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
ones = Ones
orthogonal = Orthogonal
random_normal = RandomNormal
random_uniform = RandomUniform
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
zeros = Zeros
IdentityInitializer = Identity
OrthogonalInitializer = Orthogonal


serialize, deserialize = INITIALIZERS.serialize, INITIALIZERS.deserialize

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "initializer", lambda: INITIALIZERS.names)
