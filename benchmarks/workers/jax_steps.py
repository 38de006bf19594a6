"""JAX, as a jitted step and as a whole epoch in `lax.scan`, state donated in both.

Batches are device arrays cut beforehand, in order: no shuffle and no gather.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import workloads
from benchmarks.workers.serve import Prepared, serve, wanted

State = Any  # (parameters, first moments, second moments, steps)


def start(work: workloads.Workload) -> State:
    def zeros() -> list[jax.Array]:
        return [jnp.zeros_like(value) for value in work.weights()]

    return (
        [jnp.array(value) for value in work.weights()],
        zeros(),
        zeros(),
        jnp.zeros((), jnp.int32),
    )


def loss_of(parameters: list[jax.Array], x: jax.Array, y: jax.Array, *, softmax: bool) -> jax.Array:
    for k in range(0, len(parameters) - 2, 2):
        x = jax.nn.relu(x @ parameters[k] + parameters[k + 1])
    z = x @ parameters[-2] + parameters[-1]
    if softmax:
        picked = jnp.take_along_axis(z, y[:, None], axis=1)[:, 0]
        return jnp.mean(jax.nn.logsumexp(z, axis=1) - picked)
    return jnp.mean(jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z))))


def step(state: State, batch: tuple[jax.Array, jax.Array], *, softmax: bool) -> tuple[State, Any]:
    parameters, m, v, count = state
    loss, grads = jax.value_and_grad(loss_of)(parameters, *batch, softmax=softmax)
    count = count + 1
    b1, b2 = workloads.BETA_1, workloads.BETA_2
    correct_1, correct_2 = 1 - b1 ** count.astype(jnp.float32), 1 - b2 ** count.astype(jnp.float32)
    m = [b1 * a + (1 - b1) * g for a, g in zip(m, grads, strict=True)]
    v = [b2 * a + (1 - b2) * g * g for a, g in zip(v, grads, strict=True)]
    parameters = [
        p
        - workloads.LEARNING_RATE * (a / correct_1) / (jnp.sqrt(s / correct_2) + workloads.EPSILON)
        for p, a, s in zip(parameters, m, v, strict=True)
    ]
    return (parameters, m, v, count), loss


class Loop:
    """Keeps the state between calls; each run waits for its result."""

    def __init__(self, work: workloads.Workload, function: Any, batches: list[Any]) -> None:
        self.state = start(work)
        self.function = jax.jit(function, donate_argnums=0)
        self.batches = itertools.cycle(batches)

    def run(self, repeats: int) -> jax.Array:
        for batch in itertools.islice(self.batches, repeats):
            self.state, loss = self.function(self.state, batch)
        return jax.block_until_ready((self.state, loss))[1]


def prepare(work: workloads.Workload, threads: int) -> Prepared:  # noqa: ARG001 - the affinity says
    x, y = work.data()
    shape = (work.batches, work.batch)
    xs, ys = jnp.array(x.reshape(*shape, -1)), jnp.array(y.reshape(*shape, *y.shape[1:]))

    def one(state: State, batch: tuple[jax.Array, jax.Array]) -> tuple[State, jax.Array]:
        return step(state, batch, softmax=work.loss == "softmax")

    def epoch(state: State, batches: tuple[jax.Array, jax.Array]) -> tuple[State, jax.Array]:
        return jax.lax.scan(one, state, batches)

    ready = Prepared({})
    if wanted("JAX step"):
        loop = Loop(work, one, [(xs[k], ys[k]) for k in range(work.batches)])
        ready.losses["JAX step"] = [float(loop.run(1)) for _ in range(2)]
        ready.entries["JAX step"] = (loop.run, 1)
    if wanted("JAX scan"):
        scan = Loop(work, epoch, [(xs, ys)])
        ready.losses["JAX scan"] = [float(loss) for loss in scan.run(1)[:2]]
        ready.entries["JAX scan"] = (scan.run, work.batches)
    return ready


if __name__ == "__main__":
    serve(prepare, jax.__version__)
