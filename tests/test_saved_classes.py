"""Classes of a program's own, graphs of every form, and names, that are saved and loaded."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import saved_models
from saved_models import LOGITS, X, Y, bits, compiled

import fastnn
from fastnn import callbacks, layers, losses, metrics, optimizers
from fastnn.files import layout
from fastnn.models.loading import model_from_json
from fastnn.models.paths import named_weights

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")

Data = tuple[Any, Any]
ROWS: Data = (X, Y)
HALVES: Data = ({"a": X[:, :2], "b": X[:, 2:]}, Y)
registered = fastnn.register_serializable("classes")


@registered
class OwnChain(fastnn.Sequential):
    """It is built by its constructor."""

    def __init__(self, depth: int = 2) -> None:
        own = [layers.Dense(4, "relu", input_shape=(4,)), layers.Dropout(0.25)]
        super().__init__([*own, *(layers.Dense(4) for _ in range(depth)), layers.Dense(3)])


@registered
class OwnGraph(fastnn.Model):
    """Likewise, from symbols."""

    def __init__(self, units: int = 4) -> None:
        inputs = fastnn.Input((4,))
        h = layers.Dropout(0.25)(layers.Dense(units, "tanh")(inputs))
        super().__init__(inputs, layers.Dense(3)(h))


class PlainChain(fastnn.Sequential):
    """A class without code of its own."""


@registered
class Compiles(fastnn.Model):
    """It compiles itself, too."""

    def __init__(self) -> None:
        super().__init__()
        self.only = layers.Dense(3)
        self.compile("adam", LOGITS, metrics=["accuracy"])

    def call(self, x: Any) -> Any:
        return self.only(x)


@registered
class OwnCompile(Compiles):
    """Its `compile` has an argument of its own."""

    def __init__(self) -> None:
        fastnn.Model.__init__(self)
        self.only = layers.Dense(3)

    def compile(self, optimizer: Any, loss: Any, factor: float = 1.0) -> None:  # type: ignore[override]
        super().compile(optimizer, loss)
        self.factor = factor

    def get_compile_config(self) -> dict[str, Any]:
        optimizer = self.optimizer
        config = {"class_name": type(optimizer).__name__, "config": optimizer.get_config()}
        return {"optimizer": config, "factor": self.factor}

    def compile_from_config(self, config: Any) -> None:
        self.compile(fastnn.optimizers.get(config["optimizer"]), LOGITS, config["factor"])


@registered
class OwnConfig(fastnn.Model):
    """Its argument is a layer."""

    def __init__(self, first: Any) -> None:
        super().__init__()
        self.first = first
        self.last = layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.last(self.first(x))

    def get_config(self) -> dict[str, Any]:
        return {"first": self.first.get_config()}

    @classmethod
    def from_config(cls, config: Any, custom_objects: Any = None) -> OwnConfig:
        del custom_objects
        return cls(layers.Dense.from_config(config["first"]))


@registered
class OwnStep(fastnn.Model):
    """Its steps train one of its models alone."""

    def __init__(self, *, units: int = 4) -> None:
        super().__init__()
        self.inner = fastnn.Sequential([layers.Dense(units, "tanh"), layers.Dropout(0.25)])
        self.many = [layers.Dense(units, "tanh") for _ in range(2)]
        self.named = {"last": layers.Dense(3)}

    def call(self, x: Any, training: bool = False) -> Any:
        h = self.inner(x, training=training)
        for layer in self.many:
            h = layer(h)
        return self.named["last"](h)

    def train_step(self, data: Any) -> Any:
        x, y = data
        with fastnn.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        variables = self.inner.trainable_variables
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return {"loss": loss}


@registered
class TwoInputs(fastnn.Model):
    def __init__(self, **options: Any) -> None:
        super().__init__(name=options.get("name"))
        self.first = layers.Dense(4, "relu")
        self.last = layers.Dense(options["units"])

    def call(self, inputs: Any) -> Any:
        return self.last(self.first(inputs["a"]) + self.first(inputs["b"]))


@registered
class TwoOutputs(fastnn.Model):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = layers.Dense(3), layers.Dense(1)

    def call(self, x: Any) -> Any:
        return {"kind": self.one(x), "size": self.other(x)}


@registered
class OddNames(fastnn.Model):
    """Variables are named as layers are, as arrays of the state are, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.d = layers.Dense(3, name="d")
        for i, name in enumerate(("d", "d/kernel", "/optimizer/m/d/kernel", "/", "")):
            setattr(self, f"v{i}", fastnn.Variable(np.full(3, 0.5, np.float32), name=name))

    def call(self, x: Any) -> Any:
        return self.d(x) * self.v0 + self.v1 * self.v2 + self.v3 - self.v4


@registered
class Power(losses.Loss):
    def __init__(self, power: float = 2.0) -> None:
        super().__init__()
        self.power = power

    def call(self, y: Any, z: Any) -> Any:
        return fastnn.math.reduce_mean(fastnn.math.abs(z - y) ** self.power, -1)


@registered
class Largest(metrics.Metric):
    def __init__(self, name: str = "largest") -> None:
        super().__init__(name=name)
        self.seen = self.add_weight(name="seen")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        del y_true, sample_weight
        self.seen.assign(max(float(self.seen.numpy()), float(np.abs(y_pred).max())))

    def result(self) -> float:
        return float(self.seen.numpy())


@fastnn.register_serializable("classes", "another name")
def distance(y: Any, z: Any) -> Any:
    return fastnn.math.reduce_mean(fastnn.math.abs(z - y), -1)


def own_loss_and_metric() -> Any:
    return compiled(saved_models.chain(), Power(3.0), metrics=[Largest(), distance, "mae"])


def forms(kind: str) -> tuple[Any, Data]:
    """A model with two inputs and two outputs in lists, tuples or dictionaries."""
    a, b = fastnn.Input((2,)), fastnn.Input((2,))
    h = layers.Dense(4, "relu")(layers.Concatenate()([a, b]))
    z = layers.Dense(3)(h), layers.Dense(1)(b)
    given, wanted = (X[:, :2], X[:, 2:]), (Y, X[:, :1])
    loss: tuple[Any, ...] = (LOGITS, "mse")
    if kind == "list":
        model = fastnn.Model([a, b], list(z))
        data: Data = list(given), list(wanted)
        return compiled(model, list(loss), metrics=[["accuracy"], []]), data
    if kind == "tuple":
        model = fastnn.Model((a, b), z)
        return compiled(model, list(loss), loss_weights=[1.0, 0.5]), (given, wanted)
    names, ends = ("q", "r"), ("kind", "size")
    model = fastnn.Model(dict(zip(names, (a, b), strict=True)), dict(zip(ends, z, strict=True)))
    data = dict(zip(names, given, strict=True)), dict(zip(ends, wanted, strict=True))
    return compiled(model, {"kind": LOGITS, "size": distance}, metrics={"size": [distance]}), data


def same_output_twice() -> Any:
    inputs = fastnn.Input((4,))
    h = layers.Dense(4)(inputs)
    return compiled(fastnn.Model(inputs, [inputs, h, h]), ["mse", "mse", "mae"])


def nested_outputs() -> Any:
    """A model of two outputs within one, called twice, with layers of one name in both."""
    rows = fastnn.Input((4,))
    outputs = {"a": layers.Dense(4, name="dense")(rows), "b": layers.Dense(4)(rows)}
    inner = fastnn.Model(rows, outputs, name="inner")
    inputs = fastnn.Input((4,))
    once = inner(inputs)
    twice = inner(once["b"])
    h = layers.Add()([once["a"], twice["a"]])
    return compiled(fastnn.Model(inputs, layers.Dense(3, name="dense")(h)))


def shared_models() -> Any:
    """A model that is a part of another one and of the whole, named as a layer is."""
    inner = fastnn.Sequential([layers.Dense(4, "tanh")], name="dense")
    outer = fastnn.Sequential([inner, layers.Dense(4)], name="dense_1")
    inputs = fastnn.Input((4,))
    h = layers.Add()([inner(inputs), outer(inputs), outer(inner(inputs))])
    return compiled(fastnn.Model(inputs, layers.Dense(3)(h)))


def trained_before() -> Any:
    """Its inner model was compiled and trained by itself."""
    inner = fastnn.Sequential([layers.Dense(4, input_shape=(4,)), layers.Dropout(0.3)])
    inner.compile("sgd", "mse")
    inner.fit(X, X, verbose=0)
    inputs = fastnn.Input((4,))
    return compiled(fastnn.Model(inputs, layers.Dense(3)(inner(inputs))))


def after_pop_and_add() -> Any:
    model = fastnn.Sequential([layers.Dense(5, input_shape=(4,)), layers.Dense(6)])
    model.pop()
    model.add(layers.Dense(3))
    return compiled(model)


def frozen() -> Any:
    model = saved_models.chain()
    model.layers[0].trainable = False
    return compiled(model)


def one_loss_of_two() -> Any:
    inputs = fastnn.Input((4,))
    outputs = {"kind": layers.Dense(3)(inputs), "size": layers.Dense(1)(inputs)}
    return compiled(fastnn.Model(inputs, outputs), {"kind": LOGITS})


def of_two_outputs() -> Any:
    return compiled(TwoOutputs(), {"kind": LOGITS, "size": "mse"})


MADE: dict[str, tuple[Callable[[], Any], Data]] = {
    "chain of one's own": (lambda: compiled(OwnChain(3)), ROWS),
    "graph of one's own": (lambda: compiled(OwnGraph(5)), ROWS),
    "class without code": (
        lambda: compiled(PlainChain([layers.Dense(3, input_shape=(4,))])),
        ROWS,
    ),
    "compiled by its constructor": (Compiles, ROWS),
    "compile of one's own": (lambda: _compiled_by(OwnCompile(), 3.0), ROWS),
    "config of one's own": (lambda: compiled(OwnConfig(layers.Dense(5, "tanh"))), ROWS),
    "step of one's own": (lambda: compiled(OwnStep(units=5)), ROWS),
    "inputs by name": (lambda: compiled(TwoInputs(units=3, name="two")), HALVES),
    "outputs by name": (of_two_outputs, (X, {"kind": Y, "size": X[:, :1]})),
    "odd names": (lambda: compiled(OddNames(), "mse"), (X, X[:, :3])),
    "loss and metric of one's own": (own_loss_and_metric, (X, X[:, :3])),
    "an output twice": (same_output_twice, (X, [X, X, X])),
    "nested outputs": (nested_outputs, ROWS),
    "shared models": (shared_models, ROWS),
    "trained before": (trained_before, ROWS),
    "pop and add": (after_pop_and_add, ROWS),
    "frozen": (frozen, ROWS),
    "one loss of two": (one_loss_of_two, (X, {"kind": Y})),
    **{kind: (lambda kind=kind: forms(kind)[0], forms(kind)[1]) for kind in ("list", "tuple")},
    "dict": (lambda: forms("dict")[0], forms("dict")[1]),
}


def _compiled_by(model: Any, factor: float) -> Any:
    model.compile(optimizers.Adam(0.01), LOGITS, factor)
    return model


def same(one: Any, other: Any) -> bool:
    """Whether outputs are the same, to the bit and in their structure."""
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and all(map(same, one, other))
    return bool(one.tobytes() == other.tobytes())


@pytest.mark.parametrize("name", MADE)
def test_models_are_the_same_and_train_on(name: str, tmp_path: Path) -> None:
    make, (x, y) = MADE[name]
    model, path = make(), tmp_path / "m.safetensors"
    model.fit(x, y, epochs=2, batch_size=16, verbose=0, validation_split=0.2)
    model.save(path)
    with fastnn.saving.custom_object_scope({"PlainChain": PlainChain}):
        made = fastnn.load_model(path)
        assert type(model_from_json(model.to_json())) is type(model)
    assert type(made) is type(model)
    assert bits(made) == bits(model)
    assert same(made.predict(x), model.predict(x))
    assert made.name == model.name
    assert [layer.name for layer in made.layers] == [layer.name for layer in model.layers]
    for layer in model.layers:
        assert type(made.get_layer(layer.name)) is type(layer)
    assert [w.path for w in made.weights] == [w.path for w in model.weights]
    assert [w.trainable for w in made.weights] == [w.trainable for w in model.weights]
    for one in (model, made):
        one.fit(x, y, epochs=2, batch_size=16, verbose=0, validation_split=0.2)
    assert bits(made) == bits(model)
    assert getattr(made, "factor", None) == getattr(model, "factor", None)


@pytest.mark.parametrize("model", [lambda: fastnn.Sequential([]), OwnChain, OwnGraph])
def test_models_that_are_not_compiled(model: Any, tmp_path: Path) -> None:
    one = model()
    one.save(tmp_path / "m.safetensors")
    made = fastnn.load_model(tmp_path / "m.safetensors")
    assert bits(made) == bits(one)
    assert not made.compiled
    if one.weights:  # the random numbers are the same, too
        for each in (one, compiled(made)):
            compiled(each).fit(X, Y, verbose=0)
        assert bits(made) == bits(one)


@pytest.mark.parametrize("name", ["größe", " ", "a b", "a\nb", "..", "__metadata__", "x" * 300])
def test_odd_names(name: str, tmp_path: Path) -> None:
    model = compiled(
        fastnn.Sequential(
            [layers.Dense(4, name=name, input_shape=(4,)), layers.Dense(3)], name=name
        )
    )
    model.save(tmp_path / "m.safetensors")
    made = fastnn.load_model(tmp_path / "m.safetensors")
    assert (made.name, made.layers[0].name) == (name, name)
    assert bits(made) == bits(model)


def test_own_classes_that_are_named_as_ours(tmp_path: Path) -> None:
    class Sequential(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.only = layers.Dense(3)

        def call(self, x: Any) -> Any:
            return self.only(x)

    path = tmp_path / "m.safetensors"
    own = compiled(Sequential())
    own.predict(X)
    own.save(path)
    with pytest.raises(fastnn.ModelFileError, match="the class 'Sequential' is not known here"):
        fastnn.load_model(path)
    assert type(fastnn.load_model(path, custom_objects={"Sequential": Sequential})) is Sequential

    class Dense(layers.Dense):
        pass

    saved_models.chain().save(path)
    made = fastnn.load_model(path, custom_objects={"Dense": Dense})  # takes the place of ours
    assert type(made.layers[0]) is Dense
    assert type(fastnn.load_model(path).layers[0]) is layers.Dense


def test_callables_without_a_name_are_refused(tmp_path: Path) -> None:
    import functools

    class Callable_:
        def __call__(self, y: Any, z: Any) -> Any:
            return distance(y, z)

    for bad in (functools.partial(distance), Callable_(), lambda y, z: distance(y, z)):
        for options in ({"loss": bad}, {"loss": "mse", "metrics": [bad]}):
            model = saved_models.chain()
            model.compile("sgd", **options)
            with pytest.raises(TypeError, match=r"(loss|metrics): .* has no name that a config"):
                model.save(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_learning_rate_that_a_callback_sets(tmp_path: Path) -> None:
    class Falls(callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            del logs
            self.model.optimizer.learning_rate = 0.1 / (epoch + 1)

    model = saved_models.chain()
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[Falls()])
    model.save(tmp_path / "m.safetensors")
    made = fastnn.load_model(tmp_path / "m.safetensors")
    assert made.optimizer.learning_rate == model.optimizer.learning_rate == 0.1 / 3


def test_values_that_a_step_of_ones_own_returns(tmp_path: Path) -> None:
    """Interrupted between the last step of an epoch and its end: the History has them."""

    class Interrupts(callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            del epoch, logs
            raise InterruptedError

    def fit(*given: Any) -> Any:
        fastnn.utils.set_random_seed(3)
        model = compiled(OwnStep(units=5))
        model.predict(X)
        return model.fit(X, Y, epochs=2, batch_size=16, verbose=0, callbacks=list(given)).history

    backup = callbacks.BackupAndRestore(tmp_path / "b", save_freq=1)
    with pytest.raises(InterruptedError):
        fit(backup, Interrupts())
    assert fit(backup) == fit()


def test_names_that_only_the_first_model_explains(tmp_path: Path) -> None:
    """Layers keep the names that another model gave them, which is not in the file."""
    whole = fastnn.Sequential([layers.Dense(4, input_shape=(4,)), layers.Dense(4), layers.Dense(3)])
    inputs = fastnn.Input((4,))
    model = compiled(fastnn.Model(inputs, whole.layers[2](whole.layers[1](inputs))))
    assert [layer.name for layer in model.layers] == ["dense_1", "dense_2"]
    model.save(tmp_path / "m.safetensors")
    made = fastnn.load_model(tmp_path / "m.safetensors")
    assert [layer.name for layer in made.layers] == ["dense_1", "dense_2"]
    made.load_weights(tmp_path / "m.safetensors")


@pytest.mark.parametrize("kind", ["chain", "eager"])
def test_what_compile_found_trainable(kind: str, tmp_path: Path) -> None:
    """Freezing and thawing since `compile` take effect at the next one, after loading too."""
    model = saved_models.KINDS[kind]()
    model.predict(X)
    model.layers[-1].trainable = False
    compiled(model)
    model.layers[-1].trainable = True
    model.layers[0].trainable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which say so
        model.fit(X, Y, verbose=0)
        model.save(tmp_path / "m.safetensors")
        made = fastnn.load_model(tmp_path / "m.safetensors")
        before = bits(made)
        for one in (model, made):
            one.fit(X, Y, verbose=0)
    assert bits(made) == bits(model)
    changed = [old != new for old, new in zip(before, bits(made), strict=True)]
    last = len(model.layers[-1].weights)
    assert changed[0]
    assert [w.trainable for w in made.weights] == [w.trainable for w in model.weights]
    assert not any(changed[-last:]) or kind == "eager"  # where Variables of its own come last


def test_weights_that_were_written_after_training(tmp_path: Path) -> None:
    """Averages begin anew from them, after loading too."""
    model = saved_models.chain()
    model.compile(optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9), LOGITS)
    model.fit(X, Y, epochs=2, verbose=0)
    model.set_weights([weight + 1 for weight in model.get_weights()])
    model.save(tmp_path / "m.safetensors")
    made = fastnn.load_model(tmp_path / "m.safetensors")
    for one in (model, made):
        one.fit(X, Y, verbose=0)
    assert bits(made) == bits(model)


def test_names_that_models_gave_are_not_the_programs(tmp_path: Path) -> None:
    """Layers of two files whose names are the same come together in one model, as before saving."""
    path = tmp_path / "m.safetensors"
    fastnn.Sequential([layers.Dense(4, input_shape=(4,))]).save(path)
    one, other = fastnn.load_model(path).layers[0], fastnn.load_model(path).layers[0]
    inputs = fastnn.Input((4,))
    model = compiled(fastnn.Model(inputs, other(one(inputs))))
    assert [layer.name for layer in model.layers] == ["dense", "dense_1"]
    model.save(path)
    made = fastnn.load_model(path)
    assert [layer.name for layer in made.layers] == ["dense", "dense_1"]


@registered
class Noisy(fastnn.Model):
    """Its layers draw by keys of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layers.Dense(5, "tanh")
        self.noise = [
            layers.Dropout(0.25),
            layers.AlphaDropout(0.25),
            layers.GaussianDropout(0.25),
            layers.GaussianNoise(0.5),
        ]
        self.last = layers.Dense(3)

    def call(self, x: Any, training: bool = False) -> Any:
        h = fastnn.math.sin(self.first(x))
        for layer in self.noise:
            h = layer(h, training=training)
        return self.last(h)


def test_noise_goes_on(tmp_path: Path) -> None:
    model = compiled(Noisy())
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m")
    loaded = fastnn.load_model(tmp_path / "m")
    for one in (model, loaded):
        one.fit(X, Y, verbose=0)
    assert bits(loaded) == bits(model)


def part_of_a_graph(classes: type[fastnn.Model], twice: bool) -> Any:
    inputs = fastnn.Input((4,))
    part = classes()
    h = part(inputs)
    return compiled(fastnn.Model(inputs, layers.Dense(3)(part(h) if twice else h)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("twice", [False, True])
def test_code_that_changed_is_told(twice: bool, tmp_path: Path) -> None:
    """A graph keeps its calls; the names of weights follow the code of a class in it."""

    def code(swapped: bool) -> Any:
        @fastnn.register_serializable("changing")
        class Part(fastnn.Model):
            def __init__(self) -> None:
                super().__init__()
                self.one, self.two = layers.Dense(4, "tanh"), layers.Dense(4)

            def call(self, x: Any) -> Any:
                return self.one(self.two(x)) if swapped else self.two(self.one(x))

        return Part

    model = part_of_a_graph(code(swapped=False), twice)
    model.save(tmp_path / "m")
    expected = model.predict(X)
    assert np.array_equal(fastnn.load_model(tmp_path / "m").predict(X), expected)
    code(swapped=True)
    with pytest.warns(UserWarning, match="the code of Part calls other layers than 'part' did"):
        fastnn.load_model(tmp_path / "m")


class Backwards(fastnn.Model):
    """Attributes that stand in another order than their calls; `bent`: over the tape."""

    def __init__(self, bent: bool = False) -> None:
        super().__init__()
        self.bent = bent
        self.last, self.unused = layers.Dense(4), layers.Dense(4)
        self.inner = fastnn.Sequential([layers.Dense(4, "tanh")])
        self.first = layers.Dense(4)

    def call(self, x: Any) -> Any:
        h = self.first(x)
        if self.bent:
            h = h + fastnn.math.zeros_like(fastnn.math.cumsum(h))
        return self.last(self.inner(h))


def test_parts_are_named_as_attributes_stand(tmp_path: Path) -> None:
    """As in Keras, and the same whether the calls are a graph or not; older files keep their order."""
    traced, taped = Backwards(), Backwards(True)
    for model in (traced, taped):
        model(np.ones((2, 4), np.float32))
    assert traced._state.now.layers
    assert not taped._state.now.layers
    assert list(named_weights(traced)) == list(named_weights(taped))
    taped.set_weights(traced.get_weights())
    x = np.eye(4, dtype=np.float32)
    np.testing.assert_allclose(taped.predict(x), traced.predict(x), rtol=1e-6)
    assert traced.layers == [traced.last, traced.unused, traced.inner, traced.first]
    assert (traced.last.name, traced.first.name) == ("dense", "dense_2")
    path = tmp_path / "w.safetensors"
    traced.save_weights(path)
    taped.set_weights([0 * w for w in taped.get_weights()])
    taped.load_weights(path)
    np.testing.assert_allclose(taped.predict(x), traced.predict(x), rtol=1e-6)
    found = layout.read(path)
    assert found.metadata["names"] == "attributes"
    # As it was before: those of the graph in the order of their calls, then the others.
    old = {"dense": "dense_1", "dense_2": "dense", "sequential": "sequential"}
    tensors = {}
    for new, value in found.tensors.items():
        layer, _, rest = new.partition("/")
        tensors[f"{old[layer]}/{rest}"] = value
    about = {k: v for k, v in found.metadata.items() if k != "names"}
    layout.write(path, layout.Contents(about, tensors))
    fresh = Backwards()
    fresh(x)
    fresh.load_weights(path)
    assert bits(fresh) == bits(traced)
