"""Images from files: reads pictures of three shapes, and tells which is which.

The pictures are in examples/shapes, in a folder for each class. Each is resized to 224 x 224 pixels
of three colours, so that the first layer has 150,528 inputs. Needs Pillow.
"""

import warnings
from pathlib import Path

import numpy as np
from fastnn.keras.layers import Dense, Flatten
from fastnn.keras.optimizers import SGD
from fastnn.keras.utils import to_categorical

import fastnn
from fastnn.models import Sequential
from fastnn.preprocessing.image import img_to_array, load_img

FOLDER = Path(__file__).parent / "shapes"
SIZE = (224, 224)


def load(path: Path) -> np.ndarray:
    image = load_img(path, target_size=SIZE)
    return img_to_array(image) / 255.0


def main() -> float:
    fastnn.utils.set_random_seed(2)
    class_names = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
    paths = sorted(FOLDER.glob("*/*.png"))
    labels = np.array([class_names.index(path.parent.name) for path in paths])
    x = np.array([load(path) for path in paths])
    y = to_categorical(labels, num_classes=len(class_names))
    test = np.arange(len(paths)) % 4 == 3
    print(f"{len(x)} images of {len(class_names)} classes: {', '.join(class_names)}")

    model = Sequential(
        [
            Flatten(input_shape=(*SIZE, 3)),
            Dense(64, activation="relu"),
            Dense(32, activation="relu"),
            Dense(len(class_names), activation="softmax"),
        ]
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        sgd = SGD(lr=0.01, momentum=0.9)  # lr: as programs for old versions of Keras have it
    print(f"{told[0].category.__name__}: {told[0].message}")
    model.compile(loss="categorical_crossentropy", optimizer=sgd, metrics=["accuracy"])
    history = model.fit(x[~test], y[~test], batch_size=8, epochs=15, verbose=0)
    print(
        f"loss {history.history['loss'][0]:.3f} in the first epoch, then {history.history['loss'][-1]:.6f}"
    )

    predictions = model.predict(x[test], verbose=0)
    found = np.argmax(predictions, axis=1)
    accuracy = float((found == labels[test]).mean())
    print(f"accuracy on {test.sum()} other images: {accuracy:.3f}")

    path = paths[3]
    scores = model.predict(np.expand_dims(load(path), axis=0), verbose=0)[0]
    print(
        f"{path.parent.name}/{path.name}: a {class_names[np.argmax(scores)]} ({scores.max():.1%})"
    )
    return accuracy


if __name__ == "__main__":
    main()
