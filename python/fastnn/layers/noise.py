"""Layers that act in training alone: Dropout, AlphaDropout, GaussianDropout and GaussianNoise."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Unpack

from fastnn import _core, keys
from fastnn.autodiff import kernels
from fastnn.autodiff.tensor import Tensor
from fastnn.calling import Untraceable, now
from fastnn.layers.base import COMMON, LAYERS, Common, Layer
from fastnn.layers.symbol import any_symbols
from fastnn.registry import Checked
from fastnn.words import flag, integer, keywords, number, optional

_rate = partial(number, low=0.0, high=1.0, open_high=True)


class Noise(Layer):
    """The base of layers that draw random numbers in training, and change nothing elsewhere.

    Each has a stream of random numbers, which its key, the step, the row in the batch and the
    column decide: the same at any number of threads, in every session.
    """

    by_column = True
    _inside = ("acts", "disturbed")
    seed = Checked(optional(partial(integer, low=0)))

    def __init__(self, seed: int | None, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.seed = seed
        self._key: int | None = None  # of calls outside a model
        self._calls = 0

    @property
    def acts(self) -> bool:
        """Whether it changes anything in training."""
        raise NotImplementedError

    def disturbed(self, x: Tensor, key: int) -> Tensor:
        """x with noise, which the key decides."""
        raise NotImplementedError

    def _native_key(self) -> int | None:
        return None if self.seed is None else keys.key_of(self.seed)

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """See `Layer`. In a graph, `training=False` leaves the layer out, also in `fit`.

        Raises:
            TypeError: on a symbol with `training=True`, outside of a call in training: in a native
                graph dropout acts in training alone. A class with a `call` may have it.
        """
        if training is not None and any_symbols(inputs):
            if not flag("training", training):
                return inputs
            if not now().training:
                what = "dropout" if isinstance(self, Dropout) else type(self).__name__
                raise Untraceable(
                    f"layer {self.name!r}: {what} that acts outside of training, by training=True, is "
                    "no part of a graph of layers"
                )
        return super().__call__(inputs, training)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """By the layer's own key and its count of such calls; models have theirs."""
        if not training or not self.acts:
            return x
        if self._key is None:
            self._key = keys.next_key() if self.seed is None else keys.key_of(self.seed)
        key = keys.key_of(self._key, self._calls)
        self._calls += 1
        return self.disturbed(x, key)


class _Rated(Noise):
    """Noise that has a rate."""

    rate = Checked(_rate)

    def __init__(self, rate: float, seed: int | None, **common: Unpack[Common]) -> None:
        super().__init__(seed, **common)
        self.rate = rate

    @property
    def acts(self) -> bool:
        return self.rate > 0


def _no_shape(noise_shape: object) -> None:
    if noise_shape is not None:
        raise ValueError(
            f"noise_shape: expected None, got {noise_shape!r}; every number of a row is "
            "dropped for itself"
        )


@LAYERS.register("dropout")
class Dropout(_Rated):
    """In training, sets each number to 0 with probability `rate`, and scales the rest.

        >>> dropout = fastnn.layers.Dropout(0.75, seed=0)
        >>> x = np.ones((10, 10))
        >>> sorted(set(dropout(x, training=True).numpy().ravel().tolist()))
        [0.0, 4.0]
        >>> dropout(x).numpy().ravel().tolist() == [1.0] * 100
        True

    The rest is multiplied by 1 / (1 - rate); `predict` and `evaluate` change nothing. Which
    numbers are dropped depends on the model's key, the layer and the step, so a seed set by
    `fastnn.utils.set_random_seed` fixes it.

    Args:
        rate: in [0, 1).
        noise_shape: None alone; every number of a row is dropped for itself. (Keras can drop
            whole axes.)
        seed: an integer of at least 0. With it, which numbers are dropped depends on the seed and
            the step alone, whatever the model's key and the layer's place are: two layers with one
            seed drop the same places of rows of equal length.
    """

    _kept_as: ClassVar[dict[str, str | None]] = {**Layer._kept_as, "noise_shape": None}

    @keywords(*COMMON)
    def __init__(
        self,
        rate: float,
        noise_shape: None = None,
        seed: int | None = None,
        **common: Unpack[Common],
    ) -> None:
        _no_shape(noise_shape)
        super().__init__(rate, seed, **common)

    def disturbed(self, x: Tensor, key: int) -> Tensor:
        return kernels.disturbed(x, "dropout", self.rate, key)

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return network.dropout(tensor, self.rate, self._native_key())


@LAYERS.register("alpha_dropout")
class AlphaDropout(_Rated):
    """In training, sets each number to selu's lower limit with probability `rate`, then scales all.

        >>> x = fastnn.layers.AlphaDropout(0.5, seed=0)(np.zeros((10, 10)), training=True)
        >>> len(set(x.numpy().ravel().tolist()))  # b and a * p + b
        2

    With p = -1.7580993408473766, the limit of selu, y = a * x + b where a number is kept and
    y = a * p + b elsewhere, a = ((1 - rate) * (1 + rate * p**2))**-0.5 and b = -a * p * rate:
    numbers of mean 0 and variance 1 keep both (Klambauer et al., 2017, arXiv:1706.02515). For
    layers with the activation selu, whose outputs are such numbers.

    Args:
        rate: in [0, 1).
        noise_shape: None alone; see `Dropout`.
        seed: see `Dropout`.
    """

    _kept_as: ClassVar[dict[str, str | None]] = {**Layer._kept_as, "noise_shape": None}

    @keywords(*COMMON)
    def __init__(
        self,
        rate: float,
        noise_shape: None = None,
        seed: int | None = None,
        **common: Unpack[Common],
    ) -> None:
        _no_shape(noise_shape)
        super().__init__(rate, seed, **common)

    def disturbed(self, x: Tensor, key: int) -> Tensor:
        return kernels.disturbed(x, "alpha_dropout", self.rate, key)

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return network.alpha_dropout(tensor, self.rate, self._native_key())


@LAYERS.register("gaussian_dropout")
class GaussianDropout(_Rated):
    """In training, multiplies each number by 1 + sqrt(rate / (1 - rate)) * z, with z normal.

        >>> x = fastnn.layers.GaussianDropout(0.5, seed=0)(np.ones((100, 100)), training=True)
        >>> print(x.numpy().mean().round(1), x.numpy().std().round(1))
        1.0 1.0

    A Dropout of the same rate has factors of the same mean and variance (Srivastava et al., 2014).

    Args:
        rate: in [0, 1).
        seed: see `Dropout`.
    """

    @keywords(*COMMON)
    def __init__(self, rate: float, seed: int | None = None, **common: Unpack[Common]) -> None:
        super().__init__(rate, seed, **common)

    def disturbed(self, x: Tensor, key: int) -> Tensor:
        return kernels.disturbed(x, "gaussian_dropout", self.rate, key)

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return network.gaussian_dropout(tensor, self.rate, self._native_key())


@LAYERS.register("gaussian_noise")
class GaussianNoise(Noise):
    """In training, adds stddev * z to each number, with z normal.

        >>> noise = fastnn.layers.GaussianNoise(0.5, seed=0)
        >>> x = noise(np.ones((100, 100)), training=True)
        >>> print(x.numpy().mean().round(1), x.numpy().std().round(1))
        1.0 0.5
        >>> noise([[1.0, 2.0]]).tolist()
        [[1.0, 2.0]]

    Args:
        stddev: at least 0. (Keras takes at most 1.)
        seed: see `Dropout`.
    """

    stddev = Checked(partial(number, low=0.0))

    @keywords(*COMMON)
    def __init__(self, stddev: float, seed: int | None = None, **common: Unpack[Common]) -> None:
        super().__init__(seed, **common)
        self.stddev = stddev

    @property
    def acts(self) -> bool:
        return self.stddev > 0

    def disturbed(self, x: Tensor, key: int) -> Tensor:
        return kernels.disturbed(x, "gaussian_noise", self.stddev, key)

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return network.gaussian_noise(tensor, self.stddev, self._native_key())
