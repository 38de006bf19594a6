"""The oracle of optimizers: their steps in float64 NumPy, as part of `reference`.

No step works in place: each returns what it would have written.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def sgd_step(
    param: Array,
    grad: Array,
    velocity: Array,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> tuple[Array, Array]:
    """Keras's SGD: v = momentum v - lr g; p += v, or with Nesterov p += momentum v - lr g."""
    param = param - learning_rate * weight_decay * param  # decoupled: Loshchilov & Hutter 2019
    velocity = momentum * velocity - learning_rate * grad
    step = momentum * velocity - learning_rate * grad if nesterov else velocity
    return param + step, velocity


def adam_step(
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    *,
    step: int,
    learning_rate: float = 1e-3,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Kingma & Ba 2015, algorithm 1 (epsilon outside of the corrected root), `step` from 1."""
    param = param - learning_rate * weight_decay * param
    m = beta_1 * m + (1.0 - beta_1) * grad
    v = beta_2 * v + (1.0 - beta_2) * grad * grad
    m_hat = m / (1.0 - beta_1**step)
    v_hat = v / (1.0 - beta_2**step)
    return param - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v


def rmsprop_step(
    param: Array,
    grad: Array,
    velocity: Array,
    momentum_sum: Array,
    average_gradient: Array,
    *,
    learning_rate: float = 1e-3,
    rho: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-7,
    centered: bool = False,
    weight_decay: float = 0.0,
) -> tuple[Array, Array, Array, Array]:
    """Keras's RMSprop (Hinton 2012; epsilon inside of the root).

    `velocity` averages g^2. `momentum_sum` is the step with momentum and changes only where there
    is momentum; `average_gradient` averages g and changes only where `centered`.
    """
    param = param - learning_rate * weight_decay * param
    velocity = rho * velocity + (1.0 - rho) * grad * grad
    spread = velocity
    if centered:
        average_gradient = rho * average_gradient + (1.0 - rho) * grad
        spread = velocity - average_gradient * average_gradient
    step = learning_rate * grad / np.sqrt(spread + epsilon)
    if momentum > 0:
        momentum_sum = step = momentum * momentum_sum + step
    return param - step, velocity, momentum_sum, average_gradient


def lion_step(
    param: Array,
    grad: Array,
    m: Array,
    *,
    learning_rate: float = 1e-3,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    weight_decay: float = 0.0,
) -> tuple[Array, Array]:
    """Chen et al. 2023, algorithm 2: the sign of beta_1 m + (1 - beta_1) g, then m by beta_2."""
    param = param - learning_rate * weight_decay * param
    param = param - learning_rate * np.sign(beta_1 * m + (1.0 - beta_1) * grad)
    return param, beta_2 * m + (1.0 - beta_2) * grad


def amsgrad_step(
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    v_max: Array,
    *,
    step: int,
    learning_rate: float = 1e-3,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> tuple[Array, Array, Array, Array]:
    """Reddi et al. 2018: Adam with the largest v, before its correction as in PyTorch and Keras."""
    param = param - learning_rate * weight_decay * param
    m = beta_1 * m + (1.0 - beta_1) * grad
    v = beta_2 * v + (1.0 - beta_2) * grad * grad
    v_max = np.maximum(v_max, v)
    m_hat = m / (1.0 - beta_1**step)
    v_hat = v_max / (1.0 - beta_2**step)
    return param - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v, v_max


def adamax_step(
    param: Array,
    grad: Array,
    m: Array,
    u: Array,
    *,
    step: int,
    learning_rate: float = 1e-3,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Kingma & Ba 2015, algorithm 2, with Keras's epsilon."""
    param = param - learning_rate * weight_decay * param
    m = beta_1 * m + (1.0 - beta_1) * grad
    u = np.maximum(beta_2 * u, np.abs(grad))
    return param - learning_rate * m / ((1.0 - beta_1**step) * (u + epsilon)), m, u


def nadam_step(
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    *,
    step: int,
    learning_rate: float = 1e-3,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Dozat 2016, with mu_t = beta_1 (1 - 0.96^t / 2) as in Keras."""

    def warmed(count: int) -> float:
        # Later factors are 1.
        return float(np.prod(1.0 - 0.5 * 0.96 ** np.arange(1.0, min(count, 2000) + 1.0)))

    param = param - learning_rate * weight_decay * param
    m = beta_1 * m + (1.0 - beta_1) * grad
    v = beta_2 * v + (1.0 - beta_2) * grad * grad
    here, ahead = (beta_1 * (1.0 - 0.5 * 0.96 ** float(t)) for t in (step, step + 1))
    product, product_ahead = (beta_1 ** float(t) * warmed(t) for t in (step, step + 1))
    m_hat = ahead * m / (1.0 - product_ahead) + (1.0 - here) * grad / (1.0 - product)
    v_hat = v / (1.0 - beta_2**step)
    return param - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v


def adagrad_step(
    param: Array,
    grad: Array,
    accumulator: Array,
    *,
    learning_rate: float = 1e-3,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> tuple[Array, Array]:
    """Duchi et al. 2011, with Keras's epsilon inside of the root."""
    param = param - learning_rate * weight_decay * param
    accumulator = accumulator + grad * grad
    return param - learning_rate * grad / np.sqrt(accumulator + epsilon), accumulator


def adadelta_step(
    param: Array,
    grad: Array,
    gradients: Array,
    moves: Array,
    *,
    learning_rate: float = 1e-3,
    rho: float = 0.95,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Zeiler 2012, algorithm 1, with a learning rate."""
    param = param - learning_rate * weight_decay * param
    gradients = rho * gradients + (1.0 - rho) * grad * grad
    move = np.sqrt(moves + epsilon) / np.sqrt(gradients + epsilon) * grad
    moves = rho * moves + (1.0 - rho) * move * move
    return param - learning_rate * move, gradients, moves


def lamb_step(
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    *,
    step: int,
    learning_rate: float = 1e-3,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> tuple[Array, Array, Array]:
    """You et al. 2020, algorithm 2; the decay comes first, as in Keras."""
    param = param - learning_rate * weight_decay * param
    m = beta_1 * m + (1.0 - beta_1) * grad
    v = beta_2 * v + (1.0 - beta_2) * grad * grad
    r = m / (1.0 - beta_1**step) / (np.sqrt(v / (1.0 - beta_2**step)) + epsilon)
    of_weights, of_r = np.sqrt(np.sum(param**2)), np.sqrt(np.sum(r**2))
    ratio = of_weights / of_r if of_weights > 0 and of_r > 0 else 1.0
    return param - learning_rate * ratio * r, m, v


def muon_step(
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    *,
    step: int = 1,
    learning_rate: float = 1e-3,
    momentum: float = 0.95,
    nesterov: bool = True,
    adam_beta_1: float = 0.9,
    adam_beta_2: float = 0.999,
    epsilon: float = 1e-7,
    adam_lr_ratio: float = 1.0,
    adam_weight_decay: float = 0.004,
    muon_a: float = 3.4445,
    muon_b: float = -4.7750,
    muon_c: float = 2.0315,
    ns_steps: float = 5,
    rms_rate: float = 0.2,
    weight_decay: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Jordan et al. 2024 as Keras has it; what is no matrix takes the step of Adam."""
    if param.ndim != 2:
        param = param - learning_rate * adam_weight_decay * param
        return adam_step(
            param,
            grad,
            m,
            v,
            step=step,
            learning_rate=learning_rate * adam_lr_ratio,
            beta_1=adam_beta_1,
            beta_2=adam_beta_2,
            epsilon=epsilon,
        )
    param = param - learning_rate * weight_decay * param
    m = momentum * m + grad
    x = grad + momentum * m if nesterov else m
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(int(ns_steps)):
        a = x @ x.T
        x = muon_a * x + (muon_b * a + muon_c * a @ a) @ x
    if rms_rate:
        x = x * np.sqrt(max(x.shape)) * rms_rate
    return param - learning_rate * x, m, v


# name: (step, the number of arrays of state)
OPTIMIZERS: dict[str, tuple[Callable[..., tuple[Array, ...]], int]] = {
    "sgd": (sgd_step, 1),
    "adam": (adam_step, 2),
    "lion": (lion_step, 1),
    "rmsprop": (rmsprop_step, 3),
    "amsgrad": (amsgrad_step, 3),
    "adamax": (adamax_step, 2),
    "nadam": (nadam_step, 2),
    "adagrad": (adagrad_step, 1),
    "adadelta": (adadelta_step, 2),
    "lamb": (lamb_step, 2),
    "muon": (muon_step, 2),
}
# Steps that are told their number.
NUMBERED = ("adam", "amsgrad", "adamax", "nadam", "lamb", "muon")


def first_state(optimizer: str, like: Array, initial: float = 0.0) -> list[Array]:
    """The state before the first step; `initial`: what the first array holds."""
    slots = OPTIMIZERS[optimizer][1]
    return [np.full_like(like, initial if slot == 0 else 0.0) for slot in range(slots)]


def number_of(optimizer: str, step: int) -> dict[str, int]:
    """The argument of a step that is told its number; nothing for others."""
    return {"step": step} if optimizer in NUMBERED else {}
