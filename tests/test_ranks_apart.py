"""Ranks that train apart between averages: what a checkpoint holds, and what errors leave behind."""

from __future__ import annotations

import numpy as np
import pytest
from rank_threads import Comm, WaitingComm, on_ranks, results
from test_ranks import CUTS, FEATURES, network, problem

import fastnn
from fastnn import layers
from fastnn.callbacks import BackupAndRestore, LambdaCallback, ModelCheckpoint

pytestmark = pytest.mark.cpu

OPTIMIZERS = {
    "sgd": lambda: fastnn.optimizers.SGD(0.1),
    "momentum": lambda: fastnn.optimizers.SGD(0.1, momentum=0.9),
    "adam": lambda: fastnn.optimizers.Adam(0.02),
    "amsgrad": lambda: fastnn.optimizers.Adam(0.02, amsgrad=True),
    "accumulation": lambda: fastnn.optimizers.Adam(0.02, gradient_accumulation_steps=3),
    "schedule": lambda: fastnn.optimizers.RMSprop(
        fastnn.optimizers.schedules.CosineDecay(0.03, 30), momentum=0.5
    ),
}


def model_of(optimizer="adam"):
    return network(
        layers.BatchNormalization(), layers.Dropout(0.2), optimizer=OPTIMIZERS[optimizer]()
    )


def state_of(model):
    """All that an epoch begins with."""
    net = model.network
    counts = net.steps, net.updates, net.epochs
    return [*model.get_weights(), *net.optimizer_state, np.array(counts)]


def fit(model, ranks, epochs, callbacks=(), **how):
    x, y = problem()
    part = slice(None)
    if ranks.rows == "shards":
        part = slice(CUTS[ranks.size][ranks.rank], CUTS[ranks.size][ranks.rank + 1])
    how = {"batch_size": 8, "verbose": 0, "callbacks": list(callbacks), **how}
    model.fit(x[part], y[part], comm=ranks, epochs=epochs, **how)
    return model


def run(size, work, every=2, rows="same", kind=Comm):
    def on(_rank, comm):
        return work(fastnn.Ranks(comm, rows=rows, average_every=every))

    return on_ranks(size, on, kind)


def alike(found, expected):
    for one in found:
        for a, b in zip(one, expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rows", ["same", "shards"])
@pytest.mark.parametrize("every", [1, 2, 3, 50])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_backup_goes_on_to_the_same_bits(optimizer, every, rows, tmp_path):
    """Seven steps an epoch: averages do not fall on its end by themselves."""
    whole = results(run(3, lambda r: state_of(fit(model_of(optimizer), r, 6)), every, rows))
    alike(whole, whole[0])

    def crash(epoch, _logs):
        if epoch == 3:
            raise MemoryError("the job is killed")

    def job(*more):
        def work(ranks):
            backup = BackupAndRestore(str(tmp_path))
            return state_of(fit(model_of(optimizer), ranks, 6, [backup, *more]))

        return work

    stopped = run(3, job(LambdaCallback(on_epoch_begin=crash)), every, rows)
    assert all(isinstance(one, (MemoryError, fastnn.RankError)) for one in stopped)
    alike(results(run(3, job(), every, rows)), whole[0])


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_saved_model_goes_on_to_the_same_bits(size, tmp_path):
    file = str(tmp_path / "model.safetensors")
    whole = results(run(size, lambda r: state_of(fit(model_of(), r, 6)), 3))
    results(run(size, lambda r: fit(model_of(), r, 3, [ModelCheckpoint(file)]), 3))

    def again(ranks):
        return state_of(fit(fastnn.load_model(file), ranks, 6, initial_epoch=3))

    alike(results(run(size, again, 3)), whole[0])


def test_calls_of_fit_follow_one_another():
    whole = results(run(3, lambda r: state_of(fit(model_of(), r, 4)), 5))

    def twice(ranks):
        return state_of(fit(fit(model_of(), ranks, 2), ranks, 4, initial_epoch=2))

    alike(results(run(3, twice, 5)), whole[0])


def test_states_are_the_means_of_those_of_ranks():
    """Of an epoch that each rank makes alone on its part of the batches."""
    x, y = problem()
    size, batch = 2, 16

    def work(ranks):
        model = network(optimizer=fastnn.optimizers.Adam(0.02))
        return state_of(fit(model, ranks, 1, batch_size=batch, shuffle=False))

    found = results(run(size, work, 50))
    alone = []
    for rank in range(size):
        model = network(optimizer=fastnn.optimizers.Adam(0.02))
        for start in range(0, len(x), batch):
            own = np.array_split(np.arange(start, min(start + batch, len(x))), size)[rank]
            model.train_on_batch(x[own], y[own])
        alone.append(state_of(model))
    for one in found:
        for a, b, c in zip(one[:-1], *(s[:-1] for s in alone), strict=True):
            np.testing.assert_allclose(a, (b + c) / 2, rtol=1e-10, atol=1e-14)


def test_gradients_of_several_batches_where_a_rank_has_no_rows():
    """A step without rows adds nothing to the gradients that are gathered, and is counted."""
    x, y = problem()

    def work(ranks):
        optimizer = fastnn.optimizers.SGD(0.1, gradient_accumulation_steps=2)
        model = network(optimizer=optimizer)
        part = slice(0, 4) if ranks.rank == 0 else slice(4, 12)  # rank 0 has the first batch
        model.fit(x[part], y[part], batch_size=4, shuffle=False, epochs=2, verbose=0, comm=ranks)
        return model.get_weights()

    found = results(run(2, work, 50, "shards"))
    model = network(optimizer=fastnn.optimizers.SGD(0.1))
    # Three steps an epoch, two a gradient.
    weights = [model.get_weights() for _ in range(2)]
    gathered = [[np.zeros_like(w) for w in weights[0]] for _ in range(2)]
    made = 0
    for _ in range(2):
        for step in range(3):
            for rank, has in enumerate((step == 0, step > 0)):
                if made % 2 == 0:
                    gathered[rank] = [np.zeros_like(w) for w in weights[rank]]
                if has:
                    model.set_weights(weights[rank])
                    rows = slice(4 * step, 4 * step + 4)
                    grads = model.value_and_grad(x[rows], y[rows], training=True)[1]
                    gathered[rank] = [g + d / 2 for g, d in zip(gathered[rank], grads, strict=True)]
                if made % 2 == 1:
                    weights[rank] = [
                        w - 0.1 * g for w, g in zip(weights[rank], gathered[rank], strict=True)
                    ]
            made += 1
        mean = [(a + b) / 2 for a, b in zip(*weights, strict=True)]
        half = [(a + b) / 2 for a, b in zip(*gathered, strict=True)]
        weights, gathered = [mean, mean], [half, half]
    for one in found:
        for a, b in zip(one, weights[0], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def interrupted_at(rank, calls):
    """A communicator whose rank gets Ctrl-C in a call by its number."""

    class Interrupted(WaitingComm):
        def Iallgather(self, sendbuf, recvbuf):
            request = super().Iallgather(sendbuf, recvbuf)
            if self._rank == rank and self._count == calls:
                test = request.Test
                told = []

                def once():
                    if not told:
                        told.append(1)
                        raise KeyboardInterrupt
                    return test()

                request.Test = once
            return request

    return Interrupted


@pytest.mark.parametrize("calls", range(4, 14))
def test_an_interrupt_leaves_weights_and_sums_of_no_other_call(calls):
    """Weights that hardly move: none may be a sum over ranks, nor a loss have that of two calls."""
    x, y = problem()

    def work(ranks):
        model = network(optimizer=fastnn.optimizers.SGD(1e-30, momentum=0.5))
        before = model.get_weights()
        how = {"batch_size": 8, "shuffle": False, "verbose": 0, "comm": ranks}
        try:
            model.fit(x, y, epochs=3, **how)
        except (KeyboardInterrupt, fastnn.RankError):
            ended = True
        else:
            ended = False
        for a, b in zip(model.get_weights(), before, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-25)
        model.set_weights(before)
        native = model.network
        native.set_optimizer_state([np.zeros_like(s) for s in native.optimizer_state])
        native.steps = native.updates = native.epochs = 0
        return ended, model.fit(x, y, **how).history["loss"][0]

    found = results(run(2, work, 3, kind=interrupted_at(1, calls)))
    assert found[0][0]
    expected = network().evaluate(x, y, verbose=0)[0]
    for _, loss in found:
        assert loss == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("every", [1, 3, 7])
def test_divergence_leaves_one_state(every):
    """Also where it shows long after the state was last copied."""
    x, y = problem()

    def work(ranks):
        model = fastnn.Sequential([layers.Dense(1, input_shape=(FEATURES,))], seed=0)
        model.compile(fastnn.optimizers.SGD(0.9, momentum=0.9), "mean_squared_error")
        with pytest.raises(fastnn.TrainingDiverged) as told:
            model.fit(x, y, batch_size=1, epochs=200, verbose=0, comm=ranks)
        return str(told.value), state_of(model)

    found = results(run(3, work, every))
    assert {told for told, _ in found} == {found[0][0]}
    alike([state for _, state in found], found[0][1])
