"""Architectures in Keras's JSON, read without Keras: a table from its classes to those of fastnn.

Nothing in a config is imported or run: a class that the table has not is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fastnn import layers
from fastnn.console import warn
from fastnn.elsewhere import asks_for_nothing
from fastnn.interop.limits import WEIGHTS, is_known, limits_of
from fastnn.interop.parts import at, no_layer
from fastnn.layers.base import Layer
from fastnn.words import snake_case

Config = Mapping[str, Any]

# Options that say nothing of what the layer computes with its weights.
_NO_MATTER = frozenset(
    (
        *(
            "name",
            "trainable",
            "dtype",
            "batch_input_shape",
            "seed",
            "sparse",
            "ragged",
            "optional",
        ),
        *("kernel_initializer", "bias_initializer", "gamma_initializer", "beta_initializer"),
        "alpha_initializer",
        *("moving_mean_initializer", "moving_variance_initializer", "embeddings_initializer"),
        *("renorm_momentum", "input_length"),
        *("lora_rank", "lora_alpha", "batch_shape", "mean_initializer", "build_config"),
    )
)
# Options of training; where fastnn's layers have them not, predictions are the same without them.
_TRAINING = tuple(
    f"{what}_{kind}"
    for what in ("kernel", "bias", "activity", "gamma", "beta", "alpha", "embeddings")
    for kind in ("regularizer", "constraint")
)
_MODELS = ("Sequential", "Functional", "Model")


class Entry(NamedTuple):
    """A layer or model of a config."""

    class_name: str
    config: Config
    name: str
    where: str  # for messages
    is_operation: bool = False  # an operator on tensors, which is no layer

    @property
    def is_model(self) -> bool:
        return self.class_name in _MODELS


def entry_of(described: Any, where: str) -> Entry:
    """The entry of a serialized layer or model.

    Raises:
        ValueError: it is none, or of a class that is not Keras's own.
    """
    if not isinstance(described, Mapping) or not isinstance(described.get("class_name"), str):
        raise ValueError(  # noqa: TRY004 - part of a file, not an argument
            f"{where}: expected a layer with a class_name, got {_short(described)}"
        )
    class_name, config = described["class_name"], described.get("config")
    where = f"{where}: " if where else ""
    if not isinstance(config, Mapping):
        raise ValueError(  # noqa: TRY004 - part of a file, not an argument
            f"{where}{class_name}: expected a config, got {_short(config)}"
        )
    name = config.get("name", described.get("name", snake_case(class_name)))
    if not isinstance(name, str) or not name:
        raise ValueError(f"{where}{class_name}: expected a name, got {_short(name)}")
    where = f"{where}{name} ({class_name})"
    module = described.get("module", "keras")  # Keras 2 has no such entry
    if str(module).partition(".")[0] not in ("keras", "tf_keras"):
        raise ValueError(
            f"{where}: a class of one's own, which is not run; expected Keras's classes"
        )
    return Entry(class_name, config, name, where, ".ops." in str(module))


# -- layers


class Rule(NamedTuple):
    """How the layer of a class is made: of which options, and what it becomes."""

    made: Callable[[Config, dict[str, Any]], list[Layer]]
    options: tuple[str, ...] = ()  # those that `made` looks at


def _given(config: Config, option: str) -> Any:
    """An option without a default; None, which no layer takes, where it is missing."""
    return config.get(option)


def _activation_layer(value: Any, common: dict[str, Any]) -> list[Layer]:
    """The layer of an activation: a word, or a layer of Keras."""
    if value is None:
        return []
    if isinstance(value, str):
        return [layers.Activation(value, **common)]
    entry = entry_of(value, "activation")
    if entry.class_name not in RULES or entry.class_name in ("Dense", "InputLayer"):
        raise ValueError(f"activation: expected a name of Keras's, got {_short(value)}")
    return layers_of(entry, common)


def _dense(config: Config, common: dict[str, Any]) -> list[Layer]:
    activation = config.get("activation")
    word = activation if isinstance(activation, str) else None
    dense = layers.Dense(
        _given(config, "units"),
        word,
        use_bias=config.get("use_bias", True),
        **limits_of("Dense", config),
        **common,
    )
    if word is not None or activation is None:
        return [dense]
    return [dense, *_activation_layer(activation, {})]


def _normalization(config: Config, common: dict[str, Any]) -> list[Layer]:
    given = {k: config[k] for k in ("axis", "epsilon", "center", "scale") if k in config}
    return [layers.LayerNormalization(**given, **limits_of("LayerNormalization", config), **common)]


def _embedding(config: Config, common: dict[str, Any]) -> list[Layer]:
    return [
        layers.Embedding(
            _given(config, "input_dim"),
            _given(config, "output_dim"),
            mask_zero=config.get("mask_zero", False),
            **limits_of("Embedding", config),
            **common,
        )
    ]


def _relu(config: Config, common: dict[str, Any]) -> list[Layer]:
    given = {k: config[k] for k in ("max_value", "negative_slope", "threshold") if k in config}
    return [layers.ReLU(**given, **common)]


def _softmax(config: Config, common: dict[str, Any]) -> list[Layer]:
    return [layers.Softmax(config.get("axis", -1), **common)]


def _flatten(config: Config, common: dict[str, Any]) -> list[Layer]:
    if config.get("data_format") not in (None, "channels_last"):
        raise ValueError(
            f"data_format: expected 'channels_last', got {_short(config['data_format'])}"
        )
    return [layers.Flatten(**common)]


def _reshape(config: Config, common: dict[str, Any]) -> list[Layer]:
    return [layers.Reshape(_given(config, "target_shape"), **common)]


def _merge(cls: type[Any]) -> Rule:
    return Rule(lambda _, common: [cls(**common)])


def _same(cls: type[Any], *options: str) -> Rule:
    """A layer whose options have the same names and meanings here."""

    def made(config: Config, common: dict[str, Any]) -> list[Layer]:
        given = {k: config[k] for k in options if k in config}
        limits = limits_of(cls.__name__, config) if cls.__name__ in WEIGHTS else {}
        return [cls(**given, **limits, **common)]

    return Rule(made, options)


def _slope(config: Config) -> Any:
    """Keras 2 calls the slope alpha."""
    return config.get("negative_slope", config.get("alpha", 0.3))


RULES: dict[str, Rule] = {
    "Dense": Rule(_dense, ("units", "activation", "use_bias")),
    "Activation": Rule(
        lambda config, common: _activation_layer(config.get("activation"), common),
        ("activation",),
    ),
    "ReLU": Rule(_relu, ("max_value", "negative_slope", "threshold")),
    "LeakyReLU": Rule(
        lambda config, common: [layers.LeakyReLU(_slope(config), **common)],
        ("negative_slope", "alpha"),
    ),
    "ELU": Rule(
        lambda config, common: [layers.ELU(config.get("alpha", 1.0), **common)], ("alpha",)
    ),
    "PReLU": _same(layers.PReLU, "shared_axes"),
    "Softmax": Rule(_softmax, ("axis",)),
    "LayerNormalization": Rule(_normalization, ("axis", "epsilon", "center", "scale")),
    "Dropout": Rule(
        lambda config, common: [
            layers.Dropout(_given(config, "rate"), config.get("noise_shape"), **common)
        ],
        ("rate", "noise_shape"),
    ),
    "AlphaDropout": _same(layers.AlphaDropout, "rate", "noise_shape"),
    "GaussianDropout": _same(layers.GaussianDropout, "rate"),
    "GaussianNoise": _same(layers.GaussianNoise, "stddev"),
    "RMSNormalization": _same(layers.RMSNormalization, "axis", "epsilon"),
    "UnitNormalization": _same(layers.UnitNormalization, "axis"),
    "BatchNormalization": _same(
        layers.BatchNormalization, "axis", "momentum", "epsilon", "center", "scale"
    ),
    "GroupNormalization": _same(
        layers.GroupNormalization, "groups", "axis", "epsilon", "center", "scale"
    ),
    "Normalization": _same(layers.Normalization, "axis", "mean", "variance", "invert"),
    "Permute": _same(layers.Permute, "dims"),
    "Embedding": Rule(_embedding, ("input_dim", "output_dim", "mask_zero")),
    "CategoryEncoding": _same(layers.CategoryEncoding, "num_tokens", "output_mode"),
    "Flatten": Rule(_flatten, ("data_format",)),
    "Reshape": Rule(_reshape, ("target_shape",)),
    "RepeatVector": Rule(
        lambda config, common: [layers.RepeatVector(_given(config, "n"), **common)],
        ("n",),
    ),
    "Rescaling": Rule(
        lambda config, common: [
            layers.Rescaling(_given(config, "scale"), config.get("offset", 0.0), **common)
        ],
        ("scale", "offset"),
    ),
    "Identity": _same(layers.Identity),
    "Add": _merge(layers.Add),
    "Subtract": _merge(layers.Subtract),
    "Multiply": _merge(layers.Multiply),
    "Average": _merge(layers.Average),
    "Maximum": _merge(layers.Maximum),
    "Minimum": _merge(layers.Minimum),
    "Concatenate": Rule(
        lambda config, common: [layers.Concatenate(config.get("axis", -1), **common)], ("axis",)
    ),
}


def layers_of(entry: Entry, common: dict[str, Any]) -> list[Layer]:
    """The layers that a layer of Keras becomes: one, mostly; none for one that changes nothing.

    `common`: arguments of the first of them.

    Raises:
        ValueError: fastnn has no such layer, or none with these options; the message names both.

    Warns:
        UserWarning: a regularizer or constraint that fastnn has not is left out; it matters in
            training alone.
    """
    rule = RULES.get(entry.class_name)
    if rule is None:
        raise no_layer(entry.where, entry.class_name)
    for option, value in entry.config.items():
        if option in rule.options or option in _NO_MATTER or asks_for_nothing(option, value):
            continue
        if value is None or value is False:
            continue
        if is_known(entry.class_name, option, value):
            continue
        if option in _TRAINING:
            warn(
                f"{entry.where}: {option} is left out; predictions are the same, training is not",
                UserWarning,
            )
            continue
        raise ValueError(f"{entry.where}: {option}={_short(value)} is not in fastnn")
    with at(entry.where):
        return rule.made(entry.config, common)


def row_shape_of(entry: Entry) -> tuple[int, ...]:
    """The shape of a row of an InputLayer."""
    config = entry.config
    shape = config.get("batch_shape", config.get("batch_input_shape"))
    if shape is None and isinstance(config.get("shape"), (list, tuple)):
        shape = [None, *config["shape"]]
    sizes = shape[1:] if isinstance(shape, (list, tuple)) else ()
    if not sizes or not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError(
            f"{entry.where}: expected the shape of a row with known sizes, got {_short(shape)}"
        )
    return tuple(sizes)


def dtype_of(entry: Entry) -> str | None:
    """ "float32" or "float64", where the layer says; 16-bit types are computed in float32."""
    policy = entry.config.get("dtype")
    if isinstance(policy, Mapping):
        inner = policy.get("config")
        policy = inner.get("name") if isinstance(inner, Mapping) else None
    if policy is None:
        return None
    if not isinstance(policy, str):
        raise ValueError(  # noqa: TRY004 - part of a file, not an argument
            f"{entry.where}: dtype: expected a name, got {_short(policy)}"
        )
    return "float64" if policy == "float64" else "float32"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
