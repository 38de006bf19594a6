"""fit, evaluate and predict over batches that a program makes: generators, Sequences, loaders."""

from __future__ import annotations

import math
import threading
import time
import warnings

import networks
import numpy as np
import pytest

import fastnn
from fastnn.data import feed

N, SIZE = 70, 16
RNG = np.random.default_rng(9)
X = RNG.normal(size=(N, 5)).astype(np.float32)
Y = (X[:, :2] - X[:, 2:4]).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(int)
WEIGHTS = RNG.integers(0, 3, N).astype(np.float64)
PARTS = [slice(i, i + SIZE) for i in range(0, N, SIZE)]


def model_of(loss="mse", outputs=2, head="linear", optimizer="adam", **how):
    fastnn.utils.set_random_seed(4)
    model = networks.sequential((5, 4, outputs), ("relu", head))
    model.compile(optimizer, loss, **how)
    return model


def batches(*arrays):
    for part in PARTS:
        yield tuple(array[part] for array in arrays)


def forever(*arrays):
    while True:
        yield from batches(*arrays)


class Batches(fastnn.utils.PyDataset):
    def __init__(self, *arrays, **how):
        super().__init__(**how)
        self.arrays, self.calls = arrays, []

    def __len__(self):
        return len(PARTS)

    def __getitem__(self, index):
        self.calls.append(index)
        return tuple(array[PARTS[index]] for array in self.arrays)

    def on_epoch_begin(self):
        self.calls.append("begin")

    def on_epoch_end(self):
        self.calls.append("end")


class Loader:
    """As PyTorch's: no numbers, lists of parts, and new ones at each `iter`."""

    collate_fn = dataset = None

    def __init__(self, *arrays):
        self.arrays = arrays

    def __iter__(self):
        return (list(batch) for batch in batches(*self.arrays))

    def __len__(self):
        return len(PARTS)


class Endless:
    """Can be read again, and does not say how long it is."""

    def __init__(self, *arrays):
        self.arrays = arrays

    def __iter__(self):
        return batches(*self.arrays)


SOURCES = {
    "generator": (forever, {"steps_per_epoch": len(PARTS)}),
    "sequence": (Batches, {}),
    "loader": (Loader, {}),
    "iterable": (Endless, {}),
}


def same(a, b):
    for x, y in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("source", SOURCES)
def test_batches_train_as_arrays_do(source):
    """To the last bit, also the last batch, which is smaller."""
    make, how = SOURCES[source]
    wanted, found = model_of(metrics=["mae"]), model_of(metrics=["mae"])
    history = wanted.fit(X, Y, SIZE, 4, 0, shuffle=False).history
    got = found.fit(make(X, Y), epochs=4, verbose=0, shuffle=False, **how).history
    assert got == history
    same(wanted, found)
    assert found.optimizer.iterations == 4 * len(PARTS)
    wanted.fit(X, Y, SIZE, 1, 0)  # the same order of rows in the next epoch
    found.fit(X, Y, SIZE, 1, 0)
    same(wanted, found)


@pytest.mark.parametrize("head", ["softmax", "linear"])
def test_labels_weights_and_metrics_of_all_rows(head):
    how = {"loss": "sparse_categorical_crossentropy", "outputs": 3, "head": head}
    listed = {"metrics": ["accuracy", "auc"], "weighted_metrics": ["accuracy", "auc"]}
    model = model_of(**how, **listed, optimizer=fastnn.optimizers.SGD(0.0))
    history = model.fit(Batches(X, LABELS, WEIGHTS), epochs=1, verbose=0).history
    wanted = model.evaluate(X, LABELS, verbose=0, sample_weight=WEIGHTS, return_dict=True)
    assert list(history) == list(wanted)
    for name, value in wanted.items():
        assert history[name] == pytest.approx([value], rel=1e-6), name
    found = model.evaluate(batches(X, LABELS, WEIGHTS), verbose=0, return_dict=True)
    assert found == pytest.approx(wanted, rel=1e-6)


def test_the_order_of_a_sequence():
    data = Batches(X, Y)
    model = model_of()
    model.fit(data, epochs=3, verbose=0)
    epochs, epoch = [], []
    for call in data.calls:
        epoch = [] if call == "begin" else epoch
        if call == "end":
            epochs.append(epoch)
        elif call != "begin":
            epoch.append(call)
    assert len(epochs) == 3
    assert all(sorted(order) == [*range(len(PARTS))] for order in epochs)
    assert len({tuple(order) for order in epochs}) > 1
    again = Batches(X, Y)
    other = model_of()
    other.fit(again, epochs=3, verbose=0)
    assert again.calls == data.calls
    same(model, other)
    data.calls.clear()
    model.fit(data, epochs=2, verbose=0, shuffle=False, steps_per_epoch=3)
    assert [c for c in data.calls if not isinstance(c, str)] == [0, 1, 2] * 2


@pytest.mark.parametrize("source", SOURCES)
def test_validation_over_batches(source):
    make, how = SOURCES[source]
    steps = {"validation_steps": len(PARTS)} if how else {}
    model = model_of(metrics=["mae"])
    history = model.fit(X[:40], Y[:40], SIZE, 3, 0, validation_data=(X, Y)).history
    other = model_of(metrics=["mae"])
    found = other.fit(
        Endless(X, Y), epochs=3, verbose=0, validation_data=make(X, Y), **steps
    ).history
    assert set(found) == set(history)
    wanted = other.evaluate(X, Y, verbose=0)
    assert found["val_loss"][-1] == pytest.approx(wanted[0], rel=1e-6)
    arrays = model_of().fit(Endless(X, Y), epochs=1, verbose=0, validation_data=(X, Y, WEIGHTS))
    assert math.isfinite(arrays.history["val_loss"][0])


def test_evaluate_and_predict():
    model = model_of(metrics=["mae"])
    wanted, outputs = model.evaluate(X, Y, verbose=0), model.predict(X)
    for make in (batches, Batches, Loader, Endless):
        assert model.evaluate(make(X, Y), verbose=0) == pytest.approx(wanted, rel=1e-6)
        np.testing.assert_array_equal(model.predict(make(X, Y)), outputs)
    np.testing.assert_array_equal(model.predict(X[p] for p in PARTS), outputs)
    np.testing.assert_array_equal(model.predict(forever(X), steps=2), outputs[: 2 * SIZE])
    assert model.evaluate(forever(X, Y), verbose=0, steps=len(PARTS)) == pytest.approx(wanted)
    for call in (lambda: model.evaluate(iter(()), verbose=0), lambda: model.predict(iter(()))):
        with pytest.raises(ValueError, match="expected batches, got none"):
            call()


def test_inputs_by_name():
    inputs = {name: fastnn.Input((k,), name=name) for name, k in (("a", 2), ("b", 3))}
    joined = fastnn.layers.Concatenate()([inputs["a"], inputs["b"]])
    model = fastnn.Model(inputs, fastnn.layers.Dense(2)(joined))
    model.compile("sgd", "mse")
    parts = ({"a": X[p, :2], "b": X[p, 2:]} for p in PARTS)
    made = zip(parts, (Y[p] for p in PARTS), strict=True)
    assert len(model.fit(made, verbose=0).epoch) == 1
    found = model.predict(({"a": X[p, :2], "b": X[p, 2:]},) for p in PARTS)
    np.testing.assert_array_equal(found, model.predict({"a": X[:, :2], "b": X[:, 2:]}))


# -- mistakes, and ends


def test_a_generator_that_ends_early():
    model = model_of()
    with pytest.warns(UserWarning, match=r"x ran out of data after 2 batches of the 4 of an epoch"):
        history = model.fit(
            (b for _, b in zip(range(6), forever(X, Y), strict=False)),
            epochs=3,
            verbose=0,
            steps_per_epoch=4,
        )
    assert history.epoch == [0, 1]
    with pytest.warns(UserWarning, match="ran out of data after 0 batches"):
        history = model.fit(batches(X, Y), epochs=2, verbose=0)  # read once
    assert history.epoch == [0]
    with pytest.warns(UserWarning, match="evaluate: x ran out of data after 5 of 9 batches"):
        model.evaluate(batches(X, Y), verbose=0, steps=9)


def test_errors_of_a_generator_come_through():
    def broken():
        yield X[:8], Y[:8]
        raise LookupError("from the generator")

    before = threading.active_count()
    model = model_of()
    with pytest.raises(LookupError, match="from the generator"):
        model.fit(broken(), verbose=0)
    with pytest.raises(LookupError, match="from the generator"):
        model.predict(broken())
    assert model.optimizer.iterations == 1
    assert threading.active_count() == before


def test_each_batch_is_checked_before_its_step():
    def mixed(wrong):
        yield X[:8], Y[:8]
        yield wrong

    bad = X[:8].copy()
    bad[3, 1] = np.nan
    for wrong, message in (
        ((bad, Y[:8]), "x: .*nan.* row 3"),
        ((X[:8, :4], Y[:8]), r"x: expected shape \(n, 5\)"),
        ((X[:8], Y[:7]), "y: shape"),
        ((X[:8],), "expected batches .x, y."),
        (X[:8], "expected batches .x, y."),
        ((X[:8], Y[:8], [-1.0] * 8), "sample_weight"),
        ((X[:8], Y[:8], None, None), "data: expected x"),
    ):
        model = model_of()
        with pytest.raises(ValueError, match=message):
            model.fit(mixed(wrong), verbose=0)
        assert model.optimizer.iterations == 1


def test_arguments_that_go_with_arrays_alone():
    model = model_of()
    for how, message in (
        ({"validation_split": 0.2}, "validation_split: x makes batches"),
        ({"sample_weight": WEIGHTS}, "sample_weight: x makes batches"),
        ({"class_weight": "balanced"}, "class_weight: 'balanced' needs all rows"),
        ({"steps_per_epoch": 0}, "steps"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(batches(X, Y), verbose=0, **how)


def test_arrays_are_no_sources():
    for value in (X, [1.0], (1.0,), {"a": X}, range(3), np.float32(1), "x", b"x", memoryview(b"x")):
        assert feed.kind_of(value) is None, value
    assert feed.kind_of(iter([])) == "iterator"
    assert feed.kind_of(Batches()) == "indexed"
    assert feed.kind_of(Loader()) == "iterable"
    assert model_of(outputs=1).predict([[1.0] * 5]).shape == (1, 1)


def test_reading_ahead_overlaps_and_ends():
    """A batch is made while another trains; at most two are ahead, and none is read twice."""
    made = []

    def slow():
        for i in range(50):
            made.append(i)
            yield i

    with feed.Ahead(slow()) as ahead:
        assert next(ahead) == 0
        deadline = time.monotonic() + 5
        while len(made) < 4 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
        assert len(made) <= 4
        assert [next(ahead) for _ in range(3)] == [1, 2, 3]
    assert not ahead._thread.is_alive()
    with feed.Ahead(iter(range(7))) as ahead:
        assert list(ahead) == [*range(7)]


def test_a_generator_is_read_no_further_than_asked():
    source = forever(X, Y)
    model = model_of()
    model.fit(source, epochs=2, verbose=0, steps_per_epoch=2)
    np.testing.assert_array_equal(next(source)[0], X[PARTS[4]])


def test_stopping_in_the_middle():
    class Stop(fastnn.callbacks.Callback):
        seen = 0

        def on_train_batch_end(self, batch, logs=None):
            self.seen += 1
            assert math.isfinite(logs["loss"])
            if batch == 1:
                self.model.stop_training = True

    stop = Stop()
    history = model_of().fit(
        forever(X, Y), epochs=3, verbose=0, steps_per_epoch=5, callbacks=[stop]
    )
    assert (history.epoch, stop.seen) == ([0], 2)


def test_ctrl_c_while_a_batch_is_made():
    def interrupted():
        yield X[:8], Y[:8]
        raise KeyboardInterrupt

    model = model_of()
    with pytest.raises(KeyboardInterrupt):
        model.fit(interrupted(), verbose=0)
    assert model.optimizer.iterations == 1


def test_divergence_names_the_step():
    model = model_of(optimizer=fastnn.optimizers.SGD(1e18))
    with pytest.raises(fastnn.TrainingDiverged, match=r"epoch 0, step [123]") as raised:
        model.fit(forever(X, Y), epochs=2, verbose=0, steps_per_epoch=5)
    assert (raised.value.epoch, raised.value.step > 0) == (0, True)
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")
def test_over_the_tape(several):
    def squares(y, p):
        return fastnn.math.square(y - p)

    fastnn.utils.set_random_seed(2)
    made = []
    for _ in range(2):
        x = fastnn.Input((5,))
        one, two = fastnn.layers.Dense(2, name="one")(x), fastnn.layers.Dense(2, name="two")(x)
        model = fastnn.Model(x, [one, two] if several else one)
        model.set_weights([np.full_like(w, 0.1) for w in model.get_weights()])
        model.compile("sgd", squares, metrics=None if several else ["mae"])
        made.append(model)
    y = (lambda p: [Y[p], Y[p]]) if several else (lambda p: Y[p])
    wanted = made[0].fit(X, y(slice(None)), SIZE, 2, 0, shuffle=False).history
    source = [(X[p], y(p)) for p in PARTS]
    found = made[1].fit(iter(source * 2), epochs=2, verbose=0, steps_per_epoch=len(PARTS)).history
    for name, values in wanted.items():
        assert found[name] == pytest.approx(values, rel=1e-6), name
    same(*made)
    assert made[1].evaluate(iter(source), verbose=0) == pytest.approx(
        made[0].evaluate(X, y(slice(None)), verbose=0), rel=1e-6
    )


def test_batches_build_a_model():
    model = fastnn.Sequential([fastnn.layers.Dense(2)])
    model.compile("sgd", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = model.fit(Batches(X, Y), epochs=2, verbose=0)
    assert model.built
    assert history.params["steps"] == len(PARTS)
    best = fastnn.callbacks.EarlyStopping("loss", patience=1, restore_best_weights=True)
    assert model.fit(Batches(X, Y), epochs=2, verbose=0, callbacks=[best]).epoch


def test_a_loader_of_pytorch():
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(torch.tensor(X), torch.tensor(Y)), SIZE)
    model, other = model_of(), model_of()
    model.fit(loader, epochs=2, verbose=0)
    other.fit(X, Y, SIZE, 2, 0, shuffle=False)
    same(model, other)
    np.testing.assert_array_equal(model.predict(loader), model.predict(X))
