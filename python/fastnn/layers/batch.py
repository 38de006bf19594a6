"""BatchNormalization: each column brought to mean 0 and variance 1 over the batch, then scaled."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Unpack

from fastnn import _core, initializers
from fastnn.autodiff import batch_over_ranks, kernels
from fastnn.autodiff.shared import part_of_batch
from fastnn.autodiff.tensor import Tensor
from fastnn.constraints import ConstraintLike
from fastnn.initializers import InitializerLike
from fastnn.layers.base import (
    COMMON,
    LAYERS,
    Common,
    Shape,
    WeightSpec,
)
from fastnn.layers.of_rows import Scaled
from fastnn.registry import Checked
from fastnn.regularizers import RegularizerLike
from fastnn.variables import Variable
from fastnn.words import keywords, number


@LAYERS.register("batch_normalization")
class BatchNormalization(Scaled):
    """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, by column.

    In training the mean and the variance (of the population, as in Keras) are those of the batch
    (Ioffe and Szegedy, 2015, arXiv:1502.03167), and the moving ones become
    momentum * moving + (1 - momentum) * of the batch. `predict`, `evaluate` and a layer with
    `trainable=False` use the moving ones, which training then leaves as they are. A batch of one row
    has the variance 0. Averages of weights (`use_ema`) leave the moving statistics alone.

    Weights: gamma, beta, moving_mean, moving_variance, each (columns,); the last two are never
    trained.

    Args:
        axis: -1 or 1, the axis of the columns; others are not in fastnn.
        momentum: in [0, 1], of the moving statistics.
        epsilon: at least 0.
        center: whether there is a beta.
        scale: whether there is a gamma.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer: see
            `fastnn.initializers`.
        beta_regularizer, gamma_regularizer: see `fastnn.regularizers`.
        beta_constraint, gamma_constraint: see `fastnn.constraints`.

    Example:
        >>> from fastnn import layers
        >>> layer = layers.BatchNormalization(epsilon=0.0)
        >>> layer([[1.0, 10.0], [3.0, 30.0]], training=True).numpy().tolist()
        [[-1.0, -1.0], [1.0, 1.0]]
        >>> print(layer.moving_mean.numpy().round(4))
        [0.02 0.2 ]

    Raises:
        ValueError: the input has more than one axis; put Flatten() before it.
    """

    statistics: ClassVar[tuple[str, ...]] = ("moving_mean", "moving_variance")
    _inside = ("of_batch",)
    momentum = Checked(partial(number, low=0.0, high=1.0))
    moving_mean_initializer = Checked(initializers.checked)
    moving_variance_initializer = Checked(initializers.checked)

    @keywords(*COMMON)
    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        moving_mean_initializer: InitializerLike = "zeros",
        moving_variance_initializer: InitializerLike = "ones",
        beta_regularizer: RegularizerLike = None,
        gamma_regularizer: RegularizerLike = None,
        beta_constraint: ConstraintLike = None,
        gamma_constraint: ConstraintLike = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.axis = axis
        self.momentum = momentum
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = beta_initializer
        self.gamma_initializer = gamma_initializer
        self.moving_mean_initializer = moving_mean_initializer
        self.moving_variance_initializer = moving_variance_initializer
        self.beta_regularizer, self.gamma_regularizer = beta_regularizer, gamma_regularizer
        self.beta_constraint, self.gamma_constraint = beta_constraint, gamma_constraint

    @property
    def moving_mean(self) -> Variable:
        """The mean (columns,) that `predict` uses."""
        return self._variable("moving_mean")

    @property
    def moving_variance(self) -> Variable:
        """The variance (columns,) that `predict` uses."""
        return self._variable("moving_variance")

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        return [
            *super().weight_specs(shape),
            WeightSpec("moving_mean", shape, self.moving_mean_initializer),
            WeightSpec("moving_variance", shape, self.moving_variance_initializer),
        ]

    def of_batch(self, x: Tensor) -> Tensor:
        """As in training, with the moving statistics left as they are."""
        return self._of_batch(x)[0]

    def _of_batch(self, x: Tensor) -> tuple[Tensor, Any, Any]:
        part = part_of_batch()
        if part is None or not part.of_rows(len(x)):
            return kernels.batch_normalization(x, self.gamma, self.beta, self.epsilon)
        return batch_over_ranks.batch_normalization(part, x, self.gamma, self.beta, self.epsilon)

    def call(self, x: Tensor, training: bool) -> Tensor:
        if not training or not self.trainable:
            return kernels.normalized_columns(
                x, self.moving_mean, self.moving_variance, self.gamma, self.beta, self.epsilon
            )
        y, *found = self._of_batch(x)
        for moving, of_batch in zip((self.moving_mean, self.moving_variance), found, strict=True):
            share = 1.0 - self.momentum
            moving.set_statistics(self.momentum * moving.view() + share * of_batch)
        return y

    def extend_again(self, network: _core.Graph, tensor: int, first: int) -> int:
        return network.batch_normalization(
            tensor, self.momentum, self.epsilon, self.center, self.scale, like=first
        )

    def extend(self, network: _core.Graph, tensor: int) -> int:
        return network.batch_normalization(
            tensor, self.momentum, self.epsilon, self.center, self.scale
        )
