"""The steps of optimizers as functions on arrays, in place: part of `fastnn.ops`, which has the rest.

Each names a row of the native table; ranges of settings are checked by it.
"""

from __future__ import annotations

from typing import Any

from fastnn import _core, rows
from fastnn.arrays import op_arguments
from fastnn.words import flag, integer, number

Array = op_arguments.Array


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

        >>> w, velocity = np.array([1.0, -2.0]), np.zeros(2)
        >>> fastnn.ops.sgd_step(w, np.array([2.0, 4.0]), velocity, learning_rate=0.25, momentum=0.5)
        >>> w.tolist(), velocity.tolist()
        ([0.5, -3.0], [-0.5, -1.0])

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
    settings = {"momentum": momentum, "nesterov": float(flag("nesterov", nesterov))}
    _step("sgd", param, grad, [velocity], learning_rate, weight_decay, settings)


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

        >>> w, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
        >>> fastnn.ops.adam_step(w, np.array([0.01, -100.0]), m, v, step=1, learning_rate=0.125)
        >>> print(w.round(4))
        [ 0.875 -1.875]

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
    settings = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
    _step("adam", param, grad, [m, v], learning_rate, weight_decay, settings, step)


def rmsprop_step(
    param: Array,
    grad: Array,
    velocity: Array,
    momentum_sum: Array | None = None,
    average_gradient: Array | None = None,
    *,
    learning_rate: float = 1e-3,
    rho: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-7,
    centered: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """One step of RMSprop (Tieleman and Hinton, 2012), in place, in Keras's form.

        >>> w, velocity = np.array([1.0, -2.0]), np.zeros(2)
        >>> grad = np.array([0.01, -100.0])
        >>> fastnn.ops.rmsprop_step(w, grad, velocity, learning_rate=0.125, rho=0.75)
        >>> print(w.round(2))  # 0.125 * grad / sqrt(grad**2 / 4)
        [ 0.75 -1.75]

    velocity = rho * velocity + (1 - rho) * grad**2, and param moves by
    -learning_rate * grad / sqrt(velocity + epsilon). With `momentum`, momentum_sum adds these
    moves up (momentum_sum = momentum * momentum_sum + move) and param moves by it. With
    `centered`, the square of average_gradient, a mean of gradients by `rho`, is subtracted from
    the velocity under the root.

    Args:
        param, velocity: any shape; changed.
        grad: the same shape and type.
        momentum_sum: the same, changed; needed with momentum, else None.
        average_gradient: the same, changed; needed with centered, else None.

    Raises:
        TypeError, ValueError: see `adam_step`.
    """
    settings = {
        "rho": rho,
        "momentum": momentum,
        "epsilon": epsilon,
        "centered": float(flag("centered", centered)),
    }
    slots = [velocity, momentum_sum, average_gradient]
    _step("rmsprop", param, grad, slots, learning_rate, weight_decay, settings)


def lion_step(
    param: Array,
    grad: Array,
    m: Array,
    *,
    learning_rate: float = 1e-3,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    weight_decay: float = 0.0,
) -> None:
    """One step of Lion (Chen et al., 2023), in place.

        >>> w, m = np.array([1.0, -2.0]), np.zeros(2)
        >>> fastnn.ops.lion_step(w, np.array([0.01, -100.0]), m, learning_rate=0.25)
        >>> w.tolist()
        [0.75, -1.75]

    param moves by -learning_rate * sign(beta_1 * m + (1 - beta_1) * grad), then
    m = beta_2 * m + (1 - beta_2) * grad.

    Args:
        param, m: any shape; changed.
        grad: the same shape and type.

    Raises:
        TypeError, ValueError: see `adam_step`.
    """
    settings = {"beta_1": beta_1, "beta_2": beta_2}
    _step("lion", param, grad, [m], learning_rate, weight_decay, settings)


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
) -> None:
    """One step of AMSGrad (Reddi et al., 2018), in place.

        >>> w, m, v, v_max = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2), np.zeros(2)
        >>> grad = np.array([0.01, -100.0])
        >>> fastnn.ops.amsgrad_step(w, grad, m, v, v_max, step=1, learning_rate=0.125)
        >>> print(w.round(4))
        [ 0.875 -1.875]

    `adam_step` with v_max = max(v_max, v) in the place of v.

    Args:
        param, m, v, v_max: any shape; changed.
        grad: the same shape and type.
        step: the number of this step, from 1.

    Raises:
        TypeError, ValueError: see `adam_step`.
    """
    settings = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
    _step("amsgrad", param, grad, [m, v, v_max], learning_rate, weight_decay, settings, step)


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
) -> None:
    """One step of Adamax (Kingma and Ba, 2015, section 7.1), in place, in Keras's form.

        >>> w, m, u = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
        >>> fastnn.ops.adamax_step(w, np.array([0.01, -100.0]), m, u, step=1, learning_rate=0.125)
        >>> print(w.round(4))
        [ 0.875 -1.875]

    m moves towards grad, u = max(beta_2 * u, abs(grad)), and param moves by
    -learning_rate * m / ((1 - beta_1**step) * (u + epsilon)). Before that, param loses
    learning_rate * weight_decay of itself.

    Args:
        param, m, u: any shape; changed.
        grad: the same shape and type.
        step: the number of this step, from 1.

    Raises:
        TypeError, ValueError: see `adam_step`.
    """
    settings = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
    _step("adamax", param, grad, [m, u], learning_rate, weight_decay, settings, step)


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
) -> None:
    """One step of Nadam (Dozat, 2016), in place, with Keras's schedule of the momentum.

        >>> w, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
        >>> fastnn.ops.nadam_step(w, np.array([4.0]), m, v, step=1, learning_rate=0.125)
        >>> bool(0.85 < w[0] < 0.9)  # about 1 - 0.125
        True

    m and v move as in `adam_step`. With mu_t = beta_1 * (1 - 0.96**t / 2) and M_t their product up
    to t, param moves by -learning_rate * m_hat / (sqrt(v_hat) + epsilon), where
    m_hat = mu_(t+1) * m / (1 - M_(t+1)) + (1 - mu_t) * grad / (1 - M_t) and t is `step`. Before
    that, param loses learning_rate * weight_decay of itself.

    Args:
        param, m, v: any shape; changed.
        grad: the same shape and type.
        step: the number of this step, from 1.

    Raises:
        TypeError, ValueError: see `adam_step`.
    """
    settings = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
    _step("nadam", param, grad, [m, v], learning_rate, weight_decay, settings, step)


def adagrad_step(
    param: Array,
    grad: Array,
    accumulator: Array,
    *,
    learning_rate: float = 1e-3,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> None:
    """One step of Adagrad (Duchi, Hazan and Singer, 2011), in place, in Keras's form.

        >>> w, accumulator = np.array([1.0]), np.array([9.0])
        >>> fastnn.ops.adagrad_step(w, np.array([4.0]), accumulator, learning_rate=0.5)
        >>> print(w.round(4), accumulator)  # 1 - 0.5 * 4 / sqrt(9 + 16)
        [0.6] [25.]

    grad**2 is added to accumulator, and param moves by
    -learning_rate * grad / sqrt(accumulator + epsilon). Before that, param loses
    learning_rate * weight_decay of itself.

    Args:
        param, accumulator: any shape; changed.
        grad: the same shape and type.

    Raises:
        TypeError, ValueError: see `adam_step`.
    """
    _step("adagrad", param, grad, [accumulator], learning_rate, weight_decay, {"epsilon": epsilon})


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
) -> None:
    """One step of Adadelta (Zeiler, 2012), in place.

        >>> w, gradients, moves = np.array([1.0]), np.array([16.0]), np.array([1.0])
        >>> fastnn.ops.adadelta_step(w, np.array([4.0]), gradients, moves, learning_rate=0.5)
        >>> print(w.round(4))  # the move is sqrt(1) / sqrt(16) * 4
        [0.5]

    gradients moves towards grad**2, move = sqrt(moves + epsilon) / sqrt(gradients + epsilon) * grad,
    moves moves towards move**2 (both averages by rho), and param moves by -learning_rate * move.
    Before that, param loses learning_rate * weight_decay of itself.

    Args:
        param, gradients, moves: any shape; changed.
        grad: the same shape and type.

    Raises:
        TypeError, ValueError: see `adam_step`.
    """
    settings = {"rho": rho, "epsilon": epsilon}
    _step("adadelta", param, grad, [gradients, moves], learning_rate, weight_decay, settings)


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
) -> None:
    """One step of Lamb (You et al., 2020), in place, in Keras's form.

        >>> w, m, v = np.array([2.0]), np.zeros(1), np.zeros(1)
        >>> fastnn.ops.lamb_step(w, np.array([100.0]), m, v, step=1, learning_rate=0.25)
        >>> print(w.round(4))  # 2 - 0.25 * norm(w)
        [1.5]

    m and v move as in `adam_step`. First param loses learning_rate * weight_decay of itself, then it
    moves by -learning_rate * norm(param) / norm(r) * r with r = m_hat / (sqrt(v_hat) + epsilon). The
    ratio is 1 if one of the norms is 0.

    Args:
        param, m, v: any shape; changed.
        grad: the same shape and type.
        step: the number of this step, from 1.

    Raises:
        TypeError, ValueError: see `adam_step`.
    """
    settings = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
    _step("lamb", param, grad, [m, v], learning_rate, weight_decay, settings, step)


def muon_step(
    param: Array,
    grad: Array,
    m: Array,
    *,
    learning_rate: float = 1e-3,
    momentum: float = 0.95,
    nesterov: bool = True,
    muon_a: float = 3.4445,
    muon_b: float = -4.7750,
    muon_c: float = 2.0315,
    ns_steps: int = 5,
    rms_rate: float | None = 0.2,
    weight_decay: float = 0.0,
) -> None:
    """One step of Muon (Jordan et al., 2024; arXiv:2502.16982) on a matrix, in place, as in Keras.

        >>> w, m = np.array([[1.0]]), np.zeros((1, 1))
        >>> grad = np.array([[100.0]])
        >>> fastnn.ops.muon_step(w, grad, m, learning_rate=1.0, ns_steps=1, rms_rate=None)
        >>> print(w.round(4))  # 1 - (a + b + c)
        [[0.299]]

    m = momentum * m + grad, and x is m or, with nesterov, grad + momentum * m. x is divided by its
    norm + 1e-7, and ns_steps times x = a x + (b A + c A A) x with A = x x^T. Then param moves by
    -learning_rate * rms_rate * sqrt(max(rows, columns)) * x. Before, it loses
    learning_rate * weight_decay of itself.

    Args:
        param, m: (rows, columns); changed.
        grad: the same shape and type.
        muon_a, muon_b, muon_c: the a, b and c above.
        rms_rate: a positive number; None: param moves by -learning_rate * x.

    Raises:
        TypeError, ValueError: see `adam_step`; or param is no matrix.
    """
    settings = {
        "momentum": momentum,
        "nesterov": float(flag("nesterov", nesterov)),
        "muon_a": muon_a,
        "muon_b": muon_b,
        "muon_c": muon_c,
        "ns_steps": float(integer("ns_steps", ns_steps, 0)),
        "rms_rate": 0.0 if rms_rate is None else rms_rate,
    }
    _step("muon", param, grad, [m, None], learning_rate, weight_decay, settings)


# Slots that are None where the settings do not use them.
_OPTIONAL_SLOTS = {
    "sgd": ("velocity",),
    "rmsprop": ("velocity", "momentum_sum", "average_gradient"),
    "muon": ("v",),
}


def _step(
    optimizer: str,
    param: Array,
    grad: Array,
    slots: list[Any],
    learning_rate: float,
    weight_decay: float,
    settings: dict[str, float],
    step: int = 1,
) -> None:
    row = rows.optimizers()[optimizer]
    names = ("param", "grad", *row.slots)
    checked = {
        "learning_rate": number("learning_rate", learning_rate, 0.0),
        "weight_decay": number("weight_decay", weight_decay, 0.0),
    }
    for name, value in settings.items():
        checked[name] = row.options[name].checked(value)
    for name, slot in zip(row.slots, slots, strict=True):
        if slot is None and name == "velocity" and settings.get("momentum"):
            raise ValueError(f"velocity: momentum {settings['momentum']:g} needs one")
    param, grad, *slots = op_arguments.in_place(
        names, (param, grad, *slots), ("param", *row.slots), _OPTIONAL_SLOTS.get(optimizer, ())
    )
    for name, value in checked.items():
        op_arguments.fitting(name, value, param)
    _core.optimizer_step(optimizer, param, grad, slots, checked, integer("step", step))
