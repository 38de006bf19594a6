"""Keras 3 on JAX: a loop by hand as its guide writes it, a jitted step over stateless calls."""

import itertools
import os

os.environ["KERAS_BACKEND"] = "jax"

from typing import Any

import jax
import keras
import numpy as np

from benchmarks import workloads
from benchmarks.workers.serve import Prepared, serve


class NeuralNetwork(keras.Model):  # type: ignore[misc]
    """Dense layers and a softmax."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.hidden = [keras.layers.Dense(n, activation="relu") for n in widths[1:-1]]
        self.out = keras.layers.Dense(widths[-1], activation="softmax")

    def call(self, inputs: Any, training: bool = False) -> Any:  # noqa: ARG002 - as its guide has it
        for layer in self.hidden:
            inputs = layer(inputs)
        return self.out(inputs)


class Loop:
    """The state between steps, and the step of the guide."""

    def __init__(self, work: workloads.Workload) -> None:
        model = NeuralNetwork(work.widths)
        model(np.zeros((1, work.widths[0]), np.float32))
        model.set_weights(work.weights())
        optimizer = keras.optimizers.Adam(
            workloads.LEARNING_RATE, workloads.BETA_1, workloads.BETA_2, workloads.EPSILON
        )
        optimizer.build(model.trainable_variables)
        loss_fn = (
            keras.losses.CategoricalCrossentropy()
            if work.name == "own loop"
            else keras.losses.SparseCategoricalCrossentropy()
        )

        def loss_and_updates(trainable: Any, non_trainable: Any, x: Any, y: Any) -> Any:
            y_pred, non_trainable = model.stateless_call(trainable, non_trainable, x, training=True)
            return loss_fn(y, y_pred), non_trainable

        grad_fn = jax.value_and_grad(loss_and_updates, has_aux=True)

        @jax.jit
        def train_step(state: Any, data: Any) -> Any:
            trainable, non_trainable, optimizer_variables = state
            x, y = data
            (loss, non_trainable), grads = grad_fn(trainable, non_trainable, x, y)
            trainable, optimizer_variables = optimizer.stateless_apply(
                optimizer_variables, grads, trainable
            )
            return loss, (trainable, non_trainable, optimizer_variables)

        self.step = train_step
        self.state = tuple(
            [variable.value for variable in variables]
            for variables in (
                model.trainable_variables,
                model.non_trainable_variables,
                optimizer.variables,
            )
        )

    def run(self, batches: Any) -> Any:
        loss = None
        for batch in batches:
            loss, self.state = self.step(self.state, batch)
        return jax.block_until_ready((loss, self.state))[0]


def prepare(work: workloads.Workload, threads: int) -> Prepared:  # noqa: ARG001 - the affinity says
    x, labels = work.data()
    y = np.eye(work.widths[-1], dtype=np.float32)[labels] if work.name == "own loop" else labels
    parts = [slice(k * work.batch, (k + 1) * work.batch) for k in range(work.batches)]
    pairs = [(x[rows], y[rows]) for rows in parts]
    loop = Loop(work)
    ready = Prepared({})
    ready.losses["Keras on JAX"] = [float(loop.run([pairs[k]])) for k in range(2)]
    batches = itertools.cycle(pairs)
    ready.entries["Keras on JAX"] = (lambda steps: loop.run(itertools.islice(batches, steps)), 1)
    return ready


if __name__ == "__main__":
    serve(prepare, f"{keras.__version__} on JAX {jax.__version__}")
