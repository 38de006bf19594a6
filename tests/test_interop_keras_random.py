"""Random models of Keras and of fastnn: equal predictions on both sides, live and in files."""

from __future__ import annotations

import numpy as np
import pytest
import travelling
from test_interop_keras import flat, h5py, keras, randomly
from travelling import near

import fastnn
from fastnn import interop, layers

__all__ = ["h5py", "keras"]  # fixtures

pytestmark = [
    pytest.mark.usefixtures("keras", "h5py"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict"),
    pytest.mark.filterwarnings("ignore:The structure of `inputs`"),
]
WIDTH = 5
ACTIVATIONS = (*sorted(set(travelling.ACTIVATIONS) - travelling.NOT_IN_KERAS), None)


class Drawn:
    """A random graph of layers, of Keras or of fastnn: their names and arguments are the same.

    Tensors have rows of one axis and WIDTH numbers, so that any two can be merged.
    """

    def __init__(self, rng, package, nested, dtype):
        self.rng = rng
        self.package = package
        self.layers = package.layers
        self.known = []  # layers with weights, and models, to be called again
        self.nested = nested
        # A model of Keras has the type that is set for all of Keras.
        self.options = {"dtype": dtype} if package is fastnn else {}

    def inner(self):
        return Drawn(self.rng, self.package, self.nested - 1, self.options.get("dtype"))

    def pick(self, among):
        return among[int(self.rng.integers(len(among)))]

    def layer(self):
        k = self.layers
        activation = self.pick(ACTIVATIONS)
        makers = [
            lambda: k.Dense(WIDTH, activation, use_bias=bool(self.rng.random() < 0.8)),
            lambda: k.Dense(WIDTH, activation),
            lambda: k.LayerNormalization(
                epsilon=float(self.rng.uniform(1e-5, 0.1)),
                center=bool(self.rng.random() < 0.7),
                scale=bool(self.rng.random() < 0.7),
            ),
            lambda: k.Activation(activation or "relu"),
            lambda: k.LeakyReLU(negative_slope=0.17),
            lambda: k.ELU(alpha=0.6),
            lambda: k.ReLU(),
            lambda: k.Softmax(),
            lambda: k.Dropout(0.4),
            lambda: k.Rescaling(0.5, offset=0.25),
        ]
        return self.pick(makers)()

    def called(self, tensors):
        """A layer, a model or a merging on some of the tensors."""
        x = self.pick(tensors)
        choice = self.rng.random()
        if choice < 0.25:
            merging = self.pick(("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"))
            return [getattr(self.layers, merging)()([x, self.pick(tensors)])]
        if choice < 0.35:
            joined = self.layers.Concatenate()([x, self.pick(tensors), self.pick(tensors)])
            return [self.layers.Dense(WIDTH, "tanh")(joined)]
        if choice < 0.5 and self.known:
            return self.outputs_of(self.pick(self.known), tensors)
        if choice < 0.65 and self.nested:
            made = self.inner().model(int(self.rng.integers(1, 4)))
            self.known.append((made, getattr(made, "random_inputs", 1)))
            return self.outputs_of(self.known[-1], tensors)
        layer = self.layer()
        self.known.append((layer, 1))
        return [layer(x)]

    def outputs_of(self, known, tensors):
        part, inputs = known
        given = [self.pick(tensors) for _ in range(inputs)]
        made = part(given[0] if inputs == 1 else given)
        return flat(made) if isinstance(made, (list, dict)) else [made]

    def model(self, calls):
        if self.rng.random() < 0.25:
            made = [self.layer() for _ in range(calls)]
            return self.package.Sequential([self.package.Input((WIDTH,)), *made], **self.options)
        count = int(self.rng.integers(1, 3))
        inputs = [self.package.Input((WIDTH,)) for _ in range(count)]
        # Every input is a part of the graph: one that is not used is a model of its own kind.
        tensors = [self.layers.Dense(WIDTH)(x) for x in inputs]
        if count > 1:
            tensors.append(self.layers.Add()(list(tensors)))
        for _ in range(calls):
            tensors += self.called(tensors)
        outputs = [tensors[-1]]
        while self.rng.random() < 0.4:
            outputs.append(self.pick(tensors[-3:]))
        outputs = list({id(y): y for y in outputs}.values())
        if count > 1:
            outputs[0] = self.layers.Add()([outputs[0], tensors[count]])
        if len(outputs) > 1 and self.rng.random() < 0.5:
            names = self.rng.permutation(["q", "c", "p", "a", "z", "b", "u", "v"])
            outputs = dict(zip(map(str, names), outputs, strict=False))
        elif len(outputs) == 1:
            outputs = outputs[0]
        made = self.package.Model(inputs if count > 1 else inputs[0], outputs, **self.options)
        made.random_inputs = count
        return made


def rows_for(rng, model, dtype):
    count = len(model.inputs)
    made = [rng.normal(0.2, 1.2, (7, WIDTH)).astype(dtype) for _ in range(count)]
    return made if count > 1 else made[0]


def same(got, expected):
    assert type(got) is type(expected)
    if isinstance(expected, dict):
        assert set(got) == set(expected)
        got = [got[name] for name in expected]
    for one, other in zip(flat_of(got), flat_of(expected), strict=True):
        # float32 in a deep graph of such weights loses a few units of 1e-6 on either side. In float64
        # tanh and layer normalization of Keras on JAX are right to 1e-7 each, and some outputs float32.
        one, other = np.asarray(one), np.asarray(other)
        assert one.shape == other.shape
        tolerance = 1e-5 if np.float32 in (one.dtype, other.dtype) else 3e-6
        near(one.astype("float64"), other.astype("float64"), tolerance)


def flat_of(outputs):
    return flat(outputs) if isinstance(outputs, (list, dict)) else [outputs]


@pytest.fixture
def dtype(keras, seed):
    """Every other model is in float64, and Keras makes its own of this type."""
    chosen = "float64" if seed % 2 else "float32"
    keras.config.set_floatx(chosen)
    keras.config.set_dtype_policy(chosen)
    yield chosen
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("seed", range(24))
def test_from_keras(keras, seed, dtype, tmp_path):
    """Models with models in them, layers and models that are called again, lists and dictionaries."""
    rng = np.random.default_rng(seed)
    model = randomly(Drawn(rng, keras, 2, dtype).model(int(rng.integers(2, 9))))
    x = rows_for(rng, model, dtype)
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    for source in (model, tmp_path / "model.keras"):
        made = fastnn.from_keras(source)
        same(made.predict(x), expected)
        assert made.count_params() == model.count_params()
        assert made.dtype == dtype
    made.set_weights([w * 0 for w in made.get_weights()])
    interop.load_keras_weights(made, tmp_path / "model.weights.h5")
    same(made.predict(x), expected)


@pytest.mark.parametrize("seed", [*range(24), 1077])
def test_to_keras(keras, seed, dtype, tmp_path):
    """The last one has a layer of which no output needs one of the calls."""
    rng = np.random.default_rng(100 + seed)
    model = travelling.with_weights(Drawn(rng, fastnn, 2, dtype).model(int(rng.integers(2, 9))))
    x = rows_for(rng, model, dtype)
    expected = model.predict(x)
    made = fastnn.to_keras(model)
    same(made.predict(x, verbose=0), expected)
    # Files that Keras has not written are the same to it.
    interop.save_keras(model, tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras")
    same(read.predict(x, verbose=0), expected)
    assert [layer.name for layer in read.layers] == [layer.name for layer in made.layers]
    same(fastnn.from_keras(tmp_path / "model.keras").predict(x), expected)
    interop.save_keras_weights(model, tmp_path / "model.weights.h5")
    made.set_weights([w * 0 for w in made.get_weights()])
    made.load_weights(tmp_path / "model.weights.h5")
    same(made.predict(x, verbose=0), expected)
    for name in ("model.keras", "model.weights.h5"):
        model.set_weights([w * 0 for w in model.get_weights()])
        interop.load_keras_weights(model, tmp_path / name)
        same(model.predict(x), expected)


def test_layers_of_one_class_that_stand_beside_each_other(keras, tmp_path):
    """Files number the layers by Keras's order of a graph, which is not that of their calls."""
    x = fastnn.Input((4,))
    a, b, c = (layers.Dense(4, name=name)(x) for name in "abc")
    b = layers.Dense(4, name="d")(b)
    both = layers.Subtract()([layers.Dense(4, name="e")(c), layers.Add()([b, a])])
    model = travelling.with_weights(fastnn.Model(x, [both, a]))
    rows = travelling.rows(4)
    made = fastnn.to_keras(model)
    expected = made.predict(rows, verbose=0)
    interop.save_keras_weights(model, tmp_path / "a.weights.h5")
    made.set_weights([w * 0 for w in made.get_weights()])
    made.load_weights(tmp_path / "a.weights.h5")
    for one, other in zip(made.predict(rows, verbose=0), expected, strict=True):
        assert np.array_equal(one, other)
    # Without names the order alone counts.
    renamed = keras.models.clone_model(made, clone_function=_renamed)
    renamed.set_weights(made.get_weights())
    renamed.save_weights(tmp_path / "b.weights.h5")
    model.set_weights([w * 0 for w in model.get_weights()])
    interop.load_keras_weights(model, tmp_path / "b.weights.h5")
    for one, other in zip(model.predict(rows), expected, strict=True):
        near(one, other)


def _renamed(layer):
    return type(layer).from_config({**layer.get_config(), "name": f"x_{layer.name}"})
