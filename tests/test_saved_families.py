"""Files keep every option of every regularizer, constraint, initializer and schedule: the registries are walked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_registry
from saved_models import X, Y, bits

import fastnn
from fastnn import layers, losses, optimizers
from fastnn.constraints import CONSTRAINTS
from fastnn.initializers import INITIALIZERS
from fastnn.optimizers.learning_rates import SCHEDULES
from fastnn.regularizers import REGULARIZERS

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")

OPTIONS = {
    REGULARIZERS: "kernel_regularizer",
    CONSTRAINTS: "kernel_constraint",
    INITIALIZERS: "kernel_initializer",
    SCHEDULES: "learning_rate",
}


def made(option: str, value: Any) -> Any:
    given = {} if option == "learning_rate" else {option: value}
    dense = layers.Dense(4, "tanh", input_shape=(4,), **given)
    model = fastnn.Sequential([dense, layers.Dense(3)], seed=1)
    rate = value if option == "learning_rate" else 0.05
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.SGD(rate, momentum=0.5), loss)
    return model


@pytest.mark.parametrize("family", OPTIONS, ids=OPTIONS.values())
def test_each_goes_on_from_a_file(family: Any, tmp_path: Path) -> None:
    for cls in sorted(set(family.classes.values()), key=lambda cls: cls.__name__):
        for make in (test_registry.plain, test_registry.other):
            try:
                model = made(OPTIONS[family], make(cls))
            except (TypeError, ValueError):  # options that do not go with a kernel (4, 4)
                assert make is test_registry.other, cls
                continue
            model.fit(X, Y, epochs=2, batch_size=16, verbose=0)
            model.save(tmp_path / "m.safetensors")
            back = fastnn.load_model(tmp_path / "m.safetensors")
            for one in (model, back):
                one.fit(X, Y, epochs=2, batch_size=16, verbose=0)
            assert bits(back) == bits(model), cls
            configs = [one.layers[0].get_config() for one in (model, back)]
            assert configs[0] == configs[1], cls
            assert np.isfinite(model.get_weights()[0]).all(), cls
