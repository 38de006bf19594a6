"""Keras on the backend that KERAS_BACKEND names, in its usual form."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from collections.abc import Callable

import keras
import numpy as np

from benchmarks.fashion_mnist import Images
from benchmarks.workers.fashion import BATCH, CLASSES, EPOCHS, HIDDEN, run, scaled


def train(data: Images) -> Callable[[], np.ndarray]:
    images, labels, test, _ = data
    keras.utils.set_random_seed(0)
    x = scaled(images)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Dense(HIDDEN, activation="relu"),
            keras.layers.Dense(CLASSES),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss)
    model.fit(x, labels, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return lambda: model.predict(scaled(test), verbose=0).argmax(axis=1)


if __name__ == "__main__":
    run(train)
