"""Modules of PyTorch that normalize or look up, read and made: see `torch_modules`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.exports.chain import Step
from fastnn.exports.graph import refusal
from fastnn.interop.parts import Array
from fastnn.interop.tensors import array_of
from fastnn.layers.base import Layer
from fastnn.layers.batch import BatchNormalization
from fastnn.layers.embedding import Embedding
from fastnn.layers.lengths import RMSNormalization
from fastnn.layers.normalization import GroupNormalization, LayerNormalization
from fastnn.layers.prelu import PReLU


def layer_norm(module: Any, common: dict[str, Any]) -> tuple[Layer, list[Array]]:
    if len(module.normalized_shape) != 1:
        raise ValueError(
            f"normalized_shape: expected one axis, got {tuple(module.normalized_shape)}; "
            "LayerNormalization takes rows of one axis"
        )
    given = [("weight", module.weight), ("bias", module.bias)]
    weights = [array_of(name, value) for name, value in given if value is not None]
    layer = LayerNormalization(
        epsilon=module.eps,
        scale=module.weight is not None,
        center=module.bias is not None,
        **common,
    )
    return layer, weights


def rms_norm(module: Any, common: dict[str, Any]) -> tuple[Layer, list[Array]]:
    if len(module.normalized_shape) != 1:
        raise ValueError(
            f"normalized_shape: expected one axis, got {tuple(module.normalized_shape)}; "
            "RMSNormalization takes rows of one axis"
        )
    (size,) = module.normalized_shape
    scale = (
        np.ones(size, np.float32) if module.weight is None else array_of("weight", module.weight)
    )
    # PyTorch's default is the distance of 1 to the next number.
    epsilon = module.eps if module.eps is not None else float(np.finfo(scale.dtype).eps)
    return RMSNormalization(epsilon=epsilon, **common), [scale]


def _affine_of(module: Any, names: Sequence[str]) -> list[Array]:
    """The arrays of a module that has them, or ones and zeros under `affine=False`."""
    return [array_of(name, value) for name in names if (value := getattr(module, name)) is not None]


def batch_norm(module: Any, common: dict[str, Any]) -> tuple[Layer, list[Array]]:
    if not module.track_running_stats or module.running_mean is None:
        raise ValueError("track_running_stats: expected True: predictions need statistics")
    layer = BatchNormalization(
        # PyTorch's momentum is the share of the batch; None: all batches alike.
        momentum=0.99 if module.momentum is None else 1.0 - module.momentum,
        epsilon=module.eps,
        scale=module.weight is not None,
        center=module.bias is not None,
        **common,
    )
    return layer, _affine_of(module, ("weight", "bias", "running_mean", "running_var"))


def group_norm(module: Any, common: dict[str, Any]) -> tuple[Layer, list[Array]]:
    layer = GroupNormalization(
        module.num_groups,
        epsilon=module.eps,
        scale=module.weight is not None,
        center=module.bias is not None,
        **common,
    )
    return layer, _affine_of(module, ("weight", "bias"))


def prelu(module: Any, common: dict[str, Any]) -> tuple[Layer, list[Array]]:
    alpha = array_of("weight", module.weight)
    return PReLU(shared_axes=[1] if alpha.size == 1 else None, **common), [alpha]


def embedding(module: Any, common: dict[str, Any]) -> tuple[Layer, list[Array]]:
    if module.max_norm is not None:
        raise ValueError(f"max_norm: expected None, got {module.max_norm}")
    layer = Embedding(module.num_embeddings, module.embedding_dim, **common)
    return layer, [array_of("weight", module.weight)]


class Made(NamedTuple):
    """A module that a layer becomes, and the end of its name."""

    suffix: str
    module: Any


def fill(torch: Any, module: Any, arrays: dict[str, Array]) -> None:
    """Puts copies of arrays in the place of a module's parameters."""
    for name, array in arrays.items():
        tensor = torch.from_numpy(np.array(array, order="C"))
        setattr(module, name, torch.nn.Parameter(tensor))


def normalized(torch: Any, step: Step) -> list[Made]:
    layer = step.layer
    assert isinstance(layer, LayerNormalization)
    if layer.center and not layer.scale:
        raise refusal(layer, "PyTorch, unless it has a gamma,")
    norm = torch.nn.LayerNorm(
        step.given, eps=layer.epsilon, elementwise_affine=layer.scale, bias=layer.center
    )
    names = [
        name for name, is_there in (("weight", layer.scale), ("bias", layer.center)) if is_there
    ]
    fill(torch, norm, dict(zip(names, step.weights, strict=True)))
    return [Made("", norm)]


def rms(torch: Any, step: Step) -> list[Made]:
    layer = step.layer
    assert isinstance(layer, RMSNormalization)
    norm = torch.nn.RMSNorm(step.given, eps=layer.epsilon)
    fill(torch, norm, {"weight": step.weights[0]})
    return [Made("", norm)]


def batch(torch: Any, step: Step) -> list[Made]:
    layer = step.layer
    assert isinstance(layer, BatchNormalization)
    if layer.scale != layer.center:
        raise refusal(layer, "PyTorch, unless it has both gamma and beta or neither,")
    norm = torch.nn.BatchNorm1d(
        step.given[0], eps=layer.epsilon, momentum=1.0 - layer.momentum, affine=layer.scale
    )
    *affine, mean, variance = step.weights
    fill(torch, norm, dict(zip(("weight", "bias"), affine, strict=False)))
    for name, array in (("running_mean", mean), ("running_var", variance)):
        setattr(norm, name, torch.from_numpy(np.array(array, order="C")))
    return [Made("", norm)]


def grouped(torch: Any, step: Step) -> list[Made]:
    layer = step.layer
    assert isinstance(layer, GroupNormalization)
    if layer.scale != layer.center:
        raise refusal(layer, "PyTorch, unless it has both gamma and beta or neither,")
    groups = step.given[0] if layer.groups == -1 else layer.groups
    norm = torch.nn.GroupNorm(groups, step.given[0], eps=layer.epsilon, affine=layer.scale)
    fill(torch, norm, dict(zip(("weight", "bias"), step.weights, strict=False)))
    return [Made("", norm)]


def sloped(torch: Any, step: Step) -> list[Made]:
    alpha = step.weights[0]
    if alpha.size not in (1, alpha.shape[0]):
        raise refusal(
            step.layer, "PyTorch, unless its slopes are those of the first axis of a row,"
        )
    module = torch.nn.PReLU(alpha.size)
    fill(torch, module, {"weight": alpha.reshape(-1)})
    return [Made("", module)]


def embedded(torch: Any, step: Step) -> list[Made]:
    table = step.weights[0]
    module = torch.nn.utils.skip_init(torch.nn.Embedding, *table.shape)
    fill(torch, module, {"weight": table})
    return [Made("", module)]
