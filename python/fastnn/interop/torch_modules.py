"""Models of PyTorch: nn.Sequential of the layers that fastnn has, in both directions.

PyTorch is imported only to make modules. A module that is given is read without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fastnn.activation_words import native, word
from fastnn.exports.chain import Step, chain_of
from fastnn.exports.graph import activation_of, kind_of, refusal
from fastnn.extras import needed
from fastnn.interop import torch_layers
from fastnn.interop.parts import Array, Part, at, no_layer, sequential
from fastnn.interop.tensors import array_of
from fastnn.interop.torch_layers import Made, fill
from fastnn.layers.activation import ELU, Activation, LeakyReLU, ReLU, Softmax
from fastnn.layers.base import Layer, Shape
from fastnn.layers.batch import BatchNormalization
from fastnn.layers.dense import Dense
from fastnn.layers.embedding import Embedding
from fastnn.layers.lengths import RMSNormalization
from fastnn.layers.noise import AlphaDropout, Dropout
from fastnn.layers.normalization import GroupNormalization, LayerNormalization
from fastnn.layers.prelu import PReLU
from fastnn.layers.shape import Flatten, Identity, Reshape
from fastnn.models import Model, Sequential
from fastnn.models.exported import graph_of
from fastnn.words import integer, keywords


@keywords()
def from_torch(
    module: Any,
    *,
    input_shape: Sequence[int] | None = None,
    dtype: str | None = None,
    name: str | None = None,
) -> Sequential:
    """A built Sequential that predicts what a module of PyTorch gives in evaluation mode.

        >>> import torch
        >>> module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        >>> model = fastnn.from_torch(module)
        >>> x = np.eye(4, dtype="float32")
        >>> bool(np.allclose(model.predict(x), module(torch.from_numpy(x)).detach(), atol=1e-6))
        True

    Weights are copied. A Linear followed by an activation becomes one Dense. The layers take the
    names of the module's children, except where these are numbers.

    Args:
        module: an nn.Sequential, also of nn.Sequentials, of Linear, LayerNorm and RMSNorm over one
            axis, activations of single numbers, Softmax, Dropout, AlphaDropout, Flatten, Unflatten
            and Identity; or one of these.
        input_shape: the shape of one row; None: (in_features,) of the first Linear. A module that
            begins with Flatten or Unflatten needs it.
        dtype: "float32" or "float64"; None: that of the module's weights.
        name: of the model.

    Raises:
        ValueError: a child that fastnn has no layer for, or with options that no layer has; the
            message names the child. A module that computes by a `forward` of its own: copy its
            weights with `load_state_dict`.
        TypeError: it is no module.
    """
    if not hasattr(module, "named_children") or not hasattr(module, "state_dict"):
        raise TypeError(f"module: expected a torch.nn.Module, got {type(module).__name__}")
    parts = [part for path, child in _flat("", module, set()) for part in _part(path, child)]
    if not parts:
        raise ValueError("module: expected layers, got an empty module")
    shape = _first_shape(module, parts) if input_shape is None else _checked_shape(input_shape)
    return sequential(_joined(parts), shape, dtype=dtype, name=name)


def _flat(path: str, module: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """The modules that compute, in order, with their paths."""
    where = f"{path or 'module'} ({type(module).__name__})"
    if module._forward_hooks or module._forward_pre_hooks:
        raise ValueError(f"{where}: it has hooks, which may change what it computes")
    if _is(module, "Sequential"):
        for name, child in module._modules.items():
            yield from _flat(f"{path}.{name}" if path else name, child, seen)
        return
    if id(module) in seen and next(module.parameters(), None) is not None:
        raise ValueError(
            f"{where}: the module occurs twice; in a Sequential layers cannot share weights"
        )
    seen.add(id(module))
    yield path, module


def _is(module: Any, kind: str) -> bool:
    """Whether a module is one of torch.nn's `kind`, or derived from it with the same `forward`."""
    for base in type(module).__mro__:
        if base.__name__ == kind and base.__module__.startswith("torch.nn."):
            return type(module).forward is base.forward  # type: ignore[attr-defined]
    return False


# -- from PyTorch

_Reader = Callable[[Any, dict[str, Any]], tuple[Layer, list[Array]] | None]


def _linear(module: Any, common: dict[str, Any]) -> tuple[Layer, list[Array]]:
    weights = [array_of("weight", module.weight).T]
    if module.bias is not None:
        weights.append(array_of("bias", module.bias))
    return Dense(module.out_features, use_bias=module.bias is not None, **common), weights


def _softplus(module: Any, common: dict[str, Any]) -> tuple[Layer, list[Array]]:
    # Above the threshold it is linear: at the default, 20, within 2e-9 of softplus.
    if module.beta != 1 or module.threshold < 15:
        raise ValueError(
            f"expected beta=1 and a threshold of at least 15, got beta={module.beta}, "
            f"threshold={module.threshold}"
        )
    return Activation("softplus", **common), []


def _gelu(module: Any, common: dict[str, Any]) -> tuple[Layer, list[Array]]:
    return Activation("gelu" if module.approximate == "none" else "gelu_tanh", **common), []


def _softmax(module: Any, common: dict[str, Any]) -> tuple[Layer, list[Array]]:
    _check_columns(module)
    return Softmax(**common), []


def _log_softmax(module: Any, common: dict[str, Any]) -> tuple[Layer, list[Array]]:
    _check_columns(module)
    return Activation("log_softmax", **common), []


def _glu(module: Any, common: dict[str, Any]) -> tuple[Layer, list[Array]]:
    _check_columns(module)
    return Activation("glu", **common), []


def _check_columns(module: Any) -> None:
    if module.dim not in (None, 1, -1):
        raise ValueError(f"dim: expected 1 or -1, the axis of the columns, got {module.dim}")


def _hard_tanh(module: Any, common: dict[str, Any]) -> tuple[Layer, list[Array]]:
    low, high = module.min_val, module.max_val
    if low == 0:
        return ReLU(float(high), **common), []
    if (low, high) != (-1, 1):
        raise ValueError(f"expected limits of -1 and 1, or of 0 and another, got {low} and {high}")
    return Activation("hard_tanh", **common), []


def _flatten(module: Any, common: dict[str, Any]) -> tuple[Layer, list[Array]]:
    if module.start_dim != 1 or module.end_dim != -1:
        raise ValueError(
            f"expected start_dim=1 and end_dim=-1, got {module.start_dim} and {module.end_dim}"
        )
    return Flatten(**common), []


def _unflatten(module: Any, common: dict[str, Any]) -> tuple[Layer, list[Array]]:
    if module.dim not in (1, -1) or not all(isinstance(n, int) for n in module.unflattened_size):
        raise ValueError(
            f"expected dim=1 and sizes, got {module.dim!r} and {module.unflattened_size!r}"
        )
    return Reshape(tuple(module.unflattened_size), **common), []


def _word(activation: str, **parameters: str) -> _Reader:
    """Of a module with these attributes as parameters of the activation."""

    def read(module: Any, common: dict[str, Any]) -> tuple[Layer, list[Array]]:
        given = {name: float(getattr(module, theirs)) for name, theirs in parameters.items()}
        return Activation(word(activation, **given), **common), []

    return read


READERS: dict[str, _Reader] = {
    "Linear": _linear,
    "LayerNorm": torch_layers.layer_norm,
    "ReLU": _word("relu"),
    "LeakyReLU": lambda module, common: (LeakyReLU(module.negative_slope, **common), []),
    "ELU": lambda module, common: (ELU(module.alpha, **common), []),
    "CELU": _word("celu", alpha="alpha"),
    "SELU": _word("selu"),
    "GELU": _gelu,
    "SiLU": _word("silu"),
    "Mish": _word("mish"),
    "ReLU6": _word("relu6"),  # before Hardtanh, which it is derived from
    "Hardtanh": _hard_tanh,
    "Hardswish": _word("hard_silu"),
    "Hardsigmoid": _word("hard_sigmoid"),
    "LogSigmoid": _word("log_sigmoid"),
    "Softsign": _word("softsign"),
    "Softshrink": _word("soft_shrink", threshold="lambd"),
    "Hardshrink": _word("hard_shrink", threshold="lambd"),
    "Tanhshrink": _word("tanh_shrink"),
    "Threshold": _word("threshold", threshold="threshold", default_value="value"),
    "Softplus": _softplus,
    "Sigmoid": _word("sigmoid"),
    "Tanh": _word("tanh"),
    "Softmax": _softmax,
    "LogSoftmax": _log_softmax,
    "RMSNorm": torch_layers.rms_norm,
    "BatchNorm1d": torch_layers.batch_norm,
    "GroupNorm": torch_layers.group_norm,
    "Embedding": torch_layers.embedding,
    "PReLU": torch_layers.prelu,
    "GLU": _glu,
    "Dropout": lambda module, common: (Dropout(module.p, **common), []),
    "AlphaDropout": lambda module, common: (AlphaDropout(module.p, **common), []),
    "Flatten": _flatten,
    "Unflatten": _unflatten,
    "Identity": lambda _module, _: None,
}


def _part(path: str, module: Any) -> list[Part]:
    """The layer of a module; none for one that changes nothing."""
    kind = type(module).__name__
    where = f"{path or 'module'} ({kind})"
    for known, reader in READERS.items():
        if _is(module, known):
            named = not all(part.isdigit() for part in path.split(".")) and bool(path)
            common = {"name": path.replace("/", "_")} if named else {}
            with at(where):
                made = reader(module, common)
            return [] if made is None else [Part(where, *made)]
    if next(module.named_children(), None) is not None:
        raise ValueError(
            f"{where}: expected an nn.Sequential; what another module computes is in its `forward`. "
            "Make the model in fastnn and copy the weights with fastnn.interop.load_state_dict, or "
            "export the module as ONNX for fastnn.from_onnx"
        )
    raise no_layer(where, kind)


def _joined(parts: list[Part]) -> list[Part]:
    """A Dense and the activation after it become one layer, where Dense has that activation."""
    made: list[Part] = []
    for part in parts:
        last = made[-1].layer if made else None
        if (
            isinstance(last, Dense)
            and last.activation == "linear"
            and isinstance(part.layer, Activation)
            and part.layer.activation != "glu"  # which has half the columns
            and not native(part.layer.activation).parameters
        ):
            last.activation = part.layer.activation
        else:
            made.append(part)
    return made


def _first_shape(module: Any, parts: Sequence[Part]) -> Shape:
    """The shape of a row that the first layer with weights asks for."""
    for part in parts:
        if isinstance(part.layer, (Flatten, Reshape)):
            break
        if part.weights:
            return (int(part.weights[0].shape[0]),)
    raise ValueError(
        f"input_shape: give the shape of one row, such as (28, 28); {type(module).__name__} does not "
        "tell it"
    )


def _checked_shape(given: Any) -> Shape:
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise TypeError(f"input_shape: expected a tuple such as (784,), got {given!r}")
    return tuple(integer("input_shape", size) for size in given)


# -- to PyTorch


@keywords()
def to_torch(model: Model) -> Any:
    """A torch.nn.Sequential that gives what `predict` gives, in evaluation mode.

        >>> import torch
        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
        >>> model.set_weights([[[3.0]], [1.0]])
        >>> fastnn.to_torch(model)(torch.tensor([[2.0]])).tolist()
        [[7.0]]

    It has the layers' names, weights of its own in the model's dtype, and dropout, which acts after
    `module.train()`. A Rescaling becomes part of the Linear after it. Activations of Dense layers are
    modules of their own.

    Args:
        model: a built chain of layers.

    Raises:
        ValueError: the model is no chain, or PyTorch has no form of a layer; the message names it.
        RuntimeError: the model is not built.
        ImportError: PyTorch is not installed.
    """
    graph = graph_of(model, "to_torch")
    steps = chain_of(graph, "to_torch", "nn.Sequential")
    torch = needed("torch", "to_torch")
    module = torch.nn.Sequential()
    for step in steps:
        kind = kind_of(step.layer, WRITERS)
        if kind is None:
            raise refusal(step.layer, "PyTorch")
        for made in WRITERS[kind](torch, step):
            module.add_module(_free(module, step.layer.name + made.suffix), made.module)
    return module.to(getattr(torch, graph.dtype)).eval()


def _free(module: Any, name: str) -> str:
    """A name for a child: without dots, and not that of an attribute."""
    name = name.replace(".", "_")
    while hasattr(module, name):
        name += "_"
    return name


_Writer = Callable[[Any, Step], list[Made]]


def _activations(torch: Any, layer: Layer) -> list[Made]:
    name, parameters = activation_of(layer)
    if name == "linear":
        return []
    made = ACTIVATIONS[name](torch.nn, **parameters) if name in ACTIVATIONS else None
    if made is None:
        word = getattr(layer, "activation")  # noqa: B009 - not every Layer has one
        raise ValueError(f"layer {layer.name!r}: PyTorch has no form of the activation {word}")
    return [Made(f"_{name}" if isinstance(layer, Dense) else "", made)]


def _rectifier(nn: Any, max_value: float, negative_slope: float, threshold: float) -> Any:
    """The module, or None where there is none."""
    if threshold == 0 and negative_slope == 0:
        return nn.Hardtanh(0.0, max_value)
    if negative_slope == 0 and max_value == math.inf:
        return nn.Threshold(threshold, 0.0)
    return None


ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "linear": lambda nn: nn.Identity(),
    "relu": lambda nn: nn.ReLU(),
    "leaky_relu": lambda nn, negative_slope: nn.LeakyReLU(negative_slope),
    "elu": lambda nn, alpha: nn.ELU(alpha),
    "gelu": lambda nn: nn.GELU(),
    "silu": lambda nn: nn.SiLU(),
    "softplus": lambda nn: nn.Softplus(threshold=40.0),  # softplus to the last bit of float64
    "sigmoid": lambda nn: nn.Sigmoid(),
    "tanh": lambda nn: nn.Tanh(),
    "softmax": lambda nn: nn.Softmax(dim=-1),
    "log_softmax": lambda nn: nn.LogSoftmax(dim=-1),
    "rectifier": _rectifier,
    "relu6": lambda nn: nn.ReLU6(),
    "selu": lambda nn: nn.SELU(),
    "celu": lambda nn, alpha: nn.CELU(alpha),
    "gelu_tanh": lambda nn: nn.GELU(approximate="tanh"),
    "hard_silu": lambda nn: nn.Hardswish(),
    "hard_sigmoid": lambda nn: nn.Hardsigmoid(),
    "hard_tanh": lambda nn: nn.Hardtanh(),
    "mish": lambda nn: nn.Mish(),
    "softsign": lambda nn: nn.Softsign(),
    "soft_shrink": lambda nn, threshold: nn.Softshrink(threshold),
    "hard_shrink": lambda nn, threshold: nn.Hardshrink(threshold),
    "tanh_shrink": lambda nn: nn.Tanhshrink(),
    "threshold": lambda nn, threshold, default_value: nn.Threshold(threshold, default_value),
    "log_sigmoid": lambda nn: nn.LogSigmoid(),
    "glu": lambda nn: nn.GLU(dim=-1),
}


def _activation(torch: Any, step: Step) -> list[Made]:
    return _activations(torch, step.layer)


def _dense(torch: Any, step: Step) -> list[Made]:
    kernel, *bias = step.weights
    linear = torch.nn.utils.skip_init(torch.nn.Linear, *kernel.shape, bias=bool(bias))
    fill(torch, linear, {"weight": kernel.T, **({"bias": bias[0]} if bias else {})})
    return [Made("", linear), *_activations(torch, step.layer)]


def _dropout(torch: Any, step: Step) -> list[Made]:
    """A Dropout or an AlphaDropout: PyTorch has both names."""
    make = getattr(torch.nn, type(step.layer).__name__)
    return [Made("", make(getattr(step.layer, "rate")))]  # noqa: B009


def _flattened(torch: Any, _: Step) -> list[Made]:
    return [Made("", torch.nn.Flatten())]


def _reshaped(torch: Any, step: Step) -> list[Made]:
    flat = [] if len(step.given) == 1 else [Made("_flatten", torch.nn.Flatten())]
    if len(step.made) == 1:
        return [Made("", torch.nn.Flatten())]
    assert math.prod(step.made) == math.prod(step.given)
    return [*flat, Made("", torch.nn.Unflatten(1, step.made))]


WRITERS: dict[type[Layer], _Writer] = {
    Dense: _dense,
    Activation: _activation,
    LeakyReLU: _activation,
    ELU: _activation,
    ReLU: _activation,
    Softmax: _activation,
    LayerNormalization: torch_layers.normalized,
    RMSNormalization: torch_layers.rms,
    BatchNormalization: torch_layers.batch,
    GroupNormalization: torch_layers.grouped,
    Embedding: torch_layers.embedded,
    PReLU: torch_layers.sloped,
    Identity: lambda torch, _: [Made("", torch.nn.Identity())],
    Dropout: _dropout,
    AlphaDropout: _dropout,
    Flatten: _flattened,
    Reshape: _reshaped,
}
