"""Discretization: numbers become the numbers of the bins that they are in. It is made of other layers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastnn import layers
from fastnn.data.rows import rows
from fastnn.layers.activation import Activation
from fastnn.layers.features import CategoryEncoding
from fastnn.layers.merge import Add
from fastnn.layers.scaling import Rescaling
from fastnn.models.architecture import MODELS
from fastnn.models.own_layer import Layer
from fastnn.words import choose, integer, keywords, number

_COMMON = ("activity_regularizer", "trainable", "dtype", "autocast", "name")
_MODES = ("int", "one_hot", "multi_hot", "count")
_MOST_OPERANDS = 64
# Numbers that no input reaches, and beyond: see `_step`.
_FAR, _FARTHER = 1e30, 3e38


class Discretization(Layer):
    """Numbers become the numbers of their bins: how many of the boundaries they are not below.

        >>> layer = fastnn.layers.Discretization(bin_boundaries=[0.0, 1.0])
        >>> layer([[-1.5, 0.0, 3.4]]).tolist()
        [[0.0, 1.0, 2.0]]

    With num_bins `adapt(data)` takes the boundaries from data, before the model is built; they are part
    of the model's config and files. Inputs are numbers of a size up to 1e30; no gradient passes.

    Args:
        bin_boundaries: ascending numbers; give these or num_bins.
        num_bins: how many bins of about equally many numbers `adapt` makes.
        epsilon: accepted as in Keras, and unused: the quantiles are exact.
        output_mode: "int": the number of the bin, as a float, for each number of a row. "one_hot",
            "multi_hot", "count": what `CategoryEncoding` makes of these numbers.
        sparse: False alone.
        **common: see `Layer`.

    Raises:
        ValueError: both or neither of bin_boundaries and num_bins are given, or the layer is called
            before it has boundaries.
    """

    @keywords(*_COMMON)
    def __init__(
        self,
        bin_boundaries: Sequence[float] | None = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if (bin_boundaries is None) == (num_bins is None):
            raise ValueError("Discretization: give bin_boundaries or num_bins, one of the two")
        if sparse:
            raise ValueError(f"sparse: expected False, got {sparse!r}; outputs are dense")
        self.num_bins = None if num_bins is None else integer("num_bins", num_bins, 2)
        self.epsilon = number("epsilon", epsilon, 0.0)
        self.output_mode = choose("output_mode", output_mode, _MODES)
        self.bin_boundaries: list[float] | None = None
        self._steps_of_bins: list[list[Any]] = []
        self._joins: list[Any] = []
        if bin_boundaries is not None:
            self._set(bin_boundaries)

    def _set(self, boundaries: Any) -> None:
        found = [number("bin_boundaries", one) for one in np.asarray(boundaries).tolist()]
        if not found or any(a > b for a, b in itertools.pairwise(found)):
            raise ValueError(f"bin_boundaries: expected ascending numbers, got {boundaries!r}")
        self.bin_boundaries = found

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Takes the boundaries from data: quantiles of all its numbers.

            >>> layer = fastnn.layers.Discretization(num_bins=4)
            >>> layer.adapt([[-1.5, 1.0, 3.4, 0.5], [0.0, 3.0, 1.3, 0.0]])
            >>> layer.bin_boundaries
            [0.0, 0.5, 1.3]

        Args:
            data: an array, or an iterable of batches.
            steps: of an iterable, how many batches to take; None: all.

        Raises:
            ValueError: the layer was given bin_boundaries, or was built; or data is empty.
        """
        if self.num_bins is None:
            raise ValueError("adapt: the layer was given bin_boundaries; give num_bins instead")
        if self.built:
            raise ValueError(f"adapt: layer {self.name!r} is built; adapt it before it is called")
        values = np.concatenate([np.ravel(block) for block in _blocks(data, steps)])
        if values.size == 0:
            raise ValueError("adapt: data is empty")
        shares = np.arange(1, self.num_bins) / self.num_bins
        found = np.quantile(values.astype(np.float64), shares, method="interpolated_inverted_cdf")
        self.bin_boundaries = [float(one) for one in found]

    def build(self, input_shape: Any) -> None:
        del input_shape
        if self.bin_boundaries is None:
            raise ValueError(
                f"layer {self.name!r}: Discretization has no boundaries: give bin_boundaries, or call "
                "adapt(data) first"
            )
        dtype = np.dtype(self.dtype)
        self._steps_of_bins = [_step(one, dtype) for one in self.bin_boundaries]
        ends: list[Any] = [Rescaling(-1.0)]
        if self.output_mode != "int":
            ends.append(CategoryEncoding(len(self.bin_boundaries) + 1, self.output_mode))
        groups = -(-len(self.bin_boundaries) // _MOST_OPERANDS)
        self._joins = [[Add() for _ in range(groups)], Add(), ends]

    def call(self, inputs: Any) -> Any:  # type: ignore[override]
        found = []
        for steps in self._steps_of_bins:
            x = inputs
            for layer in steps:
                x = layer(x)
            found.append(x)
        each, whole, ends = self._joins
        sums = [
            add(found[k * _MOST_OPERANDS : (k + 1) * _MOST_OPERANDS]) for k, add in enumerate(each)
        ]
        y = whole(sums)
        for layer in ends:
            y = layer(y)
        return y

    def get_config(self) -> dict[str, Any]:
        """The options, and the boundaries that `adapt` found."""
        names = ("bin_boundaries", "num_bins", "epsilon", "output_mode")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """A layer of the options that `get_config` gave, with the boundaries that `adapt` found."""
        del custom_objects
        given = dict(config)
        found = given.get("bin_boundaries")
        if found is None or given.get("num_bins") is None:
            return cls(**{name: v for name, v in given.items() if v is not None})
        del given["bin_boundaries"]
        made = cls(**given)
        made._set(found)
        return made


def _step(boundary: float, dtype: np.dtype[Any]) -> list[Any]:
    """Layers that make -1 of a number that is not below the boundary, and 0 of others.

    The first leaves the former, and makes -_FARTHER of the latter; the second makes 1 of what is no
    larger than _FAR with its sign turned; the last makes 0 of what is left.
    """
    least = float(np.nextafter(np.array(boundary, dtype), np.array(-np.inf, dtype)))
    return [
        Activation(f"threshold(threshold={least!r}, default_value={-_FARTHER})"),
        Rescaling(-1.0),
        Activation(f"threshold(threshold={_FAR}, default_value=1.0)"),
        Rescaling(-1.0),
        Activation("threshold(threshold=-1.5, default_value=0.0)"),
    ]


def _blocks(data: Any, steps: int | None) -> list[NDArray[Any]]:
    if hasattr(data, "__iter__") and not hasattr(data, "__len__"):
        found: list[NDArray[Any]] = []
        for block in data:
            if steps is not None and len(found) >= steps:
                break
            found.append(rows("data", block, None))
        return found
    return [rows("data", data, None)]


MODELS |= {"Discretization": Discretization}
# As `Layer`: the room of layers knows no models.
vars(layers).update(Discretization=Discretization)
