"""Training with products in bfloat16, against float64 and session against session.

test_bf16.py tests the error of single products; this file that of weights after a whole fit, in
every session. Activations are smooth: near the kink of relu a rounding decides whether a gradient
passes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import networks
import numpy as np
import pytest
from precisions import SERVED, SESSIONS, UNITS, Case, changed, same_bits, unit
from tolerances import check_frobenius, tolerance

import fastnn
from fastnn import _core, layers

pytestmark = pytest.mark.cpu

# (widths, rows in a batch, rows): the last batch is smaller. Over 1024 rows sums over rows
# are cut; the tiled session cuts them at 128, and at 157 of 5000.
SHAPES = [
    ((784, 128, 10), 16, 40),
    ((784, 128, 10), 128, 300),
    ((100, 70, 50, 33, 10), 37, 100),
    ((100, 70, 50, 33, 10), 300, 500),
    ((257, 129, 65, 31, 5), 64, 150),
    ((257, 129, 65, 31, 5), 129, 200),
    ((64, 256, 10), 32, 70),
    ((64, 256, 10), 1500, 2700),
    ((40, 33, 10), 5000, 7000),
]

CASES = {
    "dropout": Case((64, 96, 48, 20), dropout=0.3),
    "dropout first": Case((64, 96, 48, 20), first=lambda: layers.Dropout(0.3)),
    "rescaling first": Case((64, 96, 48, 20), first=lambda: layers.Rescaling(0.5, 0.1)),
    "no bias": Case((64, 96, 48, 20), use_bias=False),
    "gelu": Case((64, 96, 48, 20), activation="gelu"),
    "softmax": Case((64, 96, 48, 20), last="softmax"),
    "sigmoid": Case((64, 96, 48, 20), last="sigmoid", loss="binary_crossentropy"),
    "mse": Case((64, 96, 48, 17), loss="mse"),
    "weights": Case((64, 96, 48, 20), weighted=True),
    "momentum": Case((64, 96, 48, 20), optimizer="momentum"),
    "adam": Case((64, 96, 48, 20), optimizer="adam"),
    "first frozen": Case((64, 96, 48, 20), frozen=(0,)),
    "middle frozen": Case((64, 96, 48, 20), frozen=(1,)),
    "last frozen": Case((64, 96, 48, 20), frozen=(2,)),
    "all but one frozen": Case((64, 96, 48, 20), frozen=(0, 2)),
    "one layer": Case((64, 40)),
    "one served": Case((20, 64, 40, 3)),
}


@cache
def exact(name: str | tuple[int, ...], rows: int, batch: int) -> Any:
    """In float64, in the session that is chosen for it."""
    case = CASES[name] if isinstance(name, str) else Case(name)
    return changed(case, "highest", rows, batch, dtype="float64")


def compare(found: Any, expected: Any, precision: str) -> None:
    column = f"cpu {precision}"
    for change, true in zip(found[0], expected[0], strict=True):
        if not true.any():
            assert not change.any()
            continue
        check_frobenius(change, true, "float32", "training", column)
    allowed = tolerance("training", "float32", column).rtol
    assert found[1]["loss"] == pytest.approx(expected[1]["loss"], rel=allowed)


@unit
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("precision", SERVED)
def test_against_float64(precision, session, shape, monkeypatch):
    monkeypatch.setenv("FASTNN_SESSION", session)
    widths, batch, rows = shape
    compare(changed(Case(widths), precision, rows, batch), exact(widths, rows, batch), precision)


@unit
@pytest.mark.parametrize("name", [n for n in CASES if n != "adam"])
@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("precision", SERVED)
def test_kinds_of_networks(precision, session, name, monkeypatch):
    monkeypatch.setenv("FASTNN_SESSION", session)
    compare(changed(CASES[name], precision, 300, 128), exact(name, 300, 128), precision)


@unit
@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("name", CASES)
def test_it_makes_a_difference(name, session, monkeypatch):
    """Or all that is said here would be said of float32."""
    monkeypatch.setenv("FASTNN_SESSION", session)
    results = [changed(CASES[name], p, 300, 128)[0] for p in ("highest", *SERVED)]
    assert len({b"".join(w.tobytes() for w in r) for r in results}) == len(results)


@unit
@pytest.mark.parametrize("rows", [300, 2100])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("precision", SERVED)
def test_streaming_is_plain_to_the_bit(precision, name, rows, monkeypatch):
    """The same products; weights are converted where a step leaves them, or all at once."""
    results = []
    for session in ("plain", "streaming"):
        monkeypatch.setenv("FASTNN_SESSION", session)
        results.append(changed(CASES[name], precision, rows, 128 if rows == 300 else 1100))
    assert same_bits(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


@unit
@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("precision", SERVED)
@pytest.mark.parametrize("rows", [300, 2100])
def test_same_bits_whatever_the_threads(rows, precision, session, monkeypatch):
    monkeypatch.setenv("FASTNN_SESSION", session)
    case = Case((130, 200, 70, 10), dropout=0.2, optimizer="adam", weighted=True)
    results = []
    for threads in (1, 2, 3, 8):
        fastnn.set_num_threads(threads)
        results.append(changed(case, precision, rows, rows - 30))
    for weights, history in results[1:]:
        assert same_bits(weights, results[0][0])
        assert history == results[0][1]


def residual(dtype: str) -> networks.Native:
    """Tensors that several nodes read, the input among them, and dense nodes whose output
    is added to, activated apart and taken by one that follows much later."""
    network = _core.Network(48, dtype, 7)
    a = network.dense(0, 64, "tanh")
    early = network.dense(0, 64, "tanh")
    b = network.dense(a, 64, "tanh")
    c = network.add(a, b)
    d = network.activation(network.dense(c, 64, "linear"), "silu")
    e = network.dense(network.add(d, network.dense(0, 64, "linear", use_bias=False)), 40, "gelu")
    late = network.dense(early, 40, "sigmoid")
    network.set_output(network.dense(network.add(e, late), 10, "linear"))
    return networks.bound(network, dtype)


@unit
@pytest.mark.parametrize("rows", [100, 1200])
@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("precision", SERVED)
def test_branches(precision, session, rows, rng):
    weights = [
        (rng.normal(size=shape) / np.sqrt(64)).astype(np.float32)
        for _, shape in residual("float32").network.parameters
    ]
    x, y = rng.normal(size=(rows, 48)).astype(np.float32), rng.integers(0, 10, rows)
    results = []
    for dtype in ("float32", "float64"):
        native = residual(dtype)
        native.write(weights)
        networks.compile_native(
            native.network,
            loss="softmax_cross_entropy",
            optimizer="sgd",
            session=session,
            precision=precision,
        )
        data = networks.rows(x, y)
        for _ in range(2):
            networks.train_native(
                native.network, data, batch_size=rows - 20, optimizer=networks.SGD
            )
        results.append([np.float64(w) - v for w, v in zip(native.read(), weights, strict=True)])
    for change, true in zip(*results, strict=True):
        check_frobenius(change, true, "float32", "training", f"cpu {precision}")


@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("precision", [p for p in ("medium", "high") if p not in SERVED])
def test_without_a_unit_it_is_highest(precision, session, monkeypatch):
    monkeypatch.setenv("FASTNN_SESSION", session)
    case = CASES["dropout"]
    assert case.compiled(precision).network.bf16_parts(128) == 0
    assert same_bits(changed(case, precision, 300, 128)[0], changed(case, None, 300, 128)[0])


@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize(
    ("widths", "batch"), [((4, 10, 3), 32), ((20, 20), 4000), ((784, 128, 10), 23), ((64, 7), 128)]
)
def test_small_layers_keep_float32(widths, batch, session, monkeypatch):
    monkeypatch.setenv("FASTNN_SESSION", session)
    case = Case(widths)
    if session == "tiled" and widths[0] == 784:
        pytest.skip("its tiles have 128 rows at any batch size")
    assert case.compiled("medium").network.bf16_parts(batch) == 0
    assert same_bits(changed(case, "medium", batch, batch)[0], changed(case, None, batch, batch)[0])


def test_float64_stays_float64():
    case = CASES["dropout"]
    model = case.compiled("medium", "float64")
    assert model.network.bf16_parts(128) == 0
    results = [changed(case, p, 300, 128, "float64")[0] for p in ("highest", "medium")]
    assert same_bits(*results)


def test_what_is_not_training_is_float32():
    """predict, evaluate, predictors and value_and_grad: the setting says nothing of them."""
    case = CASES["dropout"]
    x, y, _ = case.data(200)
    results = []
    for precision in ("highest", "medium", "high"):
        model = case.compiled(precision)
        model.train_on_batch(x, y)  # there is a session for training
        model.set_weights(case.network().get_weights())
        loss, gradients = model.value_and_grad(x, y)
        evaluated = model.evaluate(x, y, verbose=0)
        results.append(
            [
                model.predict(x, verbose=0),
                np.array([loss, *np.ravel(evaluated)]),
                model.predictor()(x),
                *gradients,
            ]
        )
    assert same_bits(results[0], results[1])
    assert same_bits(results[0], results[2])


def test_the_global_setting_is_taken_at_compile():
    case = CASES["mse"]
    results = {}
    try:
        for word in ("highest", "medium"):
            fastnn.set_float32_matmul_precision(word)
            results[word] = changed(case, None, 300, 128)[0]
    finally:
        fastnn.set_float32_matmul_precision("highest")
    assert same_bits(results["medium"], changed(case, "medium", 300, 128)[0])
    assert same_bits(results["highest"], results["medium"]) == ("medium" not in SERVED)


def test_summary_tells(capsys):
    words = {0: "float32", 1: "bfloat16", 2: "two bfloat16"}
    for precision in ("highest", "medium", "high"):
        model = CASES["mse"].compiled(precision)
        capsys.readouterr()
        model.summary(batch_size=128)
        bf16_parts = UNITS.get(_core.isa(), {}).get(precision, 0)
        session = model.session(128)
        last = f"Session in batches of 128: {session}, products in {words[bf16_parts]}"
        assert capsys.readouterr().out.splitlines()[-1] == last
