"""The ops in NumPy, float32, as a careful user writes them: few temporaries, stable forms.

`ops.py` compares speeds with them. They are no reference for values: that is `tests/reference.py`.
"""

from collections.abc import Callable, MutableMapping
from math import pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.workloads import Floats

try:
    from scipy.special import erf
except ImportError:  # then there is no NumPy gelu to compare with
    erf = None


def sigmoid(x: Floats) -> Floats:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, np.float32(1), e) / (1 + e)


def softplus(x: Floats) -> Floats:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def normal_cdf(x: Floats) -> Floats:
    y = erf(x * np.float32(1 / sqrt(2)))
    y += 1
    y *= np.float32(0.5)
    return y


def silu_gradient(x: Floats) -> Floats:
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


def gelu_gradient(x: Floats) -> Floats:
    return normal_cdf(x) + x * np.exp(-x * x / 2) * np.float32(1 / sqrt(2 * pi))


Activation = tuple[Callable[[Floats], Floats], Callable[[Floats, Floats], NDArray[Any]]]
ACTIVATIONS: MutableMapping[str, Activation] = {  # y of x, and dy/dx of x and y
    "linear": (np.copy, lambda x, _: np.ones_like(x)),
    "relu": (lambda x: np.maximum(x, 0), lambda _, y: y > 0),
    "leaky_relu": (
        lambda x: np.where(x > 0, x, np.float32(0.2) * x),
        lambda x, _: np.where(x > 0, np.float32(1), np.float32(0.2)),
    ),
    "elu": (
        lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        lambda x, y: np.where(x > 0, np.float32(1), y + 1),
    ),
    "silu": (lambda x: x * sigmoid(x), lambda x, _: silu_gradient(x)),
    "softplus": (softplus, lambda x, _: sigmoid(x)),
    "sigmoid": (sigmoid, lambda _, y: y * (1 - y)),
    "tanh": (np.tanh, lambda _, y: 1 - y * y),
}
if erf is not None:
    ACTIVATIONS["gelu"] = (lambda x: x * normal_cdf(x), lambda x, _: gelu_gradient(x))


def dense_forward(x: Floats, w: Floats, b: Floats) -> Floats:
    """With relu."""
    y = x @ w
    y += b
    return np.maximum(y, 0, out=y)


def dense_backward(dy: Floats, x: Floats, w: Floats, y: Floats) -> tuple[Floats, ...]:
    """With relu."""
    dz = dy * (y > 0)
    return dz @ w.T, x.T @ dz, dz.sum(axis=0)


def softmax(x: Floats) -> Floats:
    p = x - x.max(axis=-1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(axis=-1, keepdims=True)
    return p


def layer_normalization(x: Floats, gamma: Floats, beta: Floats) -> Floats:
    y = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("ij,ij->i", y, y) / np.float32(y.shape[1])
    y *= (1 / np.sqrt(variance + np.float32(1e-3)))[:, None]
    y *= gamma
    y += beta
    return y


def softmax_cross_entropy(logits: Floats, labels: np.ndarray) -> tuple[float, Floats]:
    rows = np.arange(len(logits))
    p = logits - logits.max(axis=1, keepdims=True)
    picked = p[rows, labels]
    np.exp(p, out=p)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    p[rows, labels] -= 1
    p *= np.float32(1 / len(p))
    return float(np.mean(np.log(total[:, 0]) - picked)), p


def sigmoid_cross_entropy(z: Floats, targets: Floats) -> tuple[float, Floats]:
    e = np.exp(-np.abs(z))
    loss = float(np.mean(np.maximum(z, 0) - z * targets + np.log1p(e)))
    dz = np.where(z >= 0, np.float32(1), e) / (1 + e)
    dz -= targets
    dz *= np.float32(1 / z.size)
    return loss, dz


def mean_squared_error(pred: Floats, target: Floats) -> tuple[float, Floats]:
    d = pred - target
    loss = float(np.vdot(d, d)) / d.size
    d *= np.float32(2 / d.size)
    return loss, d


def sgd_step(param: Floats, grad: Floats) -> None:
    """With learning rate 1e-6."""
    param -= np.float32(1e-6) * grad


def momentum_step(param: Floats, grad: Floats, velocity: Floats) -> None:
    """With momentum 0.9 and learning rate 1e-6."""
    velocity *= np.float32(0.9)
    velocity -= np.float32(1e-6) * grad
    param += velocity


def adam_step(param: Floats, grad: Floats, m: Floats, v: Floats) -> None:
    """A step late in training, when the bias corrections are one; learning rate 1e-6."""
    m += np.float32(0.1) * (grad - m)
    v += np.float32(0.001) * (grad * grad - v)
    root = np.sqrt(v)
    root += np.float32(1e-7)
    np.divide(m, root, out=root)
    root *= np.float32(1e-6)
    param -= root
