"""Image recognition, as the tutorials write it, and the mistake that many of them make.

    python examples/image_recognition.py [a folder with the files of MNIST or Fashion-MNIST]

Without a folder the images are those of Fashion-MNIST where Debian's package dataset-fashion-mnist
is installed (60,000 pictures of clothes), else the digits that come with fastnn.

The mistake: a softmax at the end, and from_logits=True in the loss. In Keras softmax is then applied
twice, without a word, and training is slow and ends worse. fastnn warns, and trains on the logits.
"""

import gzip
import sys
import warnings
from pathlib import Path

import numpy as np

import fastnn as tf

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def read(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The images (n, 28, 28) and labels of a part, "train" or "t10k", in the format of MNIST."""
    found = []
    for name, header in ((f"{part}-images-idx3-ubyte", 16), (f"{part}-labels-idx1-ubyte", 8)):
        packed = folder / f"{name}.gz"
        data = (
            gzip.decompress(packed.read_bytes())
            if packed.exists()
            else (folder / name).read_bytes()
        )
        found.append(np.frombuffer(data, np.uint8, offset=header))
    return found[0].reshape(-1, 28, 28), found[1]


def load(folder: Path | None) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Images scaled to [0, 1] and labels: those to train on, and others to test with."""
    if folder is not None:
        return tuple(
            (x / np.float32(255), y) for x, y in (read(folder, "train"), read(folder, "t10k"))
        )
    x, y = tf.keras.datasets.load_digits()
    x = x.reshape(-1, 8, 8) / np.float32(16)
    order = np.random.default_rng(0).permutation(len(x))
    return (x[order[360:]], y[order[360:]]), (x[order[:360]], y[order[:360]])


def make(shape: tuple[int, ...]) -> tf.keras.Model:
    tf.random.set_seed(1)
    return tf.keras.models.Sequential(
        [
            tf.keras.layers.Flatten(input_shape=shape),
            tf.keras.layers.Dense(128, activation="relu"),
            tf.keras.layers.Dense(10, activation="softmax"),
        ]
    )


def main(folder: Path | None) -> float:
    (train_images, train_labels), (test_images, test_labels) = load(folder)
    shape = train_images.shape[1:]
    print(f"{len(train_images)} images of {shape[0]} x {shape[1]} pixels")

    model = make(shape)
    model.compile(
        optimizer="adam",
        loss=tf.keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    epochs = 5 if len(train_images) > 10000 else 30
    model.fit(train_images, train_labels, epochs=epochs, verbose=0)
    _, accuracy = model.evaluate(test_images, test_labels, verbose=0)
    print(f"accuracy on {len(test_images)} other images: {accuracy:.3f}")

    predictions = model.predict(test_images, verbose=0)
    print(
        f"the first is of class {tf.argmax(predictions[0]).numpy()}, in truth of {test_labels[0]}"
    )

    mistaken = make(shape)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        mistaken.compile(
            optimizer="adam",
            loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    print(f"\nwith from_logits=True after softmax:\n  {told[0].message}")
    mistaken.fit(train_images, train_labels, epochs=epochs, verbose=0)
    same = all(
        np.array_equal(a, b)
        for a, b in zip(model.get_weights(), mistaken.get_weights(), strict=True)
    )
    print(f"  the weights after {epochs} epochs are {'the same' if same else 'OTHERS'}")
    return accuracy


if __name__ == "__main__":
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else DEBIAN
    main(given if len(sys.argv) > 1 or DEBIAN.exists() else None)
