"""Layers that take several inputs, and those that change the shape of rows: shapes, values by their
own `extend`, and errors. Models made of them are tested with the models."""

from __future__ import annotations

import networks
import numpy as np
import pytest
import reference

import fastnn
from fastnn import _core, layers

CLASSES = {
    "add": layers.Add,
    "subtract": layers.Subtract,
    "multiply": layers.Multiply,
    "average": layers.Average,
    "maximum": layers.Maximum,
    "minimum": layers.Minimum,
}


def applied(layer, *arrays):
    """The layer's output for rows (n, ...): the graph slices them out of one input."""
    shapes = [array.shape[1:] for array in arrays]
    flat = [array.reshape(len(array), -1) for array in arrays]
    x = np.hstack(flat)
    network = _core.Network(x.shape[1], "float64", 0)
    ends = np.cumsum([array.shape[1] for array in flat])
    tensors = [
        network.slice(0, int(end) - a.shape[1], a.shape[1])
        for a, end in zip(flat, ends, strict=True)
    ]
    shape = layer.row_shape(shapes)
    network.set_output(layer.extend(network, tensors))
    native = networks.bound(network, "float64")
    y = native.network.predict(networks.rows(x, np.zeros((len(x), 1))))
    return y.reshape(len(x), *shape)


@pytest.mark.parametrize("name", CLASSES)
def test_elementwise(name, rng):
    layer = CLASSES[name]()
    assert (layer.name, layer.merges, layer.weights) == (name, True, [])
    for shape in ((5,), (1,), (2, 3)):
        arrays = rng.normal(size=(2, 7, *shape))
        np.testing.assert_allclose(applied(layer, *arrays), reference.combine(name, arrays))
        if name != "subtract":
            arrays = rng.normal(size=(4, 7, *shape))
            np.testing.assert_allclose(applied(layer, *arrays), reference.combine(name, arrays))
            np.testing.assert_array_equal(applied(layer, arrays[0]), arrays[0])


@pytest.mark.parametrize("name", CLASSES)
def test_rows_of_a_single_number_count_for_every_element(name, rng):
    layer = CLASSES[name]()
    many = rng.normal(size=(7, 2, 3))
    for one in (rng.normal(size=(7, 1)), rng.normal(size=(7, 1, 1))):
        want = reference.combine(name, [many, np.broadcast_to(one.reshape(7, 1, 1), many.shape)])
        np.testing.assert_allclose(applied(layer, many, one), want)


@pytest.mark.parametrize(
    ("axis", "shapes", "shape"),
    [
        (-1, [(4,), (2,), (4,)], (10,)),
        (1, [(4,), (2,)], (6,)),
        (1, [(4, 3), (2, 3)], (6, 3)),
        (-2, [(4, 3), (2, 3)], (6, 3)),
        (-1, [(1, 3), (1, 5)], (1, 8)),
        (2, [(1, 3, 2), (1, 5, 2)], (1, 8, 2)),
        (-1, [(3, 4)], (3, 4)),
    ],
)
def test_concatenate(axis, shapes, shape, rng):
    layer = layers.Concatenate(axis)
    arrays = [rng.normal(size=(6, *given)) for given in shapes]
    y = applied(layer, *arrays)
    assert y.shape == (6, *shape)
    np.testing.assert_array_equal(y, np.concatenate(arrays, axis))
    assert layer.compute_output_shape([(None, *given) for given in shapes]) == (None, *shape)


@pytest.mark.parametrize(
    ("axis", "shapes", "message"),
    [
        (
            -1,
            [(4, 3), (4, 5)],
            r"along the first of them, axis 1, got axis -1 .*\(4, 3\) and \(4, 5\)$",
        ),
        (
            -1,
            [(4, 3), (2, 3)],
            r"differ in axis -1 alone, got rows of shapes \(4, 3\) and \(2, 3\)$",
        ),
        (2, [(4,), (3,), (5,)], r"axis 2 alone, got rows of shapes \(4,\), \(3,\) and \(5,\)$"),
        (-2, [(4,), (3,)], "axis -2 alone"),
        (-1, [(4,), (3, 1)], "axis -1 alone"),
        (1, [], "expects inputs, got none"),
    ],
)
def test_concatenate_refuses(axis, shapes, message):
    with pytest.raises(ValueError, match=f"^layer 'concatenate': Concatenate .*{message}"):
        layers.Concatenate(axis).row_shape(shapes)


@pytest.mark.parametrize("axis", [0, 1.5, None, "columns"])
def test_no_axis(axis):
    with pytest.raises((TypeError, ValueError), match=r"^axis: expected"):
        layers.Concatenate(axis)


@pytest.mark.parametrize("name", CLASSES)
def test_elementwise_refuses(name):
    layer = CLASSES[name](name="merge")
    word = type(layer).__name__
    for shapes, message in (
        ([(4,), (5,)], r"\(4,\) and \(5,\)$"),
        ([(4, 3), (3,)], r"\(4, 3\) and \(3,\)$"),
        ([(4, 3), (4, 1)], r"\(4, 3\) and \(4, 1\)$"),
        ([(4, 1), (1, 3)], r"\(4, 1\) and \(1, 3\)$"),
    ):
        with pytest.raises(ValueError, match=rf"^layer 'merge': {word} expects .*{message}"):
            layer.row_shape(shapes)
    with pytest.raises(ValueError, match=rf"^layer 'merge': {word} expects .*got (none|0)$"):
        layer.row_shape([])


def test_subtract_takes_two():
    for count in (1, 3):
        with pytest.raises(ValueError, match=f"Subtract expects two inputs, got {count}$"):
            layers.Subtract().row_shape([(4,)] * count)


def test_a_merging_layer_is_built():
    layer = layers.Add()
    with pytest.raises(AttributeError, match="no shape until it is built"):
        _ = layer.input_shape
    layer.build([(None, 4), (None, 4)])
    assert layer.built
    assert (layer.input_shape, layer.output_shape) == ([(None, 4), (None, 4)], (None, 4))
    layer.build([(None, 7)])
    assert layer.output_shape == (None, 4)
    assert layer.compute_output_shape([(None, 3), (8, 3)]) == (8, 3)
    for bad in ((None, 4), [4, 4], [(4,), (4,)], 3):
        with pytest.raises(ValueError, match=r"expected (a list of shapes|the batch axis)"):
            layers.Add().build(bad)


@pytest.mark.parametrize("cls", [*CLASSES.values(), layers.Concatenate])
def test_a_chain_refuses_them(cls):
    word = cls.__name__
    message = rf"^layer '{word.lower()}': {word} takes several inputs; use fastnn.Model\(inputs, "
    with pytest.raises(ValueError, match=message):
        fastnn.Sequential([layers.Dense(3, input_shape=(2,)), cls()])
    model = fastnn.Sequential([layers.Dense(3, input_shape=(2,))])
    with pytest.raises(ValueError, match=message):
        model.add(cls())
    assert len(model.layers) == 1


# -- the shape of rows -----------------------------------------------------------------------------


@pytest.mark.parametrize("target", [(4, 3), [2, -1], (-1,), (12, 1), (2, 2, -1)])
def test_reshape(target, rng):
    x = rng.normal(size=(5, 3, 4)).astype("f4")
    model = fastnn.Sequential([layers.Reshape(target, input_shape=(3, 4))])
    want = x.reshape(5, *target)
    assert model.output_shape == (None, *want.shape[1:])
    np.testing.assert_array_equal(model.predict(x, verbose=0), want)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            (5, 2),
            r"rows of shape \(3, 4\) do not fit target_shape=\(5, 2\): they have 12 elements$",
        ),
        ((5, -1), r"do not fit target_shape=\(5, -1\)"),
        ((-1, -1), "^target_shape: expected positive sizes, one of them at most -1"),
        ((0, 4), "^target_shape: expected positive sizes"),
        ((), "^target_shape: expected positive sizes"),
        ((-2, 6), "^target_shape: expected an integer of at least -1"),
        (12, "^target_shape: expected a tuple"),
        ("12", "^target_shape: expected a tuple"),
        ((3, 4.0), "^target_shape: expected an integer"),
    ],
)
def test_reshape_refuses(target, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fastnn.Sequential([layers.Reshape(target, input_shape=(3, 4))])


def test_a_head_is_found_through_reshape():
    chain = [layers.Dense(6, "softmax"), layers.Reshape((2, 3)), layers.Flatten()]
    with pytest.raises(ValueError, match="softmax with binary_crossentropy cannot be meant"):
        fastnn.Sequential(chain).compile("sgd", "binary_crossentropy")


def test_repeat_vector(rng):
    x = rng.normal(size=(5, 4)).astype("f4")
    model = fastnn.Sequential([layers.RepeatVector(3, input_shape=(4,))])
    np.testing.assert_array_equal(model.predict(x, verbose=0), np.repeat(x[:, None], 3, 1))
    with pytest.raises(ValueError, match=r"RepeatVector expects rows of one axis, .*\(2, 2\)"):
        fastnn.Sequential([layers.RepeatVector(3, input_shape=(2, 2))])
    with pytest.raises(ValueError, match=r"^n: expected"):
        layers.RepeatVector(0)


# -- activations as layers -------------------------------------------------------------------------


def test_relu_and_softmax(rng):
    x = rng.normal(size=(5, 4)).astype("f4")

    def of(layer):
        return fastnn.Sequential([layers.Input((4,)), layer]).predict(x, verbose=0)

    np.testing.assert_array_equal(of(layers.ReLU()), np.maximum(x, 0))
    np.testing.assert_allclose(of(layers.ReLU(negative_slope=0.5)), np.where(x > 0, x, x / 2))
    np.testing.assert_allclose(of(layers.Softmax()), reference.softmax(x), rtol=1e-6)
    bent = layers.ReLU(max_value=1, negative_slope=0.1, threshold=0.5)
    wanted = np.where(x >= 0.5, np.minimum(x, 1), 0.1 * (x - 0.5))
    np.testing.assert_allclose(of(bent), wanted, rtol=1e-5, atol=1e-7)
    for options, message in (
        ({"max_value": -1}, "^max_value"),
        ({"negative_slope": -1}, "^negative_slope"),
    ):
        with pytest.raises(ValueError, match=message):
            layers.ReLU(**options)
    for axis in (0, 2):
        with pytest.raises(ValueError, match=r"^axis: expected"):
            layers.Softmax(axis)


def test_layers_that_end_a_model_are_heads():
    model = fastnn.Sequential([layers.Dense(3, input_shape=(2,)), layers.Softmax()])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="'re_lu': relu before sparse_categorical"):
        fastnn.Sequential([layers.Dense(3), layers.ReLU()]).compile(
            "sgd", "sparse_categorical_crossentropy"
        )


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(
    ("shapes", "axes", "formula"),
    [
        (((5,), (5,)), 1, "rk,rk->r"),
        (((5,), (4, 5)), (1, -1), "rk,rnk->rn"),
        (((5, 3), (5, 4)), 1, "rkm,rkn->rmn"),
        (((3, 5), (4, 5)), -1, "rmk,rnk->rmn"),
        (((2, 3, 5), (5, 4)), [3, 1], "rmpk,rkn->rmpn"),
    ],
)
def test_dot(shapes, axes, formula, normalize, rng):
    """Of arrays, of a network, and its gradient, which a tape of operations gives, too."""
    arrays = [rng.normal(size=(7, *shape)) for shape in shapes]
    layer = layers.Dot(axes, normalize)
    parts = arrays
    if normalize:
        places = [formula.split("->")[0].split(",")[i].index("k") for i in (0, 1)]
        norms = [
            np.linalg.norm(a, axis=p, keepdims=True) for a, p in zip(arrays, places, strict=True)
        ]
        parts = [a / norm for a, norm in zip(arrays, norms, strict=True)]
    want = np.einsum(formula, *parts)
    want = want.reshape(7, *(want.shape[1:] or (1,)))
    np.testing.assert_allclose(layer(arrays).numpy(), want, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(applied(layer, *arrays), want, rtol=1e-9, atol=1e-12)
    inputs = [layers.Input(shape) for shape in shapes]
    slopes = [layers.PReLU("ones") for _ in inputs]
    scaled = [layers.Rescaling(0.5)(one(i)) for one, i in zip(slopes, inputs, strict=True)]
    model = fastnn.Model(inputs, layers.Dot(axes, normalize)(scaled), dtype="float64")
    model.compile("sgd", "mse")
    _, native = model.value_and_grad(arrays, want)
    with fastnn.GradientTape() as tape:
        h = [0.5 * one(a) for one, a in zip(slopes, arrays, strict=True)]
        loss = fastnn.reduce_mean(fastnn.square(layer(h) - want))
    for a, b in zip(native, tape.gradient(loss, model.trainable_variables), strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-7, atol=1e-10)


def test_dot_refuses_what_does_not_fit():
    for axes, shapes, message in (
        (1, [(None, 4)], "expects two inputs, got 1"),
        (1, [(None, 4), (None, 5)], r"axes 1 of one length.* \(4,\) and \(5,\)"),
        (2, [(None, 4), (None, 4)], "expects rows with axes 2"),
        ((1, 3), [(None, 4), (None, 4)], "expects rows with axes"),
        (1, [(None, 4), (None, 4, 1, 1, 1, 1)], "up to 4 axes"),
    ):
        with pytest.raises(ValueError, match=message):
            layers.Dot(axes).compute_output_shape(shapes)
    with pytest.raises(ValueError, match="axes: expected axes of rows"):
        layers.Dot(0)
    with pytest.raises(ValueError, match="one of each of two inputs"):
        layers.Dot((1, 1, 1))
