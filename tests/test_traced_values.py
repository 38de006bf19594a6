"""What a traced `call` reads and a program changes later: another graph is an error, at each call."""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
import pickle
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers
from fastnn.models.exported import graph_of

X = np.random.default_rng(1).normal(size=(6, 5)).astype("float32")
SCALE = 1.0
TABLE = {"factor": 1.0}


class Plain:
    """An object of a program, with values of its class, of its own, and a method."""

    of_class = 1.0

    def __init__(self) -> None:
        self.own = 1.0

    def total(self) -> float:
        return self.of_class * self.own


@dataclasses.dataclass(slots=True)
class Slotted:
    factor: float = 1.0


class OfBody:
    """A `call` that is `body(self, y)` of what a layer makes, with attributes."""

    def __init__(self, body: Any, attributes: dict[str, Any]) -> None:
        super().__init__()
        self.dense = layers.Dense(5)
        self.body = body
        for name, value in attributes.items():
            setattr(self, name, value)

    def call(self, x: Any) -> Any:
        return self.body(self, self.dense(x))


class Net(OfBody, fastnn.Model):
    pass


class Block(OfBody, layers.Layer):  # type: ignore[misc, valid-type, name-defined]
    pass


def in_turn(self: Any, x: Any) -> Any:
    for layer in self.several:
        x = layer(x)
    return x


def by_inner(self: Any, x: Any) -> Any:
    return self.inner(x)


def helped(x: Any) -> Any:
    return x * TABLE["factor"]


def other_helper(x: Any) -> Any:
    return x * 7.0


def by_helper(_: Any, x: Any) -> Any:
    return helped(x)


def change_scale(_: Any) -> None:
    globals()["SCALE"] += 1


def change_helper(_: Any) -> None:
    globals()["helped"] = other_helper


def set_in(*path: Any, value: Any = 3.0) -> Callable[[Any], None]:
    """Sets an entry, or an attribute, of what lies behind others."""

    def change(part: Any) -> None:
        *inner, last = path
        for key in inner:
            part = getattr(part, key) if isinstance(key, str) and hasattr(part, key) else part[key]
        if isinstance(part, (dict, list, np.ndarray)):
            part[last] = value
        else:
            setattr(part, last, value)

    return change


Body = Callable[[Any, Any], Any]
# By name: the body of `call`, attributes, the change, and what the error names.
CASES: dict[str, tuple[Body, Callable[[], dict[str, Any]], Callable[[Any], None], str]] = {
    "dictionary": (
        lambda s, x: x * s.options["scale"],
        lambda: {"options": {"scale": 1.0}},
        set_in("options", "scale"),
        r"self.options\['scale'\]",
    ),
    "nested": (
        lambda s, x: x * s.options["a"][1]["b"],
        lambda: {"options": {"a": [0, {"b": 1.0}]}},
        set_in("options", "a", 1, "b"),
        r"self.options\['a'\]\[1\]\['b'\]",
    ),
    "list": (
        lambda s, x: x * s.factors[0],
        lambda: {"factors": [1.0]},
        set_in("factors", 0),
        r"self.factors\[0\]",
    ),
    "length": (
        lambda s, x: x * float(len(s.factors)),
        lambda: {"factors": [1.0]},
        lambda s: s.factors.append(1.0),
        r"self.factors\[1\]",
    ),
    "set": (
        lambda s, x: x * (2.0 if "twice" in s.words else 1.0),
        lambda: {"words": set()},
        lambda s: s.words.add("twice"),
        "self.words",
    ),
    "array": (
        lambda s, x: x * float(s.factors[0]),
        lambda: {"factors": np.ones(3)},
        set_in("factors", 0),
        "self.factors",
    ),
    "large array": (
        lambda s, x: x * float(s.factors[0, 0]),
        lambda: {"factors": np.ones((50, 40))},
        lambda s: s.factors.fill(3.0),
        "self.factors",
    ),
    "object": (
        lambda s, x: x * s.plain.own,
        lambda: {"plain": Plain()},
        set_in("plain", "own"),
        r"self.plain.own",
    ),
    "method of an object": (
        lambda s, x: x * s.plain.total(),
        lambda: {"plain": Plain()},
        set_in("plain", "own"),
        r"self.plain.own",
    ),
    "value of a class": (
        lambda s, x: x * s.plain.of_class,
        lambda: {"plain": Plain()},
        lambda _: setattr(Plain, "of_class", Plain.of_class + 1),
        "Plain.of_class",
    ),
    "slots": (
        lambda s, x: x * s.plain.factor,
        lambda: {"plain": Slotted()},
        set_in("plain", "factor"),
        r"self.plain.factor",
    ),
    "namespace": (
        lambda s, x: x * s.plain.factor,
        lambda: {"plain": types.SimpleNamespace(factor=1.0)},
        set_in("plain", "factor"),
        r"self.plain.factor",
    ),
    "bound method": (
        lambda s, x: x * s.total(),
        lambda: {"total": Plain().total},
        lambda s: setattr(s.total.__self__, "own", 3.0),
        "self.total.own",
    ),
    "partial": (
        lambda s, x: s.scaled(x),
        lambda: {"scaled": functools.partial(lambda x, by: x * by[0], by=[1.0])},
        lambda s: s.scaled.keywords["by"].append(s.scaled.keywords["by"].pop() + 1),
        r"self.scaled\['by'\]\[0\]",
    ),
    "Lambda": (
        lambda s, x: s.inner(x),
        lambda: {"inner": layers.Lambda(lambda x, by: x * by[0], arguments={"by": [1.0]})},
        set_in("inner", "arguments", "by", 0),
        r"self.arguments\['by'\]\[0\]",
    ),
    "global name": (lambda _, x: x * SCALE, dict, change_scale, "SCALE"),
    "of a global function": (
        by_helper,
        dict,
        lambda _: TABLE.update(factor=TABLE["factor"] + 1),
        r"TABLE\['factor'\]",
    ),
    "global function": (by_helper, dict, change_helper, "helped"),
    "layer in a list": (
        in_turn,
        lambda: {"several": [layers.Dense(5)]},
        lambda s: s.several.append(layers.Dense(5)),
        r"self.several\[1\] is another .*its layers are fixed",
    ),
    "layer in place of another": (
        in_turn,
        lambda: {"several": [layers.Dense(5)]},
        set_in("several", 0, value=layers.Dense(5)),
        r"self.several\[0\] is another .*its layers are fixed",
    ),
    "deleted": (
        lambda s, x: x * getattr(s, "factor", 1.0),
        lambda: {"factor": 2.0},
        lambda s: delattr(s, "factor"),
        "factor of '(net|block)'",
    ),
}
KINDS = ("net", "block", "nested")


def made(kind: str, body: Body, attributes: dict[str, Any]) -> tuple[Any, Any]:
    """A model that is built, and the part of it that has the attributes."""
    if kind == "net":
        model: Any = Net(body, attributes)
    elif kind == "block":
        block = Block(body, attributes)
        model = fastnn.Sequential([fastnn.Input((5,)), block], name="chain")
    else:
        block = Block(body, attributes)
        model = Net(by_inner, {"inner": block})
    model.compile("sgd", "mean_squared_error")
    model.predict(X)
    assert model.network is not None  # it is native
    return model, model if kind == "net" else block


def calls(model: Any) -> list[Callable[[], object]]:
    return [
        lambda: model.predict(X),
        lambda: model(X),
        lambda: model.fit(X, X, verbose=0),
        lambda: model.evaluate(X, X, verbose=0),
        lambda: model.train_on_batch(X, X),
        lambda: model.value_and_grad(X, X),
        lambda: model.predictor(),
        lambda: copy.copy(model),
        lambda: graph_of(model, "export_onnx"),
    ]


@pytest.fixture
def globals_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "SCALE", SCALE)
    monkeypatch.setitem(globals(), "helped", helped)
    monkeypatch.setitem(TABLE, "factor", TABLE["factor"])
    monkeypatch.setattr(Plain, "of_class", Plain.of_class)


@pytest.mark.usefixtures("globals_as_before")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_changed_values(kind: str, name: str) -> None:
    body, attributes, change, told = CASES[name]
    model, part = made(kind, body, attributes())
    before = model.get_weights()
    change(part)
    for call in calls(model)[: None if name == "dictionary" else 2]:
        with pytest.raises(RuntimeError, match=told):
            call()
    for value, now in zip(before, model.get_weights(), strict=False):
        np.testing.assert_array_equal(value, now)


def test_the_value_before_may_be_put_back() -> None:
    model, part = made("block", CASES["dictionary"][0], {"options": {"scale": 2.0}})
    outputs = model.predict(X)
    part.options["scale"] = 3.0
    with pytest.raises(RuntimeError):
        model.predict(X)
    part.options["scale"] = 2.0
    np.testing.assert_array_equal(model.predict(X), outputs)


def test_changes_that_make_no_other_graph() -> None:
    model, part = made("net", CASES["dictionary"][0], {"options": {"scale": 2.0, "seen": []}})
    outputs = model.predict(X)
    part.options["seen"].append(1)
    part.options["note"] = "more"
    part.options["scale"] = float("2")
    part.remark = "nothing reads it"
    np.testing.assert_array_equal(model.predict(X), outputs)
    part.options["scale"] = 3.0
    with pytest.raises(RuntimeError, match="scale"):
        model.predict(X)


def test_changes_by_callbacks() -> None:
    model, part = made("net", CASES["dictionary"][0], {"options": {"scale": 1.0}})
    callback = fastnn.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, _: part.options.update(scale=2.0 + epoch)
    )
    with pytest.raises(RuntimeError, match="scale"):
        model.fit(X, X, epochs=3, verbose=0, callbacks=[callback])
    assert len(model.history.epoch) == 1


@pytest.mark.parametrize("name", ["factor", "_factor", "later"])
@pytest.mark.parametrize("kind", KINDS)
def test_attributes_that_are_set(kind: str, name: str) -> None:
    """At once where it is the attribute of what was called on symbols, else at the next call."""
    body = lambda s, x: x * getattr(s, name, 1.0)
    attributes = {} if name == "later" else {name: 1.0}
    model, part = made(kind, body, attributes)
    outputs = model.predict(X)
    if kind != "nested":
        with pytest.raises(AttributeError, match=f"{name}: `call`.* reads it"):
            setattr(part, name, 3.0)
        np.testing.assert_array_equal(model.predict(X), outputs)
        assert hasattr(part, name) == (name != "later")
        return
    setattr(part, name, 3.0)
    with pytest.raises(RuntimeError, match=f"{name} of 'block' has changed"):
        model.predict(X)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(kind: str, copied: Callable[[Any], Any]) -> None:
    model, _ = made(kind, scaled_by_options, {"options": {"scale": 1.0}})
    other = copied(model)
    part = other if kind == "net" else other.layers[-1] if kind == "block" else other.inner
    outputs = other.predict(X)
    part.options["scale"] = 3.0
    with pytest.raises(RuntimeError, match="scale"):
        other.predict(X)
    np.testing.assert_array_equal(model.predict(X), outputs)


def scaled_by_options(self: Any, x: Any) -> Any:
    return x * self.options["scale"]


def test_models_without_such_values_look_at_nothing() -> None:
    class Usual(fastnn.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.hidden = layers.Dense(4, "relu")
            self.head = layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.head(self.hidden(x))

    model = Usual()
    model.predict(X)
    assert [trace._places for trace in model._state.now.traces] == [[]]
    gone = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert gone() is None
    finally:
        gc.enable()
