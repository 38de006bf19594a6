"""Dictionaries of losses, weights and metrics for a model of one output: the name is the output's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")
X, Y = np.ones((6, 4), np.float32), np.ones((6, 1), np.float32)


def own(y_true: Any, y_pred: Any) -> Any:
    return fastnn.math.square(y_true - y_pred)


class Traced(fastnn.Model):
    def __init__(self) -> None:
        super().__init__()
        self.last = layers.Dense(1, name="price")

    def call(self, inputs: Any) -> Any:
        return self.last(inputs)


class Untraced(Traced):
    def call(self, inputs: Any) -> Any:
        return fastnn.math.cos(self.last(inputs))


def functional(last: Any) -> Any:
    inputs = fastnn.Input((4,))
    return fastnn.Model(inputs, last(layers.Dense(3)(inputs)))


MODELS: dict[str, Any] = {
    "chain": lambda: fastnn.Sequential([layers.Dense(3), layers.Dense(1, name="price")]),
    "built chain": lambda: fastnn.Sequential([fastnn.Input((4,)), layers.Dense(1, name="price")]),
    "functional": lambda: functional(layers.Dense(1, name="price")),
    "nested": lambda: functional(fastnn.Sequential([layers.Dense(1)], name="price")),
    "chain of models": lambda: fastnn.Sequential(
        [fastnn.Input((4,)), fastnn.Sequential([layers.Dense(1)], name="price")]
    ),
    "traced": Traced,
    "untraced": Untraced,
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("wrong", ["prize", "output_1", "price"])
@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("loss", "mse"),
        ("loss", own),
        ("loss_weights", 2.0),
        ("metrics", ["mae"]),
        ("weighted_metrics", "mae"),
    ],
)
def test_the_name_is_that_of_the_output(kind: str, wrong: str, argument: str, value: Any) -> None:
    right = "output_1" if kind == "untraced" else "price"  # no layer gives its name
    for given in ({right: value}, {wrong: value}, {right: value, wrong: value}):
        model = MODELS[kind]()
        how = {"loss": "mse", argument: given}
        if given == {right: value}:
            model.compile("sgd", **how)
            assert len(model.fit(X, Y, verbose=0).history["loss"]) == 1
            continue
        unknown = rf"output: unknown name '{wrong}', .*{right}"
        message = rf"^{argument}: ({unknown}|the model has one output, got 2: )"
        with pytest.raises(ValueError, match=message):  # noqa: PT012 - a chain says so at once
            model.compile("sgd", **how)
            model.fit(X, Y, verbose=0)
        assert model.history is None


def test_a_step_of_ones_own_has_names_of_its_own() -> None:
    class Own(fastnn.Sequential):
        def train_step(self, data: Any) -> Any:
            del data
            return {"loss": 0.0}

    model = Own([layers.Dense(1, input_shape=(4,))])
    model.compile("sgd", {"generator": "mse", "critic": "mae"})
    assert model.fit(X, Y, verbose=0).history == {"loss": [0.0]}


# -- symbols ---------------------------------------------------------------------------------------


def test_attributes_of_symbols() -> None:
    symbol = fastnn.Input((4,))
    assert not hasattr(symbol, "tocoo")
    with pytest.raises(AttributeError, match="a symbol has no 'numpy': it stands for rows"):
        symbol.numpy()


def test_is_gpu_available() -> None:
    with pytest.raises(AttributeError, match=r"'test'.*list_physical_devices\(\"GPU\"\)"):
        _ = fastnn.test  # type: ignore[attr-defined]
    assert isinstance(fastnn.config.list_physical_devices("GPU"), list)
