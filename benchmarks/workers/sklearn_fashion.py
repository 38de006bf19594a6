"""scikit-learn: MLPClassifier with as many epochs as the others."""

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from benchmarks.fashion_mnist import Images
from benchmarks.workers.fashion import BATCH, EPOCHS, HIDDEN, run, scaled


def train(data: Images) -> Callable[[], np.ndarray]:
    images, labels, test, _ = data
    model = MLPClassifier(
        (HIDDEN,), batch_size=BATCH, max_iter=EPOCHS, alpha=0.0, random_state=0, tol=0.0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # five epochs are wanted
        model.fit(scaled(images), labels)
    return lambda: model.predict(scaled(test))


if __name__ == "__main__":
    run(train)
