"""fastnn's loop by hand over a GradientTape, and `fit` of one network as a Sequential and as a class."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from benchmarks import workloads
from benchmarks.workers.fastnn_steps import build
from benchmarks.workers.serve import Prepared, serve, wanted


class TwoLayers(fastnn.Model):
    """A hidden layer, and a `call` as tutorials write it."""

    def __init__(self, widths: tuple[int, ...], head: str) -> None:
        super().__init__()
        self.hidden1 = fastnn.layers.Dense(widths[1], activation="relu")
        self.out = fastnn.layers.Dense(widths[-1], activation=head)

    def call(self, inputs: Any, training: bool = False) -> Any:  # noqa: ARG002 - as tutorials have it
        return self.out(self.hidden1(inputs))


class ThreeLayers(fastnn.Model):
    """The network of examples/iris_own_loop.py."""

    def __init__(self, widths: tuple[int, ...], head: str) -> None:
        super().__init__()
        self.hidden1 = fastnn.layers.Dense(widths[1], activation="relu")
        self.hidden2 = fastnn.layers.Dense(widths[2], activation="relu")
        self.out = fastnn.layers.Dense(widths[-1], activation=head)

    def call(self, inputs: Any, training: bool = False) -> Any:  # noqa: ARG002 - as tutorials have it
        return self.out(self.hidden2(self.hidden1(inputs)))


# By the number of widths.
CLASSES: dict[int, type[TwoLayers | ThreeLayers]] = {3: TwoLayers, 4: ThreeLayers}


def made(work: workloads.Workload, head: str) -> fastnn.Model:
    """The network of a row as a class, with its given weights."""
    model = CLASSES[len(work.widths)](work.widths, head)
    model.build((None, work.widths[0]))
    model.set_weights(work.weights())
    return model


def adam() -> fastnn.optimizers.Adam:
    return fastnn.optimizers.Adam(
        workloads.LEARNING_RATE, workloads.BETA_1, workloads.BETA_2, workloads.EPSILON
    )


def tape_step(work: workloads.Workload) -> Callable[[Any, Any], fastnn.Tensor]:
    model, optimizer = made(work, "softmax"), adam()
    one_hot = work.name == "own loop"
    loss_fn = (
        fastnn.losses.CategoricalCrossentropy()
        if one_hot
        else fastnn.losses.SparseCategoricalCrossentropy()
    )

    def step(x: Any, y: Any) -> fastnn.Tensor:
        with fastnn.GradientTape() as tape:
            predictions = model(x, training=True)
            loss = loss_fn(y, predictions)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return step


def prepare(work: workloads.Workload, threads: int) -> Prepared:
    fastnn.set_num_threads(threads)
    x, labels = work.data()
    ready = Prepared({})
    if wanted("fastnn tape"):
        y = np.eye(work.widths[-1], dtype=np.float32)[labels] if work.name == "own loop" else labels
        parts = [slice(k * work.batch, (k + 1) * work.batch) for k in range(work.batches)]
        pairs = [(x[rows], y[rows]) for rows in parts]
        step = tape_step(work)
        ready.losses["fastnn tape"] = [float(step(*pairs[k])) for k in range(2)]
        batches = itertools.cycle(pairs)

        def run(steps: int) -> None:
            for x, y in itertools.islice(batches, steps):
                step(x, y)

        ready.entries["fastnn tape"] = (run, 1)
    models: dict[str, Any] = {
        "fastnn Sequential.fit": build(work, "highest"),
        "fastnn Model.fit": made(work, "linear"),
    }
    for name, model in models.items():
        if not wanted(name):
            continue
        model.compile(optimizer=adam(), loss="sparse_categorical_crossentropy")

        def fit(epochs: int, model: Any = model) -> None:
            model.fit(x, labels, batch_size=work.batch, epochs=epochs, verbose=0)

        ready.entries[name] = (fit, work.batches)
    return ready


if __name__ == "__main__":
    serve(prepare, fastnn.__version__)
