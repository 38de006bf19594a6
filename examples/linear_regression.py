"""Linear regression by gradient descent: by hand with the kernels, over a tape, and with `fit`.

The data are y = 3 x1 - 2 x2 + 1 with a little noise; each way has to find these three numbers.
"""

import numpy as np

import fastnn
from fastnn import layers, ops, optimizers


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    return x, x @ [[3.0], [-2.0]] + 1 + 0.1 * rng.normal(size=(200, 1))


def by_hand(x: np.ndarray, y: np.ndarray) -> list[float]:
    """Forward pass, loss, gradient, update: the four steps of the tutorials, in float64."""
    w, b = np.zeros((2, 1)), np.zeros(1)
    for _ in range(100):
        prediction = ops.dense_forward(x, w, b)
        _, dy = ops.mean_squared_error(prediction, y)
        _, dw, db = ops.dense_backward(dy, x, w, None)
        w -= 0.1 * dw
        b -= 0.1 * db
    return [*w.ravel(), *b]


def over_a_tape(x: np.ndarray, y: np.ndarray) -> list[float]:
    """The same with gradients that are found by the tape."""
    w, b = fastnn.Variable(np.zeros((2, 1))), fastnn.Variable(np.zeros(1))
    for _ in range(100):
        with fastnn.GradientTape() as tape:
            loss = fastnn.reduce_mean(fastnn.square(x @ w + b - y))
        dw, db = tape.gradient(loss, [w, b])
        w.assign_sub(0.1 * dw)
        b.assign_sub(0.1 * db)
    return [*w.numpy().ravel(), *b.numpy()]


def with_fit(x: np.ndarray, y: np.ndarray) -> list[float]:
    """The same in four lines."""
    model = fastnn.Sequential([layers.Dense(1, input_shape=(2,))], dtype="float64", seed=0)
    model.compile(optimizers.SGD(0.1), "mean_squared_error")
    model.fit(x, y, batch_size=200, epochs=100, verbose=0)
    return [*model.get_weights()[0].ravel(), *model.get_weights()[1]]


def main() -> None:
    x, y = data()
    for way in (by_hand, over_a_tape, with_fit):
        w1, w2, b = way(x, y)
        print(f"{way.__name__:12s} y = {w1:.3f} x1 + {w2:.3f} x2 + {b:.3f}")


if __name__ == "__main__":
    main()
