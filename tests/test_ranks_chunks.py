"""Training over ranks on data larger than memory: the same chunks on every rank, or its own."""

from __future__ import annotations

import numpy as np
import pytest
from rank_threads import on_ranks, results
from test_ranks import CLASSES, FEATURES, network, same

import fastnn
from fastnn import layers
from fastnn.callbacks import BackupAndRestore, LambdaCallback, TimeLimit
from fastnn.training.sharing import shares_of

pytestmark = pytest.mark.cpu

ROWS = 157
RNG = np.random.default_rng(8)
X = RNG.standard_normal((ROWS, FEATURES))
Y = np.argmax(X[:, :CLASSES] + 0.3 * RNG.standard_normal((ROWS, CLASSES)), axis=1).astype(np.int32)
WEIGHTS = RNG.uniform(0, 2, ROWS)
CUTS = {1: [0, 157], 2: [0, 60, 157], 3: [0, 3, 120, 157], 4: [0, 40, 41, 130, 157]}
HELD = slice(0, 50)


def model_of(**how):
    return network(layers.BatchNormalization(), layers.Dropout(0.3), **how)


def chunks_of(rows=slice(None), weights=None, size=11, window=30, own=False):
    """Rows in chunks; `own`: their number is not known before they are read."""
    if not own:
        return fastnn.data.Chunks(
            X[rows], Y[rows], None if weights is None else weights[rows], rows=size, window=window
        )
    arrays = [X[rows], Y[rows], *([] if weights is None else [weights[rows]])]

    def read():
        for begin in range(0, len(arrays[0]), size):
            yield tuple(array[begin : begin + size] for array in arrays)

    return fastnn.data.Chunks(read, window=window)


def fitted(size, rows, make=model_of, given=None, **options):
    """The weights and history of each rank; `given`: (rank's rows) -> chunks."""
    given = given or chunks_of

    def work(rank, comm):
        model = make()
        ranks = None if comm is None else fastnn.Ranks(comm, rows=rows)
        cuts = CUTS[size or 1]
        part = slice(cuts[rank], cuts[rank + 1]) if rows == "shards" else slice(None)
        how = {"epochs": 3, "batch_size": 8, "verbose": 0, **options}
        if "callbacks" in how:  # each rank has its own
            how["callbacks"] = how["callbacks"]()
        if callable(how.get("validation_data")):
            how["validation_data"] = how["validation_data"](rank, rows == "shards" and size)
        history = model.fit(given(part), comm=ranks, **how)
        return model.get_weights(), history.history

    if size == 0:
        return [work(0, None)]
    return results(on_ranks(size, work))


def held(rank, size):
    """The rows of validation of a rank, of shards where there is a size."""
    if not size:
        return chunks_of(HELD, window=20)
    edges = np.linspace(0, 50, size + 1).astype(int)
    return chunks_of(slice(edges[rank], edges[rank + 1]), window=20)


CASES = {
    "plain": {},
    "in order": {"shuffle": False},
    "one batch": {"batch_size": 1000},
    "parts of a pass": {"steps_per_epoch": 5, "epochs": 7},
    "weights of classes": {"class_weight": {0: 3.0, 1: 0.5}},
    "balanced": {"class_weight": "balanced"},
    "validation": {"validation_data": held},
    "validation on arrays": {"validation_data": (X[HELD], Y[HELD])},
    "validation of few": {"validation_data": held, "validation_steps": 3},
}


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("name", CASES)
def test_the_same_chunks_as_in_one_process(name, size):
    expected = fitted(0, "same", **CASES[name])[0]
    same(fitted(size, "same", **CASES[name]), expected, exact=size == 1)


@pytest.mark.parametrize("own", [False, True])
def test_weights_of_rows(own):
    def given(rows):
        return chunks_of(rows, WEIGHTS, own=own)

    same(fitted(3, "same", given=given), fitted(0, "same", given=given)[0])


def test_metrics_of_all_rows():
    def make():
        return model_of(metrics=["accuracy", fastnn.metrics.CohenKappa()])

    how = {"validation_data": held}
    same(fitted(3, "same", make, **how), fitted(0, "same", make, **how)[0])


# -- shards: one process that is given the batches which ranks bring together


def by_hand(size, shares, epochs=3, weights=None):
    """A model that trains alone on the batches of all ranks; shards are in order."""
    cuts = CUTS[size]
    parts = [np.arange(cuts[r], cuts[r + 1]) for r in range(size)]

    def batches():
        for _ in range(epochs):
            for step in range(max(-(-len(p) // s) for p, s in zip(parts, shares, strict=True))):
                own = [p[step * s : (step + 1) * s] for p, s in zip(parts, shares, strict=True)]
                at = np.concatenate(own)
                yield (X[at], Y[at]) if weights is None else (X[at], Y[at], weights[at])

    steps = max(-(-len(p) // s) for p, s in zip(parts, shares, strict=True))
    model = model_of()
    history = model.fit(batches(), steps_per_epoch=steps, epochs=epochs, shuffle=False, verbose=0)
    return model.get_weights(), history.history


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("own", [False, True])
def test_shards_bring_their_part_of_each_batch(own, size):
    """Also where a rank has come to the end of its rows, and others go on."""
    counts = [1] * size if own else list(np.diff(CUTS[size]))
    expected = by_hand(size, shares_of(8, counts))
    found = fitted(size, "shards", given=lambda rows: chunks_of(rows, own=own), shuffle=False)
    same(found, expected)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_weights_of_rows_of_shards(size):
    """A gradient is divided by what a row of all ranks weighs on average."""

    def given(rows):
        return chunks_of(rows, WEIGHTS)

    shares = shares_of(8, list(np.diff(CUTS[size])))
    expected = by_hand(size, shares, weights=WEIGHTS / WEIGHTS.mean())
    same(fitted(size, "shards", given=given, shuffle=False), expected)


def test_parts_of_a_batch_are_those_of_rows():
    assert shares_of(8, [60, 97]) == [3, 5]
    assert shares_of(8, [1, 1000]) == [1, 7]
    assert shares_of(10, [1, 1, 1, 1000]) == [1, 1, 1, 7]
    assert shares_of(9, [5, 5]) == [5, 4]
    assert shares_of(100, [3, 4]) == [43, 57]
    with pytest.raises(ValueError, match="at least a row of each of 3 ranks, got 2"):
        shares_of(2, [4, 4, 4])
    with pytest.raises(ValueError, match="rank 1 has none"):
        shares_of(8, [4, 0, 4])


@pytest.mark.filterwarnings("ignore:fit. epoch .* steps, where")
@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"class_weight": "balanced"},
        {"validation_data": held},
        {"steps_per_epoch": 5, "epochs": 7},
    ],
)
def test_shards_that_are_shuffled(options, own, size):
    """Every row once in a pass: sums of counts are exact, and ranks have the same bits."""
    found = fitted(size, "shards", given=lambda rows: chunks_of(rows, own=own), **options)
    for weights, told in found:
        assert told == found[0][1]
        for a, b in zip(weights, found[0][0], strict=True):
            np.testing.assert_array_equal(a, b)
    if "validation_data" in options:
        probe = network(layers.BatchNormalization(), layers.Dropout(0.3))
        probe.set_weights(found[0][0])
        loss, accuracy = probe.evaluate(X[HELD], Y[HELD], verbose=0)
        assert found[0][1]["val_loss"][-1] == pytest.approx(loss, rel=1e-10)
        assert found[0][1]["val_accuracy"][-1] == pytest.approx(accuracy, rel=1e-12)


def test_a_row_is_seen_once_in_a_pass():
    """Of weights that do not move: the loss of an epoch is that of all rows."""

    def make():
        return network(optimizer=fastnn.optimizers.SGD(1e-30))

    expected = make().evaluate(X, Y, sample_weight=WEIGHTS, verbose=0)[0]
    for size in (2, 3, 4):
        for own in (False, True):
            found = fitted(
                size, "shards", make, given=lambda rows, own=own: chunks_of(rows, WEIGHTS, own=own)
            )
            for _, told in found:
                np.testing.assert_allclose(told["loss"], expected, rtol=1e-10)


def test_the_order_of_a_shard_is_no_other_rank_s_affair():
    """Rows that a rank reads, in its order, do not depend on what the others have."""
    orders = []
    for other in (slice(60, 157), slice(60, 90)):
        seen = []

        def work(rank, comm, other=other, seen=seen):
            ranks = fastnn.Ranks(comm, rows="shards")
            chunks = chunks_of(slice(0, 60) if rank == 0 else other, window=25)
            if rank == 0:
                source = chunks._source
                read = source.read
                source.read = lambda i: (seen.append(i), read(i))[1]
            model_of().fit(chunks, comm=ranks, batch_size=8, epochs=3, verbose=0)

        results(on_ranks(2, work))
        orders.append(seen)
    assert orders[0] == orders[1]
    assert len(set(map(tuple, np.array_split(orders[0], 3)))) > 1


@pytest.mark.parametrize("rows", ["same", "shards"])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("freq", ["epoch", 5])
def test_training_goes_on_from_a_backup(freq, own, rows, tmp_path):
    """Also in the middle of an epoch, where one rank has no more rows."""

    def given(part):
        return chunks_of(part, own=own)

    whole = fitted(3, rows, given=given)

    def callbacks(*, fails=False):
        steps = []

        def crash(*_):
            steps.append(1)
            if len(steps) > 45:
                raise MemoryError("the job is killed")

        def crash_at(epoch, _logs):
            if epoch == 2:
                raise MemoryError("the job is killed")

        hooks = {"on_train_batch_end": crash} if freq == 5 else {"on_epoch_begin": crash_at}
        crashes = [LambdaCallback(**hooks)] if fails else []
        return [BackupAndRestore(str(tmp_path), save_freq=freq), *crashes]

    with pytest.raises((MemoryError, fastnn.RankError)):
        fitted(3, rows, given=given, callbacks=lambda: callbacks(fails=True))
    assert any(tmp_path.iterdir())
    same(fitted(3, rows, given=given, callbacks=callbacks), whole[0], exact=True)


def test_all_stop_where_one_rank_stops():
    def work(rank, comm):
        model = model_of()
        limit = [TimeLimit(0.3)] if rank == 1 else []
        chunks = chunks_of(slice(CUTS[3][rank], CUTS[3][rank + 1]))
        ranks = fastnn.Ranks(comm, rows="shards")
        model.fit(chunks, batch_size=8, epochs=100_000, verbose=0, callbacks=limit, comm=ranks)
        return model.network.steps, [w.tobytes() for w in model.get_weights()]

    found = results(on_ranks(3, work))
    assert found == [found[0]] * 3


def test_bad_rows_of_one_rank():
    def given(rows):
        chunks = X[rows].copy()
        if rows.start == 120:
            chunks[20, 0] = np.nan
        return fastnn.data.Chunks(chunks, Y[rows], rows=11, window=20)

    def work(rank, comm):
        part = slice(CUTS[3][rank], CUTS[3][rank + 1])
        ranks = fastnn.Ranks(comm, rows="shards")
        model_of().fit(given(part), batch_size=8, verbose=0, comm=ranks)

    found = on_ranks(3, work)
    assert isinstance(found[2], ValueError)
    for error in found[:2]:
        assert isinstance(error, fastnn.RankError)
        assert "rank 2 of 3 ended: ValueError" in str(error)


@pytest.mark.parametrize("rows", ["same", "shards"])
@pytest.mark.parametrize("arrays", [False, True])
def test_a_validation_that_diverges_on_one_rank(arrays, rows):
    """All go back to the same weights, whichever has the row."""

    def work(rank, comm):
        x, targets = X[HELD], X[HELD, :1].copy()
        targets[7 if rows == "shards" else 45] = 1e200  # in the part of one rank
        if rows == "shards" and rank != 1:
            targets = X[HELD, :1]
        held_out = (x, targets) if arrays else fastnn.data.Chunks(x, targets, rows=9, window=20)
        model = fastnn.Sequential(
            [layers.Dense(1, input_shape=(FEATURES,))], dtype="float64", seed=0
        )
        model.compile("adam", "mean_squared_error")
        chunks = fastnn.data.Chunks(X, X[:, :1], rows=11, window=30)
        ranks = fastnn.Ranks(comm, rows=rows)
        with pytest.raises(fastnn.TrainingDiverged) as told:
            model.fit(chunks, verbose=0, validation_data=held_out, comm=ranks)
        model.fit(chunks, verbose=0, comm=ranks)  # which compares the weights
        return str(told.value), model.get_weights()[0].tobytes()

    found = results(on_ranks(3, work))
    assert found == [found[0]] * 3
    assert "the validation loss became inf" in found[0][0]


def test_chunks_that_differ_are_told():
    def work(rank, comm):
        chunks = fastnn.data.Chunks(X + (rank == 1), Y, rows=11, window=30)
        model_of().fit(chunks, batch_size=8, verbose=0, comm=comm)

    for error in on_ranks(2, work):
        assert isinstance(error, ValueError)
        assert "comm: rows of rank 1 differ from those of rank 0" in str(error)


def test_what_is_refused():
    def refused(message, make=model_of, rows="shards", every=0, **options):
        def work(_rank, comm):
            ranks = fastnn.Ranks(comm, rows=rows, average_every=every)
            make().fit(chunks_of(), comm=ranks, verbose=0, **options)

        for error in on_ranks(2, work):
            assert isinstance(error, ValueError), error
            assert message in str(error)

    refused("average_every: with arrays x and y alone", every=2)
    refused("batch_size: expected at least a row of each of 2 ranks, got 1", batch_size=1)
    refused(
        "comm: a metric needs all rows at once",
        lambda: model_of(metrics=[fastnn.metrics.CohenKappa()]),
    )

    def over_a_tape():
        model = model_of()
        model.compile("sgd", lambda _t, p: fastnn.math.reduce_mean(p))
        return model

    refused("comm: the model trains over a tape", over_a_tape)
