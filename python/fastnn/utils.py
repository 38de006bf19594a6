"""Small public functions with Keras's names: the seed, one-hot targets, rows of norm 1,
pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastnn import elsewhere, keys
from fastnn.arrays.host import numeric
from fastnn.autodiff import drawing
from fastnn.data.rows import integral
from fastnn.listing import names_of
from fastnn.objects import deserialize_keras_object, serialize_keras_object
from fastnn.preprocessing.image import array_to_img, img_to_array, load_img, save_img
from fastnn.sequences import PyDataset, Sequence
from fastnn.serializable import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
)
from fastnn.serializable import register_serializable as register_keras_serializable
from fastnn.words import integer, keywords, number

__all__ = [
    "CustomObjectScope",
    "PyDataset",
    "Sequence",
    "array_to_img",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "img_to_array",
    "load_img",
    "normalize",
    "pack_x_y_sample_weight",
    "plot_model",
    "register_keras_serializable",
    "save_img",
    "serialize_keras_object",
    "set_random_seed",
    "to_categorical",
    "unpack_x_y_sample_weight",
]

__dir__ = names_of(__all__)


@keywords()
def set_random_seed(seed: int) -> None:
    """Makes later calls repeatable: models made in the same order are the same, bit for bit.

        >>> fastnn.utils.set_random_seed(1)
        >>> first = fastnn.random.normal((2,)).tolist()
        >>> fastnn.utils.set_random_seed(1)
        >>> fastnn.random.normal((2,)).tolist() == first
        True

    Each model draws a 64-bit key when it is made. Model number k after this call (from 0)
    draws splitmix64(splitmix64(seed) + k). First weights, dropout, the order of rows and the
    validation split come from that key. Without a seed, keys come from the system's entropy.
    `fastnn.random` begins anew, too.

    As in Keras, Python's `random` and NumPy's global generator are seeded, too; fastnn itself
    uses neither.

    Args:
        seed: an integer in [0, 2**32).

    Raises:
        ValueError, TypeError: seed is no such integer.
    """
    if integer("seed", seed, 0) >= 2**32:
        raise ValueError(f"seed: expected an integer in [0, 2**32), got {seed}")
    import random

    random.seed(int(seed))
    np.random.seed(int(seed))  # noqa: NPY002 (this is the generator that is meant)
    keys.reset(int(seed))
    drawing.reset(int(seed))


def clear_session() -> None:
    """Does nothing: a model is freed when its last name goes, and no global state is kept.

    >>> fastnn.utils.clear_session()
    """


def plot_model(
    model: Any,
    to_file: Any = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: Literal["TB", "LR"] = "TB",
    expand_nested: bool = False,
    dpi: float = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    **options: Any,
) -> Any:
    """Draws the graph of a model, as `model.plot` does, with the arguments and defaults of Keras.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
        >>> picture = fastnn.utils.plot_model(model, "model.svg", show_shapes=True)
        >>> picture[:4], "(None, 3)" in picture
        ('<svg', True)

    Args:
        model: a model that is built, or a chain of layers.
        to_file: the file, whose suffix decides the format; None: no file. ".svg" needs no other
            package, ".png" and others need matplotlib (the extra `plot`).
        show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, dpi,
            show_layer_activations, show_trainable: see `Model.plot`.
        **options: further ones of `Model.plot`, such as show_parameters=True.

    Returns:
        The picture as text in SVG, which notebooks show.
    """
    if not hasattr(model, "plot"):
        raise TypeError(f"model: expected a model, got {model!r}")
    return model.plot(
        to_file,
        show_shapes=show_shapes,
        show_dtype=show_dtype,
        show_layer_names=show_layer_names,
        rankdir=rankdir,
        expand_nested=expand_nested,
        dpi=dpi,
        show_layer_activations=show_layer_activations,
        show_trainable=show_trainable,
        **{"show_parameters": False, **options},
    )


@keywords(old={"y": "x"})
def to_categorical(
    x: ArrayLike, num_classes: int | None = None, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """One-hot targets (..., classes) of integer labels (...).

        >>> import fastnn
        >>> fastnn.utils.to_categorical([0, 2]).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]

    Args:
        x: labels from 0; a last axis of length 1 is dropped, as in Keras.
        num_classes: the number of classes; None: the largest label and one.
        dtype: the type of the targets, as in older versions of Keras.

    Raises:
        ValueError: a label is negative, not integral, or not below num_classes.
    """
    array = numeric("x", x)
    shape = array.shape[:-1] if array.ndim > 1 and array.shape[-1] == 1 else array.shape
    flat = integral("x", array.reshape(-1), "place")
    classes = int(flat.max(initial=-1)) + 1
    wanted = "integers of at least 0"
    if num_classes is not None:
        classes = integer("num_classes", num_classes)
        wanted = f"integers in [0, {classes})"
    wrong = (flat < 0) | (flat >= classes)
    if wrong.any():
        place = int(wrong.argmax())
        raise ValueError(f"x: expected {wanted}, got {flat[place]} at place {place}")
    hot = np.zeros((flat.size, classes), dtype=dtype)
    hot[np.arange(flat.size), flat] = 1
    return hot.reshape(*shape, classes)


@keywords()
def normalize(x: ArrayLike, axis: int = -1, order: float = 2) -> NDArray[Any]:
    """x divided by its norm along an axis; numbers whose norm is 0 stay 0.

        >>> fastnn.utils.normalize([[3.0, 4.0], [0.0, 0.0]], order=1).tolist()
        [[0.4285..., 0.5714...], [0.0, 0.0]]
        >>> fastnn.utils.normalize([[3.0, 4.0]]).tolist()
        [[0.6, 0.8]]

    Args:
        x: an array of any shape.
        axis: the axis along which norms are taken.
        order: that of the norm, at least 1: 2 for Euclid's, 1 for the sum of absolute values,
            np.inf for the largest.

    Raises:
        ValueError: order is below 1.
    """
    if order != np.inf:
        number("order", order, 1)
    array = numeric("x", x)
    if array.dtype.kind != "f":
        array = array.astype(np.float32)
    norm = np.linalg.norm(np.atleast_1d(array), order, axis, keepdims=True)
    norm[norm == 0] = 1
    return np.asarray(array / norm)


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """x, y and sample_weight of the data that a `train_step` gets; None for what is not there.

        >>> import fastnn
        >>> fastnn.utils.unpack_x_y_sample_weight(("x", "y"))
        ('x', 'y', None)

    Args:
        data: x alone, or a tuple or list (x,), (x, y) or (x, y, sample_weight).

    Raises:
        ValueError: it has more parts.
    """
    parts = tuple(data) if isinstance(data, (tuple, list)) else (data,)
    if not 1 <= len(parts) <= 3:
        raise ValueError(
            "data: expected x, (x,), (x, y) or (x, y, sample_weight), got a "
            f"{type(data).__name__} of {len(parts)}"
        )
    x, y, sample_weight = (*parts, None, None)[:3]
    return x, y, sample_weight


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """The data that a `train_step` gets: (x, y, sample_weight), (x, y), or x alone without y.

        >>> fastnn.utils.pack_x_y_sample_weight("x", "y")
        ('x', 'y')

    x that is itself a list or a tuple stands in a tuple: (x,).
    """
    if sample_weight is not None:
        return x, y, sample_weight
    if y is not None:
        return x, y
    return (x,) if isinstance(x, (list, tuple)) else x


if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "utils")
