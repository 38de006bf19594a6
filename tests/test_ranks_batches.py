"""Training over ranks on batches that programs make: those of a rank are its part of each batch."""

from __future__ import annotations

import numpy as np
import pytest
from rank_threads import on_ranks, results
from test_ranks import CLASSES, FEATURES, network, same

import fastnn
from fastnn import layers
from fastnn.callbacks import LambdaCallback

pytestmark = pytest.mark.cpu

ROWS = 157
RNG = np.random.default_rng(9)
X = RNG.standard_normal((ROWS, FEATURES))
Y = np.argmax(X[:, :CLASSES] + 0.3 * RNG.standard_normal((ROWS, CLASSES)), axis=1).astype(np.int32)
WEIGHTS = RNG.uniform(0, 2, ROWS)
HELD = slice(0, 50)
# Rows of each rank's batches: of any number, and not of as many batches.
SIZES = {
    2: [[5, 3, 9, 4], [4, 4, 1, 8]],
    3: [[5, 3, 9, 4], [1, 1], [2, 7, 1, 1, 6]],
    4: [[3, 3, 3], [1, 2, 3], [9, 1, 1, 1], [2]],
}


def model_of(**how):
    return network(layers.BatchNormalization(), layers.Dropout(0.3), **how)


def own_batches(size):
    """For each rank the indices of the rows of its batches."""
    order = iter(np.random.default_rng(size).permutation(ROWS))
    return [[np.array([next(order) for _ in range(n)]) for n in of_rank] for of_rank in SIZES[size]]


def joint_batches(size):
    """Those of all ranks together, as one process would be given them."""
    each = own_batches(size)
    for step in range(max(map(len, each))):
        yield np.concatenate([own[step] for own in each if step < len(own)])


class Batches:
    """Read anew by each epoch."""

    def __init__(self, indices, weights=False):
        self.indices, self.weights = list(indices), weights

    def __iter__(self):
        for at in self.indices:
            yield (X[at], Y[at], WEIGHTS[at]) if self.weights else (X[at], Y[at])


def fitted(size, weights=False, kind=Batches, rows="same", make=model_of, **options):
    def work(rank, comm):
        how = {"epochs": 3, "shuffle": False, "verbose": 0, **options}
        if "validation_data" in how:
            how["validation_data"] = how["validation_data"](rank, comm and size)
        model = make()
        ranks = None if comm is None else fastnn.Ranks(comm, rows=rows)
        indices = joint_batches(size) if comm is None else own_batches(size)[rank]
        model.fit(kind(indices, weights), comm=ranks, **how)
        return model.get_weights(), model.history.history

    return [work(0, None)], results(on_ranks(size, work))


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_as_one_process_with_the_batches_of_all(size, weights):
    alone, found = fitted(size, weights, class_weight={0: 2.0} if weights else None)
    same(found, alone[0])


def held_batches(rank, size):
    if not size:
        return Batches([np.arange(50)])
    edges = np.linspace(0, 50, 2 * size + 1).astype(int)
    return Batches([np.arange(edges[i], edges[i + 1]) for i in (2 * rank, 2 * rank + 1)])


def held_chunks(rank, size):
    edges = np.linspace(0, 50, (size or 1) + 1).astype(int)
    part = slice(edges[rank], edges[rank + 1])
    return fastnn.data.Chunks(X[part], Y[part], rows=7, window=10)


def held_rows(rank, size):
    edges = np.linspace(0, 50, (size or 1) + 1).astype(int)
    return X[edges[rank] : edges[rank + 1]], Y[edges[rank] : edges[rank + 1]]


@pytest.mark.parametrize("rows", ["same", "shards"])
@pytest.mark.parametrize("held", [held_batches, held_chunks, held_rows])
def test_validation(held, rows):
    """Batches are each rank's own; chunks and arrays are as `rows` says."""
    given = held
    if rows == "same" and held is not held_batches:
        given = lambda _rank, _size: held(0, 0)
    alone, found = fitted(3, rows=rows, validation_data=given)
    assert "val_loss" in found[0][1]
    same(found, alone[0])


@pytest.mark.parametrize("size", [2, 3])
def test_a_generator_with_steps_per_epoch(size):
    """It goes on from epoch to epoch."""

    def kind(indices, weights):
        del weights
        return ((X[at], Y[at]) for at in 3 * list(indices))

    whole = {2: [[5, 3, 9, 4], [4, 4, 1, 8]], 3: [[5, 3], [1, 1], [2, 7]]}[size]
    before = SIZES[size]
    SIZES[size] = whole
    try:
        steps = len(whole[0])
        alone, found = fitted(size, kind=kind, steps_per_epoch=steps)
    finally:
        SIZES[size] = before
    same(found, alone[0])


@pytest.mark.filterwarnings("ignore:fit. x ran out of data")
@pytest.mark.parametrize("batches_of_one", [8, 9])
def test_a_generator_that_ends_on_one_rank(batches_of_one):
    """Training ends on all of them after the epoch, as where it is alone; also where the rank has no
    batch of that epoch."""

    def work(rank, comm):
        model = model_of()
        count = batches_of_one if rank == 1 else 100
        batches = ((X[i : i + 4], Y[i : i + 4]) for i in range(count))
        history = model.fit(batches, steps_per_epoch=4, epochs=10, verbose=0, comm=comm)
        return history.epoch, model.network.steps, [w.tobytes() for w in model.get_weights()]

    found = results(on_ranks(3, work))
    assert found == [found[0]] * 3
    assert found[0][:2] == ([0, 1, 2], 12)


class Indexed:
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return X[5 * i : 5 * i + 5], Y[5 * i : 5 * i + 5]


def test_batches_by_number_are_shuffled_alike():
    def work(_rank, comm):
        model = model_of()
        model.fit(Indexed(), epochs=3, verbose=0, comm=comm)
        return model.get_weights(), model.history.history

    twice = model_of()  # all ranks have the same batches: each row counts twice

    class Doubled(Indexed):
        def __getitem__(self, i):
            x, y = super().__getitem__(i)
            return np.concatenate([x, x]), np.concatenate([y, y])

    twice.fit(Doubled(), epochs=3, verbose=0)
    found = results(on_ranks(2, work))
    same(found, (twice.get_weights(), twice.history.history))


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_epoch_end", "on_train_begin"])
def test_all_stop_where_one_rank_stops(hook):
    def work(rank, comm):
        model = model_of()

        def stop(*_):
            model.stop_training = True

        callbacks = [LambdaCallback(**{hook: stop})] if rank == 1 else []
        batches = Batches(own_batches(3)[rank])
        model.fit(batches, epochs=50, verbose=0, callbacks=callbacks, comm=comm)
        return model.history.epoch, model.network.steps, [w.tobytes() for w in model.get_weights()]

    found = results(on_ranks(3, work))
    assert found == [found[0]] * 3
    assert found[0][:2] == ([0], 1 if hook != "on_epoch_end" else 5)


def test_errors_of_one_rank_end_all():
    def work(rank, comm):
        indices = own_batches(2)[rank]

        def batches():
            for number, at in enumerate(indices):
                if number == 2 and rank == 1:
                    raise OSError("the reader fails")
                yield X[at], Y[at]

        model_of().fit(batches(), verbose=0, comm=comm)

    found = on_ranks(2, work)
    assert isinstance(found[1], OSError)
    assert isinstance(found[0], fastnn.RankError)
    assert "rank 1 of 2 ended: OSError: the reader fails" in str(found[0])


def test_a_rank_without_any_batch():
    def work(rank, comm):
        model_of().fit(Batches(own_batches(2)[0] if rank else []), verbose=0, comm=comm)

    found = on_ranks(2, work)
    assert isinstance(found[0], ValueError)
    assert "x: expected batches on every rank, got none on this one" in str(found[0])
    assert isinstance(found[1], fastnn.RankError)


def test_models_that_differ_are_told():
    def work(rank, comm):
        model = network(optimizer=fastnn.optimizers.SGD(0.1 + rank))
        model.fit(Batches(own_batches(2)[rank]), verbose=0, comm=comm)

    for error in on_ranks(2, work):
        assert "comm: settings of the optimizer of rank 1 differ" in str(error)


def test_divergence_is_the_same_on_all_ranks():
    def work(rank, comm):
        model = fastnn.Sequential([layers.Dense(1, input_shape=(FEATURES,))], seed=0)
        model.compile(fastnn.optimizers.SGD(1e4), "mean_squared_error")
        with pytest.raises(fastnn.TrainingDiverged) as told:
            model.fit(Batches(own_batches(2)[rank]), epochs=50, verbose=0, comm=comm)
        return str(told.value), model.get_weights()[0].tobytes()

    found = results(on_ranks(2, work))
    assert found[1] == found[0]


def test_what_is_refused():
    def refused(message, make=model_of, every=0, **options):
        def work(rank, comm):
            ranks = fastnn.Ranks(comm, average_every=every)
            make().fit(Batches(own_batches(2)[rank]), comm=ranks, verbose=0, **options)

        for error in on_ranks(2, work):
            assert isinstance(error, ValueError), error
            assert message in str(error)

    refused("average_every: with arrays x and y alone", every=2)
    refused(
        "comm: a metric needs all rows at once, as AUC does; give arrays or Chunks",
        lambda: model_of(metrics=[fastnn.metrics.CohenKappa()]),
    )
