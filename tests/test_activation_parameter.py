"""Activations with a parameter in networks: every session of both devices against the oracle."""

from __future__ import annotations

from pathlib import Path

import cases
import networks
import numpy as np
import pytest
import reference
from tolerances import check

import fastnn
from fastnn import _core, layers

WIDTHS = (40, 72, 64, 33, 5)
ACTIVATIONS = ("leaky_relu", "elu", "leaky_relu", "softmax")
PARAMETERS = {0: 0.3, 1: 0.5, 2: 0.0}
LOSS = "softmax_cross_entropy"
SETTINGS = networks.SGD | {"momentum": 0.9}  # Adam would divide by gradients that are nearly 0
ROWS, BATCH, EPOCHS = 300, 48, 2

CPU = [("cpu", session) for session in ("plain", "streaming", "tiled")]
CUDA = [("cuda", session) for session in ("plain", "generic", "resident", "wide")]
WHERE = [(*where, "float32") for where in CPU + CUDA]
WHERE += [(*where, "float64") for where in [*CPU, CUDA[0]]]  # the others take float32 alone


def data(dtype):
    draw = np.random.default_rng(3)
    x = draw.normal(size=(ROWS, WIDTHS[0])).astype(dtype)
    return x, draw.integers(0, WIDTHS[-1], ROWS).astype(np.int32)


def start():
    return cases.glorot(np.random.default_rng(4), WIDTHS)


def expected(dtype):
    oracle = reference.Trainer(
        reference.Network(ACTIVATIONS, LOSS, parameters=PARAMETERS),
        [w.astype(dtype) for w in start()],
        "sgd",
        SETTINGS | {"nesterov": False},
    )
    for _ in range(EPOCHS):
        oracle.epoch(*data(dtype), np.arange(ROWS), BATCH)
    return oracle.weights


def in_dense(device, session, dtype="float32"):
    """The weights after training, where dense nodes hold the activations."""
    native = networks.chain(WIDTHS, ACTIVATIONS, dtype, parameters=PARAMETERS)
    networks.compile_native(
        native.network, loss=LOSS, optimizer="sgd", session=session, device=device
    )
    native.write(start())
    networks.train_native(
        native.network,
        networks.rows(*data(dtype)),
        batch_size=BATCH,
        epochs=EPOCHS,
        shuffle=False,
        optimizer=SETTINGS,
    )
    return native.read()


def as_layers(device, session, dtype="float32"):
    """The same, where they are layers of their own."""
    dense = [layers.Dense(units) for units in WIDTHS[1:]]
    slopes = [layers.LeakyReLU(0.3), layers.ELU(0.5), layers.LeakyReLU(0)]
    chain = [layer for pair in zip(dense, slopes, strict=False) for layer in pair]
    model = fastnn.Sequential(
        [layers.Input((WIDTHS[0],)), *chain, dense[-1], layers.Activation("softmax")], dtype=dtype
    )
    model.compile(
        fastnn.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", device=device
    )
    model.set_weights(start())
    assert model.session(BATCH) == session
    model.fit(*data(dtype), batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0)
    return model.get_weights()


TRAINED = (in_dense, as_layers)


def check_weights(found, dtype):
    for k, (w, e) in enumerate(zip(found, expected(dtype), strict=True)):
        check(w, e, "trajectory", dtype, what=f"weight {k}")


@pytest.fixture
def device(request, monkeypatch):
    name = request.param
    if name == "cuda" and not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    monkeypatch.setenv("FASTNN_DEVICE", name)
    return name


@pytest.mark.parametrize(("device", "session", "dtype"), WHERE, indirect=["device"])
@pytest.mark.parametrize("trained", TRAINED)
def test_training_is_as_the_oracle(trained, device, session, dtype, monkeypatch):
    monkeypatch.setenv("FASTNN_SESSION", session)
    one, two = [], []
    for threads, weights in ((1, one), (2, two)):
        fastnn.set_num_threads(threads)
        weights += trained(device, session, dtype)
    check_weights(one, dtype)
    for w, again in zip(one, two, strict=True):
        assert w.tobytes() == again.tobytes()


@pytest.mark.cpu
@pytest.mark.isa
@pytest.mark.parametrize("session", ["plain", "streaming", "tiled"])
def test_training_under_this_instruction_set(session, monkeypatch):
    monkeypatch.setenv("FASTNN_SESSION", session)
    for trained in TRAINED:
        check_weights(trained("cpu", session), "float32")


@pytest.mark.parametrize("offers", ["", "no epilogues"])
def test_products_of_another_library(offers, emulated: Path, cublaslt: Path, tmp_path: Path):
    """The parameter reaches the pass that finishes the products."""
    log = tmp_path / "log"
    done = cases.python(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_activation_parameter as own\n"
        "for trained in own.TRAINED: own.check_weights(trained('cuda', 'wide'), 'float32')",
        FASTNN_CUDA_LIBRARY=str(emulated),
        FASTNN_SESSION="wide",
        FASTNN_CUBLASLT=str(cublaslt),
        MOCK_CUBLASLT=offers,
        MOCK_CUBLASLT_LOG=str(log),
    )
    assert done.returncode == 0, done.stderr
    assert log.read_text()


def test_layers():
    """The defaults of Keras's layers; another than that of the function for the slope."""
    assert layers.LeakyReLU().negative_slope == 0.3
    assert layers.ELU().alpha == 1.0
    assert [layers.LeakyReLU().name, layers.ELU(name="bend").name] == ["leaky_re_lu", "bend"]
    x = np.linspace(-3, 3, 12).reshape(3, 4)
    for layer, name, parameter in (
        (layers.LeakyReLU(), "leaky_relu", 0.3),
        (layers.LeakyReLU(0.01), "leaky_relu", 0.01),
        (layers.ELU(), "elu", 1.0),
        (layers.ELU(alpha=2.5), "elu", 2.5),
        (layers.Activation("leaky_relu"), "leaky_relu", 0.2),
    ):
        model = fastnn.Sequential([layers.Input((4,)), layer], dtype="float64")
        y = reference.activation_forward(x, name, parameter=parameter)
        check(model.predict(x, verbose=0), y, "activation", "float64")


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: layers.LeakyReLU(-0.1), ValueError, r"^negative_slope: .*-0\.1"),
        (lambda: layers.LeakyReLU(None), TypeError, "negative_slope.*None"),
        (lambda: layers.ELU(float("nan")), ValueError, "^alpha: .*nan"),
        (lambda: layers.ELU(alfa=1.0), TypeError, "alfa.*alpha"),
    ],
)
def test_bad_options(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("bend", [layers.LeakyReLU, layers.ELU])
def test_not_before_a_cross_entropy(bend):
    """Like any other activation they make outputs that are no logits."""
    model = fastnn.Sequential([layers.Input((4,)), layers.Dense(3), bend()])
    with pytest.raises(ValueError, match=r"no logits|cannot be meant"):
        model.compile("adam", "sparse_categorical_crossentropy")
