"""Models that are saved and loaded: they are the same, and train on to the same bits."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import saved_models
import test_registry
import travelling
from saved_models import KINDS, LOGITS, X, Y, bits

import fastnn
from fastnn import callbacks, layers, losses, optimizers
from fastnn.files import layout
from fastnn.losses.base import LOSSES
from fastnn.metrics.base import METRICS
from fastnn.models import training_state
from fastnn.optimizers.base import OPTIMIZERS

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")


def loaded(model: Any, tmp_path: Path, **options: Any) -> Any:
    path = tmp_path / "model.safetensors"
    model.save(path)
    made = fastnn.load_model(path, **options)
    assert type(made) is type(model)
    assert bits(made) == bits(model)
    return made


def table(model: Any) -> list[str]:
    lines: list[str] = []
    model.summary(print_fn=lines.append, expand_nested=True)
    return lines


def trains_on(model: Any, other: Any, x: Any = X, y: Any = Y, **how: Any) -> None:
    for made in (model, other):
        made.fit(x, y, epochs=2, batch_size=16, verbose=0, **how)
    assert bits(other) == bits(model)


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_every_kind(kind: str, tmp_path: Path) -> None:
    model = KINDS[kind]()
    if not model.built and kind not in ("traced", "eager"):
        assert not loaded(model, tmp_path).built  # before there are any weights
    model.fit(X, Y, epochs=2, batch_size=16, verbose=0, validation_split=0.2)
    made = loaded(model, tmp_path)
    assert made.predict(X).tobytes() == model.predict(X).tobytes()
    assert table(made) == table(model)
    if kind != "extractor":  # the model that its layers were made for is not in the file
        assert [w.path for w in made.weights] == [w.path for w in model.weights]
    assert made.metrics_names == model.metrics_names
    assert made.optimizer.get_config() == model.optimizer.get_config()
    assert made.optimizer.iterations == model.optimizer.iterations
    trains_on(model, made, validation_split=0.2)
    trains_on(model, loaded(made, tmp_path), validation_split=0.2)


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    model, x, y = saved_models.several()
    model.fit(x, y, verbose=0)
    made = loaded(model, tmp_path)
    assert table(made) == table(model)
    assert set(made.input) == {"a", "b"}
    assert made.get_layer("a").name == "a"
    assert {n: v.tolist() for n, v in made.predict(x).items()} == {
        n: v.tolist() for n, v in model.predict(x).items()
    }
    assert made.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    trains_on(model, made, x, y)


@pytest.mark.parametrize("cls", travelling.CLASSES, ids=lambda cls: cls.__name__)
def test_every_layer(cls: Any, tmp_path: Path) -> None:
    model, inputs = travelling.of_class(cls)
    model.compile("sgd", "mse")
    x = inputs if len(inputs) > 1 else inputs[0]
    y = np.ones(model.predict(x).shape)
    made = loaded(model, tmp_path)
    assert [layer.get_config() for layer in made.layers] == [
        {**layer.get_config(), "name": other.get_config()["name"]}
        for layer, other in zip(model.layers, made.layers, strict=True)
    ]
    copies = [pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model)]
    trains_on(model, made, x, y)
    for one in copies:
        one.fit(x, y, epochs=2, verbose=0)
    assert len({tuple(bits(one)) for one in copies}) == 1


def of(family: Any) -> Any:
    classes = family if isinstance(family, list) else family.classes.values()
    return pytest.mark.parametrize("cls", classes, ids=lambda cls: cls.__name__)


@of([cls for cls in OPTIMIZERS.classes.values() if not cls.full_batch])
@pytest.mark.parametrize("options", [{}, {"use_ema": True, "ema_momentum": 0.5}, {"clipnorm": 0.1}])
def test_every_optimizer(cls: Any, options: Any, tmp_path: Path) -> None:
    model = saved_models.chain()
    optimizer = cls(learning_rate=0.01, weight_decay=0.1, **options)
    optimizer.exclude_from_weight_decay([model.layers[0].kernel], ["gamma"])
    model.compile(optimizer, LOGITS)
    optimizer.clipnorm = None  # `compile` has read it
    model.layers[0].trainable = False  # and that it was trainable
    model.fit(X, Y, epochs=2, verbose=0)
    made = loaded(model, tmp_path)
    assert not made.layers[0].trainable
    trains_on(model, made)
    for one in (model, made):
        one.compile(one.optimizer, LOGITS)
    trains_on(model, made)


@of(LOSSES)
def test_every_loss(cls: Any, tmp_path: Path) -> None:
    for loss in (test_registry.plain(cls), test_registry.other(cls)):
        model = fastnn.Sequential([layers.Dense(2, input_shape=(4,))])
        model.compile("sgd", loss)
        made = loaded(model, tmp_path)
        assert type(made.loss) is cls
        assert made.loss.get_config() == loss.get_config()


@of(METRICS)
def test_every_metric(cls: Any) -> None:
    metric = test_registry.other(cls)
    described = training_state._described("metrics", [metric, "accuracy"])
    again = training_state._made("metrics", json.loads(json.dumps(described)))
    assert again[1] == "accuracy"
    assert type(again[0]) is cls
    assert again[0].get_config() == metric.get_config()


PROGRAM = """
import sys, numpy as np
sys.path[:0] = [{tests!r}]
import fastnn, saved_models
from saved_models import X, Y
fastnn.set_num_threads({threads})
model = fastnn.load_model({path!r})
model.fit(X, Y, epochs=2, batch_size=16, verbose=0, validation_split=0.2)
np.savez({out!r}, *model.get_weights())
"""


@pytest.mark.parametrize(("kind", "threads"), [("chain", 1), ("chain", 3), ("eager", 2)])
def test_training_goes_on_in_another_process(kind: str, threads: int, tmp_path: Path) -> None:
    model = KINDS[kind]()
    model.fit(X, Y, epochs=3, batch_size=16, verbose=0, validation_split=0.2)
    path, out = tmp_path / "model.safetensors", tmp_path / "weights.npz"
    model.save(path)
    program = PROGRAM.format(
        tests=str(Path(__file__).parent), threads=threads, path=str(path), out=str(out)
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=120)
    model.fit(X, Y, epochs=2, batch_size=16, verbose=0, validation_split=0.2)
    with np.load(out) as found:
        assert [found[name].tobytes() for name in found.files] == bits(model)


def test_what_a_program_changes_before_and_after(tmp_path: Path) -> None:
    model = saved_models.chain()
    model.fit(X, Y, verbose=0)
    model.layers[0].kernel.trainable = False
    model.optimizer.learning_rate = 0.5
    model.set_weights([weight * 2 for weight in model.get_weights()])
    made = loaded(model, tmp_path)
    assert not made.layers[0].kernel.trainable
    assert made.layers[0].bias.trainable
    assert float(made.optimizer.learning_rate) == 0.5
    trains_on(model, made)
    model.pop()
    made = loaded(model, tmp_path)
    assert not made.compiled
    for one in (model, made):
        one.add(layers.Dense(3))
        assert [layer.name for layer in one.layers][-1] == "dense_1"
        one.compile("sgd", LOGITS)
    made.set_weights(model.get_weights())
    trains_on(model, made)


def test_averages_that_were_begun_go_on(tmp_path: Path) -> None:
    """A file of the middle of training has the weights and their averages; written weights begin
    them anew."""
    model = saved_models.chain()
    model.compile(optimizers.Adam(0.01, use_ema=True), LOGITS)
    path = tmp_path / "m.safetensors"
    whole = fastnn.load_model(save(model, path))
    whole.fit(X, Y, epochs=4, verbose=0)
    keep = callbacks.ModelCheckpoint(path)
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[keep])
    made = fastnn.load_model(path)
    made.fit(X, Y, epochs=4, initial_epoch=made.position, verbose=0)
    assert bits(made) == bits(whole)


def save(model: Any, path: Path) -> Path:
    model.save(path)
    return path


def test_without_the_state_of_training(tmp_path: Path) -> None:
    model = saved_models.chain()
    model.fit(X, Y, verbose=0)
    path = tmp_path / "m.safetensors"
    model.save(path, include_optimizer=False)
    assert not fastnn.load_model(path).compiled
    assert not any(name.startswith("/") for name in layout.read(path).tensors)
    model.save(path)
    assert not fastnn.load_model(path, compile=False).compiled
    with pytest.raises(FileExistsError, match="exists, and overwrite is False"):
        model.save(path, overwrite=False)
    for suffix in (".keras", ".h5", ".onnx", ".pt"):
        with pytest.raises(ValueError, match="is the suffix of another format"):
            model.save(tmp_path / f"m{suffix}")
    with pytest.raises(ValueError, match="safe_mode: expected True"):
        fastnn.load_model(path, safe_mode=False)


def test_the_safetensors_package_reads_the_weights(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    model = saved_models.chain()
    model.save(tmp_path / "m.safetensors")
    found = numpy.load_file(tmp_path / "m.safetensors")
    assert found["dense/kernel"].tobytes() == model.get_weights()[0].tobytes()


# -- classes and functions of a program's own


class Unknown(layers.Dense):
    pass


def own_loss(y: Any, z: Any) -> Any:
    return fastnn.math.reduce_mean(fastnn.math.abs(y - z), -1)


def test_a_file_names_a_class_that_is_not_known(tmp_path: Path) -> None:
    model = fastnn.Sequential([Unknown(3, input_shape=(4,))])
    path = save(model, tmp_path / "m.safetensors")
    with pytest.raises(fastnn.ModelFileError, match=r"class 'Unknown' is not known here: register"):
        fastnn.load_model(path)
    made = fastnn.load_model(path, custom_objects={"Unknown": Unknown})
    assert type(made.layers[0]) is Unknown
    with fastnn.saving.custom_object_scope({"Unknown": Unknown}):
        assert type(fastnn.load_model(path).layers[0]) is Unknown
    with pytest.raises(fastnn.ModelFileError, match=r"'Unknown' means .*, which is no"):
        fastnn.load_model(path, custom_objects={"Unknown": losses.Huber})


def test_losses_and_metrics_that_are_functions(tmp_path: Path) -> None:
    model = fastnn.Sequential([layers.Dense(3, input_shape=(4,))])
    model.compile("adam", own_loss, metrics=[own_loss, "mse"])
    path = save(model, tmp_path / "m.safetensors")
    with pytest.raises(fastnn.ModelFileError, match="the function 'own_loss' is not known here"):
        fastnn.load_model(path)
    made = fastnn.load_model(path, custom_objects={"own_loss": own_loss})
    trains_on(model, made, X, X[:, :3])
    model.compile("adam", lambda y, z: own_loss(y, z))
    with pytest.raises(TypeError, match=r"loss: .*<lambda>.* has no name that a config could hold"):
        model.save(path)
    assert fastnn.load_model(path, compile=False).layers  # the file from before stays


def test_names_of_registered_classes(tmp_path: Path) -> None:
    @fastnn.register_serializable("one", "Twin")
    class First(layers.Dense):
        pass

    @fastnn.register_serializable("two", "Twin")
    class Second(layers.Dense):
        pass

    model = fastnn.Sequential([First(3, input_shape=(4,)), Second(2)])
    made = loaded(model, tmp_path)
    assert [type(layer) for layer in made.layers] == [First, Second]
    assert fastnn.saving.get_registered_name(First) == "one>Twin"
    assert fastnn.saving.get_registered_object("two>Twin") is Second
    with pytest.raises(ValueError, match="'>' is not for names"):
        fastnn.register_serializable("a>b")
    with pytest.raises(TypeError, match="expected a class or a function"):
        fastnn.register_serializable()(3)  # type: ignore[type-var]

    class Plain:
        pass

    with pytest.raises(ValueError, match="Plain has no get_config"):
        fastnn.register_serializable()(Plain)


def test_a_class_whose_arguments_have_no_config(tmp_path: Path) -> None:
    class Takes(fastnn.Model):
        def __init__(self, layer: Any, thing: object) -> None:
            super().__init__()
            self.layer = layer
            self.thing = thing

        def call(self, x: Any) -> Any:
            return self.layer(x)

    model = Takes(layers.Dense(3), object())
    model.build((None, 4))
    with pytest.raises(NotImplementedError, match="Takes: arguments of its constructor have no"):
        model.save(tmp_path / "m.safetensors")
    model.save_weights(tmp_path / "w.safetensors")
    other = Takes(layers.Dense(3), 3)
    other.build((None, 4))
    other.load_weights(tmp_path / "w.safetensors")
    assert bits(other) == bits(model)


def test_a_class_whose_code_has_changed(tmp_path: Path) -> None:
    model = saved_models.traced()
    model.build((None, 4))
    path = save(model, tmp_path / "m.safetensors")

    class Other(fastnn.Model):
        def __init__(self, units: int, rate: float = 0.25) -> None:
            super().__init__()
            self.one = layers.Dense(units + rate.is_integer(), name="another")

        def call(self, x: Any) -> Any:
            return self.one(x)

    with pytest.raises(fastnn.ModelFileError, match="its weights are not those of the model"):
        fastnn.load_model(path, custom_objects={"Traced": Other})


# -- architecture alone


@pytest.mark.parametrize("kind", KINDS)
def test_configs_and_clones(kind: str) -> None:
    model = KINDS[kind]()
    model.predict(X)
    for made in (
        type(model).from_config(json.loads(json.dumps(model.get_config()))),
        fastnn.models.model_from_json(model.to_json()),
        fastnn.models.clone_model(model),
    ):
        assert type(made) is type(model)
        assert not made.compiled
        made.predict(X)
        assert [weight.shape for weight in made.weights] == [w.shape for w in model.weights]
        assert bits(made) != bits(model)  # weights of its own
        made.set_weights(model.get_weights())
        assert made.predict(X).tobytes() == model.predict(X).tobytes()
        assert table(made) == table(model)
    config = model.get_compile_config()
    made.compile_from_config(json.loads(json.dumps(config)))
    assert made.get_compile_config() == config


def test_clone_functions() -> None:
    model = saved_models.branches()

    def wider(layer: Any) -> Any:
        config = layer.get_config()
        return type(layer).from_config(
            {**config, "activation": "relu"} if config.get("activation") == "tanh" else config
        )

    made = fastnn.models.clone_model(model, clone_function=wider)
    assert made.get_layer("hidden").activation == "relu"
    assert model.get_layer("hidden").activation == "tanh"


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"layers": 3},
        {"layers": [{"class_name": "Dense"}]},
        {"layers": [{"class_name": "Dnse", "config": {}}]},
        {"layers": [{"class_name": "Dense", "config": {"units": -1}}]},
        {"layers": [{"same_as": [0]}]},
        {"layers": [], "calls": [{"layer": [0], "inputs": [0]}], "input_shapes": [[4]]},
    ],
)
def test_wrong_configs(config: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        fastnn.Sequential.from_config(config)
    with pytest.raises(ValueError, match="json_string"):
        fastnn.models.model_from_json("{")


# -- files of before

FORMAT1 = Path(__file__).parent / "files" / "format1"
EXPECTED = json.loads((FORMAT1 / "expected.json").read_text())


@pytest.mark.parametrize("kind", EXPECTED)
def test_files_of_format_1_stay_loadable(kind: str) -> None:
    """tests/files/make_format1.py wrote them."""
    model = fastnn.load_model(FORMAT1 / f"{kind}.safetensors")
    _, x, y = saved_models.several()
    x, y = (x, y) if kind == "several" else (X, Y)
    outputs = model.predict(x)
    if isinstance(outputs, dict):
        outputs = np.concatenate(list(outputs.values()), 1)
    np.testing.assert_allclose(outputs[:5], EXPECTED[kind]["outputs"], rtol=1e-5, atol=1e-6)
    assert model.optimizer.iterations == EXPECTED[kind]["iterations"]
    position = 0 if model.position is None else model.position
    split = 0.0 if kind == "several" else 0.2
    how: Any = {"batch_size": 16, "verbose": 0, "validation_split": split}
    if kind == "several":
        how["batch_size"] = 32
    history = model.fit(x, y, epochs=3, initial_epoch=position, **how).history
    assert np.isfinite(history["loss"]).all()


def test_models_in_the_model_that_were_compiled(tmp_path: Path) -> None:
    """As a discriminator in a chain that trains a generator: both train on to the bit."""

    def made() -> tuple[Any, Any]:
        inner = fastnn.Sequential(
            [layers.Dense(6, "relu", input_shape=(4,)), layers.Dropout(0.2), layers.Dense(3)],
            name="inner",
            seed=2,
        )
        inner.compile(optimizers.Adam(0.01, use_ema=True), LOGITS, metrics=["accuracy"])
        inner.fit(X, Y, epochs=2, verbose=0, shuffle=False)
        inner.trainable = False
        inputs = fastnn.Input((4,))
        outer = fastnn.Model(inputs, inner(layers.Dense(4, name="first")(inputs)), seed=3)
        outer.compile("adam", LOGITS)
        outer.fit(X, Y, epochs=2, verbose=0)
        return outer, inner

    def goes_on(outer: Any, inner: Any) -> list[bytes]:
        for _ in range(2):
            inner.fit(X, Y, epochs=1, verbose=0)
            inner.train_on_batch(X[:16], Y[:16])
            outer.fit(X, Y, epochs=1, verbose=0)
        return bits(outer)

    outer, inner = made()
    path = tmp_path / "m.safetensors"
    outer.save(path)
    back = fastnn.load_model(path)
    found = back.get_layer("inner")
    assert found.optimizer.iterations == inner.optimizer.iterations == 4
    assert found.metrics_names == inner.metrics_names
    assert goes_on(back, found) == goes_on(outer, inner)
    assert fastnn.load_model(path, compile=False).get_layer("inner").get_compile_config() is None
    copied = pickle.loads(pickle.dumps(outer))
    assert goes_on(copied, copied.get_layer("inner")) == goes_on(outer, inner)
    inner.compile("adam", lambda y, p: fastnn.math.square(y - p))
    with pytest.warns(UserWarning, match="save: 'inner' in the model will not be compiled"):
        outer.save(path)
    assert fastnn.load_model(path).get_layer("inner").get_compile_config() is None
