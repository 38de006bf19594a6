"""Copies and pickles of models, layers, histories and callbacks: independent, and exact."""

from __future__ import annotations

import copy
import hashlib
import io
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cases
import numpy as np
import pytest

import fastnn
from fastnn import callbacks, layers, losses, metrics, optimizers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4)).astype(np.float32)
Y = np.arange(90) % 3

WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
}


def bits(model: fastnn.Sequential) -> list[bytes]:
    return [w.tobytes() for w in model.get_weights()]


def classifier(optimizer: Any = "adam", *, shape: Any = (4,), **options: Any) -> fastnn.Sequential:
    given = {} if shape is None else {"input_shape": shape}
    model = fastnn.Sequential(
        [
            layers.Dense(16, "relu", **given),
            layers.Dropout(0.3),
            layers.LayerNormalization(),
            layers.Dense(3, name="head"),
        ],
        seed=5,
        **options,
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd": lambda: optimizers.SGD(0.1),
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9),
    "adam": lambda: optimizers.AdamW(0.01, clipvalue=1.0),
    "rmsprop": lambda: optimizers.RMSprop(0.01, centered=True, momentum=0.5),
    "averages": lambda: optimizers.Adam(0.01, use_ema=True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_copy_trains_on_as_the_model(way: str, optimizer: str) -> None:
    model = classifier(OPTIMIZERS[optimizer]())
    model.fit(X, Y, epochs=3, verbose=0, validation_split=0.2)
    other = WAYS[way](model)
    before = bits(model)
    assert bits(other) == before
    assert other.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    assert other.optimizer is not model.optimizer
    assert other.optimizer.iterations == model.optimizer.iterations
    other.fit(X, Y, epochs=2, verbose=0, validation_split=0.2)
    assert bits(model) == before
    model.fit(X, Y, epochs=2, verbose=0, validation_split=0.2)
    assert bits(other) == bits(model) != before
    assert other.history.history == model.history.history


@pytest.mark.parametrize("way", WAYS)
def test_states_of_a_model(way: str) -> None:
    """Not built, not compiled, changed since: each is what its copy is."""
    bare = WAYS[way](fastnn.Sequential([layers.Dense(2)], seed=1, name="bare"))
    assert (bare.name, bare.built, bare.compiled) == ("bare", False, False)
    bare.build((None, 4))
    twin = fastnn.Sequential([layers.Dense(2)], seed=1)
    twin.build((None, 4))
    assert bits(bare) == bits(twin)

    late = WAYS[way](classifier(shape=None))
    assert late.compiled
    assert not late.built
    model = classifier(shape=None)
    for made in (late, model):
        made.fit(X, Y, epochs=2, verbose=0)
    assert bits(late) == bits(model)

    model.pop()
    with pytest.raises(RuntimeError, match="its layers changed since compile"):
        WAYS[way](model).fit(X, Y, verbose=0)
    assert [layer.name for layer in WAYS[way](model).layers] == [
        layer.name for layer in model.layers
    ]

    double = classifier(dtype="float64")
    double.fit(X, Y, epochs=1, verbose=0)
    assert bits(WAYS[way](double)) == bits(double)
    assert WAYS[way](double).dtype == "float64"

    empty = WAYS[way](fastnn.Sequential())
    empty.add(layers.Dense(1, input_shape=(2,)))
    assert empty.built


@pytest.mark.parametrize("way", WAYS)
def test_frozen_layers_and_exempt_variables(way: str) -> None:
    model = classifier(optimizers.AdamW(0.1, weight_decay=0.5))
    model.layers[0].trainable = False
    model.optimizer.exclude_from_weight_decay([model.layers[-1].kernel], ["gamma"])
    model.compile(model.optimizer, model.loss)
    other = WAYS[way](model)
    assert [v.trainable for v in other.variables] == [v.trainable for v in model.variables]
    for made in (model, other):
        made.fit(X, Y, epochs=2, verbose=0)
    assert bits(other) == bits(model)


@pytest.mark.parametrize("way", WAYS)
def test_a_layer(way: str) -> None:
    model = classifier()
    layer = WAYS[way](model.layers[0])
    assert layer.owner is None
    assert np.array_equal(layer.kernel.numpy(), model.layers[0].kernel.numpy())
    layer.kernel.assign(np.zeros((4, 16)))
    assert model.layers[0].kernel.numpy().any()
    other = fastnn.Sequential([layer, layers.Dense(2)])
    assert not other.get_weights()[0].any()


@pytest.mark.parametrize("way", WAYS)
def test_history_and_callbacks_leave_their_model_behind(way: str) -> None:
    model = classifier()
    stopping = callbacks.EarlyStopping("loss", restore_best_weights=True, patience=2)
    history = model.fit(X, Y, epochs=4, verbose=0, callbacks=[stopping])
    copied = WAYS[way](history)
    assert copied.history == history.history
    assert copied.epoch == history.epoch
    assert copied.params == history.params
    with pytest.raises(AttributeError, match="no model"):
        _ = copied.model
    again = WAYS[way](stopping)
    assert again.best == stopping.best
    for a, b in zip(again.best_weights, stopping.best_weights, strict=True):
        assert np.array_equal(a, b)
    assert history.model is model
    assert len(model.fit(X, Y, epochs=2, verbose=0, callbacks=[again]).epoch) == 2


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol(protocol: int) -> None:
    model = classifier()
    model.fit(X, Y, verbose=0)
    assert bits(pickle.loads(pickle.dumps(model, protocol))) == bits(model)


def test_what_its_user_set_goes_along() -> None:
    model = classifier()
    model.comment = ["mine"]
    other = copy.deepcopy(model)
    assert other.comment == ["mine"]
    assert other.comment is not model.comment


def test_a_model_in_another_process(tmp_path: Any) -> None:
    """It trains on to the same weights, and loading it starts no thread."""
    model = classifier()
    model.fit(X, Y, epochs=2, verbose=0)
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps((model, X, Y)))
    done = cases.python(
        f"""
import os, pickle, hashlib
import fastnn
before = len(os.listdir("/proc/self/task"))
model, x, y = pickle.load(open({str(path)!r}, "rb"))
print(len(os.listdir("/proc/self/task")) - before)
model.fit(x, y, epochs=2, verbose=0)
print(hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest())
"""
    )
    model.fit(X, Y, epochs=2, verbose=0)
    digest = hashlib.sha256(b"".join(bits(model))).hexdigest()
    assert done.stdout.split() == ["0", digest], done.stderr


def test_a_model_in_training_is_copied_by_its_own_callbacks_alone() -> None:
    model = classifier()
    found: list[Any] = []

    class Copy(callbacks.Callback):
        def on_epoch_end(self, _epoch: int, _logs: Any = None) -> None:
            found.append(copy.deepcopy(self.model))
            found.append(copy.deepcopy(self))
            thread = threading.Thread(target=self.beside)
            thread.start()
            thread.join()

        def beside(self) -> None:
            try:
                pickle.dump(self.model, io.BytesIO())
            except RuntimeError as error:
                found.append(str(error))

    model.fit(X, Y, epochs=1, verbose=0, callbacks=[Copy()])
    assert bits(found[0]) == bits(model)
    assert isinstance(found[1], Copy)
    assert "in another thread" in found[2]


def test_metrics_and_losses() -> None:
    for thing in (metrics.TopKCategoricalAccuracy(2), losses.Huber(0.5), optimizers.Adam(0.1)):
        for way in WAYS.values():
            assert way(thing).get_config() == thing.get_config()


LATER: dict[str, Callable[[fastnn.Sequential], Any]] = {
    "trainable": lambda model: setattr(model.layers[0], "trainable", False),
    "clipvalue": lambda model: setattr(model.optimizer, "clipvalue", 1e-6),
    "use_ema": lambda model: setattr(model.optimizer, "use_ema", True),
    "no use_ema": lambda model: setattr(model.optimizer, "use_ema", False),
    "decay": lambda model: model.optimizer.exclude_from_weight_decay(var_names=["kernel"]),
    "reduction": lambda model: setattr(model.loss, "reduction", "mean_with_sample_weight"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("later", LATER)
def test_what_acts_from_the_next_compile_on_does_so_in_a_copy(later: str, way: str) -> None:
    averages = later == "no use_ema"
    model = classifier(optimizers.SGD(0.1, 0.9, weight_decay=0.1, use_ema=averages))
    how = {"sample_weight": 0.1 + np.arange(90) % 7, "verbose": 0, "epochs": 2}
    model.fit(X, Y, **how)
    LATER[later](model)
    copied = WAYS[way](model)
    for trained in (model, copied):
        trained.fit(X, Y, **how)
    assert bits(copied) == bits(model)
    for trained in (model, copied):  # and from then on it acts, in both
        trained.compile(trained.optimizer, trained.loss)
        trained.fit(X, Y, **how)
    assert bits(copied) == bits(model)


class _Meanwhile:
    """A part of a model that lets another thread do something while it is copied."""

    def __init__(self, do: Callable[[], Any]) -> None:
        self.do = do

    def __reduce__(self) -> tuple[type[bool], tuple[()]]:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(self.do).result()
        return bool, ()


CHANGES: dict[str, Callable[[fastnn.Sequential], Any]] = {
    "train_on_batch": lambda model: model.train_on_batch(X, Y),
    "fit": lambda model: model.fit(X, Y, verbose=0),
    "set_weights": lambda model: model.set_weights(model.get_weights()),
    "add": lambda model: model.add(layers.Dense(2)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", CHANGES)
def test_no_copy_has_weights_of_two_moments(change: str, way: str) -> None:
    model = classifier()
    model.layers[1].meanwhile = _Meanwhile(lambda: CHANGES[change](model))
    with pytest.raises(RuntimeError, match="copy: the weights were changed in another thread"):
        WAYS[way](model)
    model.layers[1].meanwhile = _Meanwhile(lambda: model.predict(X))
    assert bits(WAYS[way](model)) == bits(model)
