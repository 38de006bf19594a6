"""Layers of one's own: a residual block that trains natively, and a layer of distances over the tape.

Digits are told apart by how far their hidden values are from centers, one for each digit, which are
weights of the layer: a radial basis function network on 1,797 images of 8 x 8 pixels.
"""

import tempfile
import warnings
from pathlib import Path

import fastnn
from fastnn import layers


@fastnn.register_serializable()
class Residual(layers.Layer):
    """x + dense(norm(x)): a graph of layers, which is a part of the native network."""

    def __init__(self, units, rate=0.1, **common):
        super().__init__(**common)
        self.norm = layers.LayerNormalization()
        self.dense = layers.Dense(units, activation="relu")
        self.drop = layers.Dropout(rate)

    def call(self, inputs):
        return inputs + self.drop(self.dense(self.norm(inputs)))


@fastnn.register_serializable()
class Distances(layers.Layer):
    """Minus the squared distances to centers, as logits; it adds a small penalty of the centers."""

    def __init__(self, classes, penalty=1e-4, **common):
        super().__init__(**common)
        self.classes = classes
        self.penalty = penalty

    def build(self, input_shape):
        self.centers = self.add_weight(shape=(input_shape[-1], self.classes), name="centers")

    def call(self, inputs):
        centers = fastnn.convert_to_tensor(self.centers)
        self.add_loss(self.penalty * fastnn.reduce_sum(centers**2))
        across = inputs @ centers
        squares = fastnn.reduce_sum(inputs**2, axis=1, keepdims=True)
        return 2.0 * across - squares - fastnn.reduce_sum(centers**2, axis=0)


fastnn.utils.set_random_seed(1)
x, y = fastnn.datasets.load_digits()
x = x / 16.0
train, test = slice(0, 1437), slice(1437, None)


def network(*last):
    hidden = [layers.Dense(64, activation="relu"), Residual(64), Residual(64)]
    return fastnn.Sequential([layers.Input((64,)), *hidden, *last])


how = {
    "loss": fastnn.losses.SparseCategoricalCrossentropy(from_logits=True),
    "metrics": ["accuracy"],
}

native = network(layers.Dense(10))
native.compile("adam", **how)
native.fit(x[train], y[train], epochs=20, verbose=0)
print(f"with a Dense head: accuracy {native.evaluate(x[test], y[test], verbose=0)[1]:.3f}, native")

warnings.simplefilter("ignore", fastnn.TapeWarning)  # it says what is known here: no native fit
taped = network(Distances(10))
taped.compile("adam", **how)
taped.fit(x[train], y[train], epochs=20, verbose=0)
loss, accuracy = taped.evaluate(x[test], y[test], verbose=0)
print(f"with distances: accuracy {accuracy:.3f}, over the tape")

path = Path(tempfile.mkdtemp()) / "digits.safetensors"
taped.save(path)
again = fastnn.load_model(path)
assert (again.predict(x[test]) == taped.predict(x[test])).all()
print("the file gives the same model")
