"""Operations on Tensors against central differences in float64, first and second derivatives; and
what a tape records."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, nn
from fastnn import math as f

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 4))
B = RNG.normal(size=(4,))
C = RNG.normal(size=(2, 3, 4))
P = RNG.random((3, 4)) + 0.3
ZERO = np.where(np.eye(3, 4) > 0, 0.0, A)  # a factor of 0 in each row
ZEROS = ZERO.copy()
ZEROS[0, 1] = 0.0


def one(name: str) -> Callable[[Any], Any]:
    return getattr(f, name)  # type: ignore[no-any-return]


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    **{
        name: (one(name), (A,))
        for name in (
            *("exp", "expm1", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh", "softplus"),
            *("sigmoid", "silu", "gelu", "erf", "square", "negative", "reciprocal", "relu", "abs"),
            *("softmax", "log_softmax", "transpose", "cumsum"),
        )
    },
    **{name: (one(name), (P,)) for name in ("log", "log1p", "sqrt", "rsqrt")},
    **{name: (one(name), (P * 0.5,)) for name in ("asin", "acos")},
    **{
        name: (one(name), (A, B))
        for name in (
            *("add", "subtract", "multiply", "divide", "maximum", "minimum", "atan2"),
            "squared_difference",
        )
    },
    **{
        f"{name}-{axis}-{keep}": (
            lambda x, n=name, a=axis, k=keep: one(n)(x, axis=a, keepdims=k),
            (A,),
        )
        for name in (
            *("reduce_sum", "reduce_mean", "reduce_max", "reduce_min", "reduce_prod", "norm"),
            *("reduce_logsumexp", "reduce_variance", "reduce_std"),
        )
        for axis in (None, 0, -1, (0, 1))
        for keep in (False, True)
    },
    "gelu tanh": (lambda x: f.gelu(x, approximate=True), (A,)),
    "power": (f.power, (P, B)),
    "cube": (lambda x: x**3, (A,)),
    "2 ** x": (lambda x: 2.0**x, (A,)),
    "mixed": (lambda x: 1 - 2 / (3 + x * x) + x // 10.0, (A,)),
    "floormod": (lambda x: x % 0.7, (A,)),
    "product with a 0": (lambda x: f.reduce_prod(x, 1), (ZERO,)),
    "product with two": (lambda x: f.reduce_prod(x, 1), (ZEROS,)),
    "softmax of columns": (lambda x: f.softmax(x, 0), (A,)),
    "matrices": (f.matmul, (A, RNG.normal(size=(4, 2)))),
    "matrix, vector": (f.matmul, (A, B)),
    "vector, matrix": (f.matmul, (B, RNG.normal(size=(4, 2)))),
    "vectors": (f.matmul, (B, B[::-1].copy())),
    "batch": (f.matmul, (C, RNG.normal(size=(4, 5)))),
    "batches": (f.matmul, (C[:, None], RNG.normal(size=(3, 4, 2)))),
    "batch, vector": (f.matmul, (C, B)),
    "vector, batch": (f.matmul, (B, RNG.normal(size=(2, 4, 3)))),
    "transposed": (lambda a, b: f.matmul(a, b, transpose_b=True), (A, RNG.normal(size=(5, 4)))),
    "@": (lambda a, b: a @ b, (A, RNG.normal(size=(4, 2)))),
    "tensordot": (lambda a, b: f.tensordot(a, b, 1), (A, RNG.normal(size=(4, 2)))),
    "tensordot of axes": (
        lambda a, b: f.tensordot(a, b, ([0, 1], [1, 0])),
        (A, RNG.normal(size=(4, 3))),
    ),
    "slice": (lambda x: x[1:, ::2], (A,)),
    "integers": (lambda x: x[[0, 0, 2]], (A,)),
    "bools": (lambda x: f.boolean_mask(x, A > 0), (A,)),
    "gather": (lambda x: f.gather(x, [1, 1, 0], 1), (A,)),
    "concat": (lambda a, b: f.concat([a, b], 1), (A, A * 2)),
    "stack": (lambda a, b: f.stack([a, b], 1), (A, A * 2)),
    "unstack": (lambda x: f.unstack(x, 1)[2] * 2, (A,)),
    "tile": (lambda x: f.tile(x, (2, 3)), (A,)),
    "reshape": (lambda x: f.reshape(x, (2, 6)), (A,)),
    "squeeze": (lambda x: f.squeeze(f.expand_dims(x, 1)), (A,)),
    "reverse": (lambda x: f.reverse(x, 1), (A,)),
    "where": (lambda a, b: f.where(A > 0, a, b), (A, B)),
    "clip": (lambda x: f.clip_by_value(x, -0.5, 0.5), (A,)),
    "broadcast": (lambda x: f.broadcast_to(x, (3, 4)), (B,)),
    "cast": (lambda x: f.cast(f.cast(x, np.float64), np.float64) * 2, (A,)),
    "twice": (lambda x: x * x + x, (A,)),
    "nothing": (lambda x: f.reduce_sum(x[:0]) + f.reduce_sum(x), (A,)),
    "no rows": (lambda x: x[:0] * 2, (A,)),
    "add_n": (lambda a, b: f.add_n([a, b, a]), (A, A * 2)),
    "divide_no_nan": (lambda a, b: f.divide_no_nan(a, b), (A, P)),
    "l2_normalize": (lambda x: f.l2_normalize(x, 1), (A,)),
    "log_sigmoid": (f.log_sigmoid, (A * 3,)),
    "softsign": (f.softsign, (A,)),
    "top_k": (lambda x: f.top_k(x, 2).values, (A,)),
    "split": (lambda x: fastnn.split(x, [1, -1], 1)[1] * 2, (A,)),
    "part": (lambda x: fastnn.slice(x, (1, 0), (-1, 3)), (A,)),
    "pad": (lambda x: fastnn.pad(x, [[1, 0], [2, 1]], constant_values=3.0), (A,)),
    "pad mirrored": (lambda x: fastnn.pad(x, [[2, 1], [0, 3]], "REFLECT"), (A,)),
    "pad mirrored, with edges": (lambda x: fastnn.pad(x, [[3, 1], [0, 4]], "symmetric"), (A,)),
    "cumsum, exclusive": (lambda x: f.cumsum(x, 1, exclusive=True), (A,)),
    "cumsum, from behind": (lambda x: f.cumsum(x, 0, exclusive=True, reverse=True), (A,)),
    "gather by rows": (lambda x: f.gather(x, [[1, 1], [0, 3], [2, 0]], 1, batch_dims=1), (A,)),
    "gather beyond shared axes": (lambda x: f.gather(x, [[3, 1], [0, 0]], 2, batch_dims=1), (C,)),
    "norm, 1": (lambda x: f.norm(x, 1, 1), (A,)),
    "norm, 3": (lambda x: f.norm(x, 3, 0), (A,)),
    "norm, inf": (lambda x: f.norm(x, np.inf), (A,)),
    "norm, columns": (lambda x: f.norm(x, 1, (0, 1)), (A,)),
    "norm, rows": (lambda x: f.norm(x, np.inf, (1, 2), keepdims=True), (C,)),
    "repeat": (lambda x: fastnn.repeat(x, [2, 0, 1], 0), (A,)),
    "repeat all": (lambda x: fastnn.repeat(x, 3), (A,)),
    "roll": (lambda x: fastnn.roll(x, [1, -1], [0, 1]), (A,)),
    "sort": (lambda x: fastnn.sort(x, 0, "DESCENDING"), (A,)),
    "leaky_relu": (nn.leaky_relu, (A,)),
    "relu6": (lambda x: nn.relu6(x * 5), (A,)),
    "elu": (nn.elu, (A,)),
    "selu": (nn.selu, (A,)),
    "l2_loss": (nn.l2_loss, (A,)),
    "moments": (lambda x: f.concat(nn.moments(x, 0), 0), (A,)),
    "dropout": (lambda x: nn.dropout(x, 0.4, seed=3), (A,)),
    "softmax cross-entropy": (
        lambda z: nn.softmax_cross_entropy_with_logits(P / P.sum(1, keepdims=True), z),
        (A,),
    ),
    "sparse cross-entropy": (
        lambda z: nn.sparse_softmax_cross_entropy_with_logits([[1, 0, 3], [2, 2, 0]], z),
        (C,),
    ),
    "sigmoid cross-entropy": (nn.sigmoid_cross_entropy_with_logits, (P, A * 4)),
}


def numeric(function: Callable[..., float], values: list[Any], i: int, step: float) -> Any:
    """Central differences of a number with respect to argument i."""
    found = np.zeros_like(values[i])
    for place in np.ndindex(values[i].shape):
        sides = []
        for sign in (1, -1):
            moved = [value.copy() for value in values]
            moved[i][place] += sign * step
            sides.append(function(*moved))
        found[place] = (sides[0] - sides[1]) / (2 * step)
    return found


@pytest.mark.parametrize("case", CASES)
def test_first_and_second_derivatives(case: str) -> None:
    operation, values = CASES[case]
    rng = np.random.default_rng(1)
    weights = rng.normal(size=f.convert_to_tensor(operation(*map(fastnn.constant, values))).shape)

    def total(*args: Any) -> Any:
        return f.reduce_sum(operation(*args) * weights)

    given = [fastnn.Tensor(value) for value in values]
    along = [rng.normal(size=value.shape) for value in values]
    with fastnn.GradientTape() as outer:
        outer.watch(given)
        with fastnn.GradientTape() as inner:
            inner.watch(given)
            y = total(*given)
        first = inner.gradient(y, given, unconnected_gradients="zero")
        moved = [f.reduce_sum(g * v) for g, v in zip(first, along, strict=True)]
        slope = moved[0] if len(moved) == 1 else f.add(*moved)
    second = outer.gradient(slope, given, unconnected_gradients="zero")

    def gradient_along(*args: Any) -> float:
        tensors = [fastnn.Tensor(arg) for arg in args]
        with fastnn.GradientTape() as tape:
            tape.watch(tensors)
            y = total(*tensors)
        found = tape.gradient(y, tensors, unconnected_gradients="zero")
        return sum(float((g.numpy() * v).sum()) for g, v in zip(found, along, strict=True))

    for i, value in enumerate(values):
        assert first[i].shape == second[i].shape == value.shape
        want = numeric(lambda *args: float(total(*args)), list(values), i, 1e-6)
        np.testing.assert_allclose(first[i].numpy(), want, rtol=1e-5, atol=1e-6)
        want = numeric(gradient_along, list(values), i, 1e-5)
        np.testing.assert_allclose(second[i].numpy(), want, rtol=1e-4, atol=1e-5)


def test_values_are_numpys() -> None:
    x = fastnn.constant(A)
    np.testing.assert_allclose((x + 1).numpy(), A + 1)
    np.testing.assert_allclose((2 - x).numpy(), 2 - A)
    np.testing.assert_allclose((A @ fastnn.constant(A.T)).numpy(), A @ A.T)
    np.testing.assert_array_equal((x > 0).numpy(), A > 0)
    np.testing.assert_array_equal((x == A).numpy(), np.ones((3, 4), bool))
    np.testing.assert_array_equal(f.argmax(x, axis=1).numpy(), A.argmax(1))
    assert (A + x).dtype == np.float64
    assert isinstance(A + x, fastnn.Tensor)
    assert x[1].shape == (4,)
    assert float(f.reduce_sum(x)) == pytest.approx(A.sum())
    assert f"{f.reduce_sum(fastnn.constant([1.0, 2.0])):.1f}" == "3.0"
    assert len(list(x)) == 3
    assert (x == None) is False


def test_types() -> None:
    """Lists of floats are float32, Python numbers take the other's type, arrays keep theirs."""
    assert fastnn.constant([1.0, 2.0]).dtype == np.float32
    assert fastnn.constant([1, 2]).dtype.kind == "i"
    assert (fastnn.constant([1.0]) * 2.5).dtype == np.float32
    assert (fastnn.constant(1.0) * 2.5).dtype == np.float32
    assert (2.5 * fastnn.constant([1])).dtype == np.float32
    assert fastnn.constant(np.ones(2)).dtype == np.float64
    assert f.exp(fastnn.constant([1, 2])).dtype == np.float32
    with pytest.raises(TypeError, match="strings"):
        fastnn.constant(["a"])


def test_a_constant_is_a_copy() -> None:
    array = np.ones(3)
    kept = fastnn.constant(array)
    array[0] = 5
    assert kept.numpy()[0] == 1
    kept.numpy()[1] = 7
    assert kept.numpy()[1] == 1


# -- the tape --------------------------------------------------------------------------------------


def test_structures_and_unconnected_sources() -> None:
    x, y, z = (fastnn.constant(v) for v in (2.0, 3.0, 5.0))
    with fastnn.GradientTape(persistent=True) as tape:
        tape.watch({"x": x, "rest": [y, z]})
        out = x * x * y
    found = tape.gradient(out, {"x": x, "rest": [y, z]})
    assert float(found["x"]) == 12
    assert [g if g is None else float(g) for g in found["rest"]] == [4, None]
    assert float(tape.gradient(out, z, unconnected_gradients="zero")) == 0
    assert float(tape.gradient([out, out * 1], y)) == 4  # the last product is not on the tape
    assert float(tape.gradient(out, x, output_gradients=[10.0])) == 120
    with pytest.raises(ValueError, match="output_gradients"):
        tape.gradient(out, x, output_gradients=[1.0, 2.0])


def test_a_tape_is_used_once() -> None:
    x = fastnn.constant(2.0)
    with fastnn.GradientTape() as tape:
        tape.watch(x)
        y = x * x
    assert float(tape.gradient(y, x)) == 4
    with pytest.raises(RuntimeError, match="persistent=True"):
        tape.gradient(y, x)


def test_what_is_watched() -> None:
    w = fastnn.Variable([1.0, 2.0])
    frozen = fastnn.Variable([1.0, 2.0], trainable=False)
    x = fastnn.constant([3.0, 4.0])
    with fastnn.GradientTape(persistent=True) as tape:
        y = f.reduce_sum(w * frozen * x)
        with tape.stop_recording():
            hidden = f.reduce_sum(w * w)
    assert tape.gradient(y, w).numpy().tolist() == [3.0, 8.0]
    assert tape.gradient(y, frozen) is None
    assert tape.gradient(y, x) is None
    assert tape.gradient(hidden, w) is None
    assert tape.watched_variables() == (w,)
    with fastnn.GradientTape(watch_accessed_variables=False) as tape:
        y = f.reduce_sum(w * w)
    assert tape.gradient(y, w) is None
    with fastnn.GradientTape() as tape:
        y = f.reduce_sum(f.stop_gradient(w * w) * w)
    assert tape.gradient(y, w).numpy().tolist() == [1.0, 4.0]
    with pytest.raises(TypeError, match="watch"):
        tape.watch(fastnn.constant([1]))


def test_a_variable_that_was_changed() -> None:
    w = fastnn.Variable([1.0, 2.0])
    with fastnn.GradientTape() as tape:
        y = f.reduce_sum(w * w)
    w.assign_add([1.0, 1.0])
    with pytest.raises(RuntimeError, match="variable was changed after it was used"):
        tape.gradient(y, w)


def test_threads_have_tapes_of_their_own() -> None:
    x = fastnn.constant(2.0)
    found: list[Any] = []
    with fastnn.GradientTape() as tape:
        tape.watch(x)
        thread = threading.Thread(target=lambda: found.append(x * x))
        thread.start()
        thread.join()
    assert tape.gradient(found[0], x) is None


def test_jacobians() -> None:
    x = fastnn.Tensor(A)
    with fastnn.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = f.tanh(x) @ A.T
    full = tape.jacobian(y, x).numpy()
    assert full.shape == (3, 3, 3, 4)
    by_row = tape.batch_jacobian(y, x).numpy()
    want = (1 - np.tanh(A) ** 2)[:, None, :] * A[None]
    np.testing.assert_allclose(by_row, want, rtol=1e-10)
    np.testing.assert_allclose(full[np.arange(3), :, np.arange(3)], want, rtol=1e-10)
    v = fastnn.Variable(A, dtype="float64")
    with fastnn.GradientTape() as tape:
        y = f.tanh(v) @ A.T
    np.testing.assert_allclose(tape.batch_jacobian(y, v), want, rtol=1e-10)
    with pytest.raises(TypeError, match="batch_jacobian: expected Tensors, got array") as error:
        tape.batch_jacobian(np.ones((500, 2)), v)
    assert len(str(error.value)) < 300


def test_custom_gradient() -> None:
    @fastnn.custom_gradient
    def clipped(x: Any) -> Any:
        return f.identity(x), lambda dy: f.clip_by_value(dy, -1.0, 1.0)

    x = fastnn.constant([1.0, 2.0])
    with fastnn.GradientTape() as tape:
        tape.watch(x)
        y = f.reduce_sum(clipped(x) * [5.0, 0.5])
    assert tape.gradient(y, x).numpy().tolist() == [1.0, 0.5]


def test_a_persistent_tape_within_itself() -> None:
    """Gradients that are taken inside the block are recorded, too."""
    x = fastnn.constant(3.0)
    with fastnn.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x * x
        dy = tape.gradient(y, x)
    assert float(tape.gradient(dy, x)) == 18


# -- layers and models -----------------------------------------------------------------------------

HEADS = (None, "softmax", "sigmoid")
ACTIVATIONS = ("linear", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh")


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_model_is_one_operation(activation: str, head: str | None) -> None:
    """Its gradients are those of its layers, one after the other, and of central differences."""
    rng = np.random.default_rng(2)
    model = fastnn.Sequential(
        [
            layers.Rescaling(0.5, 0.1, input_shape=(4,)),
            layers.Dense(6, activation),
            layers.LayerNormalization(),
            layers.Dense(3, head),
        ],
        dtype="float64",
        seed=1,
    )
    weights = rng.normal(size=(3, 3))
    x = fastnn.Tensor(A)
    sources = [x, *model.trainable_variables]
    found = []
    for call in (model, lambda x: [x := layer(x) for layer in model.layers][-1]):
        with fastnn.GradientTape() as tape:
            tape.watch(x)
            y = f.reduce_sum(call(x) * weights)
        found.append([g.numpy() for g in tape.gradient(y, sources)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(model(A).numpy(), model.predict(A), rtol=1e-12)
    want = numeric(lambda x: float(f.reduce_sum(model(x) * weights)), [A], 0, 1e-6)
    np.testing.assert_allclose(found[0][0], want, rtol=1e-5, atol=1e-7)

    along = rng.normal(size=A.shape)

    def gradient_along(value: Any) -> float:
        x = fastnn.Tensor(value)
        with fastnn.GradientTape() as tape:
            tape.watch(x)
            y = f.reduce_sum(model(x) * weights)
        return float((tape.gradient(y, x).numpy() * along).sum())

    with fastnn.GradientTape() as outer:
        outer.watch(x)
        with fastnn.GradientTape() as inner:
            inner.watch(x)
            y = f.reduce_sum(model(x) * weights)
        slope = f.reduce_sum(inner.gradient(y, x) * along)
    second = outer.gradient(slope, x).numpy()
    np.testing.assert_allclose(second, numeric(gradient_along, [A], 0, 1e-5), rtol=1e-4, atol=1e-5)


def test_layers_on_rows() -> None:
    x = np.ones((2, 3, 4), np.float32)
    assert layers.Flatten()(x).shape == (2, 12)
    assert layers.Reshape((4, 3))(x).shape == (2, 4, 3)
    assert layers.RepeatVector(5)(x[:, 0]).shape == (2, 5, 4)
    assert layers.Concatenate()([x[:, 0], x[:, 1]]).shape == (2, 8)
    assert layers.Average()([x[:, 0], 3 * x[:, 1]]).numpy().tolist() == [[2.0] * 4] * 2
    dense = layers.Dense(3)
    assert dense(x[:, 0]).shape == (2, 3)
    with pytest.raises(ValueError, match=r"'dense': expected rows of shape \(4,\), got \(3,\)"):
        dense(x[:, 0, :3])
    with pytest.raises(ValueError, match=r"'dense': expected rows \(n, ...\), got shape \(4,\)"):
        dense(x[0, 0])
    with pytest.raises(ValueError, match="Dense expects rows of one axis"):
        layers.Dense(3)(x)


def test_dropout_acts_in_training_alone() -> None:
    x = np.ones((100, 50), np.float32)
    dropout = layers.Dropout(0.25, seed=3)
    assert (dropout(x).numpy() == 1).all()
    dropped = dropout(x, training=True).numpy()
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.75)}
    assert 0.2 < (dropped == 0).mean() < 0.3
    again = layers.Dropout(0.25, seed=3)
    np.testing.assert_array_equal(again(x, training=True).numpy(), dropped)
    assert (again(x, training=True).numpy() != dropped).any()


def test_a_network_for_physics() -> None:
    """u'' of a tanh network at points, against central differences (Raissi et al., 2019)."""
    model = fastnn.Sequential(
        [layers.Dense(16, "tanh", input_shape=(1,)), layers.Dense(1)], dtype="float64", seed=0
    )
    x = fastnn.Tensor(np.linspace(-1, 1, 9)[:, None])
    with fastnn.GradientTape() as second:
        second.watch(x)
        with fastnn.GradientTape() as first:
            first.watch(x)
            u = model(x)
        du = first.gradient(u, x)
    found = second.gradient(du, x).numpy()
    h = 1e-4
    low, middle, high = (model.predict(x.numpy() + step) for step in (-h, 0, h))
    np.testing.assert_allclose(found, (low - 2 * middle + high) / h**2, atol=1e-6)


def test_a_gradient_that_is_the_seed_is_an_object_of_its_own() -> None:
    """A tape that watches one gradient of 1 does not watch another."""
    x = fastnn.constant(3.0)
    with fastnn.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = fastnn.math.identity(x)
    first, second = tape.gradient(y, x), tape.gradient(y, y)
    assert (float(first), float(second)) == (1, 1)
    with fastnn.GradientTape() as outer:
        outer.watch(first)
        with fastnn.GradientTape() as inner:
            inner.watch(x)
            z = x * x
        dz = inner.gradient(z, x)
    assert outer.gradient(dz, first) is None
