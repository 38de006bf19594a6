"""The kernels as functions on NumPy arrays, or on arrays of a CUDA device.

Computed in float64 if any array of numbers (not labels, not weights of rows) is
float64, else in float32. Shapes are checked natively; only types and words are
here. No function keeps anything; all but the steps allocate their results.

Under FASTNN_DEVICE=cuda NumPy arrays are copied to the device and results back. Arrays
that lie there (of PyTorch, CuPy and others, by DLPack or `__cuda_array_interface__`; or a
`DeviceArray`) are used in place, in the order of their streams, and results are arrays of
the library of the first argument. They must be C-contiguous and all of one type, float32
or float64; arrays of the host beside them are an error. Labels, targets and weights are
copied to the host to be checked. Losses are floats, for which the call waits, as it does
where a library does not tell its stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import _core, activations, config, data
from fastnn._core import DeviceArray
from fastnn.device_arrays import handed_back, on_device, taken
from fastnn.words import flag, int32, integer, keywords, number

Array = NDArray[Any]
_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)

__all__ = [
    "DeviceArray",
    "activation_backward",
    "activation_forward",
    "adam_step",
    "dense_backward",
    "dense_forward",
    "mean_squared_error",
    "sgd_step",
    "sigmoid_cross_entropy",
    "softmax",
    "softmax_cross_entropy",
]


def _floats(**arrays: ArrayLike | None) -> list[Any]:
    """The arrays in one type and C order; None stays None. On the device: as they are."""
    config.device()
    try:
        given = [
            None if value is None else data.numeric(name, value) for name, value in arrays.items()
        ]
    except data.OnDevice:
        return _device_floats(arrays)
    double = any(array is not None and array.dtype == _DOUBLE for array in given)
    dtype = _DOUBLE if double else _SINGLE
    return [None if array is None else data.plain(array, dtype) for array in given]


def _device_floats(arrays: Mapping[str, Any]) -> list[DeviceArray | None]:
    given = {name: value for name, value in arrays.items() if value is not None}
    lie = {name: on_device(value) for name, value in given.items()}
    for name, there in lie.items():
        if not there:
            raise _mixture(next(other for other in lie if lie[other]), name)
    found = {name: taken(name, value) for name, value in given.items()}
    leader, first = next(iter(found.items()))
    for name, array in found.items():
        if array.dtype not in (_SINGLE, _DOUBLE):
            raise TypeError(f"{name}: expected float32 or float64 on the device, got {array.dtype}")
        if array.dtype != first.dtype:
            raise TypeError(f"{name}: expected {first.dtype} as {leader} is, got {array.dtype}")
    return [found.get(name) for name in arrays]


def _mixture(there: str, here: str) -> TypeError:
    return TypeError(
        f"{there} lies on the device and {here} does not: expected all on one side; copy one"
    )


def _beside(name: str, value: ArrayLike, leader: str, first: Array | DeviceArray) -> Array:
    """Labels or weights of rows, on the host: of the device's, a copy."""
    if isinstance(first, DeviceArray):
        if not on_device(value):
            raise _mixture(leader, name)
        return taken(name, value).numpy()
    try:
        return data.numeric(name, value)
    except data.OnDevice:
        raise _mixture(name, leader) from None


def _weights(
    name: str, value: ArrayLike | None, leader: str, first: Array | DeviceArray
) -> Array | None:
    """In the type of the primary array."""
    return None if value is None else data.plain(_beside(name, value, leader, first), first.dtype)


def _result(leader: object, result: Any) -> Array:
    """As an array of the library of the leading argument; of NumPy or, typed so, like it."""
    given: Array = handed_back(leader, result) if type(result) is DeviceArray else result
    return given


@keywords()
def dense_forward(
    x: ArrayLike, w: ArrayLike, b: ArrayLike | None = None, activation: str = "linear"
) -> Array:
    """y = activation(x @ w + b).

    Args:
        x: (n, i).
        w: (i, o).
        b: (o,) or None.
        activation: a name, see `activation_forward`.

    Returns:
        y of shape (n, o).

    Raises:
        ValueError: shapes do not fit, or the activation is unknown.
        TypeError: an array does not hold real numbers.
    """
    name = activations.get_elementwise(activation)
    x_, w_, b_ = _floats(x=x, w=w, b=b)
    return _result(x, _core.dense_forward(x_, w_, b_, name))


@keywords()
def dense_backward(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    y: ArrayLike | None,
    activation: str = "linear",
    *,
    z: ArrayLike | None = None,
) -> tuple[Array, Array, Array]:
    """The gradients of `dense_forward`.

    Args:
        dy: the gradient with respect to y, (n, o).
        x, w: the inputs (n, i) and the kernel (i, o).
        y: the output (n, o) of `dense_forward`; None is taken for linear.
        activation: the activation of `dense_forward`.
        z: the pre-activation x @ w + b (n, o), for activations whose derivative cannot be had
            from y alone (gelu, silu); computing it again would need b.

    Returns:
        dx (n, i), dw (i, o) and db (o,).

    Raises:
        ValueError: shapes do not fit, z is missing where it is needed, or the activation is
            unknown.
        TypeError: an array does not hold real numbers.
    """
    name = activations.get_elementwise(activation)
    dy_, x_, w_, y_, z_ = _floats(dy=dy, x=x, w=w, y=y, z=z)
    dx, dw, db = _core.dense_backward(dy_, x_, w_, y_, z_, name)
    return _result(dy, dx), _result(dy, dw), _result(dy, db)


@keywords()
def activation_forward(x: ArrayLike, name: str) -> Array:
    """y = f(x), element by element, of any shape.

    Args:
        x: any shape.
        name: "linear", "relu", "leaky_relu", "elu", "gelu" (the exact form with erf), "silu"
            (or "swish"), "softplus", "sigmoid" or "tanh". NaN gives NaN.

    Raises:
        ValueError: the name is unknown; the near match is suggested.
    """
    word = activations.get_elementwise(name)
    (x_,) = _floats(x=x)
    return _result(x, _core.activation_forward(x_, word))


@keywords()
def activation_backward(dy: ArrayLike, x: ArrayLike, y: ArrayLike, name: str) -> Array:
    """dx = dy * f'(x), for y = f(x).

    Args:
        dy, x, y: of one shape; both x and y are given, and each activation uses the one from
            which its derivative is exact.
        name: see `activation_forward`.
    """
    word = activations.get_elementwise(name)
    dy_, x_, y_ = _floats(dy=dy, x=x, y=y)
    return _result(dy, _core.activation_backward(dy_, x_, y_, word))


@keywords()
def softmax(x: ArrayLike) -> Array:
    """exp(x) / sum(exp(x)) over the last axis, computed from x - max(x).

    Args:
        x: at least one axis; the last must not be empty.
    """
    (x_,) = _floats(x=x)
    return _result(x, _core.softmax(x_))


@keywords()
def softmax_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    ignore_class: int | None = None,
) -> tuple[float, Array]:
    """The cross-entropy of softmax(logits), and its gradient.

    A row's loss is -sum(t * log(softmax(z))), computed as logsumexp(z) - z[label]; the result
    is the weighted mean sum(w * l) / sum(w) over rows (Keras divides by n).

    Args:
        logits: (n, c).
        labels: integers (n,) in [0, c), or probabilities (n, c).
        sample_weight: (n,), at least 0; None: all 1.
        label_smoothing: s in [0, 1]: targets become (1 - s) * t + s / c.
        ignore_class: a label whose rows count nowhere.

    Returns:
        The loss, a float (0 where no row has weight), and dlogits (n, c), the gradient of it.

    Raises:
        ValueError: shapes do not fit, or a label or weight is out of range (with its row).
        TypeError: integer labels were expected.
    """
    smoothing = number("label_smoothing", label_smoothing, 0.0, 1.0)
    ignored = None if ignore_class is None else int32("ignore_class", ignore_class)
    (z,) = _floats(logits=logits)
    weights = _weights("sample_weight", sample_weight, "logits", z)
    given: Any
    if isinstance(z, DeviceArray) and on_device(labels) and taken("labels", labels).ndim != 1:
        _, given = _device_floats({"logits": z, "labels": labels})
    else:
        given = _beside("labels", labels, "logits", z)
        given = _labels(given) if given.ndim == 1 else data.plain(given, z.dtype)
    loss, dlogits = _core.softmax_cross_entropy(z, given, weights, smoothing, ignored)
    return loss, _result(logits, dlogits)


def _labels(given: Array) -> NDArray[np.int32]:
    if given.dtype.kind not in "biu":
        raise TypeError(f"labels: expected integers of shape (n,), got dtype {given.dtype}")
    # Out of range for 32 bits is out of range for any number of classes, and has to stay so.
    limits = np.iinfo(np.int32)
    wrong = (given < limits.min) | (given > limits.max)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"labels: expected 32-bit integers, got {given[row]} at row {row}")
    # A copy, always: native code indexes by labels that it has checked, and another thread
    # may write to the caller's array meanwhile.
    return np.array(given, dtype=np.int32, order="C")


@keywords()
def sigmoid_cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    pos_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
) -> tuple[float, Array]:
    """The cross-entropy of sigmoid(logits), each output for itself, and its gradient.

    An element's loss is max(z, 0) - z * t + log1p(exp(-abs(z))) (with `pos_weight`, its part
    for positive targets is multiplied); the result is the weighted mean over rows and labels.

    Args:
        logits: (n, o) or (n,).
        targets: the same shape, 0 to 1; NaN marks a missing label, which counts nowhere.
        sample_weight: (n,), at least 0; None: all 1.
        pos_weight: the weight of positive targets, a number or (o,); it does not enter the sum
            of weights.
        label_smoothing: s in [0, 1]: targets become (1 - s) * t + s / 2.

    Returns:
        The loss, a float (0 where nothing has weight), and dlogits, the gradient of it.

    Raises:
        ValueError: shapes do not fit, or a target or weight is out of range (with its row).
    """
    smoothing = number("label_smoothing", label_smoothing, 0.0, 1.0)
    (z,) = _floats(logits=logits)
    given: Any
    if isinstance(z, DeviceArray):
        _, given = _device_floats({"logits": z, "targets": targets})
    else:
        given = data.plain(_beside("targets", targets, "logits", z), z.dtype)
    weights = _weights("sample_weight", sample_weight, "logits", z)
    if np.isscalar(pos_weight):
        positive: Array | None = data.plain(data.numeric("pos_weight", pos_weight), z.dtype)
    else:
        positive = _weights("pos_weight", pos_weight, "logits", z)
    if positive is not None and positive.ndim == 0:
        positive = np.full(z.shape[1:] or (1,), positive, dtype=z.dtype)
    loss, dlogits = _core.sigmoid_cross_entropy(z, given, weights, positive, smoothing)
    return loss, _result(logits, dlogits)


@keywords()
def mean_squared_error(
    pred: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """The mean of (pred - target)**2, and its gradient.

    Args:
        pred: (n, o) or (n,).
        target: the same shape.
        sample_weight: (n,), at least 0; None: all 1. The mean over o is taken first, then the
            weighted mean over rows.

    Returns:
        The loss, a float (0 where no row has weight), and dpred, the gradient of it.
    """
    p, t = _floats(pred=pred, target=target)
    weights = _weights("sample_weight", sample_weight, "pred", p)
    loss, dpred = _core.mean_squared_error(p, t, weights)
    return loss, _result(pred, dpred)


@keywords()
def sgd_step(
    param: Array,
    grad: Array,
    velocity: Array | None,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """One step of stochastic gradient descent, in place.

    velocity = momentum * velocity - learning_rate * grad, and param moves by velocity, or with
    nesterov by momentum * velocity - learning_rate * grad. Before that, param loses
    learning_rate * weight_decay of itself.

    Args:
        param: any shape; changed.
        grad: the same shape and type.
        velocity: the same shape and type; changed. None where momentum is 0.

    Raises:
        TypeError: not NumPy arrays of one type, float32 or float64; or not all on the device.
        ValueError: not writable or not C-contiguous; two of them share memory; shapes differ;
            a number is out of range. Nothing has changed then.
    """
    names = ("param", "grad", "velocity")
    param, grad, velocity = _in_place(names, (param, grad, velocity), ("param", "velocity"))
    rate = number("learning_rate", learning_rate, 0.0)
    decay = number("weight_decay", weight_decay, 0.0)
    speed = number("momentum", momentum, 0.0, 1.0, open_high=True)
    _core.sgd_step(param, grad, velocity, rate, speed, flag("nesterov", nesterov), decay)


@keywords()
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
) -> None:
    """One step of Adam (Kingma and Ba, 2015), in place.

    m and v move towards grad and grad**2; param moves by
    -learning_rate * m_hat / (sqrt(v_hat) + epsilon), with m_hat = m / (1 - beta_1**step) and
    v_hat = v / (1 - beta_2**step). Before that, param loses learning_rate * weight_decay of
    itself (AdamW).

    Args:
        param, m, v: any shape; changed.
        grad: the same shape and type.
        step: the number of this step, from 1.

    Raises:
        TypeError: not NumPy arrays of one type, float32 or float64; or not all on the device.
        ValueError: not writable or not C-contiguous; two of them share memory; shapes differ;
            a number is out of range. Nothing has changed then.
    """
    names = ("param", "grad", "m", "v")
    param, grad, m, v = _in_place(names, (param, grad, m, v), ("param", "m", "v"))
    count = integer("step", step)
    rate = number("learning_rate", learning_rate, 0.0)
    decay = number("weight_decay", weight_decay, 0.0)
    first = number("beta_1", beta_1, 0.0, 1.0, open_high=True)
    second = number("beta_2", beta_2, 0.0, 1.0, open_high=True)
    tiny = number("epsilon", epsilon, 0.0)
    _core.adam_step(param, grad, m, v, count, rate, first, second, tiny, decay)


def _in_place(names: Sequence[str], arrays: Sequence[Any], written: Sequence[str]) -> Sequence[Any]:
    """Refuses what would have to be converted: the caller's own array must change."""
    config.device()
    if any(not isinstance(array, np.ndarray) and on_device(array) for array in arrays):
        return _device_in_place(dict(zip(names, arrays, strict=True)), written)
    first = None
    for name, array in zip(names, arrays, strict=True):
        if array is None and name == "velocity":
            continue
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name}: expected a NumPy array, got {type(array).__name__}")
        if array.dtype not in (np.float32, np.float64) or not array.dtype.isnative:
            raise TypeError(f"{name}: expected float32 or float64, got {array.dtype}")
        first = array if first is None else first
        if array.dtype != first.dtype:
            raise TypeError(f"{name}: expected {first.dtype} as {names[0]} is, got {array.dtype}")
        if not array.flags.c_contiguous:
            raise ValueError(f"{name}: expected a C-contiguous array, got strides {array.strides}")
        if not array.flags.aligned:
            raise ValueError(f"{name}: expected an aligned array")
        if name in written and not array.flags.writeable:
            raise ValueError(f"{name}: the array is not writable, but is changed in place")
    # Of two of these arrays one is written always. They are contiguous, so that their bounds
    # tell exactly whether they overlap.
    for (name, array), (other_name, other) in combinations(zip(names, arrays, strict=True), 2):
        if array is not None and other is not None and np.may_share_memory(array, other):
            raise _shared(other_name, name)
    return arrays


def _shared(name: str, other: str) -> ValueError:
    return ValueError(f"{name}: expected memory of its own, but shares it with {other}")


def _device_in_place(arrays: Mapping[str, Any], written: Sequence[str]) -> Sequence[Any]:
    for name, array in arrays.items():
        if array is None and name != "velocity":
            raise TypeError(f"{name}: expected an array, got None")
    found = _device_floats(arrays)
    pairs = [(n, a) for n, a in zip(arrays, found, strict=True) if a is not None]
    for name, array in pairs:
        if name in written and not array.writable:
            raise ValueError(f"{name}: the array is not writable, but is changed in place")
    for (name, one), (other_name, other) in combinations(pairs, 2):
        apart = one.address + one.nbytes <= other.address
        if not (apart or other.address + other.nbytes <= one.address):
            raise _shared(other_name, name)
    return found
