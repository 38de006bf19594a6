"""The wide session of the device against the plain one of the CPU, over the emulated library.

Every program runs in a process of its own, since the library is opened once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cases
import emulator
import numpy as np
import pytest
import tolerances

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "emulated"

PROGRAM = """
import json, os
import numpy as np
import fastnn
from fastnn import layers

case = json.loads(os.environ["CASE"])
draw = np.random.default_rng(3)
rows = case.get("rows", 300)
x = draw.normal(size=(rows, 40)).astype("f4")
y = draw.integers(0, 5, rows)
weights = draw.uniform(0.5, 2, rows)


def build():
    first, second = case.get("activations", ["relu", "relu"])
    bias = case.get("bias", True)
    between = [layers.Dropout(0.3)] if case.get("dropout") else []
    hidden = [
        layers.Dense(72, activation=first, use_bias=bias),
        *between,
        layers.Dense(64, activation=second, use_bias=bias),
        layers.Dense(33),
        layers.Dense(5, use_bias=bias),
    ]
    return fastnn.Sequential([fastnn.Input((40,)), *hidden])


OPTIMIZERS = {
    "adam": lambda: fastnn.optimizers.Adam(0.01, weight_decay=0.1),
    "sgd": lambda: fastnn.optimizers.SGD(0.05),
    "momentum": lambda: fastnn.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
}


def trained(device, session):
    os.environ["FASTNN_SESSION"] = session
    fastnn.utils.set_random_seed(5)
    model = build()
    for index in case.get("frozen", []):
        model.layers[index].trainable = False
    model.compile(
        OPTIMIZERS[case.get("optimizer", "adam")](),
        "sparse_categorical_crossentropy",
        device=device,
        matmul_precision=case.get("precision"),
    )
    batch = case.get("batch", 48)
    assert model.session(batch) == session, model.session(batch)
    if case.get("nan"):
        model.layers[0].bias.assign(np.full(72, np.nan, "f4"))
    try:
        epochs = case.get("epochs", 2)
        losses = model.fit(x, y, sample_weight=weights, batch_size=batch, epochs=epochs, verbose=0)
        losses = losses.history["loss"]
    except fastnn.TrainingDiverged:
        losses = []
    if case.get("twice"):  # weights that were written by others
        model.set_weights([w * 0.5 for w in model.get_weights()])
        more = model.fit(x, y, batch_size=batch, epochs=1, verbose=0)
        losses = losses + more.history["loss"]
    return {"losses": losses, "weights": [w.tolist() for w in model.get_weights()]}


print(json.dumps([trained(*which) for which in case["runs"]]))
"""

PLAIN = ("cpu", "plain")
WIDE = ("cuda", "wide")


@pytest.fixture(scope="module")
def library() -> Path:
    try:
        return emulator.build(BUILD)
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


def run(library: Path, case: dict[str, Any], *runs: tuple[str, str], **environment: str) -> Any:
    done = cases.python(
        PROGRAM,
        CASE=json.dumps({**case, "runs": runs}),
        FASTNN_CUDA_LIBRARY=str(library),
        **{"FASTNN_CUBLASLT": "none", **environment},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_close(found: Any, expected: Any) -> None:
    assert len(found["losses"]) == len(expected["losses"]) > 0
    tolerances.check(found["losses"], expected["losses"], "trajectory", "float32")
    for w, plain in zip(found["weights"], expected["weights"], strict=True):
        tolerances.check(w, plain, "trajectory", "float32")


CASES: dict[str, dict[str, Any]] = {
    "relu": {},
    "needs pre-activations": {"activations": ["gelu", "silu"]},
    "no biases": {"activations": ["tanh", "relu"], "bias": False},
    "dropout": {"dropout": True},
    "first frozen": {"frozen": [0]},
    "middle frozen": {"frozen": [1, 2]},
    "all but the head frozen": {"frozen": [0, 1, 2]},
    "plain descent": {"optimizer": "sgd"},
    "momentum": {"optimizer": "momentum"},
    "written between": {"twice": True},
}


@pytest.mark.parametrize("name", CASES)
def test_own_kernels_are_as_the_plain_session(name: str, library: Path) -> None:
    plain, wide, again = run(library, CASES[name], PLAIN, WIDE, WIDE)
    check_close(wide, plain)
    assert again == wide
