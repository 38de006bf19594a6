"""Optimizers among the attributes of a program's own classes: files, backups and copies have their state."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import callbacks, layers, losses, optimizers
from fastnn.files import layout
from fastnn.files.layout import Contents, ModelFileError

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
HOW: dict[str, Any] = {"batch_size": 10, "verbose": 0, "shuffle": False}


@fastnn.register_serializable("pairs")
class Pair(fastnn.Model):
    """Two networks that train against each other, each by an optimizer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = fastnn.Sequential([layers.Dense(4, "tanh"), layers.Dense(3)])
        self.critic = fastnn.Sequential([layers.Dense(4, "tanh"), layers.Dense(1)])

    def call(self, x: Any) -> Any:
        return self.critic(self.generator(x))

    def compile(self, critic: Any, generators: Any) -> None:
        super().compile()
        self.critic_optimizer = critic
        self.others = {"generators": [generators]}

    def get_compile_config(self) -> dict[str, Any]:
        return {"critic": self.critic_optimizer, "generators": self.others["generators"][0]}

    def compile_from_config(self, config: Any) -> None:
        self.compile(
            fastnn.saving.deserialize_keras_object(config["critic"]),
            fastnn.saving.deserialize_keras_object(config["generators"]),
        )

    def train_step(self, data: Any) -> Any:
        x = data[0] if isinstance(data, tuple) else data
        loss = losses.BinaryCrossentropy(from_logits=True)
        ones, zeros = np.ones((len(x), 1)), np.zeros((len(x), 1))
        with fastnn.GradientTape(persistent=True) as tape:
            made = self.generator(x[:, ::-1])
            seen = loss(ones, self.critic(x)) + loss(zeros, self.critic(made))
            fooled = loss(ones, self.critic(made))
        both = (self.critic, self.critic_optimizer), (self.generator, self.others["generators"][0])
        pulled = [
            tape.gradient(of, part.trainable_variables)
            for of, (part, _) in zip((seen, fooled), both, strict=True)
        ]
        for grads, (part, optimizer) in zip(pulled, both, strict=True):
            optimizer.apply_gradients(zip(grads, part.trainable_variables, strict=True))
        return {"seen": seen, "fooled": fooled}


def pair() -> Any:
    fastnn.utils.set_random_seed(5)
    made = Pair()
    made.predict(X, verbose=0)
    made.compile(
        optimizers.Adam(0.02, use_ema=True),
        optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 3, 0.9), momentum=0.9),
    )
    return made


def bits(model: Any) -> bytes:
    return b"".join(weight.tobytes() for weight in model.get_weights())


def test_training_goes_on_from_a_file(tmp_path: Path) -> None:
    whole, first = pair(), pair()
    whole.fit(X, epochs=4, **HOW)
    first.fit(X, epochs=2, **HOW)
    first.critic_optimizer.learning_rate = 0.02
    first.save(tmp_path / "m.safetensors")
    second = fastnn.load_model(tmp_path / "m.safetensors")
    assert second.critic_optimizer.iterations == 8
    assert second.others["generators"][0].iterations == 8
    second.fit(X, epochs=2, **HOW)
    assert bits(second) == bits(whole)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_saved_optimizers import *\n"
        "model = fastnn.load_model(sys.argv[2]); model.fit(X, epochs=2, **HOW)\n"
        "print(bits(model).hex())"
    )
    here = str(Path(__file__).parent)
    words = [sys.executable, "-W", "ignore", "-c", program, here, str(tmp_path / "m.safetensors")]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == bits(whole).hex()


def test_a_rate_that_was_set(tmp_path: Path) -> None:
    model = pair()
    model.critic_optimizer.learning_rate = 0.125
    model.save(tmp_path / "m")
    loaded = fastnn.load_model(tmp_path / "m")
    assert loaded.critic_optimizer.learning_rate == 0.125
    assert loaded.others["generators"][0].schedule is not None


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_train_on(copied: Any) -> None:
    whole, first = pair(), pair()
    whole.fit(X, epochs=2, **HOW)
    first.fit(X, epochs=1, **HOW)
    second = copied(first)
    assert second.critic_optimizer is not first.critic_optimizer
    second.fit(X, epochs=1, **HOW)
    assert bits(second) == bits(whole)


class Ends(callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        del batch, logs
        if self.model.critic_optimizer.iterations == 6:
            raise InterruptedError


def test_backups_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    whole = pair()
    whole.fit(X, epochs=3, **HOW)
    backup = callbacks.BackupAndRestore(tmp_path / "backup", save_freq=1)
    with pytest.raises(InterruptedError):
        pair().fit(X, epochs=3, callbacks=[backup, Ends()], **HOW)
    again = pair()
    again.fit(X, epochs=3, callbacks=[callbacks.BackupAndRestore(tmp_path / "backup")], **HOW)
    assert bits(again) == bits(whole)


def test_what_the_file_has_and_the_model_has_not(tmp_path: Path) -> None:
    model = pair()
    model.fit(X, epochs=1, **HOW)
    model.save(tmp_path / "m")
    found = layout.read(tmp_path / "m")
    state = json.loads(found.metadata["state"])
    assert [one["name"] for one in state["optimizers"]] == ["critic_optimizer", "others/0"]
    assert "/optimizers/0/m/sequential_1/dense/kernel" in found.tensors
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Pair, "compile_from_config", lambda self, _: self.compile(None, optimizers.Adam())
        )
        with pytest.warns(
            UserWarning, match=r"no optimizers critic_optimizer \(Adam\), others/0 \(SGD\)"
        ):
            loaded = fastnn.load_model(tmp_path / "m")
    assert loaded.others["generators"][0].iterations == 0
    assert bits(fastnn.load_model(tmp_path / "m", compile=False)) == bits(model)
    without = {name: v for name, v in found.tensors.items() if not name.startswith("/optimizers/1")}
    layout.write(tmp_path / "m", Contents(found.metadata, without))
    with pytest.raises(ModelFileError, match="there is no array '/optimizers/1/velocity/"):
        fastnn.load_model(tmp_path / "m")
