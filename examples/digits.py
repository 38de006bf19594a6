"""Ten classes: reads handwritten digits, stops when training no longer improves, shows errors.

The images come with the package. This is a complete program, not a tuned one.
"""

import numpy as np

import fastnn
from fastnn import layers

SHADES = " .:-=+*#%@"


def picture(image: np.ndarray) -> str:
    """An image of 8 x 8 pixels from 0 to 16 as text."""
    rows = image.reshape(8, 8) * (len(SHADES) - 1) // 16
    return "\n".join("    " + "".join(SHADES[value] * 2 for value in row) for row in rows)


def main() -> float:
    fastnn.utils.set_random_seed(7)
    x, y = fastnn.datasets.load_digits()
    order = np.random.default_rng(0).permutation(len(x))
    test, train = order[:360], order[360:]

    model = fastnn.Sequential(
        [
            fastnn.Input((64,)),
            layers.Rescaling(1 / 16),  # the pixels stay bytes until a batch is gathered
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(10),  # logits: the loss detects this
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    stop = fastnn.callbacks.EarlyStopping("val_loss", patience=10, restore_best_weights=True)
    history = model.fit(
        x[train], y[train], epochs=200, validation_split=0.15, callbacks=[stop], verbose=0
    )
    _, accuracy = model.evaluate(x[test], y[test], verbose=0)
    epochs = len(history.history["loss"])
    print(
        f"{epochs} epochs; {100 * accuracy:.1f} % of {len(test)} unseen digits are classified correctly"
    )

    logits = model.predict(x[test], verbose=0)
    scores = fastnn.ops.softmax(logits)
    wrong = np.flatnonzero(logits.argmax(axis=1) != y[test])
    for row in wrong[:2]:
        best = scores[row].argsort()[::-1][:2]
        words = " or ".join(f"{digit} ({100 * scores[row, digit]:.0f} %)" for digit in best)
        print(f"\na {y[test][row]}, classified as {words}\n{picture(x[test][row])}")
    return accuracy


if __name__ == "__main__":
    main()
