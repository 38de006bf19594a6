"""Net: the model of an estimator, made from its parameters, with its weights as scikit-learn has them."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import layers, regularizers
from fastnn._core import Parameters, Predictor
from fastnn.losses import Loss
from fastnn.models import Sequential
from fastnn.optimizers import Optimizer

Array = NDArray[Any]

# scikit-learn's words for activations.
ACTIVATIONS = {
    "identity": "linear",
    "logistic": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "softmax": "softmax",
    "exp": "exponential",
}


def checked_sizes(given: Any) -> tuple[int, ...]:
    """`hidden_layer_sizes`, a number or several, as integers.

    Raises:
        ValueError: one is not above 0, in scikit-learn's words, or not whole: 2.5 is no size.
    """
    sizes = tuple(given) if hasattr(given, "__iter__") else (given,)
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, Integral):
            raise ValueError(  # noqa: TRY004 - as scikit-learn refuses sizes
                f"hidden_layer_sizes must be whole numbers, got {list(sizes)}."
            )
        if size <= 0:
            raise ValueError(f"hidden_layer_sizes must be > 0, got {list(sizes)}.")
    return tuple(int(size) for size in sizes)


class Plan(NamedTuple):
    """What a network is made of."""

    sizes: tuple[int, ...]  # of the input, the hidden layers and the output
    activation: str
    out_activation: str
    dtype: str
    alpha: float  # of penalties, 0 where a solver has its own
    dropout: float = 0.0
    layer_norm: bool = False
    standardizes: bool = False
    device: Any = "auto"
    matmul_precision: Any = None


class Net:
    """A compiled Sequential, and its weights as lists of arrays.

    Args:
        plan: of the layers.
        seed: of the random numbers of training.
        penalty_rows: penalties are those of a batch of so many rows; the solvers scale them to others.
    """

    # What the estimator made it for, besides its weights.
    made_for: Any = None

    def __init__(self, plan: Plan, seed: int, penalty_rows: int = 1) -> None:
        self.plan = plan
        self.penalty_rows = float(penalty_rows)
        self._predictor: Predictor | None = None
        parts: list[layers.Layer] = []
        given: dict[str, Any] = {"input_shape": (plan.sizes[0],)}
        if plan.standardizes:
            parts.append(layers.Normalization(**given))
            given = {}
        # Zeros cost no random numbers; `put` writes the first weights.
        given["kernel_initializer"] = "zeros"
        if plan.alpha:
            given["kernel_regularizer"] = regularizers.L2(plan.alpha / penalty_rows)
        for units in plan.sizes[1:-1]:
            activation = ACTIVATIONS[plan.activation]
            if plan.layer_norm:
                parts += [layers.Dense(units, **given), layers.LayerNormalization()]
                parts.append(layers.Activation(activation))
            else:
                parts.append(layers.Dense(units, activation, **given))
            if plan.dropout:
                parts.append(layers.Dropout(plan.dropout))
            given.pop("input_shape", None)
        parts.append(layers.Dense(plan.sizes[-1], ACTIVATIONS[plan.out_activation], **given))
        self.model = Sequential(parts, dtype=plan.dtype, seed=seed)

    def compile(self, optimizer: Optimizer, loss: Loss, metrics: Sequence[Any] = ()) -> None:
        """Makes it ready to train; the state of the optimizer begins anew. Metrics are weighted."""
        self.model.compile(
            optimizer,
            loss,
            weighted_metrics=list(metrics),
            device=self.plan.device,
            matmul_precision=self.plan.matmul_precision,
        )

    @property
    def _dense(self) -> list[layers.Dense]:
        return [layer for layer in self.model.layers if isinstance(layer, layers.Dense)]

    # -- weights

    def put(self, coefs: Sequence[Array], intercepts: Sequence[Array]) -> None:
        """Writes kernels and biases.

        Raises:
            ValueError: their shapes are not those of the layers.
        """
        self._predictor = None
        for layer, coef, intercept in zip(self._dense, coefs, intercepts, strict=True):
            kernel, bias = layer.variables
            kernel.assign(np.asarray(coef))
            bias.assign(np.asarray(intercept).reshape(bias.shape))

    def views(self) -> tuple[list[Array], list[Array]]:
        """Kernels and biases, read-only; they follow later training."""
        self._predictor = None
        every = [layer.variables for layer in self._dense]
        return [kernel.view() for kernel, _ in every], [bias.view() for _, bias in every]

    @property
    def buffer(self) -> Parameters:
        """The native buffer of all weights."""
        found: Parameters = self._dense[0].kernel.place.parameters
        return found

    def kernel_mask(self) -> NDArray[np.float64]:
        """1 for each element of the buffer that belongs to a kernel, else 0."""
        mask = np.zeros(self.buffer.size)
        for layer in self._dense:
            place = layer.kernel.place
            mask[place.offset : place.offset + place.size] = 1.0
        return mask

    def put_moments(self, mean: Array, variance: Array) -> None:
        """Lets the first layer standardize by these."""
        first = self.model.layers[0]
        assert isinstance(first, layers.Normalization)
        first.mean.assign(mean)
        first.variance.assign(variance)

    def take_rest(self, other: Net) -> None:
        """Takes the weights besides kernels and biases, of a net of the same layers."""
        for mine, theirs in zip(self.model.layers, other.model.layers, strict=True):
            if not isinstance(mine, layers.Dense):
                for variable, value in zip(mine.variables, theirs.variables, strict=True):
                    variable.assign(value.numpy())

    # -- the state of training

    def take_state(self, other: Net) -> None:
        """Goes on from the state of another net's optimizer, and from its counts."""
        mine, theirs = self.model.network, other.model.network
        mine.steps, mine.updates, mine.epochs = theirs.steps, theirs.updates, theirs.epochs
        state = theirs.optimizer_state
        if [slot.shape for slot in state] == [slot.shape for slot in mine.optimizer_state]:
            mine.set_optimizer_state(state)

    # -- answers

    def predict(self, x: Array) -> Array:
        """The outputs for rows of an array."""
        predictor = self._predictor
        if predictor is None:
            predictor = self._predictor = self.model.predictor()
        found: Array = predictor(x)
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_predictor": None}
