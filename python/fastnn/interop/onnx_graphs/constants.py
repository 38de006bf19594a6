"""Operations on constants alone, as writers put them before reshapes and kernels.

Shapes are constants too: the number of rows in them is BATCH, in an array of objects, with which
nothing can be computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.interop.onnx_graphs.call import Call
from fastnn.interop.parts import Array

_MOST_MADE = 2**26  # numbers that are made of nothing
# Types of ONNX by their numbers, as the attribute of Cast has them.
_CAST = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float32",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "float32",
}


def cast_type(call: Call) -> str:
    """The type that a Cast makes. float16 and bfloat16 count as float32."""
    number = call.integer("to", 0)
    call.ignore("saturate", "round_mode")
    if number not in _CAST:
        raise call.refusal(f"there is no type of the number {number} in fastnn")
    return _CAST[number]


def fold(call: Call) -> Array:
    """What a node makes of constants, the same array for the same ones.

    Raises:
        ValueError: the operation is not known, or does not take them; the message names the node.
    """
    op, arrays = call.node.op, [call.constant(i, "a value") for i in range(len(call.inputs))]
    if op not in FOLDERS:
        raise call.refusal("fastnn does not know this operation of constants")

    def make() -> Array:
        with np.errstate(all="ignore"):
            made = np.asarray(FOLDERS[op](call, arrays))
        call.finish()
        return made

    try:
        if op in ("Constant", "ConstantOfShape"):  # each has numbers of its own
            return make()
        options = sorted(call.node.attributes.items(), key=lambda item: item[0])
        return call.terms.once(f"{op} {options!r}", arrays, make)
    except (TypeError, IndexError, OverflowError, np.exceptions.AxisError) as error:
        raise call.refusal(f"it does not fit its inputs: {error}") from None
    except ValueError as error:
        known = str(error).startswith(call.node.label)
        raise (error if known else call.refusal(f"it does not fit its inputs: {error}")) from None


def _constant(call: Call, _: list[Array]) -> Any:
    for name, dtype in (
        *(("value", None), ("value_float", np.float32), ("value_int", np.int64)),
        *(("value_floats", np.float32), ("value_ints", np.int64)),
    ):
        value = call.option(name, None, (np.ndarray, float, int, list))
        if value is not None:
            return np.asarray(value, dtype)
    raise call.refusal("it has no value")


def _cast(call: Call, arrays: list[Array]) -> Any:
    kind = cast_type(call)
    if arrays[0].dtype == object:
        if np.dtype(kind).kind not in "iu":
            raise call.refusal("the number of rows becomes a part of the values")
        return arrays[0]
    return arrays[0].astype(kind)


def _cast_like(call: Call, arrays: list[Array]) -> Any:
    call.ignore("saturate", "round_mode")
    return arrays[0] if arrays[1].dtype == object else arrays[0].astype(arrays[1].dtype)


def _checked(call: Call, shape: list[Any]) -> list[int]:
    if not all(type(n) is int and n >= 0 for n in shape) or math.prod(shape) > _MOST_MADE:
        raise call.refusal(f"constants of shape {shape!r} are not known or too large")
    return shape


def _constant_of_shape(call: Call, arrays: list[Array]) -> Any:
    value = call.option("value", np.zeros(1, np.float32), np.ndarray)
    return np.full(_checked(call, arrays[0].tolist()), value.reshape(-1)[0])


def _expand(call: Call, arrays: list[Array]) -> Any:
    shape = np.broadcast_shapes(arrays[0].shape, tuple(_checked(call, arrays[1].tolist())))
    return np.broadcast_to(arrays[0], _checked(call, list(shape)))


def _reshape(call: Call, arrays: list[Array]) -> Any:
    kept = call.integer("allowzero", 0) == 0
    sizes = [int(n) for n in arrays[1].tolist()]
    old = arrays[0].shape
    return arrays[0].reshape([old[i] if n == 0 and kept else n for i, n in enumerate(sizes)])


def _transpose(call: Call, arrays: list[Array]) -> Any:
    return np.ascontiguousarray(arrays[0].transpose(call.option("perm", None, list)))


def _unsqueeze(call: Call, arrays: list[Array]) -> Any:
    return np.expand_dims(arrays[0], tuple(call.axes(1, first=13) or ()))


def _squeeze(call: Call, arrays: list[Array]) -> Any:
    axes = call.axes(1, first=13)
    return np.squeeze(arrays[0], None if axes is None else tuple(axes))


def _concat(call: Call, arrays: list[Array]) -> Any:
    mixed = any(array.dtype == object for array in arrays)
    parts = [array.astype(object) for array in arrays] if mixed else arrays
    return np.concatenate(parts, call.integer("axis", 0))


def _gather(call: Call, arrays: list[Array]) -> Any:
    if math.prod(arrays[1].shape) * arrays[0].size > _MOST_MADE:
        raise call.refusal("the constants that it makes are too large")
    return np.take(arrays[0], arrays[1], axis=call.integer("axis", 0))


def _slice(call: Call, arrays: list[Array]) -> Any:
    if call.opset < 10:
        starts, ends = call.option("starts", [], list), call.option("ends", [], list)
        axes, steps = call.option("axes", None, list), None
    else:
        starts, ends = arrays[1].tolist(), arrays[2].tolist()
        axes = arrays[3].tolist() if len(arrays) > 3 else None
        steps = arrays[4].tolist() if len(arrays) > 4 else None
    index = [slice(None)] * arrays[0].ndim
    for i, start in enumerate(starts):
        step = 1 if steps is None else steps[i]
        end = None if step < 0 and ends[i] < -arrays[0].size else ends[i]
        index[i if axes is None else axes[i]] = slice(start, end, step)
    return arrays[0][tuple(index)]


def _range(call: Call, arrays: list[Array]) -> Any:
    start, end, step = (float(array.reshape(-1)[0]) for array in arrays)
    if step == 0 or (end - start) / step > _MOST_MADE:
        raise call.refusal("its constants are too many")
    return np.arange(start, end, step).astype(arrays[0].dtype)


def _same(_: Call, arrays: list[Array]) -> Any:
    return arrays[0]


def _divide(_: Call, arrays: list[Array]) -> Any:
    a, b = arrays
    if a.dtype.kind != "f":  # towards zero, as in C
        return (np.sign(a) * np.sign(b) * (abs(a) // abs(b))).astype(a.dtype)
    return a / b


def _elementwise(function: Callable[..., Any]) -> Callable[[Call, list[Array]], Any]:
    def folded(call: Call, arrays: list[Array]) -> Any:
        if any(array.dtype == object for array in arrays):
            raise call.refusal("it computes with the number of rows")
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        if math.prod(shape) > max(_MOST_MADE, *(array.size for array in arrays)):
            raise call.refusal(f"constants of shape {shape} are too large")
        return np.asarray(function(*arrays)).astype(arrays[0].dtype)

    return folded


FOLDERS: dict[str, Callable[[Call, list[Array]], Any]] = {
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Identity": _same,
    "Expand": _expand,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Range": _range,
    "Shape": lambda _, arrays: np.array(arrays[0].shape, np.int64),
    "Add": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "Div": lambda call, arrays: _elementwise(lambda a, b: _divide(call, [a, b]))(call, arrays),
    "Pow": _elementwise(np.power),
    "Max": _elementwise(lambda *arrays: np.maximum.reduce(np.broadcast_arrays(*arrays))),
    "Min": _elementwise(lambda *arrays: np.minimum.reduce(np.broadcast_arrays(*arrays))),
    "Neg": _elementwise(np.negative),
    "Abs": _elementwise(np.abs),
    "Sqrt": _elementwise(np.sqrt),
    "Exp": _elementwise(np.exp),
    "Log": _elementwise(np.log),
    "Reciprocal": _elementwise(np.reciprocal),
}
