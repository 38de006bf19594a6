"""`model.predictor()`: the bits of `predict`, for a row or for rows, from a copy that stays as it is."""

from __future__ import annotations

import copy
import gc
import pickle

import cases
import numpy as np
import pytest
import travelling

import fastnn
from fastnn import layers

pytestmark = pytest.mark.cpu

NAN, INF = np.nan, np.inf

# name: (shape of a row, layers after the input, dtype)
NETS = {
    "logits": ((20,), lambda: [layers.Dense(33, "relu"), layers.Dense(3)], "float32"),
    "softmax": ((20,), lambda: [layers.Dense(33, "gelu"), layers.Dense(5, "softmax")], "float32"),
    "sigmoid": ((20,), lambda: [layers.Dense(33, "tanh"), layers.Dense(1, "sigmoid")], "float32"),
    "float64": ((20,), lambda: [layers.Dense(33, "elu"), layers.Dense(5, "softmax")], "float64"),
    "dropout": (
        (20,),
        lambda: [
            layers.Dropout(0.5),
            layers.Dense(9, "relu"),
            layers.Dropout(0.5),
            layers.Dense(3),
        ],
        "float32",
    ),
    "rescaling": (
        (20,),
        lambda: [layers.Rescaling(1 / 16, offset=-0.5), layers.Dense(9), layers.Rescaling(3.0)],
        "float32",
    ),
    "images": (
        (5, 4, 3),
        lambda: [layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(7, use_bias=False)],
        "float32",
    ),
    "no dense layer": ((5, 4), lambda: [layers.Activation("sigmoid")], "float32"),
    "one number": ((1,), lambda: [layers.Dense(1)], "float32"),
    "wide": ((700,), lambda: [layers.Dense(300, "relu"), layers.Dense(257)], "float32"),
}


def network(name="logits"):
    shape, make, dtype = NETS[name]
    return fastnn.Sequential([layers.Input(shape), *make()], dtype=dtype)


def same(actual, expected):
    np.testing.assert_array_equal(actual, expected, strict=True)


# -- values --------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", NETS)
def test_the_bits_of_predict(name, threads, rng):
    """Few rows and many, so that all is done in one call and in several, by one thread and more."""
    fastnn.set_num_threads(threads)
    model = network(name)
    predict = model.predictor()
    for n in (1, 2, 17, 5000):
        x = rng.normal(size=(n, *predict.input_shape))
        expected = model.predict(x)
        same(predict(x), expected)
        same(predict(x.astype(np.float32)), model.predict(x.astype(np.float32)))
        for row in {0, n - 1}:
            same(predict(x[row]), expected[row])


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("units", [1000, 2100, 9000])
def test_the_bits_of_a_row_among_many(units, dtype, rng):
    """Of a kernel that is read in place, or packed for many rows, in sums of several blocks."""
    model = fastnn.Sequential([layers.Input((600,)), layers.Dense(units, "tanh")], dtype=dtype)
    x = rng.normal(size=(140, 600)).astype(dtype)
    predictor = model.predictor()
    for rows in (5, 140):
        together = model.predict(x[:rows], batch_size=rows, verbose=0)
        for row in (0, 4):
            np.testing.assert_array_equal(predictor(x[row]), together[row], f"of {rows}")


def test_after_training(rng):
    """Compiled, so that the head is folded into the loss: probabilities come out all the same."""
    x, y = rng.normal(size=(60, 20)), rng.integers(0, 5, 60)
    model = network("softmax")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=3, verbose=0)
    predict = model.predictor()
    same(predict(x), model.predict(x))
    same(predict(x[7]), model.predict(x)[7])


@pytest.mark.parametrize("dtype", [*"?bBhHiIlLqQefd", ">f4", ">i2"])
@pytest.mark.parametrize("name", ["logits", "float64", "images"])
def test_types(name, dtype, rng):
    model = network(name)
    predict = model.predictor()
    x = rng.integers(0, 2 if dtype == "?" else 100, (6, *predict.input_shape)).astype(dtype)
    expected = model.predict(x)
    same(predict(x), expected)
    same(predict(x[3]), expected[3])


@pytest.mark.parametrize("name", ["logits", "images", "one number"])
def test_layouts(name, rng):
    model = network(name)
    predict = model.predictor()
    x = rng.normal(size=(6, *predict.input_shape)).astype(np.float32)
    expected = model.predict(x)
    for how, array in cases.strided(x):
        np.testing.assert_array_equal(predict(array), expected, how)
        np.testing.assert_array_equal(predict(array[4]), expected[4], how)
    for how, row in cases.strided(x[4]):
        np.testing.assert_array_equal(predict(row), expected[4], how)
    same(predict(np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)), expected)
    same(predict(np.broadcast_to(x[:1], x.shape)), np.broadcast_to(expected[:1], expected.shape))


class Holder:
    """Something that NumPy can make an array of."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return self._array


def test_what_is_not_an_array(rng, tmp_path):
    model = network()
    predict = model.predictor()
    x = rng.normal(size=(4, 20))
    expected = model.predict(x)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for given in (
        x.tolist(),
        tuple(map(tuple, x)),
        list(x),
        Holder(x),
        mapped,
        x.view(np.recarray),
    ):
        same(predict(given), expected)
        if not isinstance(given, Holder):
            same(predict(given[2]), expected[2])


def test_results_are_new_arrays(rng):
    predict = network("no dense layer").predictor()
    x = rng.normal(size=(3, 5, 4)).astype(np.float32)
    kept = x.copy()
    results = [predict(given) for given in (x, x, x[0], x[0])]
    for i, result in enumerate(results):
        assert type(result) is np.ndarray
        assert result.flags.owndata
        assert result.flags.writeable
        assert result.flags.c_contiguous
        assert not any(np.shares_memory(result, other) for other in [x, *results[:i]])
        result[...] = 7
    same(x, kept)
    assert not (predict(x) == 7).any()


# -- what it is ----------------------------------------------------------------------------------


def test_words():
    predict = network("images").predictor()
    assert isinstance(predict, fastnn.Predictor)
    assert (predict.input_shape, predict.output_shape) == ((5, 4, 3), (7,))
    assert predict.dtype == "float32"
    assert repr(predict) == "<Predictor input_shape=(5, 4, 3), output_shape=(7,), dtype=float32>"
    assert network("float64").predictor().dtype == "float64"
    x = np.ones((5, 4, 3))
    same(predict(x=x), predict(x))
    assert "model.predictor()" in fastnn.Predictor.__doc__


MISUSES = {
    "no argument": (lambda predict: predict(), "arguments"),
    "two arguments": (lambda predict: predict(np.ones(20), 32), "arguments"),
    "an unknown argument": (lambda predict: predict(np.ones(20), batch_size=32), "arguments"),
    "made by hand": (lambda predict: type(predict)(), r"model\.predictor"),
    "made empty": (lambda predict: type(predict).__new__(type(predict)), r"model\.predictor"),
    "made by a subclass": (lambda predict: type("Mine", (type(predict),), {})(), r"model\.pred"),
    "pickled": (pickle.dumps, "pickle"),
    "copied": (copy.deepcopy, "pickle"),
}


@pytest.mark.parametrize("case", MISUSES)
def test_misuse(case):
    predict = network().predictor()
    call, message = MISUSES[case]
    with pytest.raises(TypeError, match=message):
        call(predict)
    assert predict(np.ones(20)).shape == (3,)


def test_a_model_that_is_not_built():
    for chain in ([], [layers.Dense(3)]):
        with pytest.raises(RuntimeError, match="not built"):
            fastnn.Sequential(chain).predictor()


# -- bad input -----------------------------------------------------------------------------------


def changed(place, value):
    x = np.ones((9, 20))
    x[place] = value
    return x


# name: (x, the exception, its message)
BAD = {
    "NaN": (changed((7, 2), NAN), ValueError, "x.*nan at row 7, column 2"),
    "infinity": (changed((8, 0), INF), ValueError, "x.*inf at row 8, column 0"),
    "NaN in a row": (changed((0, 5), -INF)[0], ValueError, "x.*-inf at row 0, column 5"),
    "NaN in bytes reversed": (changed((7, 2), NAN).astype(">f4"), ValueError, "row 7, column 2"),
    "NaN in a list": ([NAN] * 20, ValueError, "nan at row 0, column 0"),
    "too large for float32": (changed((3, 1), 1e39), ValueError, r"float32.*1e\+39 at row 3"),
    "no rows": (np.ones((0, 20)), ValueError, r"empty.*\(0, 20\)"),
    "a number": (3.0, ValueError, r"x: expected shape \(20,\) or \(n, 20\), got \(\)"),
    "too short": (np.ones(19), ValueError, r"\(20,\) or \(n, 20\), got \(19,\)"),
    "too few columns": (np.ones((4, 19)), ValueError, r"\(n, 20\), got \(4, 19\)"),
    "a column": (np.ones((20, 1)), ValueError, r"\(n, 20\), got \(20, 1\)"),
    "three axes": (np.ones((2, 4, 20)), ValueError, r"got \(2, 4, 20\)"),
    "ragged": ([[1, 2], [3]], ValueError, "x"),
    "masked": (np.ma.masked_array(np.ones(20), np.arange(20) == 3), ValueError, "x.*masked"),
    "None": (None, TypeError, "x: expected numbers, got None"),
    "complex": (np.ones(20) + 0j, TypeError, "x.*complex"),
    "words": (["a"] * 20, TypeError, "x.*strings"),
    "dates": (np.zeros(20, "M8[s]"), TypeError, "x.*dates"),
    "long doubles": (np.ones(20, np.longdouble), TypeError, "x.*float128|x.*longdouble"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    x, error, message = BAD[case]
    if case == "long doubles" and np.dtype(np.longdouble).itemsize == 8:
        pytest.skip("long double is double here")
    model = network()
    predict = model.predictor()
    expected = predict(np.ones((9, 20)))
    with pytest.raises(error, match=message):
        predict(x)
    same(predict(np.ones((9, 20))), expected)


def test_a_single_feature_is_not_guessed():
    """(1,) is a row; (n,), which `predict` takes for rows, would be one or the other by its length."""
    predict = network("one number").predictor()
    assert predict([2.0]).shape == (1,)
    assert predict([[2.0], [3.0]]).shape == (2, 1)
    with pytest.raises(ValueError, match=r"\(1,\) or \(n, 1\), got \(2,\)"):
        predict([2.0, 3.0])


@pytest.mark.parametrize("bad", [NAN, INF])
def test_every_place_is_looked_at(bad, rng):
    predict = network().predictor()
    x = rng.normal(size=20).astype(np.float32)
    for column in range(20):
        y = x.copy()
        y[column] = bad
        with pytest.raises(ValueError, match=rf"row 0, column {column}$"):
            predict(y)


# -- frozen --------------------------------------------------------------------------------------


def fitted_further(model):
    model.compile("adam", "mean_squared_error")
    model.fit(np.ones((8, 20)), np.ones((8, 3)), verbose=0)


CHANGES = {
    "fit": fitted_further,
    "set_weights": lambda model: model.set_weights([w + 1 for w in model.get_weights()]),
    "assign": lambda model: model.layers[0].kernel.assign(np.zeros((20, 33))),
    "add": lambda model: model.add(layers.Dense(4)),
    "pop": lambda model: model.pop(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_model_goes_on_without_it(change, rng):
    model = network()
    x = rng.normal(size=(5, 20))
    expected = model.predict(x)
    predict = model.predictor()
    CHANGES[change](model)
    assert not np.array_equal(model.predict(x), expected)
    same(predict(x), expected)
    same(model.predictor()(x), model.predict(x))
    del model
    gc.collect()
    same(predict(x), expected)


def test_from_a_callback(rng):
    """A copy of every epoch, made while the model trains."""
    x, y = rng.normal(size=(40, 20)), rng.integers(0, 3, 40)
    model = network()
    model.compile("adam", "sparse_categorical_crossentropy")
    kept = []

    class Keep(fastnn.callbacks.Callback):
        def on_epoch_end(self, *_):
            kept.append((self.model.predictor(), self.model.predict(x)))

    model.fit(x, y, epochs=3, verbose=0, callbacks=[Keep()])
    for predict, expected in kept:
        same(predict(x), expected)
    assert not np.array_equal(kept[0][1], kept[2][1])


NORMS = {
    "BatchNormalization": layers.BatchNormalization,
    "Normalization": layers.Normalization,
    "GroupNormalization": lambda: layers.GroupNormalization(4),
    "RMSNormalization": layers.RMSNormalization,
    "UnitNormalization": layers.UnitNormalization,
    "PReLU": layers.PReLU,
    "glu": lambda: layers.Activation("glu"),
}


def test_every_layer_and_activation():
    """What folds into a product beside it differs in the last digits."""
    models = {
        cls.__name__: travelling.of_class(cls)
        for cls in travelling.CLASSES
        if cls is not layers.Operation  # of a network with a call of its own
    }
    for word in (*travelling.ACTIVATIONS, *travelling.WITH_PARAMETERS):
        models[word] = travelling.chain([word, word]), [travelling.rows(6)]
    for name, make in NORMS.items():
        for place in range(3):
            made = [layers.Dense(8, "relu"), layers.Dense(8)]
            made.insert(place, make())
            chain = fastnn.Sequential([layers.Input((8,)), *made, layers.Dense(3, "softmax")])
            models[f"{name}, {place}"] = travelling.with_weights(chain), [travelling.rows(8)]
    for name, (model, inputs) in models.items():
        predictor, several = model.predictor(), len(inputs) > 1
        expected = travelling.predicted(model, inputs)
        travelling.near(predictor(inputs if several else inputs[0]), expected)
        for i in range(3):
            row = [x[i : i + 1] for x in inputs]
            got = np.asarray(predictor(row if several else row[0]))
            bound = 1e-6 * max(1.0, np.abs(expected).max())
            assert np.abs(got - expected[i : i + 1]).max() <= bound, name
