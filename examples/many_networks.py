"""Many networks at once: settings searched by successive halving, and a cross-validation whose five networks
answer together. The digits are those of the package.
"""

import numpy as np

import fastnn
from fastnn import layers


def build(units: int, rate: float, dropout: float = 0.0, seed: int = 0) -> fastnn.Sequential:
    stack = [
        layers.Rescaling(1 / 16, input_shape=(64,)),
        layers.Dense(units, "relu"),
        layers.Dropout(dropout),
        layers.Dense(10),
    ]
    model = fastnn.Sequential(stack, seed=seed)
    model.compile(
        fastnn.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def main() -> None:
    x, y = fastnn.datasets.load_digits()
    test = np.arange(len(x)) % 5 == 0
    test_x, test_y, x, y = x[test], y[test], x[~test], y[~test]

    # 27 settings train for one epoch, the best 9 for three, the best 3 for nine, the best for 27.
    space = {"units": (16, 256, "log"), "rate": (3e-4, 3e-2, "log"), "dropout": [0.0, 0.1, 0.3]}
    found = fastnn.search(build, space, x, y, trials=27, epochs=27, seed=1, verbose=1)
    epochs = sum(trial.epochs for trial in found.trials)
    print(f"best of {len(found.trials)}: {found.params}, {epochs} epochs instead of {27 * 27}")

    # Five networks of this setting, each with another fifth held out: no rows are copied.
    folds = np.arange(len(x)) % 5
    models = [build(**found.params, seed=seed) for seed in range(5)]
    histories = fastnn.fit_many(
        models,
        x,
        y,
        epochs=27,
        rows=[folds != fold for fold in range(5)],
        validation_rows=[folds == fold for fold in range(5)],
    )
    scores = [history.history["val_accuracy"][-1] for history in histories]
    print(f"held-out accuracy {np.mean(scores):.3f}, from {min(scores):.3f} to {max(scores):.3f}")

    answers = np.mean([model.predict_proba(test_x) for model in models], axis=0).argmax(axis=1)
    accuracy = float((answers == test_y).mean())
    print(f"together on the test: accuracy {accuracy:.3f}")
    assert accuracy > 0.95


if __name__ == "__main__":
    main()
