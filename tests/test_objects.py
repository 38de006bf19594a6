"""Objects as JSON and back: `saving.serialize_keras_object` and `deserialize_keras_object`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, losses, metrics, optimizers
from fastnn.registry import FAMILIES
from fastnn.saving import deserialize_keras_object, serialize_keras_object

pytestmark = pytest.mark.cpu


def there_and_back(given: Any) -> Any:
    return deserialize_keras_object(json.loads(json.dumps(serialize_keras_object(given))))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_class_without_arguments(family: str) -> None:
    """A name may mean a loss and a metric: the module tells which."""
    count = 0
    for cls in FAMILIES[family].classes.values():
        try:
            given = cls()
        except (TypeError, ValueError):  # it needs arguments; the next test has some
            continue
        made = there_and_back(given)
        assert type(made) is cls
        assert str(made.get_config()) == str(given.get_config())
        count += 1
    assert count or family == "schedule"


@pytest.mark.parametrize(
    "given",
    [
        layers.Dense(3, "relu", name="first"),
        optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 20), momentum=0.5),
        [None, True, 3, 0.25, "word", {"a": [losses.Huber(0.5)]}],
    ],
)
def test_options_stay(given: Any) -> None:
    told = serialize_keras_object(given)
    assert serialize_keras_object(there_and_back(given)) == told


def test_numbers_and_arrays() -> None:
    assert there_and_back(np.float32(0.5)) == 0.5
    made = there_and_back(np.arange(6, dtype=np.int16).reshape(2, 3))
    assert (made.dtype, made.tolist()) == (np.int16, [[0, 1, 2], [3, 4, 5]])
    assert serialize_keras_object((1, (2,))) == (1, (2,))


def test_models() -> None:
    given = fastnn.Sequential([layers.Dense(3, "relu", input_shape=(2,)), layers.Dense(1)])
    assert there_and_back(given).to_json() == given.to_json()


def test_where_keras_names_them() -> None:
    assert fastnn.utils.serialize_keras_object is serialize_keras_object
    told = serialize_keras_object(optimizers.Adam(0.25))
    assert told["module"] == "fastnn.optimizers"
    assert optimizers.get(told).learning_rate == 0.25
    told = serialize_keras_object(metrics.MeanSquaredError())
    with pytest.raises(ValueError, match=r"may be of fastnn\.losses, fastnn\.metrics"):
        deserialize_keras_object({"class_name": told["class_name"], "config": told["config"]})


@fastnn.register_serializable("objects")
class Wrapped(fastnn.Model):
    """Keras's way of an option that is a layer or a model."""

    def __init__(self, inner: Any, loss: Any) -> None:
        super().__init__()
        self.inner, self.own_loss = inner, loss

    def call(self, x: Any) -> Any:
        return self.inner(x)

    def get_config(self) -> dict[str, Any]:
        return {
            "inner": serialize_keras_object(self.inner),
            "loss": serialize_keras_object(self.own_loss),
        }

    @classmethod
    def from_config(cls, config: Any, custom_objects: Any = None) -> Any:
        del custom_objects
        return cls(**{name: deserialize_keras_object(told) for name, told in config.items()})


@fastnn.register_serializable("objects")
def cubic(y_true: Any, y_pred: Any) -> Any:
    return fastnn.math.abs(y_true - y_pred) ** 3


class Holder(fastnn.Model):
    """Its arguments are kept for its config."""

    def __init__(self, held: Any) -> None:
        super().__init__()
        self.held = held


@pytest.mark.parametrize("cls", [losses.MeanSquaredError, metrics.MeanSquaredError])
def test_arguments_whose_class_names_mean_two_things(cls: Any) -> None:
    config = json.loads(json.dumps(Holder(cls()).get_config()))
    assert type(Holder.from_config(config).held) is cls


@pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")
@pytest.mark.parametrize("loss", [losses.Huber(0.5), cubic])
def test_a_model_that_wraps_another(loss: Any, tmp_path: Path) -> None:
    x, y = np.ones((8, 2)), np.ones(8)
    model = Wrapped(fastnn.Sequential([layers.Dense(4, "tanh"), layers.Dense(1)]), loss)
    model.compile("adam", loss)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m")
    loaded = fastnn.load_model(tmp_path / "m")
    assert type(loaded.own_loss) is type(loss)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    both = [one.fit(x, y, verbose=0).history["loss"] for one in (model, loaded)]
    assert both[0] == both[1]


def test_what_has_no_config_or_is_not_known() -> None:
    for given in (lambda x: x, object(), layers.Dense, np.array(["a"]), fastnn.math.exp):
        with pytest.raises(TypeError, match=r"no config|no name"):
            serialize_keras_object(given)
    for told, message in (
        ({"class_name": "None", "config": {}}, "the class 'None' is not known here"),
        ({"class_name": "os.system", "module": "os", "config": {}}, "is not known here"),
        ({"class_name": "Adam", "module": "fastnn.layers", "config": {}}, "is not known here"),
        ({"class_name": "function", "config": "eval"}, "the function 'eval' is not known here"),
        ({"class_name": "Huber", "config": 3}, "expected a dictionary|may be of"),
        ({"class_name": "Dense", "config": {"unit": 3}}, "unit"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            deserialize_keras_object(told)
    with pytest.raises(ValueError, match="safe_mode"):
        deserialize_keras_object({}, safe_mode=False)
    assert deserialize_keras_object({"a": 1}) == {"a": 1}
