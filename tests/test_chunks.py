"""fit, evaluate and predict on Chunks: the bits are those of arrays, whatever the chunks and windows are."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from chunked import LABELS, WEIGHTS, WIDTH, N, X, Y, classifier, files, model_of, parts, same

import fastnn
from fastnn.data import Chunks
from fastnn.data.own_chunks import SequenceSource
from fastnn.data.windows import Windows

QUIET = {"verbose": 0}
# Rows of a chunk and of a window: some divide a batch, some are smaller, some hold all.
CUTS = [(60, 130), (7, 100), (50, 1), (1000, 1000), (N, 1)]


@pytest.mark.parametrize("batch_size", [32, 50, 1000])
@pytest.mark.parametrize(("rows", "window"), CUTS)
def test_rows_in_order_give_the_bits_of_arrays(tmp_path, rows, window, batch_size):
    how = {"epochs": 2, "shuffle": False, "batch_size": batch_size, **QUIET}
    ours, theirs = classifier(), classifier()
    expected = theirs.fit(X, LABELS, **how)
    found = ours.fit(Chunks(*files(tmp_path, X, LABELS), rows=rows, window=window), **how)
    assert same(ours, theirs)
    assert same(found, expected)


def test_a_window_of_all_rows_shuffles_as_arrays_are(tmp_path):
    ours, theirs = classifier(), classifier()
    expected = theirs.fit(X, LABELS, epochs=3, batch_size=10, **QUIET)
    chunks = Chunks(*files(tmp_path, X, LABELS), rows=60)
    found = ours.fit(chunks, epochs=3, batch_size=10, **QUIET)
    assert same(ours, theirs)
    assert same(found, expected)


OWN = {
    "list": lambda made: list(made),
    "function": lambda made: lambda: iter(made),
    "iterable": lambda made: Again(made),
    "sequence": lambda made: Numbered(made),
}


class Again:
    def __init__(self, made):
        self.made = made

    def __iter__(self):
        return iter(self.made)


class Numbered:
    def __init__(self, made):
        self.made = made

    def __len__(self):
        return len(self.made)

    def __getitem__(self, number):
        return self.made[number]


@pytest.mark.parametrize("kind", OWN)
def test_chunks_of_a_program(kind):
    how = {"epochs": 2, "shuffle": False, **QUIET}
    ours, theirs = model_of(), model_of()
    made = [*parts(37, X, Y), (X[:0], Y[:0])]
    made.insert(2, made[-1])
    expected = theirs.fit(X, Y, **how)
    found = ours.fit(Chunks(OWN[kind](made), window=90), **how)
    assert same(ours, theirs)
    assert same(found, expected)


@pytest.mark.parametrize("options", [{}, {"class_weight": {0: 2.0}}, {"class_weight": "balanced"}])
@pytest.mark.parametrize("own", [False, True])
def test_weights_of_rows_and_classes(tmp_path, options, own):
    how = {"epochs": 2, "shuffle": False, **options, **QUIET}
    ours, theirs = classifier(), classifier()
    expected = theirs.fit(X, LABELS, sample_weight=WEIGHTS, **how)
    source = [parts(50, X, LABELS, WEIGHTS)] if own else files(tmp_path, X, LABELS, WEIGHTS)
    found = ours.fit(Chunks(*source, window=110), **how)
    assert same(ours, theirs)
    assert same(found, expected)


def test_missing_labels_count_as_in_arrays():
    y = (Y > 0).astype(np.float32)
    y[RNG_ROWS] = np.nan
    how = {"epochs": 2, "shuffle": False, **QUIET}
    ours, theirs = (model_of("binary_crossentropy") for _ in range(2))
    expected = theirs.fit(X, y, **how)
    found = ours.fit(Chunks(X, y, rows=40, window=90), **how)
    assert same(ours, theirs)
    assert same(found, expected)


RNG_ROWS = np.arange(0, N, 3)


def test_nothing_that_counts_is_refused():
    with pytest.raises(ValueError, match="nothing counts"):
        classifier().fit(Chunks(parts(50, X, LABELS, 0 * WEIGHTS)), **QUIET)


@pytest.mark.parametrize("rows", [31, 5000])
def test_validation_evaluation_and_prediction(rows):
    how = {"epochs": 2, "shuffle": False, **QUIET}
    ours, theirs = classifier(), classifier()
    expected = theirs.fit(X, LABELS, validation_data=(X[:200], LABELS[:200]), **how)
    held = Chunks(X[:200], LABELS[:200], rows=rows, window=60)
    found = ours.fit(Chunks(X, LABELS, rows=rows, window=90), validation_data=held, **how)
    assert same(ours, theirs)
    assert same(found, expected)
    chunks = Chunks(X, LABELS, rows=rows, window=90)
    assert ours.evaluate(chunks, **QUIET) == theirs.evaluate(X, LABELS, **QUIET)
    assert np.array_equal(ours.predict(chunks), theirs.predict(X))
    arrays = ours.fit(Chunks(X, LABELS), validation_data=(X[:9], LABELS[:9]), **QUIET)
    assert arrays.history["val_loss"] == [ours.evaluate(X[:9], LABELS[:9], **QUIET)[0]]


@pytest.mark.parametrize("window", [1, 9000])
def test_more_rows_than_an_evaluation_takes_at_once_add_up_the_same(window):
    x, y = np.tile(X, (60, 1)), np.tile(Y, (60, 1))  # 26,000 rows, by 4096
    model = model_of(metrics=["mae"])
    chunks = Chunks(x, y, rows=999, window=window)
    assert model.evaluate(chunks, **QUIET) == model.evaluate(x, y, **QUIET)


@pytest.mark.parametrize("rows", [999, 4096])  # with rows left over, and without
def test_a_metric_of_all_rows_of_several_windows(rows):
    x, y = np.tile(X, (60, 1)), np.tile(Y[:, :1] > 0, (60, 1)).astype(np.float32)
    y[::7] = 1 - y[::7]
    model = model_of("binary_crossentropy", 1, metrics=[fastnn.metrics.AUC()])
    chunks = Chunks(x, y, rows=rows, window=1)
    assert model.evaluate(chunks, **QUIET) == model.evaluate(x, y, **QUIET)


def test_labels_that_do_not_exclude_each_other_without_weights():
    y = (Y > 0).astype(np.float32)
    how = {"epochs": 2, "shuffle": False, **QUIET}
    ours, theirs = (model_of("binary_crossentropy", optimizer="sgd") for _ in range(2))
    theirs.fit(X, y, **how)
    ours.fit(Chunks(parts(40, X, y), window=90), **how)
    assert same(ours, theirs)


def test_validation_steps_and_hooks_of_batches():
    ours, theirs = classifier(), classifier()
    calls = {"ours": [], "theirs": []}

    def listening(name):
        return fastnn.callbacks.LambdaCallback(
            on_train_batch_end=lambda step, logs: calls[name].append((step, dict(logs)))
        )

    how = {"epochs": 2, "shuffle": False, "validation_steps": 3, **QUIET}
    held = (X[:200], LABELS[:200])
    expected = theirs.fit(X, LABELS, validation_data=held, callbacks=listening("theirs"), **how)
    found = ours.fit(
        Chunks(X, LABELS, rows=33, window=77),
        validation_data=Chunks(*held, rows=30),
        callbacks=listening("ours"),
        **how,
    )
    assert same(ours, theirs)
    assert same(found, expected)
    assert calls["ours"] == calls["theirs"]


@pytest.mark.parametrize("steps", [1, 4, 5, 14, 100])
@pytest.mark.parametrize("known", [True, False])
def test_steps_per_epoch_go_on_through_the_rows(steps, known):
    how = {"epochs": 6, "shuffle": False, "batch_size": 32, "steps_per_epoch": steps, **QUIET}
    ours, theirs = classifier(), classifier()
    chunks = Chunks(X, LABELS, rows=33, window=77)
    if not known:
        chunks = Chunks(lambda: iter(parts(33, X, LABELS)), window=77)
    short = N // 32 % steps != 0 or steps > 14
    with warning(short):
        expected = theirs.fit(X, LABELS, **how)
    with warning(short):
        found = ours.fit(chunks, **how)
    assert same(ours, theirs)
    assert same(found, expected)
    assert ours.network.epochs == theirs.network.epochs


def warning(is_short):
    import contextlib
    import warnings

    if not is_short:
        return contextlib.nullcontext()
    caught = warnings.catch_warnings()
    caught.__enter__()
    warnings.simplefilter("ignore", UserWarning)
    stack = contextlib.ExitStack()
    stack.push(caught.__exit__)
    return stack


def test_early_stopping_and_a_callback_that_stops():
    x, y = X, Y
    ours, theirs = model_of(), model_of()
    stop = fastnn.callbacks.EarlyStopping("loss", min_delta=10.0, patience=1)
    assert len(ours.fit(Chunks(x, y, rows=50), epochs=9, callbacks=[stop], **QUIET).epoch) == 2

    def at_step(step, _):
        if step == 4:
            theirs.stop_training = True

    halt = fastnn.callbacks.LambdaCallback(on_train_batch_end=at_step)
    theirs.fit(Chunks(x, y, rows=50, window=60), epochs=9, callbacks=[halt], **QUIET)
    assert theirs.network.steps == 5


def test_a_metric_of_all_rows():
    how = {"epochs": 2, "shuffle": False, **QUIET}

    def model():
        return model_of("binary_crossentropy", 1, metrics=[fastnn.metrics.AUC()])

    y = (Y[:, 0] > 0).astype(np.float32)
    ours, theirs = model(), model()
    expected = theirs.fit(X, y, validation_data=(X, y), **how)
    chunks = Chunks(X, y, rows=50, window=120)
    found = ours.fit(chunks, validation_data=chunks, **how)
    assert same(ours, theirs)
    assert same(found, expected)


def stack(*layers, dtype="float32"):
    fastnn.utils.set_random_seed(4)
    dense = fastnn.layers.Dense(6, "relu", kernel_regularizer=fastnn.regularizers.L2(0.01))
    made = [fastnn.Input((WIDTH,)), *layers, dense, fastnn.layers.Dense(2)]
    return fastnn.Sequential(made, dtype=dtype)


OPTIMIZERS = fastnn.optimizers
# What goes on from step to step, besides weights: a model of each, and its optimizer.
GOING_ON = {
    "gradients": lambda: (stack(), OPTIMIZERS.Adam(gradient_accumulation_steps=3)),
    "averages": lambda: (stack(), OPTIMIZERS.SGD(use_ema=True, ema_overwrite_frequency=4)),
    "rates": lambda: (stack(), OPTIMIZERS.Adam(OPTIMIZERS.schedules.CosineDecay(0.01, 20))),
    "statistics": lambda: (stack(fastnn.layers.BatchNormalization()), OPTIMIZERS.Adam()),
    "random numbers": lambda: (stack(fastnn.layers.Dropout(0.3)), OPTIMIZERS.Adam()),
    "float64": lambda: (stack(dtype="float64"), OPTIMIZERS.Muon()),
}


@pytest.mark.parametrize("kind", GOING_ON)
@pytest.mark.parametrize("shuffle", [False, True])
def test_what_training_keeps_goes_on_over_the_borders_of_windows(kind, shuffle):
    (ours, one), (theirs, other) = GOING_ON[kind](), GOING_ON[kind]()
    how = {"epochs": 2, "shuffle": shuffle, **QUIET}
    ours.compile(one, "mse", metrics=["mae", fastnn.metrics.R2Score()])
    theirs.compile(other, "mse", metrics=["mae", fastnn.metrics.R2Score()])
    expected = theirs.fit(X, Y, sample_weight=WEIGHTS, validation_data=(X, Y), **how)
    held = Chunks(X, Y, rows=50, window=100)
    window = N if shuffle else 77
    chunks = Chunks(X, Y, WEIGHTS, rows=50, window=window)
    found = ours.fit(chunks, validation_data=held, **how)
    assert same(ours, theirs)
    assert same(found, expected)


# -- order


def rows_seen(windows):
    return [x[r, 0] for w in windows for x in [w.x] for r in w.indices()]


def windows_of(epoch, key=7, first=0, source=None):
    numbers = np.arange(N, dtype=np.float64)[:, None]
    chunks = Chunks(numbers, rows=20, window=90) if source is None else source(numbers)
    return chunks.windows(16, (key, epoch), first)


SOURCES = {
    "array": None,
    "sequence": lambda numbers: Chunks([(part,) for (part,) in parts(20, numbers)], window=90),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_the_order_is_that_of_key_and_epoch(source):
    first = rows_seen(windows_of(0, source=source))
    assert sorted(first) == list(range(N))
    assert first == rows_seen(windows_of(0, source=source))
    others = [rows_seen(windows_of(1, source=source)), rows_seen(windows_of(0, 8, source=source))]
    for other in others:
        assert sorted(other) == list(range(N))
        assert np.mean(np.array(first) == np.array(other)) < 0.1
    # Rows near each other in the file are far apart in the order.
    places = np.argsort(first)
    assert np.mean(np.abs(np.diff(places)) > 8) > 0.8


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("step", [0, 1, 5, 6, 11, 20, 27])
def test_a_pass_goes_on_from_any_step(source, step):
    every = rows_seen(windows_of(3, source=source))
    rest = list(windows_of(3, first=step, source=source))
    assert rest[0].step <= step < rest[0].step + -(-rest[0].used // 16)
    assert rows_seen(rest) == every[16 * rest[0].step :]


def test_all_windows_but_the_last_have_whole_batches():
    windows = list(windows_of(0))
    assert all(w.used % 16 == 0 for w in windows[:-1])
    assert sum(w.used for w in windows) == N
    assert [w.step for w in windows] == list(np.cumsum([0] + [w.used // 16 for w in windows[:-1]]))


def test_chunks_smaller_than_a_batch_make_whole_batches():
    source = SequenceSource(parts(3, X, Y))
    assert [w.used for w in Windows(source, 1, 32)] == [32] * (N // 32) + [N % 32]


# -- the thread that reads


def test_the_next_window_is_read_while_this_one_trains():
    """One window at most is ready, and one thread reads."""
    read, threads, at_first = [], set(), []

    def made():
        for part in parts(50, X, Y):
            read.append(len(part[0]))
            threads.add(threading.current_thread().name)
            yield part

    def begin(step, _):
        if step == 0:
            for _ in range(2000):  # the reader goes as far as it may
                time.sleep(0.001)
                if len(read) > 2:
                    break
            time.sleep(0.02)
            at_first.append(len(read))

    listening = fastnn.callbacks.LambdaCallback(on_train_batch_begin=begin)
    model = model_of()
    model.fit(Chunks(made, window=50), shuffle=False, batch_size=50, callbacks=[listening], **QUIET)
    # The first is read before training for its shape; then it, and the next.
    assert at_first == [3]
    assert len(threads - {"MainThread"}) == 1
    assert "fastnn batches" not in [t.name for t in threading.enumerate()]


def test_an_error_of_the_thread_is_raised_and_ends_it():
    def made():
        yield from parts(50, X, Y)[:4]
        raise OSError("the disk is gone")

    model = model_of()
    with pytest.raises(OSError, match="the disk is gone"):
        model.fit(Chunks(made, window=60), shuffle=False, **QUIET)
    assert "fastnn batches" not in [t.name for t in threading.enumerate()]
    assert model.network.steps > 0
    model.fit(Chunks(X, Y), **QUIET)


def test_slow_chunks_change_no_bit():
    def slow():
        for part in parts(60, X, Y):
            time.sleep(0.005)
            yield part

    ours, theirs = model_of(), model_of()
    ours.fit(Chunks(slow, window=100), epochs=2, **QUIET)
    theirs.fit(Chunks(lambda: iter(parts(60, X, Y)), window=100), epochs=2, **QUIET)
    assert same(ours, theirs)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_no_bit(threads):
    before = fastnn.get_num_threads()
    try:
        fastnn.set_num_threads(threads)
        ours = model_of()
        ours.fit(Chunks(X, Y, rows=60, window=100), epochs=2, **QUIET)
    finally:
        fastnn.set_num_threads(before)
    if not hasattr(test_threads_change_no_bit, "first"):
        test_threads_change_no_bit.first = ours
    assert same(ours, test_threads_change_no_bit.first)


# -- models over the tape, several inputs and outputs


def own_loss(y, p):
    return fastnn.math.reduce_mean((y - p) * (y - p), axis=-1)


def test_a_loss_of_ones_own_trains_over_the_tape():
    ours, theirs = model_of(own_loss), model_of(own_loss)
    how = {"epochs": 2, "shuffle": False, **QUIET}
    with pytest.warns(fastnn.TapeWarning):
        expected = theirs.fit(X, Y, **how)
    with pytest.warns(fastnn.TapeWarning):
        found = ours.fit(Chunks(X, Y, rows=50, window=77), **how)
    assert same(ours, theirs)
    assert found.history["loss"] == pytest.approx(expected.history["loss"], rel=1e-6)
    assert np.array_equal(ours.predict(Chunks(X, rows=50)), theirs.predict(X))
    assert ours.evaluate(Chunks(X, Y, rows=50), **QUIET) == pytest.approx(
        theirs.evaluate(X, Y, **QUIET), rel=1e-6
    )


@pytest.mark.parametrize("kind", [dict, list])
def test_several_inputs_and_outputs(kind):
    def model():
        fastnn.utils.set_random_seed(4)
        a, b = fastnn.Input((2,), name="a"), fastnn.Input((3,), name="b")
        joined = fastnn.layers.Concatenate()([a, b])
        outputs = [fastnn.layers.Dense(1, name=name)(joined) for name in ("p", "q")]
        made = fastnn.Model([a, b], outputs)
        made.compile("adam", "mse")
        return made

    x, y = [X[:, :2].copy(), X[:, 2:].copy()], [Y[:, :1].copy(), Y[:, 1:].copy()]
    if kind is dict:
        x, y = dict(zip("ab", x, strict=True)), dict(zip("pq", y, strict=True))
    ours, theirs = model(), model()
    how = {"epochs": 2, "shuffle": False, **QUIET}
    with pytest.warns(fastnn.TapeWarning):
        theirs.fit(x, y, **how)
    with pytest.warns(fastnn.TapeWarning):
        ours.fit(Chunks(x, y, rows=50, window=77), **how)
    assert same(ours, theirs)


def test_several_inputs_of_a_native_model():
    def model():
        fastnn.utils.set_random_seed(4)
        a, b = fastnn.Input((2,), name="a"), fastnn.Input((WIDTH - 2,), name="b")
        made = fastnn.Model([a, b], fastnn.layers.Dense(2)(fastnn.layers.Concatenate()([a, b])))
        made.compile("adam", "mse")
        return made

    x = {"a": X[:, :2], "b": X[:, 2:]}
    ours, theirs = model(), model()
    how = {"epochs": 2, "shuffle": False, **QUIET}
    assert same(theirs.fit(x, Y, **how), ours.fit(Chunks(x, Y, rows=50, window=77), **how))
    assert same(ours, theirs)


@pytest.mark.parametrize("loss", ["mse", own_loss], ids=["native", "taped"])
@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")
def test_chunks_validate_models_of_all_kinds_on_batches_too(loss, batches):
    ours, theirs = model_of(loss), model_of(loss)
    how = {"epochs": 2, "shuffle": False, **QUIET}
    expected = theirs.fit(X, Y, validation_data=(X[:200], Y[:200]), **how)
    x = Again(parts(32, X, Y)) if batches else Chunks(X, Y, rows=50, window=77)
    found = ours.fit(x, validation_data=Chunks(X[:200], Y[:200], rows=30), **how)
    assert same(ours, theirs)
    for name in ("loss", "val_loss"):
        assert found.history[name] == pytest.approx(expected.history[name], rel=1e-6)


# -- what is refused


def test_words_that_do_not_go_with_chunks():
    chunks, model = Chunks(X, Y), model_of()
    with pytest.raises(ValueError, match="y: the chunks of x hold it"):
        model.fit(chunks, Y)
    with pytest.raises(ValueError, match="LBFGS makes its steps on all rows at once"):
        model_of(optimizer="lbfgs").fit(chunks, **QUIET)
    with pytest.raises(ValueError, match="validation_split"):
        model.fit(chunks, validation_split=0.1)
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(chunks, sample_weight=WEIGHTS)
    with pytest.raises(ValueError, match="expected x and y, got None for y"):
        model.fit(Chunks(X), **QUIET)
    with pytest.raises(ValueError, match="validation_data: Chunks go beside x of Chunks"):
        model.fit(X, Y, validation_data=chunks, **QUIET)
    with pytest.raises(ValueError, match="the chunks are empty"):
        model.fit(Chunks([(X[:0], Y[:0])]), **QUIET)
    assert model.network.steps == 0 if model.built else True


def bad_x(value=np.nan):
    x = X.copy()
    x[321, 2] = value
    return x


def test_a_bad_value_is_told_before_its_own_steps(tmp_path):
    paths = files(tmp_path, bad_x(), Y)
    model = model_of()
    with pytest.raises(ValueError, match=r"x\.npy: x: .*nan.* row 321"):
        model.fit(Chunks(*paths, rows=50, window=100), shuffle=False, **QUIET)
    assert model.network.steps == 9  # those of the windows before
    with pytest.raises(ValueError, match=r"chunk 6: x: .*nan.* row 21"):
        model_of().fit(Chunks(parts(50, bad_x(), Y), window=100), **QUIET)


def test_a_bad_label_of_validation_is_told():
    labels = LABELS.copy()
    labels[130] = 5
    with pytest.raises(ValueError, match=r"validation_data: y: .*5 at row 130"):
        classifier().fit(Chunks(X, LABELS), validation_data=Chunks(X, labels, rows=50), **QUIET)


def test_chunks_of_another_form_are_told():
    wide = [*parts(100, X, Y)[:2], (np.zeros((10, 6), np.float32), Y[:10])]
    with pytest.raises(ValueError, match=r"chunk 2: x: expected rows of shape \(5,\), as before"):
        model_of().fit(Chunks(wide, window=500), shuffle=False, **QUIET)
    # In a window of its own it is told by the model.
    with pytest.raises(ValueError, match=r"chunk 2: x: expected shape \(n, 5\), got \(.*, 6\)"):
        model_of().fit(Chunks(wide, window=100), shuffle=False, batch_size=50, **QUIET)
    without = [*parts(100, X, Y)[:2], (X[:10],)]
    with pytest.raises(ValueError, match="chunk 2: there is no y, unlike in the chunks before"):
        model_of().fit(Chunks(without, window=500), shuffle=False, **QUIET)
    uneven = [(X[:10], Y[:9])]
    with pytest.raises(
        ValueError, match="chunk 0: expected as many rows of each, got 10 rows of x"
    ):
        model_of().fit(Chunks(uneven), **QUIET)


def test_chunks_that_are_read_once():
    model = model_of()
    with pytest.warns(UserWarning, match="ran out of data"):
        history = model.fit(Chunks(iter(parts(50, X, Y))), epochs=3, shuffle=False, **QUIET)
    assert history.epoch == [0]
    theirs = model_of()
    theirs.fit(X, Y, shuffle=False, **QUIET)
    assert same(model, theirs)
    chunks = Chunks(iter(parts(50, X, Y)))
    model.fit(chunks, **QUIET)
    with pytest.raises(ValueError, match="the chunks are empty, or were read before"):
        model.fit(chunks, **QUIET)


@pytest.mark.parametrize("source", [list, iter, "arrays"])
@pytest.mark.parametrize("window", [10**13, 2**62])
def test_windows_and_batches_of_more_rows_than_there_are(source, window):
    """No memory is taken for rows that do not come."""
    theirs = model_of()
    theirs.fit(X, Y, batch_size=10**9, shuffle=False, **QUIET)
    model = model_of()
    given = (X, Y) if source == "arrays" else (source(parts(50, X, Y)),)
    model.fit(Chunks(*given, window=window), batch_size=10**9, shuffle=False, **QUIET)
    assert same(model, theirs)


def test_divergence_names_the_step_of_the_epoch():
    y = np.array(Y)
    y[300:] = 1e30
    ours, theirs = model_of(optimizer="sgd"), model_of(optimizer="sgd")
    how = {"shuffle": False, **QUIET}
    with pytest.raises(fastnn.TrainingDiverged) as expected:
        theirs.fit(X, y, **how)
    with pytest.raises(fastnn.TrainingDiverged) as found:
        ours.fit(Chunks(X, y, rows=50, window=64), **how)
    assert str(found.value) == str(expected.value)
    assert found.value.step == expected.value.step
    assert same(ours, theirs)


def test_the_memory_of_a_window_is_used_again_once_nothing_refers_to_it():
    windows = iter(Chunks(X, rows=20, window=60).windows(10))
    begins = []
    kept = None
    for i, window in enumerate(windows):
        begins.append(window.x.ctypes.data)
        if i == 2:
            kept, numbers = window.x[:3], window.x[:3].copy()  # a view of a row is enough
        del window
    assert begins[0] == begins[2]
    assert begins[1] == begins[3]
    assert begins[4] != begins[2]
    assert np.array_equal(kept, numbers)
