"""What a user writes, for type checkers: the linters run mypy --strict on it, `nox -s pyright` pyright.

Every line is right, and tests/test_typing.py runs it, so that an error is one of the package's types.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastnn
from fastnn import callbacks, layers, losses, metrics, optimizers
from fastnn.models import Sequential
from fastnn.sklearn import (
    MLPClassifier,
    TabularClassifier,
    TabularRegressor,
    load_table_estimator,
)


def build(units: int, rate: float = 1e-3, seed: int = 0) -> Sequential:
    model = fastnn.Sequential(
        [
            fastnn.Input((64,)),
            layers.Rescaling(1 / 16),
            layers.Dense(units, activation="relu", kernel_initializer="he_normal"),
            layers.Dropout(0.2),
            layers.Dense(10),
        ],
        seed=seed,
    )
    model.compile(
        optimizer=optimizers.Adam(
            optimizers.schedules.CosineDecay(rate, decay_steps=100), clipnorm=1.0
        ),
        loss=losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy", metrics.SparseTopKCategoricalAccuracy(3)],
    )
    return model


class Residual(layers.Layer):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.norm = layers.LayerNormalization()
        self.dense = layers.Dense(units, "relu")

    def call(self, inputs: Any) -> Any:
        return inputs + self.dense(self.norm(inputs))


class Scale(layers.Layer):
    def __init__(self, start: float = 1.0, **common: Any) -> None:
        super().__init__(**common)
        self.start = start

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.scale = self.add_weight(
            shape=(input_shape[-1],), initializer="ones", name="scale", trainable=True
        )

    def call(self, inputs: fastnn.Tensor, training: bool = False) -> fastnn.Tensor:
        outputs = fastnn.tanh(inputs) * self.scale
        if training:
            self.add_loss(1e-3 * fastnn.reduce_mean(outputs**2))
        return outputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "start": self.start}


class Told(callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs and logs["loss"] < 0.1:
            self.model.stop_training = True


def estimators(folder: Path) -> None:
    x, y = fastnn.datasets.load_digits()
    mlp = MLPClassifier(hidden_layer_sizes=(16,), max_iter=300, tol=0.01, random_state=0)
    labels: NDArray[Any] = mlp.fit(x / 16, y).predict(x[:3] / 16)
    score: float = mlp.score(x / 16, y)
    print(labels, score)

    table: dict[str, list[Any]] = {
        "size": [31.0, 48.0, None, 85.0] * 20,
        "city": ["Ulm", None, "Bonn", "Bonn"] * 20,
    }
    classes = TabularClassifier(members=2, max_epochs=2, random_state=0)
    classes.fit(table, ["cheap", "cheap", "dear", "dear"] * 20)
    shares: NDArray[np.floating] = classes.predict_proba(table)
    classes.save(folder / "table.safetensors")
    again = load_table_estimator(folder / "table.safetensors")
    numbers = TabularRegressor(members=2, max_epochs=2, random_state=0).fit(table, range(80))
    prices: NDArray[np.floating] = numbers.predict(table)
    print(shares.shape, again.predict(table)[:2], prices.shape)


def main(folder: Path) -> None:
    x, y = fastnn.datasets.load_digits()
    model = build(16)
    history = model.fit(
        x,
        y,
        batch_size=32,
        epochs=2,
        validation_split=0.2,
        callbacks=[callbacks.EarlyStopping("val_loss", patience=3), Told()],
        verbose=0,
    )
    best: float = min(history.history["val_loss"])
    outputs: NDArray[np.floating] = model.predict(x[:5])
    probabilities: NDArray[np.floating] = model.predict_proba(x[:5])
    assert best > 0
    assert outputs.shape == probabilities.shape

    path = folder / "model.safetensors"
    model.save(path)
    again = fastnn.load_model(path)
    predict: fastnn.Predictor = again.predictor()
    print(predict(x[0]).argmax(), again.count_params())

    inputs = fastnn.Input((64,))
    h = layers.Dense(16, "tanh")(inputs)
    drawn = fastnn.Model(inputs, layers.Dense(10)(Residual(16)(h)))
    drawn.compile("sgd", "sparse_categorical_crossentropy")
    drawn.fit(x / 16, y, verbose=0)

    taped = fastnn.Sequential([layers.Input((64,)), Scale(), layers.Dense(10)])
    print(taped(x / 16).shape)

    loss, optimizer = losses.SparseCategoricalCrossentropy(), optimizers.SGD(0.1, momentum=0.9)
    with fastnn.GradientTape() as tape:
        value = loss(y, drawn(x / 16, training=True))
    grads = tape.gradient(value, drawn.trainable_variables)
    optimizer.apply_gradients(zip(grads, drawn.trainable_variables, strict=True))
    print(float(value), fastnn.reduce_mean(grads[0] ** 2).numpy())

    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    chunks = fastnn.data.Chunks(folder / "x.npy", folder / "y.npy", window=500)
    curve: list[float] = model.fit(chunks, epochs=1, verbose=0)["loss"]
    many: NDArray[np.floating] = model.predict(chunks)
    print(chunks, curve, many.shape)

    estimators(folder)
    models = [build(8, seed=seed) for seed in range(2)]
    histories = fastnn.fit_many(models, x, y, epochs=1)
    print([each.history["loss"][-1] for each in histories])
    found = fastnn.search(build, {"units": [8, 16]}, x, y, trials=2, epochs=1)
    print(found.params)
    fastnn.set_num_threads(fastnn.get_num_threads())
    fastnn.utils.set_random_seed(1)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        main(Path(place))
