"""Threads, precision, device, configuration: what the words and the environment mean."""

from __future__ import annotations

import os
import subprocess
import sys

import cases
import networks
import numpy as np
import pytest

import fastnn
from fastnn import _core


def test_threads():
    for n in (1, 2, 5, 64):
        fastnn.set_num_threads(n)
        assert fastnn.get_num_threads() == n == _core.num_threads()
    fastnn.set_num_threads(np.int64(2))
    assert fastnn.get_num_threads() == 2


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity")
def test_threads_by_default():
    """No more than the processors that this process may run on."""
    environment = {k: v for k, v in os.environ.items() if k != "FASTNN_NUM_THREADS"}
    ask = "import fastnn; print(fastnn.get_num_threads())"
    alone = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    counts = [
        int(subprocess.check_output([sys.executable, "-c", program], env=environment))
        for program in (ask, alone + ask)
    ]
    assert 1 <= counts[0] <= len(os.sched_getaffinity(0))
    assert counts[1] == 1


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_precision_without_the_units_is_the_highest(precision, rng):
    """Never an emulation: this build has no units for less, and gives the same bits."""
    x = rng.normal(size=(20, 30)).astype(np.float32)
    results = []
    for word in ("highest", precision):
        fastnn.utils.set_random_seed(1)
        model = networks.sequential((30, 20, 3), ("relu", "softmax"))
        model.compile("adam", "sparse_categorical_crossentropy", matmul_precision=word)
        model.fit(x, np.arange(20) % 3, epochs=2, verbose=0)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
    fastnn.set_float32_matmul_precision(precision)
    fastnn.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_device(device, rng):
    model = networks.sequential((3, 2), ("softmax",))
    model.compile("sgd", "sparse_categorical_crossentropy", device=device)
    model.fit(rng.normal(size=(5, 3)), np.arange(5) % 2, verbose=0)


USES = {
    "ops": "fastnn.ops.softmax([[1.0, 2.0]])",
    "compile": """fastnn.Sequential([fastnn.layers.Dense(2, input_shape=(3,))]).compile("sgd", "mse")""",
}


@pytest.mark.skipif(_core.cuda_state()["usable"], reason="there is a GPU")
@pytest.mark.parametrize("use", USES)
def test_device_from_the_environment(use):
    """A GPU that is asked for and not there is an error when it is needed, never a silent CPU."""
    program = f"import fastnn\n{USES[use]}\nprint('done')"
    assert cases.python(program, FASTNN_DEVICE="cpu").stdout == "done\n"
    for word in ("cuda", "gpu"):
        done = cases.python(program, FASTNN_DEVICE=word)
        assert done.returncode == 1
        last = done.stderr.strip().splitlines()[-1]
        assert "FASTNN_DEVICE" in last
        assert word in last
    assert cases.python("import fastnn", FASTNN_DEVICE="cuda").returncode == 0


@pytest.mark.skipif(_core.cuda_state()["usable"], reason="there is a GPU")
def test_device_of_an_environment_that_changes(monkeypatch):
    """It is read natively, and at every use."""
    monkeypatch.setenv("FASTNN_DEVICE", "cuda")
    with pytest.raises(RuntimeError, match="FASTNN_DEVICE=cuda"):
        fastnn.ops.softmax([[1.0, 2.0]])
    monkeypatch.delenv("FASTNN_DEVICE")
    fastnn.ops.softmax([[1.0, 2.0]])


def test_show_config(capsys):
    fastnn.show_config()
    text = capsys.readouterr().out
    for word in (fastnn.__version__, _core.isa(), *_core.isas_built(), "CUDA", "threads"):
        assert word in text
    assert _core.build_info()["compiler"] in text


@pytest.mark.parametrize("name", ["models", "layers", "losses", "optimizers", "metrics"])
def test_modules_have_keras_names(name):
    expected = {
        "models": ["Sequential"],
        "layers": ["Input", "Dense", "Activation", "Flatten", "Dropout", "Rescaling"],
        "losses": [
            "SparseCategoricalCrossentropy",
            "CategoricalCrossentropy",
            "BinaryCrossentropy",
            "MeanSquaredError",
        ],
        "optimizers": ["SGD", "Adam"],
        "metrics": ["SparseCategoricalAccuracy", "BinaryAccuracy", "MeanAbsoluteError"],
    }
    for word in expected[name]:
        assert hasattr(getattr(fastnn, name), word), word
    assert fastnn.Sequential is fastnn.models.Sequential
    assert fastnn.callbacks.Callback
    assert fastnn.utils.set_random_seed


def test_every_public_name_has_a_docstring():
    for module in ("ops", "layers", "losses", "optimizers", "metrics", "callbacks", "utils"):
        for name, value in vars(getattr(fastnn, module)).items():
            if not name.startswith("_") and getattr(value, "__module__", "").startswith("fastnn."):
                assert not callable(value) or value.__doc__, f"{module}.{name}"
