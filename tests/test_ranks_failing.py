"""Ranks that fail, stop, or differ: all ranks end with a message that names the rank, none hangs."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from rank_threads import Aborted, Comm, WaitingComm, World, on_ranks, results
from test_ranks import CUTS, FEATURES, ROWS, fitted, made, network, plain_fit, problem, same

import fastnn
from fastnn import _core, layers
from fastnn.callbacks import LambdaCallback
from fastnn.training import ranks

pytestmark = pytest.mark.cpu

KINDS = [Comm, WaitingComm]


def fit_on(size, change=None, kind=Comm, world=None, rows="same", **options):
    """What `fit` gives or raises on each rank; change(rank, model, how) may alter a rank's call."""
    x, y = problem()

    def work(rank, comm):
        model = network()
        part = slice(None) if rows == "same" else slice(CUTS[size][rank], CUTS[size][rank + 1])
        how = {"epochs": 3, "batch_size": 8, "verbose": 0, "x": x[part], "y": y[part], **options}
        if change is not None:
            change(rank, model, how)
        model.fit(comm=fastnn.Ranks(comm, rows=rows), **how)
        return model

    return on_ranks(size, work, kind, world)


def raised_on(found, rank, kind, message):
    """`rank` raised its own error, and each other rank a RankError about it."""
    assert isinstance(found[rank], kind), found[rank]
    for other, error in enumerate(found):
        if other != rank:
            assert isinstance(error, fastnn.RankError), (other, error)
            assert f"rank {rank} of {len(found)} ended: {kind.__name__}" in str(error)
            assert message in str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_bad_data_on_one_rank(kind):
    def change(rank, _model, how):
        if rank == 1:
            how["x"] = how["x"].copy()
            how["x"][0, 2] = np.nan

    found = fit_on(3, change, kind, rows="shards")
    raised_on(found, 1, ValueError, "nan")


def test_a_wrong_argument_on_one_rank():
    def change(rank, _model, how):
        if rank == 0:
            how["batch_size"] = -1

    raised_on(fit_on(2, change), 0, ValueError, "batch_size")


@pytest.mark.parametrize(
    "hook", ["on_train_begin", "on_epoch_end", "on_train_batch_end", "on_train_end"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_callback_fails_on_one_rank(hook, kind):
    def fail(*_):
        raise OSError("the disk is full")

    def change(rank, _model, how):
        if rank == 2:
            how["callbacks"] = [LambdaCallback(**{hook: fail})]

    raised_on(fit_on(3, change, kind), 2, OSError, "the disk is full")


def test_an_interrupt_on_one_rank():
    def interrupt(_epoch, _logs):
        raise KeyboardInterrupt

    def change(rank, _model, how):
        if rank == 1:
            how["callbacks"] = [LambdaCallback(on_epoch_end=interrupt)]

    raised_on(fit_on(3, change), 1, KeyboardInterrupt, "")


def test_ranks_can_train_again_after_an_error():
    x, y = problem()

    def work(rank, comm):
        model = network()
        with pytest.raises((ValueError, fastnn.RankError)):
            model.fit(x, y - 5 * (rank == 1), verbose=0, comm=comm)
        model.fit(x, y, batch_size=8, epochs=3, verbose=0, comm=comm)
        return model.get_weights(), model.history.history

    same(results(on_ranks(3, work)), fitted(network, plain_fit(), 0)[0])


def _compiled_with(loss="sparse_categorical_crossentropy", **how):
    def change(model, _how):
        model.compile(fastnn.optimizers.Adam(0.02, **how), loss, metrics=["accuracy"])

    return change


def _of_other_layers(model, how):
    model.layers[0].trainable = False
    _compiled_with()(model, how)


DIFFERENCES = {
    "layers": _of_other_layers,
    "loss and metrics": _compiled_with(
        fastnn.losses.SparseCategoricalCrossentropy(ignore_class=0),
    ),
    "options of fit": lambda _model, how: how.update(epochs=4),
    "weights": lambda model, _how: model.set_weights([w + 1 for w in model.get_weights()]),
    "rows": lambda _model, how: how.update(x=how["x"] * 2),
    "settings of the optimizer": lambda model, _how: setattr(model.optimizer, "learning_rate", 0.5),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_what_differs_is_named(name):
    found = fit_on(3, lambda rank, *call: DIFFERENCES[name](*call) if rank == 2 else None)
    for error in found:
        assert isinstance(error, ValueError), error
        assert f"comm: {name} of rank 2 differ from those of rank 0" in str(error)


def _with_another_number(csr):
    csr.data[7] += 1e-9
    return csr


def _with_another_column(csr):
    last = csr.indptr[3] - 1  # of row 2
    csr.indices[last] = csr.shape[1] - 1 if csr.indices[last] < csr.shape[1] - 1 else 0
    return csr


SPARSE = {
    "a number": _with_another_number,
    "a column": _with_another_column,
    "the order of rows": lambda csr: csr[::-1].tocsr(),
}


@pytest.mark.parametrize("name", [None, *SPARSE])
def test_sparse_rows_that_differ(name):
    sparse = pytest.importorskip("scipy.sparse")
    x = sparse.random(ROWS, 40, 0.1, format="csr", random_state=3)
    y = np.ones(ROWS)

    def work(rank, comm):
        model = fastnn.Sequential([layers.Dense(1, input_shape=(40,))], seed=0)
        model.compile("sgd", "mean_squared_error")
        own = x.copy()
        if rank == 2 and name is not None:
            own = SPARSE[name](own)
        model.fit(own, y, batch_size=8, verbose=0, comm=comm)

    for error in on_ranks(3, work):
        if name is None:
            assert error is None
        else:
            assert "comm: rows of rank 2 differ from those of rank 0" in str(error)


def test_models_that_differ_in_no_shape():
    """Their gradients could be added up, but they would be of no model."""
    x, y = problem()

    def work(rank, comm):
        model = fastnn.Sequential(
            [
                layers.Dense(8, ["tanh", "relu"][rank], input_shape=(FEATURES,)),
                layers.Dense(3, "softmax"),
            ],
            seed=0,
        )
        optimizer = fastnn.optimizers.SGD(0.1, clipnorm=1.0)
        model.compile(optimizer, "sparse_categorical_crossentropy")
        model.fit(x, y, verbose=0, comm=comm)

    for error in on_ranks(2, work):
        assert "comm: layers of rank 1 differ from those of rank 0" in str(error)


def test_clipping_that_differs():
    found = fit_on(2, lambda rank, *call: _compiled_with(clipnorm=1.0 + rank)(*call))
    for error in found:
        assert "comm: settings of the optimizer of rank 1 differ" in str(error)


def test_seeds_that_differ():
    x, y = problem()

    def work(rank, comm):
        model = fastnn.Sequential([layers.Dense(3, input_shape=(FEATURES,))], seed=rank)
        model.compile("sgd", fastnn.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.set_weights([np.zeros_like(w) for w in model.get_weights()])
        model.fit(x, y, verbose=0, comm=comm)

    for error in on_ranks(2, work):
        assert "comm: seeds of rank 1 differ" in str(error)
        assert "set_random_seed" in str(error)


def test_weights_that_differ_after_an_epoch():
    def change(rank, model, how):
        def disturb(epoch, _logs):
            if epoch == 1:
                model.set_weights([w + 1e-9 for w in model.get_weights()])

        if rank == 1:
            how["callbacks"] = [LambdaCallback(on_epoch_begin=disturb)]

    for error in fit_on(3, change):
        assert isinstance(error, fastnn.RankError)
        assert "the weights of rank 1 differ from those of rank 0" in str(error)


def test_a_rank_that_makes_fewer_steps():
    """An Exchange tells rounds that do not belong together."""

    def work(rank, comm):
        joined = _core.Exchange(Carrier(comm), rank, 2)
        if rank == 0:
            joined.gather(np.zeros(3))
        else:
            joined.sum(np.zeros(3))

    for error in on_ranks(2, work):
        assert isinstance(error, fastnn.RankError)
        assert "another part of training" in str(error)


class Carrier:
    """The link of an Exchange, over a communicator."""

    def __init__(self, comm):
        self.gather, self.swap = comm.Allgather, comm.Alltoall

    def rest(self):
        pass


@pytest.mark.parametrize("count", [1, 100, 400, 5_000, 100_003])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_go_in_the_order_of_ranks(count, dtype):
    rng = np.random.default_rng(count)
    given = (rng.standard_normal((4, count)) * 10.0 ** rng.integers(-8, 8, (4, count))).astype(
        dtype
    )
    expected = ((given[0] + given[1]) + given[2]) + given[3]
    assert count == 1 or not np.array_equal(expected, given[::-1].sum(axis=0))

    def work(rank, comm):
        values = given[rank].copy()
        joined = _core.Exchange(Carrier(comm), rank, 4)
        joined.sum_in_place(values)
        return values, joined.sum(given[rank, :400].astype(np.float64))

    for values, numbers in results(on_ranks(4, work)):
        np.testing.assert_array_equal(values, expected)
        wide = given[:, :400].astype(np.float64)
        np.testing.assert_array_equal(numbers, ((wide[0] + wide[1]) + wide[2]) + wide[3])


def test_divergence_is_the_same_on_all_ranks():
    x, y = problem()

    def work(_rank, comm):
        model = fastnn.Sequential([layers.Dense(1, input_shape=(FEATURES,))], seed=0)
        model.compile(fastnn.optimizers.SGD(1e4), "mean_squared_error")
        try:
            model.fit(x, y, epochs=50, verbose=0, comm=comm)
        except fastnn.TrainingDiverged as error:
            return str(error), model.get_weights()[0].tobytes()

    found = results(on_ranks(3, work))
    assert found[0] is not None
    assert found[1:] == found[:1] * 2


def stop_on(rank_that_stops, callback):
    def change(rank, model, how):
        how.update(epochs=10_000)
        if rank == rank_that_stops:
            how["callbacks"] = [callback(model)]

    return change


@pytest.mark.parametrize("hook", ["on_epoch_end", "on_train_batch_end", "on_epoch_begin"])
def test_all_stop_where_one_rank_stops(hook):
    def callback(model):
        def stop(_number, _logs):
            if len(model.history.epoch) == 2 or hook == "on_train_batch_end":
                model.stop_training = True

        return LambdaCallback(**{hook: stop})

    found = results(fit_on(3, stop_on(1, callback)))
    assert len({tuple(model.history.epoch) for model in found}) == 1
    assert len(found[0].history.epoch) < 5
    for model in found:
        for a, b in zip(model.get_weights(), found[0].get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("batch_hook", [False, True])
def test_a_time_limit_on_one_rank(batch_hook):
    def callback(_model):
        limit = fastnn.callbacks.TimeLimit(0.2)
        if batch_hook:
            limit.on_train_batch_end = lambda _batch, _logs: None
        return limit

    found = results(fit_on(3, stop_on(2, callback)))
    assert len({model.network.steps for model in found}) == 1
    assert 1 <= len(found[0].history.epoch) < 10_000


def test_another_thread_stops_one_rank():
    def change(rank, model, how):
        how.update(epochs=10_000_000)
        if rank == 1:
            threading.Timer(0.2, lambda: setattr(model, "stop_training", True)).start()

    found = results(fit_on(2, change))
    assert len({model.network.steps for model in found}) == 1


def test_early_stopping_decides_alike():
    def make():
        return network()

    def fit(model, part, ranks):
        x, y = problem()
        stop = fastnn.callbacks.EarlyStopping(
            monitor="val_loss", patience=2, min_delta=0.02, restore_best_weights=True
        )
        how = {"epochs": 60, "batch_size": 8, "verbose": 0, "validation_split": 0.3}
        return model.fit(x[part], y[part], comm=ranks, callbacks=[stop], **how)

    found, expected = fitted(make, fit, 3), fitted(make, fit, 0)[0]
    assert len(expected[1]["loss"]) < 60
    same(found, expected)


def test_rank_0_writes_and_prints(tmp_path, capsys):
    def change(rank, _model, how):
        folder = tmp_path / str(rank)
        folder.mkdir()
        how["verbose"] = 2
        how["callbacks"] = [
            fastnn.callbacks.ModelCheckpoint(str(folder / "m.safetensors")),
            fastnn.callbacks.CSVLogger(str(folder / "log.csv")),
            fastnn.callbacks.BackupAndRestore(str(folder), delete_checkpoint=False),
        ]

    results(fit_on(3, change))
    names = {
        rank: sorted(file.name for file in (tmp_path / str(rank)).iterdir()) for rank in range(3)
    }
    assert names == {0: ["latest.safetensors", "log.csv", "m.safetensors"], 1: [], 2: []}
    assert capsys.readouterr().out.count("Epoch 1/3") == 1


@pytest.mark.parametrize("freq", ["epoch", 3])
def test_training_goes_on_from_a_backup(freq, tmp_path):
    """With as many ranks to the same bits, with others to those but for rounding."""

    def fit(stops):
        def call(model, part, ranks):
            x, y = problem()

            def crash(epoch, _logs):
                if epoch == 4 and stops:
                    raise MemoryError("the job is killed")

            backup = fastnn.callbacks.BackupAndRestore(str(tmp_path), save_freq=freq)
            crashes = LambdaCallback(on_epoch_begin=crash)
            how = {"epochs": 6, "batch_size": 8, "verbose": 0, "callbacks": [backup, crashes]}
            return model.fit(x[part], y[part], comm=ranks, **how)

        return call

    make = made((layers.Dropout, 0.3), {})
    whole = fitted(make, fit(False), 3)
    for size in (3, 2):
        with pytest.raises(MemoryError):
            fitted(make, fit(True), 3)
        found = fitted(make, fit(False), size)
        same(found, whole[0], exact=size == 3)


def test_a_rank_that_does_not_come(capsys):
    x, y = problem()

    def work(rank, comm):
        if rank == 1:
            return
        network().fit(x, y, verbose=0, comm=fastnn.Ranks(comm, timeout=0.6))

    begin = time.monotonic()
    found = on_ranks(2, work, WaitingComm)
    assert isinstance(found[0], Aborted)
    assert time.monotonic() - begin < 10
    told = capsys.readouterr().err
    assert "rank 0 of 2: not all ranks have called fit" in told


def test_a_rank_that_is_gone(capsys, monkeypatch):
    """Processes of one machine look for each other, also where no launcher does."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setattr(ranks, "_LOOK", 0.01)
    world = World(2)
    link = ranks.Link(fastnn.Ranks(WaitingComm(world, 0), timeout=60))
    here = ranks._place()
    link.places = [here, here._replace(pid=float(ended.pid))]
    with pytest.raises(Aborted):
        link.gather(np.zeros(3, np.uint8), np.zeros((2, 3), np.uint8))
    assert f"rank 1 (process {ended.pid}) is gone; the job ends" in capsys.readouterr().err


def test_a_communicator_that_fails():
    """No rank waits in another call of it, also without Abort."""
    x, y = problem()

    class Fails(Comm):
        def Allgather(self, sendbuf, recvbuf):
            if self._count == 8:
                raise OSError("the network is down")
            super().Allgather(sendbuf, recvbuf)

    found = on_ranks(2, lambda _, comm: network().fit(x, y, verbose=0, comm=comm), Fails)
    assert [str(error) for error in found] == ["the network is down"] * 2


def test_a_warning_that_is_an_error(monkeypatch):
    """It is raised while ranks meet."""
    monkeypatch.setattr(ranks, "crowded", lambda *_: "fit: too many threads")
    raised_on(fit_on(2), 0, UserWarning, "too many threads")


def test_too_many_threads_are_told():
    here = ranks._place()._replace(threads=8.0, cores=8.0)
    other, away = here._replace(pid=1.0), here._replace(pid=2.0, host=-1.0)
    told = ranks.crowded(here, [here, other, away])
    assert told == (
        "fit: 2 ranks of one machine have 16 threads on 8 cores; call fastnn.set_num_threads(4) in each"
    )
    assert ranks.crowded(here, [here, away]) is None
    assert ranks.crowded(here, [here, here]) is None  # threads of one process
    bound = here._replace(cores=0.0)
    assert ranks.crowded(bound, [bound, other]) is None
    few = here._replace(threads=4.0)
    assert ranks.crowded(few, [few, other._replace(threads=4.0)]) is None


@pytest.mark.parametrize("answers", [True, False])
def test_an_interrupt_while_a_rank_waits(answers, capsys, monkeypatch):
    """The sum that is under way ends first, so that the others are not left without it."""
    monkeypatch.setattr(ranks, "_LOOK", 0.01)
    monkeypatch.setattr(ranks, "_GRACE", 0.1)
    world = World(2)
    link = ranks.Link(fastnn.Ranks(WaitingComm(world, 0), timeout=60))
    tests = []

    class Interrupted:
        def __init__(self, request):
            self.request = request

        def Test(self):
            tests.append(1)
            if len(tests) == 2:
                raise KeyboardInterrupt
            if answers and len(tests) == 3:
                WaitingComm(world, 1).Iallgather(np.ones(3, np.uint8), np.zeros((2, 3), np.uint8))
            return self.request.Test()

    call = link._comm.Iallgather
    monkeypatch.setattr(link, "_gather", lambda *buffers: link._wait(Interrupted(call(*buffers))))
    into = np.zeros((2, 3), np.uint8)
    if answers:
        link.gather(np.zeros(3, np.uint8), into)
        assert into[1].all()
        with pytest.raises(KeyboardInterrupt):
            link.rest()
        link.rest()
    else:
        with pytest.raises(Aborted):
            link.gather(np.zeros(3, np.uint8), into)
        assert "it was interrupted, and other ranks do not answer" in capsys.readouterr().err


@pytest.mark.parametrize("session", ["streaming", "tiled"])
def test_sessions_that_step_at_once_are_refused(session, monkeypatch):
    monkeypatch.setenv("FASTNN_SESSION", session)
    for error in fit_on(2):
        assert isinstance(error, ValueError)
        assert f"session: '{session}' steps before all gradients are there, which ranks" in str(
            error
        )


def test_a_session_of_one_process_is_none_of_ranks():
    """A model that was trained alone, in another session, trains over ranks, and alone again."""
    x, y = problem()

    def work(_rank, comm):
        model = network()
        for over in (None, comm, None):
            model.fit(x, y, batch_size=8, verbose=0, comm=over)
        return model.get_weights(), model.history.history

    def alone(model, part, ranks):
        for _ in range(3):
            history = model.fit(x[part], y[part], batch_size=8, verbose=0, comm=ranks)
        return history

    same(results(on_ranks(2, work)), fitted(network, alone, 0)[0])


def test_what_is_refused():
    x, y = problem()
    model = network()
    with pytest.raises(TypeError, match="without Get_rank"):
        model.fit(x, y, comm=3)
    with pytest.raises(ValueError, match="rows"):
        fastnn.Ranks(Comm(World(2), 0), rows="some")

    def refused(message, rows="same", **options):
        for error in fit_on(2, rows=rows, **options):
            assert isinstance(error, ValueError)
            assert message in str(error)

    refused("validation_steps: rows are shards", rows="shards", validation_steps=1)

    def local(_rank, comm):
        network().fit(x, y, comm=fastnn.Ranks(comm, average_every=2), steps_per_epoch=2)

    assert all("average_every: not with" in str(error) for error in on_ranks(2, local))

    def looks(rank, comm):
        listening = [LambdaCallback(on_train_batch_end=lambda *_: None)] if rank == 1 else []
        ranks = fastnn.Ranks(comm, average_every=2)
        network().fit(x, y, verbose=0, comm=ranks, callbacks=listening)

    for error in on_ranks(2, looks):
        assert isinstance(error, ValueError)
        assert "average_every: not with callbacks that act after a batch" in str(error)

    def tape(_rank, model, _how):
        model.compile("sgd", lambda _t, p: fastnn.math.reduce_mean(p))

    assert all("over a tape" in str(error) for error in fit_on(2, tape))
