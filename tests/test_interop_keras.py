"""Models that come from Keras 3 and go there: live ones, `.keras` files and `.weights.h5`."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile

import numpy as np
import pytest
import travelling
from travelling import near, predicted

import fastnn
from fastnn import interop, layers
from fastnn.files.layout import ModelFileError
from fastnn.interop import keras_export

pytestmark = [
    pytest.mark.usefixtures("keras", "h5py"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return pytest.importorskip("keras")


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py")


def answer(model, inputs):
    return model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)


def randomly(model):
    """A model of Keras with weights that no initializer gives."""
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(0.2, 0.7, w.shape) for w in model.get_weights()])
    return model


def brought(keras_model, inputs, tmp_path, **options):
    """The model made of one of Keras, live and from a file, and both predict the same."""
    path = tmp_path / "model.keras"
    keras_model.save(path)
    expected = answer(keras_model, inputs)
    for source in (keras_model, path, str(path)):
        model = fastnn.from_keras(source, **options)
        near(predicted(model, inputs), expected)
    return model


def sent(model, inputs):
    made = fastnn.to_keras(model)
    near(answer(made, inputs), predicted(model, inputs))
    return made


# -- there and back


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cls", travelling.CLASSES, ids=lambda cls: cls.__name__)
def test_each_layer_goes_or_is_refused_by_name(cls, dtype, tmp_path):
    model, inputs = travelling.of_class(cls, dtype)
    if cls not in keras_export.WRITERS and cls is not layers.InputLayer:
        with pytest.raises(ValueError, match=f"Keras has no form of {cls.__name__}"):
            fastnn.to_keras(model)
        return
    made = sent(model, inputs)
    back = brought(made, inputs, tmp_path)
    assert back.dtype == dtype
    assert [layer.name for layer in back.layers] == [layer.name for layer in model.layers]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_chain(keras, dtype, tmp_path):
    model = travelling.everything(dtype)
    inputs = [travelling.rows(3, 4, dtype=dtype)]
    made = sent(model, inputs)
    assert type(made) is keras.Sequential
    back = brought(made, inputs, tmp_path)
    assert type(back) is fastnn.Sequential
    assert [layer.get_config() for layer in back.layers] == [
        layer.get_config() for layer in model.layers
    ]


def test_a_graph(tmp_path):
    model, inputs = travelling.graph()
    made = sent(model, inputs)
    assert [tensor.name for tensor in made.inputs] == ["left", "right"]
    back = brought(made, inputs, tmp_path)
    assert len(back.weights) == len(model.weights)
    assert back.count_params() == model.count_params()


@pytest.mark.parametrize("activation", travelling.ACTIVATIONS)
def test_each_activation(activation, tmp_path):
    model = travelling.chain([activation, activation])
    inputs = [3 * travelling.rows(6)]
    brought(sent(model, inputs), inputs, tmp_path)


def test_what_is_not_trained_stays_so(tmp_path):
    model = travelling.chain(["relu", "relu"])
    model.layers[0].trainable = False
    made = sent(model, [travelling.rows(6)])
    assert [layer.trainable for layer in made.layers] == [False, True]
    back = brought(made, [travelling.rows(6)], tmp_path)
    assert [layer.trainable for layer in back.layers] == [False, True]


def test_shapes_that_are_joined(tmp_path):
    one, many = fastnn.Input((1,)), fastnn.Input((3, 4))
    h = layers.Add()([one, layers.Concatenate(axis=1)([many, many])])
    model = fastnn.Model([one, many], layers.Average()([layers.Rescaling(0.5, 1.0)(h)]))
    inputs = [travelling.rows(1), travelling.rows(3, 4)]
    brought(sent(model, inputs), inputs, tmp_path)


def test_models_that_do_not_go(keras):
    class Twice(layers.Dense):
        def call(self, x, training):
            return super().call(x, training) * 2

    with pytest.raises(ValueError, match="layer 'own': Keras has no form of Twice"):
        fastnn.to_keras(fastnn.Sequential([Twice(3, input_shape=(4,), name="own")]))
    with pytest.raises(RuntimeError, match="to_keras: the model is not built"):
        fastnn.to_keras(fastnn.Sequential([layers.Dense(3)]))
    assert keras


# -- from Keras


def test_models_in_models(keras, tmp_path):
    """A block that is called twice, with a name that a layer outside has, too."""
    k = keras.layers
    block = keras.Sequential([k.Dense(6, "tanh", name="dense"), k.Dropout(0.2)], name="block")
    a = keras.Input((6,))
    inner = keras.Model(a, k.Add()([k.Dense(6, name="dense")(a), a]), name="inner")
    x = keras.Input((6,), name="x")
    h = k.Dense(6, "relu", name="dense")(x)
    h = inner(block(block(h)))
    model = randomly(keras.Model(x, k.LayerNormalization()(h)))
    made = brought(model, [travelling.rows(6)], tmp_path)
    assert [layer.name for layer in made.layers] == [
        "dense",
        "block",
        "inner",
        "layer_normalization",
    ]
    assert type(made.get_layer("block")) is fastnn.Sequential
    assert made.get_layer("inner").get_layer("dense").kernel.shape == (6, 6)
    assert made.count_params() == model.count_params()
    outer = randomly(keras.Sequential([keras.Input((6,)), block, k.Dense(2)]))
    assert type(brought(outer, [travelling.rows(6)], tmp_path)) is fastnn.Sequential


def test_built_by_its_first_rows(keras, tmp_path):
    model = keras.Sequential([keras.layers.Dense(3, "relu"), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"saved before it was built|no weights"):
        fastnn.from_keras(model)
    model.build((None, 4))
    brought(randomly(model), [travelling.rows(4)], tmp_path)


def test_inputs_by_name_and_operators(keras, tmp_path):
    k = keras.layers
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    h = 2.0 * k.Dense(4)(a) + b / 4.0 - k.Dense(1)(b)
    model = randomly(keras.Model({"a": a, "b": b}, -h * (1.0 - a)))
    path = tmp_path / "model.keras"
    model.save(path)
    x = {"a": travelling.rows(4), "b": 2 * travelling.rows(4)}
    for source in (model, path):
        near(fastnn.from_keras(source).predict(x), model.predict(x, verbose=0))


LAYERS = {
    "activation layer": lambda k: [k.Dense(4, activation=k.LeakyReLU(0.07))],
    "activation of a name": lambda k: [k.Activation("swish"), k.Activation("gelu")],
    "Activation(layer)": lambda k: [k.Activation(k.ELU(0.5))],
    "no activation": lambda k: [k.Dense(3, None, use_bias=False)],
    "Identity": lambda k: [k.Identity(), k.Dense(2), k.Identity()],
    "LayerNormalization": lambda k: [k.LayerNormalization(epsilon=0.1, center=False)],
    "Softmax": lambda k: [k.Softmax()],
    "ReLU": lambda k: [k.ReLU(negative_slope=0.3)],
    "Reshape": lambda k: [k.Reshape((2, -1)), k.Flatten()],
    "RepeatVector": lambda k: [k.RepeatVector(3), k.Flatten(), k.Dense(2)],
    "Rescaling": lambda k: [k.Rescaling(0.5, -1.0), k.Dense(2)],
}


@pytest.mark.parametrize("case", LAYERS)
def test_layers_of_keras(keras, case, tmp_path):
    made = LAYERS[case](keras.layers)
    model = randomly(keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), *made]))
    brought(model, [travelling.rows(4)], tmp_path)


REFUSED = {
    "Conv1D": lambda k: [k.Reshape((4, 1)), k.Conv1D(2, 2)],
    "BatchNormalization": lambda k: [k.BatchNormalization()],
    "Lambda": lambda k: [k.Lambda(lambda x: x * 2)],
    "max_value": lambda k: [k.ReLU(max_value=6.0)],
    "scale": lambda k: [k.Rescaling([1.0, 2.0, 3.0, 4.0])],
    "rows of one axis": lambda k: [k.Reshape((2, 2)), k.Dense(3)],
    "mish": lambda k: [k.Activation("mish")],
    "channels_last": lambda k: [k.Reshape((2, 2)), k.Flatten("channels_first")],
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_the_layer(keras, case, tmp_path):
    made = REFUSED[case](keras.layers)
    made[-1].name = "odd"
    model = keras.Sequential([keras.Input((4,)), *made])
    path = tmp_path / "model.keras"
    model.save(path)
    kind = type(made[-1]).__name__
    pytest.importorskip("h5py")
    for source in (model, path):
        with pytest.raises((TypeError, ValueError), match=rf"odd \({kind}\).*{case}"):
            fastnn.from_keras(source)


def test_classes_and_functions_of_ones_own(keras, tmp_path):
    class Dense(keras.layers.Dense):
        """Named as one of Keras's, and another."""

    class Net(keras.Model):
        def call(self, x):
            return x

    def relu(x):
        return x * 3

    model = keras.Sequential([keras.Input((4,)), Dense(3, name="own")])
    path = tmp_path / "model.keras"
    model.save(path)
    for source in (model, path):
        with pytest.raises(
            ValueError, match=r"own \(Dense\): a class of one's own, which is not run"
        ):
            fastnn.from_keras(source)
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation=relu)])
    with pytest.raises(
        ValueError, match=r"\(Dense\): activation: expected a name of Keras's, got <func"
    ):
        fastnn.from_keras(keras.Sequential([keras.Input((4,)), inner]))
    with pytest.raises((ValueError, NotImplementedError)):
        fastnn.from_keras(Net())


def test_regularizers_are_left_out_with_a_warning(keras, tmp_path):
    layer = keras.layers.Dense(3, kernel_regularizer="l2", name="head")
    model = keras.Sequential([keras.Input((4,)), layer])
    model.save(tmp_path / "model.keras")
    for source in (model, tmp_path / "model.keras"):
        with pytest.warns(
            UserWarning, match=r"head \(Dense\): kernel_regularizer is left out"
        ) as told:
            made = fastnn.from_keras(source)
        assert told[0].filename == __file__
        near(made.predict(travelling.rows(4)), answer(model, [travelling.rows(4)]))


def test_types_and_names(keras, tmp_path):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, dtype="float64")], name="net"
    )
    assert fastnn.from_keras(model).dtype == "float64"
    made = fastnn.from_keras(model, dtype="float32", name="other")
    assert (made.dtype, made.name) == ("float32", "other")
    half = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype="bfloat16")])
    half.save(tmp_path / "half.keras")
    expected = np.asarray(half.get_weights()[0], np.float32)
    for source in (half, tmp_path / "half.keras"):
        made = fastnn.from_keras(source)
        assert made.dtype == "float32"
        assert np.array_equal(made.get_weights()[0], expected)
    with pytest.raises(TypeError, match="source: expected a path or a model of Keras, got list"):
        fastnn.from_keras([])
    with pytest.raises(ValueError, match=r"expected the path of a \.keras file, got 'a\.h5'"):
        fastnn.from_keras("a.h5")


# -- files of weights


def test_weights_of_a_file(tmp_path):
    model, inputs = travelling.graph()
    made = fastnn.to_keras(model)
    made.save_weights(tmp_path / "model.weights.h5")
    made.save(tmp_path / "model.keras")
    for name in ("model.weights.h5", "model.keras"):
        fresh, _ = travelling.graph()
        fresh.set_weights([w * 0 for w in fresh.get_weights()])
        interop.load_keras_weights(fresh, tmp_path / name)
        assert np.array_equal(predicted(fresh, inputs), predicted(model, inputs))


def test_weights_by_order(keras, tmp_path):
    """Names differ: the layers of a class are taken in order, the eleventh after the tenth."""
    chain = travelling.chain(["tanh"] * 12)
    named = [keras.layers.Dense(5, "tanh", name=f"n{i}") for i in range(12)]
    made = keras.Sequential([keras.Input((6,)), *named])
    made.set_weights(chain.get_weights())
    path = tmp_path / "a.weights.h5"
    made.save_weights(path)
    fresh = travelling.chain(["tanh"] * 12)
    fresh.set_weights([w * 0 for w in fresh.get_weights()])
    interop.load_keras_weights(fresh, path)
    assert np.array_equal(fresh.predict(travelling.rows(6)), chain.predict(travelling.rows(6)))
    before = travelling.chain(["tanh"] * 11)
    weights = before.get_weights()
    with pytest.raises(ModelFileError, match=r"has weights for layers/dense_11"):
        interop.load_keras_weights(before, path)
    other = travelling.chain(["tanh"] * 12, inputs=7)
    with pytest.raises(ModelFileError, match=r"layers/dense: expected weights of shapes \(7, 5\)"):
        interop.load_keras_weights(other, path)
    longer = travelling.chain(["tanh"] * 13)
    with pytest.raises(ModelFileError, match=r"layers/dense_12: expected weights .*got none"):
        interop.load_keras_weights(longer, path)
    assert all(map(np.array_equal, before.get_weights(), weights))


# -- files that are broken, or made to harm


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.keras"
    fastnn.to_keras(travelling.chain(["relu", "softmax"])).save(path)
    return path


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path, found, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in found.items():
            archive.writestr(name, content)
    return path


def refused(path, words):
    with pytest.raises(ModelFileError, match=words):
        fastnn.from_keras(path)


def test_other_archives_are_refused(saved):
    found = members(saved)
    saved.write_bytes(b"no archive at all")
    refused(saved, r"model\.keras: no zip archive")
    packed(saved, {"config.json": found["config.json"]})
    refused(saved, r"expected one model\.weights\.h5 in it, got 0")
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr("config.json", found["config.json"])
        archive.writestr("model.weights.h5", found["model.weights.h5"])
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("config.json", found["config.json"])
    refused(saved, r"expected one config\.json in it, got 2")
    with pytest.raises(FileNotFoundError):
        fastnn.from_keras(saved.with_name("none.keras"))


def test_archives_that_unpack_to_much_more(saved, monkeypatch):
    found = members(saved)
    zeros = bytes(8 * 2**20)
    packed(saved, {**found, "model.weights.h5": zeros}, zipfile.ZIP_DEFLATED)
    refused(saved, r"model\.weights\.h5 has 8388608 bytes; more than \d+ are not read")
    monkeypatch.setattr("fastnn.interop.keras_files._MOST_CONFIG", 2**20)
    packed(saved, {**found, "config.json": zeros}, zipfile.ZIP_DEFLATED)
    refused(saved, r"config\.json has 8388608 bytes; more than 1048576")
    # A member that is longer than it says.
    packed(saved, found, zipfile.ZIP_DEFLATED)
    raw = bytearray(saved.read_bytes())
    at = raw.rindex(b"PK\x01\x02", 0, raw.rindex(b"config.json"))
    raw[at + 24 : at + 28] = (100).to_bytes(4, "little")
    saved.write_bytes(raw)
    refused(saved, r"model\.keras: ")
    packed(saved, found, zipfile.ZIP_DEFLATED)
    fastnn.from_keras(saved)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[]", "expected an object"),
        (b'{"a": 1, "a": 2}', "occurs twice"),
        (b"{" * 100_000, "nested too deeply|no JSON"),
        (b"\xff", "no UTF-8"),
        (b'{"x": NaN}', "NaN is no number"),
    ],
)
def test_configs_that_are_no_json(saved, text, words):
    packed(saved, {**members(saved), "config.json": text})
    refused(saved, rf"config\.json.*({words})")


def edited(path, edit):
    """The file with its config changed."""
    found = members(path)
    config = json.loads(found["config.json"])
    edit(config)
    return packed(path, {**found, "config.json": json.dumps(config).encode()})


EDITS = {
    "another class": (lambda c: c.update(class_name="Net"), "what a class of one's own computes"),
    "no layers": (lambda c: c["config"].update(layers=[]), "expected layers, got none"),
    "no class": (lambda c: c["config"]["layers"].append({}), "expected a layer with a class_name"),
    "a Lambda": (
        lambda c: c["config"]["layers"][1].update(class_name="Lambda"),
        "layer for Lambda",
    ),
    "a module": (lambda c: c["config"]["layers"][1].update(module="os"), "a class of one's own"),
    "too many units": (
        lambda c: c["config"]["layers"][1]["config"].update(units=10**12),
        r"expected weights of shapes \(6, 1000000000000\)",
    ),
    "units that are none": (
        lambda c: c["config"]["layers"][1]["config"].update(units="5"),
        r"dense \(Dense\): units: expected an integer",
    ),
    "a huge input": (
        lambda c: c["config"]["layers"][0]["config"].update(batch_shape=[None, 10**15]),
        "expected weights of shapes",
    ),
    "an open input": (
        lambda c: c["config"]["layers"][0]["config"].update(batch_shape=[None, None]),
        "known sizes",
    ),
    "a wrong config": (lambda c: c["config"]["layers"][1].update(config=[1]), "expected a config"),
    "one layer more": (
        lambda c: c["config"]["layers"].append(c["config"]["layers"][1]),
        "two layers are named 'dense'",
    ),
    "rms_scaling": (
        lambda c: c["config"]["layers"][1]["config"].update(rms_scaling=True),
        r"dense \(Dense\): rms_scaling=True is not in fastnn",
    ),
}


@pytest.mark.parametrize("case", EDITS)
def test_configs_that_do_not_fit(saved, case):
    edit, words = EDITS[case]
    edited(saved, edit)
    with pytest.raises((TypeError, ValueError), match=words):
        fastnn.from_keras(saved)


def test_models_nested_deeply(saved):
    def edit(config):
        inner = config["config"]["layers"]
        for i in range(300):
            name = f"s{i}"
            inner = [{"class_name": "Sequential", "config": {"name": name, "layers": inner}}]
        config["config"]["layers"] = inner

    edited(saved, edit)
    with pytest.raises(ValueError, match="nested too deeply"):
        fastnn.from_keras(saved)


def with_weights_of(path, change):
    """The file with its HDF5 changed by a function of the open file."""
    import h5py

    found = members(path)
    raw = io.BytesIO(found["model.weights.h5"])
    with h5py.File(raw, "r+") as file:
        change(file, h5py)
    return packed(path, {**found, "model.weights.h5": raw.getvalue()})


def _replace(make):
    def change(file, h5py):
        group = file["layers/dense/vars"]
        del group["0"]
        make(group, h5py)

    return change


def _external_file(group, h5py):
    group["0"] = h5py.ExternalLink("/etc/hostname", "/x")


def _external_numbers(group, _):
    group.create_dataset("0", (6, 5), "f4", external=[("/etc/passwd", 0, 120)])


def _virtual(group, h5py):
    layout = h5py.VirtualLayout((6, 5), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (6, 5))
    group.create_virtual_dataset("0", layout)


def _huge(group, _):
    group.create_dataset("0", (10**7, 10**7), "f4", chunks=(1, 1000), fillvalue=1.0)


def _unwritten(group, _):
    group.create_dataset("0", (6, 5), "f4", chunks=(6, 5), fillvalue=1.0)


def _text(group, h5py):
    group.create_dataset("0", (6, 5), h5py.string_dtype())


WEIGHTS = {
    "missing": (lambda _group, _: None, "expected weights|missing"),
    "a link to a file": (_external_file, "'0' is a link, which is not followed"),
    "a soft link": (lambda g, h: g.__setitem__("0", h.SoftLink("/x")), "is a link"),
    "numbers elsewhere": (_external_numbers, "in another file"),
    "virtual": (_virtual, "in another file"),
    "huge": (_huge, "0 bytes are stored for"),
    "never written": (_unwritten, "0 bytes are stored for 120"),
    "text": (_text, "expected floats"),
    "integers": (lambda g, _: g.create_dataset("0", data=np.ones((6, 5), int)), "expected floats"),
    "a group": (lambda g, _: g.create_group("0"), "expected an array"),
    "another shape": (
        lambda g, _: g.create_dataset("0", data=np.ones((5, 6), "f4")),
        r"layers/dense: expected weights of shapes \(6, 5\), \(5,\), got \(5, 6\), \(5,\)",
    ),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_made_to_harm(saved, case):
    make, words = WEIGHTS[case]
    with_weights_of(saved, _replace(make))
    refused(saved, rf"model\.keras: .*({words})")


def damaged(whole, rng):
    """Bytes that are cut short, or of which a few are changed."""
    raw = bytearray(whole)
    if rng.random() < 0.3:
        del raw[int(rng.integers(len(raw))) :]
    else:
        for at in rng.integers(len(raw), size=3):
            raw[at] = rng.integers(256)
    return bytes(raw)


def test_files_cut_short_or_changed(saved):
    """Whatever the bytes are: a model, or an error that says why not."""
    whole, inner = saved.read_bytes(), members(saved)["model.weights.h5"]
    rng = np.random.default_rng(5)
    model = travelling.chain(["relu", "softmax"])
    for _ in range(150):
        saved.write_bytes(damaged(whole, rng))
        with contextlib.suppress(ValueError):
            fastnn.from_keras(saved)
    weights = saved.with_name("a.weights.h5")
    for _ in range(150):
        weights.write_bytes(damaged(inner, rng))
        with contextlib.suppress(ModelFileError):
            interop.load_keras_weights(model, weights)


def test_keras_need_not_be_there_to_read(saved):
    import cases

    program = f"""
import sys
import fastnn
model = fastnn.from_keras({str(saved)!r})
print(model.count_params(), "keras" in sys.modules)
"""
    done = cases.python(program)
    assert done.stdout.split() == ["65", "False"], done.stdout + done.stderr


# -- several outputs, and models in models


@pytest.mark.parametrize("kind", [list, dict])
def test_several_outputs_come(keras, tmp_path, kind):
    entry = keras.Input((4,))
    hidden = keras.layers.Dense(6, "relu")(entry)
    made = [keras.layers.Dense(2, "softmax")(hidden), keras.layers.Dense(1)(hidden)]
    model = randomly(
        keras.Model(entry, made if kind is list else dict(zip("ab", made, strict=True)))
    )
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    wanted = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    for source in (model, tmp_path / "model.keras"):
        found = fastnn.from_keras(source).predict(x)
        assert type(found) is kind
        for one, other in zip(flat(found), flat(wanted), strict=True):
            near(one, other)


@pytest.mark.parametrize("kind", [list, dict])
def test_several_outputs_of_models_in_a_model_go(kind):
    """Layers that are named alike in two models get names that differ."""
    entry = fastnn.Input((4,))
    inner = fastnn.Sequential([layers.Dense(6, "relu"), layers.Dense(3)], name="inner")
    h = inner(entry)
    made = [layers.Dense(2, "softmax")(h), layers.Dense(1)(h)]
    model = fastnn.Model(entry, made if kind is list else dict(zip("ab", made, strict=True)))
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    found = fastnn.to_keras(model).predict(x, verbose=0)
    for one, other in zip(flat(found), flat(model.predict(x)), strict=True):
        near(one, other)


def flat(outputs):
    return list(outputs.values()) if isinstance(outputs, dict) else outputs
