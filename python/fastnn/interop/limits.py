"""Regularizers and constraints of Keras's layers, read from configs and written to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnn.console import warn
from fastnn.constraints import CONSTRAINTS
from fastnn.layers.base import Layer
from fastnn.registry import Registered, Registry
from fastnn.regularizers import REGULARIZERS

Config = Mapping[str, Any]

_FAMILIES: dict[str, Registry[Any]] = {"regularizer": REGULARIZERS, "constraint": CONSTRAINTS}
# The weights of each class of layers.
WEIGHTS = {
    "Dense": ("kernel", "bias"),
    "Embedding": ("embeddings",),
    **{f"{word}Normalization": ("gamma", "beta") for word in ("Layer", "Batch", "Group")},
}
OPTIONS = tuple(
    f"{what}_{kind}"
    for what in ("kernel", "bias", "gamma", "beta", "embeddings")
    for kind in _FAMILIES
)


def is_known(class_name: str, option: str, value: Any) -> bool:
    """Whether a layer takes the option of a config."""
    weight = option.rpartition("_")[0]
    return weight in WEIGHTS.get(class_name, ()) and _class_of(option, value) is not None


def _class_of(option: str, value: Any) -> type[Registered] | None:
    family = _FAMILIES.get(option.rpartition("_")[2])
    if family is None or not isinstance(value, Mapping):
        return None
    if str(value.get("module", "keras")).partition(".")[0] not in ("keras", "tf_keras"):
        return None
    if not isinstance(value.get("config"), Mapping):
        return None
    found: type[Registered] | None = family.names.get(str(value.get("class_name")))
    return found


def limits_of(class_name: str, config: Config) -> dict[str, Any]:
    """Arguments of a layer from a config; what has no form here is left out.

    Raises:
        ValueError: an option is out of range.
    """
    found = {}
    for weight in WEIGHTS[class_name]:
        for kind in _FAMILIES:
            option = f"{weight}_{kind}"
            cls = _class_of(option, config.get(option))
            if cls is not None:
                found[option] = cls.from_config(config[option]["config"])
    return found


def described(layer: Layer) -> dict[str, Any]:
    """Arguments of the layer of Keras, as configs hold them.

    Warns:
        UserWarning: one is a program's own, and is left out.
    """
    found = {}
    for weight in WEIGHTS[type(layer).__name__]:
        for kind, family in _FAMILIES.items():
            option = f"{weight}_{kind}"
            value = getattr(layer, option)
            if value is None:
                continue
            if type(value) not in family.classes.values():
                warn(
                    f"layer {layer.name!r}: {option} is left out; predictions are the same, training "
                    "is not",
                    UserWarning,
                )
                continue
            found[option] = {
                "module": f"keras.{kind}s",
                "class_name": type(value).__name__,
                "config": value.get_config(),
                "registered_name": None,
            }
    return found
