"""The wide session of the device against the plain one of the CPU, over the emulated library.

Every program runs in a process of its own, since the library is opened once.
"""

from __future__ import annotations

import functools
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

given = json.loads(os.environ["CASE"])


def data(rows):
    draw = np.random.default_rng(3)
    x = draw.normal(size=(rows, 40)).astype("f4")
    return x, draw.integers(0, 5, rows), draw.uniform(0.5, 2, rows)


def build(case):
    if case.get("small"):
        hidden = [layers.Dense(32, activation="relu"), layers.Dense(32), layers.Dense(5)]
        return fastnn.Sequential([fastnn.Input((40,)), *hidden])
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


def trained(case, device, session, precision=None):
    os.environ["FASTNN_SESSION"] = session
    fastnn.utils.set_random_seed(5)
    x, y, weights = data(case.get("rows", 2 * 48 + 12))
    model = build(case)
    for index in case.get("frozen", []):
        model.layers[index].trainable = False
    model.compile(
        OPTIMIZERS[case.get("optimizer", "adam")](),
        "sparse_categorical_crossentropy",
        device=device,
        matmul_precision=precision or case.get("precision"),
    )
    start = [w.tolist() for w in model.get_weights()]
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
    end = [w.tolist() for w in model.get_weights()]
    return {"losses": losses, "weights": end, "start": start}


found = []
for case, log in zip(given["cases"], given["logs"], strict=True):
    os.environ["MOCK_CUBLASLT_LOG"] = log
    found.append([trained(case, *run) for run in given["runs"]])
print(json.dumps(found))
"""

PLAIN = ("cpu", "plain")
EXACT = ("cpu", "plain", "highest")
WIDE = ("cuda", "wide")
Run = tuple[str, ...]


@pytest.fixture(scope="module")
def library() -> Path:
    try:
        return emulator.build(BUILD)
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


def run(library: Path, case: dict[str, Any], *runs: Run, log: Any = "", **environment: str) -> Any:
    return run_all(library, [(case, log)], *runs, **environment)[0]


def run_all(
    library: Path, several: list[tuple[dict[str, Any], Any]], *runs: Run, **environment: str
) -> Any:
    """The runs of each case, all in one process; the mock writes what it is asked for into its log."""
    given, logs = zip(*several, strict=True)
    done = cases.python(
        PROGRAM,
        CASE=json.dumps({"cases": given, "logs": list(map(str, logs)), "runs": runs}),
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


class WithMock:
    """Runs programs with the mock, and reads what it was asked for."""

    def __init__(self, library: Path, mock: Path, log: Path) -> None:
        self.library, self.mock, self.log = library, mock, log

    def run(self, case: dict[str, Any], *runs: Run, offers: str = "") -> Any:
        self.log.write_text("")
        words = {"FASTNN_CUBLASLT": str(self.mock), "MOCK_CUBLASLT": offers}
        return run(self.library, case, *runs, log=self.log, **words)

    def asked(self) -> dict[str, set[int]]:
        return asked_for(self.log)


def asked_for(log: Path) -> dict[str, set[int]]:
    """The epilogues of the products that the mock was asked for, by the type of their operands."""
    found: dict[str, set[int]] = {}
    for line in log.read_text().splitlines():
        *_, kind, epilogue = line.split()
        found.setdefault(kind, set()).add(int(epilogue))
    return found


@pytest.fixture
def with_mock(library: Path, cublaslt: Path, tmp_path: Path) -> WithMock:
    return WithMock(library, cublaslt, tmp_path / "log")


@pytest.fixture(scope="module")
def own_runs(library: Path) -> dict[str, Any]:
    found = run_all(library, [(case, "") for case in CASES.values()], PLAIN, WIDE, WIDE)
    return dict(zip(CASES, found, strict=True))


@pytest.fixture(scope="module")
def mock_runs(library: Path, cublaslt: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """By what the mock offers: the runs of each case, and what it was asked for."""

    @functools.cache
    def of(offers: str) -> dict[str, Any]:
        logs = [tmp_path_factory.mktemp("asked") / "log" for _ in CASES]
        words = {"FASTNN_CUBLASLT": str(cublaslt), "MOCK_CUBLASLT": offers}
        several = list(zip(CASES.values(), logs, strict=True))
        found = run_all(library, several, PLAIN, WIDE, WIDE, **words)
        return dict(zip(CASES, zip(found, map(asked_for, logs), strict=True), strict=True))

    return of


@pytest.mark.parametrize("name", CASES)
def test_own_kernels_are_as_the_plain_session(name: str, own_runs: dict[str, Any]) -> None:
    plain, wide, again = own_runs[name]
    check_close(wide, plain)
    assert again == wide


@pytest.mark.parametrize("offers", ["", pytest.param("no epilogues", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CASES)
def test_cublaslt_is_as_the_plain_session(name: str, offers: str, mock_runs: Any) -> None:
    (plain, wide, again), asked = mock_runs(offers)[name]
    check_close(wide, plain)
    assert again == wide
    assert list(asked) == ["float32"]
    assert (asked["float32"] == {1}) == bool(offers)


@pytest.mark.parametrize("precision", ["highest", "medium"])
def test_many_steps_at_once(precision: str, with_mock: WithMock) -> None:
    """Steps so brief that many make a run, and most of them are a graph's."""
    case = {"small": True, "rows": 640, "batch": 32, "epochs": 10, "optimizer": "sgd"}
    wide, again, exact = with_mock.run({**case, "precision": precision}, WIDE, WIDE, EXACT)
    assert again == wide
    assert wide["losses"] == pytest.approx(
        exact["losses"], rel=1e-5 if precision == "highest" else 1e-2
    )


def test_epilogues_are_those_of_the_layers(with_mock: WithMock) -> None:
    """Bias, ReLU, and the bias's gradient where no layer above gives it."""
    with_mock.run(CASES["relu"], WIDE)
    assert with_mock.asked() == {"float32": {1, 4, 6}}
    with_mock.run(CASES["dropout"], WIDE)
    assert with_mock.asked() == {"float32": {1, 4, 6, 256}}
    with_mock.run(CASES["needs pre-activations"], WIDE)
    assert with_mock.asked() == {"float32": {1, 4}}


def test_without_an_offer_our_own_kernels(with_mock: WithMock) -> None:
    (refused,) = with_mock.run({}, WIDE, offers="nothing")
    assert with_mock.asked() == {}
    assert refused == run(with_mock.library, {}, WIDE)[0]


def test_relu_that_swallows_nan_is_not_used(with_mock: WithMock) -> None:
    plain, wide = with_mock.run({"nan": True}, PLAIN, WIDE, offers="relu of nan")
    assert plain["losses"] == wide["losses"] == []
    plain, wide = with_mock.run({}, PLAIN, WIDE, offers="relu of nan")
    check_close(wide, plain)
    plain, wide = with_mock.run({"nan": True}, PLAIN, WIDE)
    assert plain["losses"] == wide["losses"] == []


# Units at the kink of a ReLU change sides where operands are rounded: a few in a hundred of
# what a fit changes, with any medium.
SMOOTH: dict[str, dict[str, Any]] = {
    "needs pre-activations": {"activations": ["gelu", "silu"]},
    "dropout": {"activations": ["tanh", "gelu"], "dropout": True},
    "no biases": {"activations": ["tanh", "tanh"], "bias": False},
    "middle frozen": {"activations": ["tanh", "gelu"], "frozen": [1, 2]},
}
ROUNDED = [
    *(("medium", name) for name in SMOOTH),
    ("high", "relu"),
    *(pytest.param("high", name, marks=pytest.mark.slow) for name in SMOOTH),
]


@pytest.mark.parametrize(("precision", "name"), ROUNDED)
def test_bfloat16(precision: str, name: str, with_mock: WithMock) -> None:
    """What a few steps change, by one and by three products of parts."""
    case = {**SMOOTH.get(name, {}), "optimizer": "momentum", "epochs": 1, "rows": 3 * 48 + 12}
    wide, again, exact = with_mock.run({**case, "precision": precision}, WIDE, WIDE, EXACT)
    assert again == wide
    assert list(with_mock.asked()) == ["bfloat16"]
    for got, want, start in zip(wide["weights"], exact["weights"], exact["start"], strict=True):
        moved, expected = np.subtract(got, start), np.subtract(want, start)
        if not expected.any():
            assert not moved.any()
            continue
        tolerances.check_frobenius(moved, expected, "float32", "training", f"cpu {precision}")


@pytest.mark.parametrize("offers", ["no input gradients", "no weight gradients"])
@pytest.mark.parametrize(
    "precision", ["high", *(pytest.param(p, marks=pytest.mark.slow) for p in ("highest", "medium"))]
)
def test_some_products_by_our_own_kernels(precision: str, offers: str, with_mock: WithMock) -> None:
    """They read in float32 what was perhaps written in bfloat16 alone."""
    case = {"activations": ["tanh", "gelu"], "optimizer": "sgd", "epochs": 1, "rows": 3 * 48 + 12}
    wide, exact = with_mock.run({**case, "precision": precision}, WIDE, EXACT, offers=offers)
    assert with_mock.asked()
    column = "cpu medium" if precision == "medium" else "cpu high"
    for got, want, start in zip(wide["weights"], exact["weights"], exact["start"], strict=True):
        moved, expected = np.subtract(got, start), np.subtract(want, start)
        tolerances.check_frobenius(moved, expected, "float32", "training", column)


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_bfloat16_of_weights_that_others_wrote(precision: str, with_mock: WithMock) -> None:
    """Parts that were kept from before would give another net's losses."""
    case = {"activations": ["tanh", "gelu"], "optimizer": "sgd", "twice": True}
    wide, exact = with_mock.run({**case, "precision": precision}, WIDE, EXACT)
    assert wide["losses"] == pytest.approx(exact["losses"], rel=1e-3)


def test_reports_what_it_found(library: Path, cublaslt: Path) -> None:
    program = "import fastnn; print(fastnn.show_config('dicts')['cuda']['cublas'])"
    told = {
        "none": "switched off by FASTNN_CUBLASLT=none",
        "/nowhere.so": "cannot open FASTNN_CUBLASLT=/nowhere.so",
        str(library): f"{library} lacks functions of cuBLASLt",
        str(cublaslt): f"13.2.7 ({cublaslt})",
    }
    for path, expected in told.items():
        done = cases.python(program, FASTNN_CUDA_LIBRARY=str(library), FASTNN_CUBLASLT=path)
        assert done.stdout.startswith(expected), done.stdout + done.stderr


def test_choice_depends_on_shape(library: Path) -> None:
    program = """
import fastnn
from fastnn import layers

for width, batch in [(512, 4096), (512, 4095), (4096, 128)]:
    model = fastnn.Sequential([fastnn.Input((width,)), layers.Dense(width), layers.Dense(3)])
    model.compile("adam", "mse", device="cuda")
    print(model.session(batch))
"""
    done = cases.python(program, FASTNN_CUDA_LIBRARY=str(library), FASTNN_CUBLASLT="none")
    assert done.stdout.split() == ["wide", "generic", "wide"], done.stdout + done.stderr
