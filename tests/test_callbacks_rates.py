"""Callbacks that set rates, end `fit`, write logs and swap averages; and the backups of their states."""

from __future__ import annotations

import csv
import math
import struct
import zlib

import networks
import numpy as np
import pytest

import fastnn
from fastnn import callbacks
from fastnn.callbacks import events

N = 90
RNG = np.random.default_rng(3)
X = RNG.normal(size=(N, 4)).astype(np.float32)
Y = (X[:, :1] - X[:, 1:2]).astype(np.float32)


def model_of(optimizer="sgd", **how):
    fastnn.utils.set_random_seed(11)
    model = networks.sequential((4, 3, 1), ("tanh", "linear"))
    model.compile(optimizer, "mse", **how)
    return model


class Values(callbacks.Callback):
    """Puts given values into the logs of epochs."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        if self.values[epoch] is not None:
            logs["value"] = self.values[epoch]


def keras_plateau(values, factor, patience, min_delta, cooldown, min_lr, sign):
    """Rates of the epochs, by the rules that Keras's documentation states."""
    rate, best, wait, cool, rates = 1.0, math.inf, 0, 0, []
    for value in values:
        rates.append(rate)
        if value is None:
            continue
        value = sign * value
        if cool > 0:
            cool, wait = cool - 1, 0
        if value < best - min_delta:
            best, wait = value, 0
        elif cool == 0:
            wait += 1
            if wait >= patience and rate > min_lr:
                rate, cool, wait = max(rate * factor, min_lr), cooldown, 0
    return rates


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("patience", [0, 1, 3])
@pytest.mark.parametrize("cooldown", [0, 2])
@pytest.mark.filterwarnings("ignore:ReduceLROnPlateau")
def test_a_plateau_reduces_the_rate(mode, patience, cooldown):
    values = [3.0, 2.0, 2.5, 1.9, 1.95, 1.95, 1.95, None, 1.95, 1.0, 1.0, 1.0, math.nan, 1.0, 1.0]
    if mode == "max":
        values = [None if v is None else -v for v in values]
    reduce = callbacks.ReduceLROnPlateau(
        "value", 0.5, patience, mode=mode, min_delta=0.2, cooldown=cooldown, min_lr=0.2
    )
    model = model_of(fastnn.optimizers.SGD(1e-9))
    model.optimizer.learning_rate = 1.0
    history = model.fit(
        np.zeros_like(X), np.zeros_like(Y), epochs=15, verbose=0, callbacks=[Values(values), reduce]
    ).history
    sign = 1 if mode == "min" else -1
    wanted = keras_plateau(values, 0.5, patience, 0.2, cooldown, 0.2, sign)
    assert history["learning_rate"] == pytest.approx(wanted)
    assert wanted[-1] < 1


def test_rates_cannot_be_set_beside_a_schedule():
    schedule = fastnn.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    for callback in (
        callbacks.ReduceLROnPlateau("loss"),
        callbacks.LearningRateScheduler(lambda _: 0.1),
    ):
        with pytest.raises(ValueError, match="has a schedule"):
            model_of(fastnn.optimizers.SGD(schedule)).fit(X, Y, verbose=0, callbacks=[callback])
    with pytest.raises(ValueError, match="factor"):
        callbacks.ReduceLROnPlateau(factor=1.0)


def test_a_scheduler_sets_the_rate():
    model = model_of(fastnn.optimizers.SGD(0.5))
    history = model.fit(
        X,
        Y,
        epochs=3,
        verbose=0,
        callbacks=[callbacks.LearningRateScheduler(lambda e: 0.1 / (e + 1))],
    ).history
    assert history["learning_rate"] == pytest.approx([0.1, 0.05, 0.1 / 3])
    by_hand = model_of(fastnn.optimizers.SGD(0.5))
    for epoch in range(3):
        by_hand.optimizer.learning_rate = 0.1 / (epoch + 1)
        by_hand.fit(X, Y, epochs=1, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], by_hand.get_weights()[0])
    with pytest.raises(TypeError, match="expected a function"):
        callbacks.LearningRateScheduler(0.1)
    for wrong in ("x", None, -1.0, math.nan):
        scheduler = callbacks.LearningRateScheduler(lambda _, __: wrong)  # noqa: B023
        with pytest.raises((TypeError, ValueError), match="what schedule returns"):
            model.fit(X, Y, verbose=0, callbacks=[scheduler])


def test_a_time_limit_ends_training():
    model = model_of()
    limit = callbacks.TimeLimit(1e-9)
    assert model.fit(X, Y, epochs=5, verbose=0, callbacks=[limit]).epoch == [0]
    assert model.fit(X, Y, epochs=5, verbose=0, callbacks=callbacks.TimeLimit(1e6)).epoch == [
        *range(5)
    ]
    with pytest.raises(ValueError, match="seconds"):
        callbacks.TimeLimit(0)


@pytest.mark.parametrize("taped", [False, True])
@pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")
@pytest.mark.filterwarnings("ignore::fastnn.ConvergenceWarning")
def test_divergence_without_an_error(taped, capsys):
    class Ends(callbacks.Callback):
        ended = False

        def on_train_end(self, logs=None):  # noqa: ARG002
            self.ended = True

    def squares(y, p):
        return fastnn.math.square(y - p)

    ends = Ends()
    model = model_of()
    model.compile(fastnn.optimizers.SGD(1e15), squares if taped else "mse")
    before = model.get_weights()
    history = model.fit(X, Y, epochs=50, verbose=0, callbacks=[callbacks.TerminateOnNaN(), ends])
    assert ends.ended
    assert len(history.epoch) < 50
    assert "training stopped" in capsys.readouterr().out
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    with pytest.raises(fastnn.TrainingDiverged):
        model.fit(X, Y, epochs=50, verbose=0)


def test_a_rate_that_is_set_once_an_epoch(tmp_path):
    """Training that goes on in the middle of an epoch has the rate of that epoch."""

    def fitted(*more):
        model = model_of(fastnn.optimizers.SGD(0.2))
        slower = callbacks.LearningRateScheduler(lambda _, rate: rate / 2)
        backup = callbacks.BackupAndRestore(tmp_path / "backup", save_freq=3)
        how = {"epochs": 3, "batch_size": 16, "verbose": 0}
        try:
            history = model.fit(X, Y, callbacks=[slower, backup, *more], **how)
        except KeyboardInterrupt:
            return None
        return history.history, [w.tolist() for w in model.get_weights()]

    wanted = fitted()
    assert fitted(Stops(7)) is None
    assert fitted() == wanted
    assert wanted[0]["learning_rate"] == [0.1, 0.05, 0.025]


class Stops(callbacks.Callback):
    """Ctrl-C after so many steps."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):  # noqa: ARG002
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


# -- files


def lines(file, separator=","):
    with file.open(newline="") as text:
        return list(csv.reader(text, delimiter=separator))


def test_lines_of_csv(tmp_path):
    file = tmp_path / "deep" / "log.csv"
    model = model_of(metrics=["mae"])
    log = callbacks.CSVLogger(file, separator=";")
    history = model.fit(
        X, Y, epochs=4, verbose=0, callbacks=[log], validation_split=0.2, validation_freq=2
    ).history
    head, *rows = lines(file, ";")
    assert sorted(head[1:]) == sorted(history)
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    assert [float(row[head.index("loss")]) for row in rows] == history["loss"]
    assert [row[head.index("val_loss")] for row in rows][::2] == ["NA", "NA"]
    assert [float(row[head.index("val_loss")]) for row in rows[1::2]] == history["val_loss"]
    # Once more: from the beginning, or below the lines that are there.
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[log])
    assert [row[0] for row in lines(file, ";")] == ["epoch", "0"]
    more = callbacks.CSVLogger(file, ";", append=True)
    model.fit(X, Y, epochs=3, initial_epoch=1, verbose=0, callbacks=[more])
    assert [row[0] for row in lines(file, ";")] == ["epoch", "0", "1", "2"]
    with pytest.raises(ValueError, match="one letter"):
        callbacks.CSVLogger(file, separator=", ")


def test_arrays_in_lines_of_csv(tmp_path):
    log = callbacks.CSVLogger(tmp_path / "log.csv")
    model = networks.sequential((4, 2), ("sigmoid",))
    score = fastnn.metrics.F1Score()
    model.compile("sgd", "binary_crossentropy", metrics=[score])
    model.fit(X, (RNG.random((N, 2)) < 0.5).astype(float), verbose=0, callbacks=[log])
    cell = lines(tmp_path / "log.csv")[1][1]
    assert cell.startswith("[")
    assert len(cell[1:-1].split(", ")) == 2


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def unmasked(masked):
    rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def read_varint(data, at):
    number = shift = 0
    while True:
        number |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 0x80:
            return number, at


def fields(data):
    """Fields of a message of protocol buffers: {number: [values]}."""
    found, at = {}, 0
    while at < len(data):
        key, at = read_varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = read_varint(data, at)
        elif kind == 2:
            size, at = read_varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            size = 8 if kind == 1 else 4
            value, at = (
                struct.unpack("<d" if kind == 1 else "<f", data[at : at + size])[0],
                at + size,
            )
        found.setdefault(key >> 3, []).append(value)
    return found


def read_events(file):
    """(tag, value, step) of the numbers in an event file, whose checksums are checked."""
    data, at, found = file.read_bytes(), 0, []
    while at < len(data):
        (size,) = struct.unpack("<Q", data[at : at + 8])
        assert crc32c(data[at : at + 8]) == unmasked(struct.unpack("<I", data[at + 8 : at + 12])[0])
        content = data[at + 12 : at + 12 + size]
        (check,) = struct.unpack("<I", data[at + 12 + size : at + 16 + size])
        assert crc32c(content) == unmasked(check)
        at += 16 + size
        event = fields(content)
        for summary in event.get(5, []):
            value = fields(fields(summary)[1][0])
            found.append((value[1][0].decode(), value[2][0], event[2][0]))
        if not found:
            assert event[3] == [b"brain.Event:2"]
    return found


def test_event_files(tmp_path):
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
    assert unmasked(events.checksum(b"123456789")) == 0xE3069283
    assert zlib.crc32(b"123456789") != 0xE3069283
    model = model_of(metrics=["mae"])
    board = callbacks.TensorBoard(tmp_path, update_freq=2)
    history = model.fit(X, Y, 32, 2, verbose=0, validation_data=(X, Y), callbacks=[board]).history
    (train,) = (tmp_path / "train").iterdir()
    (validation,) = (tmp_path / "validation").iterdir()
    found = read_events(train)
    assert [(t, s) for t, _, s in found if t == "epoch_loss"] == [
        ("epoch_loss", 0),
        ("epoch_loss", 1),
    ]
    losses = [v for t, v, _ in found if t == "epoch_loss"]
    assert losses == pytest.approx(history["loss"], rel=1e-6)
    assert [s for t, _, s in found if t == "batch_loss"] == [2, 4, 6]
    assert {t for t, _, _ in found} == {
        *("epoch_loss", "epoch_mae", "epoch_learning_rate", "batch_loss", "batch_mae")
    }
    values = [v for t, v, _ in read_events(validation) if t == "epoch_loss"]
    assert values == pytest.approx(history["val_loss"], rel=1e-6)


def test_a_writer_of_the_users_own(tmp_path):
    class Writer:
        def __init__(self):
            self.got, self.flushed = [], 0

        def add_scalar(self, tag, value, step):
            self.got.append((tag, value, step))

        def flush(self):
            self.flushed += 1

    writer = Writer()
    board = callbacks.TensorBoard(tmp_path / "none", writer=writer)
    history = (
        model_of().fit(X, Y, epochs=2, verbose=0, validation_split=0.2, callbacks=[board]).history
    )
    assert [v for t, v, _ in writer.got if t == "epoch_val_loss"] == history["val_loss"]
    assert writer.flushed == 2
    assert not (tmp_path / "none").exists()
    with pytest.raises(TypeError, match="add_scalar"):
        callbacks.TensorBoard(writer=3)
    with pytest.warns(UserWarning, match="histogram_freq: only numbers"):
        callbacks.TensorBoard(histogram_freq=1)


# -- averages, and backups


def test_validation_with_averages():
    optimizer = fastnn.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.8)
    plain = model_of(optimizer)
    swapped = model_of(fastnn.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.8))
    seen = []

    class Watch(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
            seen.append(self.model.get_weights()[0])

    plain.fit(X, Y, epochs=3, verbose=0)
    history = swapped.fit(
        X, Y, epochs=3, verbose=0, validation_data=(X, Y), callbacks=[callbacks.SwapEMAWeights()]
    ).history
    for a, b in zip(plain.get_weights(), swapped.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    # After the last epoch the averages are the weights: validation saw them.
    assert history["val_loss"][-1] == pytest.approx(swapped.evaluate(X, Y, verbose=0), rel=1e-6)
    again = model_of(fastnn.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.8))
    swap = callbacks.SwapEMAWeights(swap_on_epoch=True)
    again.fit(X, Y, epochs=3, verbose=0, callbacks=[swap, Watch()])
    np.testing.assert_array_equal(seen[-1], plain.get_weights()[0])
    np.testing.assert_array_equal(again.get_weights()[0], plain.get_weights()[0])
    assert not np.array_equal(seen[0], seen[1])
    with pytest.raises(ValueError, match="use_ema=True"):
        model_of().fit(X, Y, verbose=0, callbacks=[callbacks.SwapEMAWeights()])


class Breaks(callbacks.Callback):
    """Ends the process's part of a training after some epochs."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
        if epoch == self.epoch:
            raise KeyboardInterrupt


def test_backups_have_the_states(tmp_path):
    def listed(number):
        return [
            callbacks.ReduceLROnPlateau("loss", 0.5, 1, min_delta=0.05, cooldown=1),
            callbacks.EarlyStopping("loss", patience=3, restore_best_weights=True),
            callbacks.SwapEMAWeights(swap_on_epoch=True),
            callbacks.CSVLogger(tmp_path / f"{number}.csv"),
            callbacks.TimeLimit(1e6),
        ]

    def fitted(number, *more):
        model = model_of(fastnn.optimizers.SGD(0.2, use_ema=True))
        backup = callbacks.BackupAndRestore(tmp_path / f"b{number}")
        try:
            how = {"epochs": 12, "verbose": 0, "validation_split": 0.2}
            history = model.fit(X, Y, callbacks=[*listed(number), backup, *more], **how)
        except KeyboardInterrupt:
            return None
        return history.history, [w.tolist() for w in model.get_weights()]

    wanted = fitted(0)
    assert fitted(1, Breaks(5)) is None
    assert fitted(1) == wanted
    assert len(set(wanted[0]["learning_rate"])) > 1
    assert (tmp_path / "0.csv").read_bytes() == (tmp_path / "1.csv").read_bytes()


class _Forced(fastnn.Sequential):
    def train_step(self, data):
        return super().train_step(data)


class _Slow(fastnn.utils.PyDataset):
    def __len__(self):
        return 10**6

    def __getitem__(self, index):
        return X[:4], Y[:4]


@pytest.mark.parametrize("way", ["native", "collecting", "with hooks", "over a tape", "streamed"])
def test_a_time_limit_ends_an_epoch_in_its_middle(way):
    """The epoch has the steps that were made, and counts; its collected rows are those of them."""
    cls = _Forced if way == "over a tape" else fastnn.Sequential
    model = cls([fastnn.layers.Dense(1)], seed=1)
    seen = []

    def count(y_true, y_pred):  # noqa: ARG001
        seen.append(len(y_true))
        return float(len(y_true))

    model.compile(
        fastnn.optimizers.SGD(1e-3), "mse", metrics=[count] if way == "collecting" else []
    )
    hook = fastnn.callbacks.LambdaCallback(on_train_batch_end=lambda _batch, _logs: None)
    how = [hook] if way == "with hooks" else []
    rows = 2_000_000
    x, y = np.zeros((rows, 1), np.float32), np.ones(rows, np.float32)
    given = (_Slow(),) if way == "streamed" else (x, y, 4)
    limit = fastnn.callbacks.TimeLimit(0.05)
    history = model.fit(*given, epochs=3, verbose=0, callbacks=[limit, *how], shuffle=False)
    steps = model.optimizer.iterations
    assert history.epoch == [0]
    assert 0 < int(steps) < rows // 4
    assert np.isfinite(history.history["loss"]).all()
    if way == "collecting":
        assert history.history["count"] == [4.0 * int(steps)]
