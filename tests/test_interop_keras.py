"""Models that come from Keras 3 and go there: live ones, `.keras` files and `.weights.h5`."""

from __future__ import annotations

import os

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
    values = [(rng.normal(0.2, 0.7, w.shape), w.path) for w in model.weights]
    model.set_weights([np.abs(v) if path.endswith("variance") else v for v, path in values])
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


@pytest.mark.parametrize("activation", [*travelling.ACTIVATIONS, *travelling.WITH_PARAMETERS])
def test_each_activation(activation, tmp_path):
    model = travelling.chain([activation, activation])
    inputs = [(0.1 if activation == "exponential" else 3) * travelling.rows(6)]
    if activation in travelling.NOT_IN_KERAS:
        with pytest.raises(ValueError, match="'dense': Keras has no form of the activation"):
            fastnn.to_keras(model)
        return
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


def test_layers_named_as_an_input(keras, tmp_path):
    """Names differ in all of a model of Keras."""
    x = fastnn.Input((4,), name="x")
    h = layers.Dense(3, name="x_1")(layers.Dense(4, name="y")(x))
    model = travelling.with_weights(fastnn.Model(x, h))
    inner = travelling.with_weights(
        fastnn.Sequential([layers.Dense(4, name="x", input_shape=(4,))])
    )
    around = fastnn.Model(x, layers.Add()([inner(x), x]))
    for one in (model, around):
        made = sent(one, [travelling.rows(4)])
        interop.save_keras(one, tmp_path / "model.keras")
        read = keras.models.load_model(tmp_path / "model.keras")
        assert [layer.name for layer in read.layers] == [layer.name for layer in made.layers]


def test_files_of_models(tmp_path):
    """They stay as they were if something fails."""
    model = travelling.chain(["relu"])
    path = tmp_path / "model.keras"
    interop.save_keras(model, path)
    interop.save_keras_weights(model, tmp_path / "a.weights.h5")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"path: expected the suffix '\.keras', got 'model\.h5'"):
        interop.save_keras(model, "model.h5")
    with pytest.raises(ValueError, match=r"path: expected the suffix '\.weights\.h5', got 'm\.h5'"):
        interop.save_keras_weights(model, "m.h5")
    named = {interop.save_keras: path, interop.save_keras_weights: tmp_path / "a.weights.h5"}
    for save, target in named.items():
        with pytest.raises(TypeError, match="path: expected a path, got int"):
            save(model, 3)
        with pytest.raises(RuntimeError, match=f"{save.__name__}: the model is not built"):
            save(fastnn.Sequential([layers.Dense(3)]), target)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.weights.h5", "model.keras"]


def test_models_that_do_not_go(keras):
    class Twice(layers.Dense):
        def call(self, x, training):
            return super().call(x, training) * 2

    with pytest.raises(ValueError, match="Keras has no form of Twice: it computes with more than"):
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
    model = randomly(keras.Model(x, k.LayerNormalization(name="norm")(h)))
    made = brought(model, [travelling.rows(6)], tmp_path)
    assert [layer.name for layer in made.layers] == [
        "dense",
        "block",
        "inner",
        "norm",
    ]
    assert type(made.get_layer("block")) is fastnn.Sequential
    assert made.get_layer("inner").get_layer("dense").kernel.shape == (6, 6)
    assert made.count_params() == model.count_params()
    outer = randomly(keras.Sequential([keras.Input((6,)), block, k.Dense(2)]))
    assert type(brought(outer, [travelling.rows(6)], tmp_path)) is fastnn.Sequential


def test_models_of_several_inputs_and_outputs_in_a_model(keras, tmp_path):
    """Called twice, by name; its outputs are outputs of the model around it, too."""
    k = keras.layers
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    d = k.Dense(6, "tanh", name="d")(a)
    inner = keras.Model({"b": b, "a": a}, {"z": k.Add()([d, b]), "y": k.Subtract()([d, b])})
    x = keras.Input((6,), name="x")
    first = inner({"a": x, "b": x})
    second = inner({"a": first["z"], "b": first["y"]})
    model = randomly(keras.Model(x, [second["y"], second["z"], first["y"]]))
    model.save(tmp_path / "model.keras")
    rows = travelling.rows(6)
    for source in (model, tmp_path / "model.keras"):
        made = fastnn.from_keras(source)
        for one, other in zip(made.predict(rows), model.predict(rows, verbose=0), strict=True):
            near(one, other)
        assert made.count_params() == 42


def test_layers_that_two_models_share(keras, tmp_path):
    """Keras itself does not read its file, which has the weights of one of the two."""
    k = keras.layers
    shared = k.Dense(6, "tanh", name="shared")
    inner = keras.Sequential([keras.Input((6,)), shared, k.Dense(6)], name="inner")
    x = keras.Input((6,))
    model = randomly(keras.Model(x, k.Add()([inner(x), shared(x)])))
    made = fastnn.from_keras(model)
    near(made.predict(travelling.rows(6)), answer(model, [travelling.rows(6)]))
    assert made.count_params() == model.count_params() == 84
    assert made.get_layer("inner").layers[0] is made.get_layer("shared")
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelFileError, match=r"shared \(Dense\): .*expected weights .*got none"):
        fastnn.from_keras(tmp_path / "model.keras")


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
    "RMSNormalization": lambda k: [k.RMSNormalization(epsilon=0.1)],
    "UnitNormalization": lambda k: [k.UnitNormalization()],
    "BatchNormalization": lambda k: [
        *(k.BatchNormalization(momentum=0.7, epsilon=0.1), k.Dense(4)),
        k.BatchNormalization(center=False, scale=False),
    ],
    "GroupNormalization": lambda k: [k.GroupNormalization(2, epsilon=0.1)],
    "Normalization": lambda k: [
        k.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 0.5, 2.0, 3.0]),
        k.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 0.5, 2.0, 3.0], invert=True),
        k.Dense(2),
    ],
    "Permute": lambda k: [k.Reshape((2, 2)), k.Permute((2, 1)), k.Flatten(), k.Dense(2)],
    "noise": lambda k: [
        *(k.GaussianNoise(0.3), k.Dense(4), k.GaussianDropout(0.3), k.AlphaDropout(0.3)),
    ],
    "Softmax": lambda k: [k.Softmax()],
    "PReLU": lambda k: [k.PReLU(), k.Dense(3), k.PReLU(shared_axes=[1])],
    "ReLU": lambda k: [k.ReLU(negative_slope=0.3)],
    "ReLU with all": lambda k: [k.ReLU(1.5, 0.3, 0.5), k.Activation("mish")],
    "Reshape": lambda k: [k.Reshape((2, -1)), k.Flatten()],
    "RepeatVector": lambda k: [k.RepeatVector(3), k.Flatten(), k.Dense(2)],
    "Rescaling": lambda k: [k.Rescaling(0.5, -1.0), k.Dense(2)],
}


@pytest.mark.parametrize("case", LAYERS)
def test_layers_of_keras(keras, case, tmp_path):
    made = LAYERS[case](keras.layers)
    model = randomly(keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), *made]))
    brought(model, [travelling.rows(4)], tmp_path)


def test_categories_of_keras(keras, tmp_path):
    k = keras.layers
    x = travelling.whole_numbers()
    for made in ([k.Embedding(5, 3), k.Flatten()], [k.CategoryEncoding(5, output_mode="count")]):
        parts = [keras.Input((12,)), *made, k.Dense(2)]
        model = brought(randomly(keras.Sequential(parts)), [x], tmp_path)
        near(answer(fastnn.to_keras(model), [x]), predicted(model, [x]))


def test_an_adapted_normalization_of_keras(keras, tmp_path):
    x = 3 * travelling.rows(4) + 2
    layer = keras.layers.Normalization()
    layer.adapt(x)
    parts = [keras.Input((4,)), layer, keras.layers.Dense(2)]
    model = brought(keras.Sequential(parts), [x], tmp_path)
    near(model.layers[0].mean.numpy(), x.mean(0), 1e-5)


REFUSED = {
    "Conv1D": lambda k: [k.Reshape((4, 1)), k.Conv1D(2, 2)],
    "renorm": lambda k: [k.BatchNormalization(renorm=True)],
    "Lambda": lambda k: [k.Lambda(lambda x: x * 2)],
    "scale": lambda k: [k.Rescaling([1.0, 2.0, 3.0, 4.0])],
    "rows of one axis": lambda k: [k.Reshape((2, 2)), k.Dense(3)],
    "sparsemax": lambda k: [k.Activation("sparsemax")],
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


def test_regularizers_and_constraints_come_and_go(keras):
    layer = keras.layers.Dense(
        3,
        kernel_regularizer=keras.regularizers.L1L2(0.5, 0.25),
        bias_regularizer="l2",
        kernel_constraint=keras.constraints.MinMaxNorm(0.5, 1.5, rate=0.5),
        bias_constraint="non_neg",
    )
    model = keras.Sequential([keras.Input((4,)), layer])
    made = fastnn.from_keras(model)
    again = fastnn.to_keras(made).layers[0]
    for name in ("kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint"):
        mine, theirs = getattr(made.layers[0], name), getattr(layer, name)
        assert type(mine).__name__ == type(theirs).__name__
        assert mine.get_config() == pytest.approx(theirs.get_config())
        assert getattr(again, name).get_config() == pytest.approx(theirs.get_config())


def test_regularizers_are_left_out_with_a_warning(keras, tmp_path):
    layer = keras.layers.Dense(3, activity_regularizer="l2", name="head")
    model = keras.Sequential([keras.Input((4,)), layer])
    model.save(tmp_path / "model.keras")
    for source in (model, tmp_path / "model.keras"):
        with pytest.warns(
            UserWarning, match=r"head \(Dense\): activity_regularizer is left out"
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


# -- reading without Keras


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.keras"
    fastnn.to_keras(travelling.chain(["relu", "softmax"])).save(path)
    return path


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
