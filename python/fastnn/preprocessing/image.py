"""Images from files as arrays, and back, by Pillow: the functions of Keras's `preprocessing.image`.

Pillow is an extra of the package, and is imported when a function is first called.
"""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastnn import elsewhere
from fastnn.arrays.host import numeric
from fastnn.console import warn
from fastnn.listing import names_of
from fastnn.words import choose, flag, integer, keywords

__all__ = [
    "array_to_img",
    "img_to_array",
    "load_img",
    "save_img",
]

__dir__ = names_of(__all__)

ColorMode = Literal["grayscale", "rgb", "rgba"]
DataFormat = Literal["channels_last", "channels_first"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "hamming", "box", "lanczos"]

_COLOR_MODES: tuple[ColorMode, ...] = ("grayscale", "rgb", "rgba")
_DATA_FORMATS: tuple[DataFormat, ...] = ("channels_last", "channels_first")
_INTERPOLATIONS: tuple[Interpolation, ...] = (
    *("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos"),
)


@keywords()
def load_img(
    path: Any,
    color_mode: ColorMode = "rgb",
    target_size: Sequence[int] | None = None,
    interpolation: Interpolation = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:
    """Reads an image from a file, as an image of Pillow. Needs Pillow (the extra `image`).

        >>> fastnn.utils.save_img("white.png", np.full((2, 3, 3), 255), scale=False)
        >>> image = fastnn.utils.load_img("white.png", target_size=(4, 6))
        >>> fastnn.utils.img_to_array(image).shape
        (4, 6, 3)

    Arguments, defaults and pixels are Keras's. As there, a rotation that a camera has noted in the
    file (EXIF) is not applied.

    Args:
        path: the path of a file, or a file that is open for reading bytes, such as `io.BytesIO`,
            which is read from its beginning.
        color_mode: "rgb", "rgba" or "grayscale". Grayscale images of 16 or 32 bits keep their
            pixels in "grayscale". In "rgb" and "rgba" those of 16 bits are scaled to 8 bits (Keras
            cuts them at 255, so that almost all pixels are white).
        target_size: (height, width) in pixels to resize the image to; None: its own size.
        interpolation: how it is resized: "nearest", "bilinear", "bicubic", "hamming", "box" or
            "lanczos".
        keep_aspect_ratio: whether the image is cut in its centre to the proportions of target_size
            first, rather than stretched.

    Raises:
        ImportError: Pillow is not installed.
        OSError: there is no such file, or (`PIL.UnidentifiedImageError`) it holds no image that
            Pillow knows, or an incomplete one.
        ValueError: an argument is none of the above; the message has its name and value.
        TypeError: path is neither a path nor a file of bytes.
    """
    choose("color_mode", color_mode, _COLOR_MODES)
    choose("interpolation", interpolation, _INTERPOLATIONS)
    flag("keep_aspect_ratio", keep_aspect_ratio)
    size = None if target_size is None else _size(target_size)
    image = _converted(_opened(path), color_mode)
    if size is None or image.size == size:
        return image
    box = _centre(image.size, size) if keep_aspect_ratio else None
    resampling = _pillow("load_img").Resampling[interpolation.upper()]
    return image.resize(size, resampling, box=box)


@keywords()
def img_to_array(
    img: Any, data_format: DataFormat | None = None, dtype: DTypeLike | None = None
) -> NDArray[Any]:
    """The pixels of an image as an array (height, width, channels).

        >>> from fastnn.preprocessing.image import img_to_array
        >>> img_to_array([[0, 255]]).tolist()
        [[[0.0], [255.0]]]

    Args:
        img: an image of Pillow, or an array (height, width) or (height, width, channels).
        data_format: "channels_last" (the default), or "channels_first" for an array (channels,
            height, width).
        dtype: the type of the numbers; None: float32. They are not scaled: 8 bits are 0 to 255.

    Raises:
        ValueError: img has another number of axes, or an argument is unknown.
        TypeError: img is no image and no array.
    """
    first = _channels_first(data_format)
    if isinstance(img, (str, bytes, os.PathLike)):
        raise TypeError(f"img: expected an image, as load_img reads, or an array, got {img!r}")
    pixels = numeric("img", np.asarray(img)).astype(_dtype(dtype))
    if pixels.ndim not in (2, 3):
        raise ValueError(
            "img: expected an image of shape (height, width) or (height, width, channels), got "
            f"{pixels.shape}"
        )
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) if first else pixels


@keywords()
def array_to_img(
    x: ArrayLike,
    data_format: DataFormat | None = None,
    scale: bool = True,
    dtype: DTypeLike | None = None,
) -> Any:
    """An image of Pillow from an array (height, width, channels). Needs Pillow (extra `image`).

        >>> fastnn.utils.array_to_img(np.zeros((2, 3, 1))).size  # (width, height)
        (3, 2)

    Args:
        x: numbers with 1 channel (grayscale), 3 (RGB) or 4 (RGBA).
        data_format: "channels_last" (the default), or "channels_first" for an array (channels,
            height, width).
        scale: whether the least number becomes 0 and the largest 255. Without it they have to be
            in [0, 255], or with one channel in [0, 2**31), which above 255 makes an image of 32
            bits. Fractions are cut off.
        dtype: the type that is computed in; None: float32.

    Raises:
        ImportError: Pillow is not installed.
        ValueError: x has another number of axes or channels, or numbers out of range.
    """
    image = _pillow("array_to_img")
    first = _channels_first(data_format)
    pixels = numeric("x", np.asarray(x)).astype(_dtype(dtype))
    if pixels.ndim != 3:
        raise ValueError(f"x: expected one image, an array of 3 axes, got shape {pixels.shape}")
    if first:
        pixels = pixels.transpose(1, 2, 0)
    channels = pixels.shape[2]
    if channels not in (1, 3, 4):
        layout = "channels_first" if first else "channels_last"
        raise ValueError(
            f"x: expected 1, 3 or 4 channels, got {channels} (shape {np.shape(x)} as {layout!r})"
        )
    if pixels.size == 0:
        raise ValueError(f"x: expected at least one pixel, got shape {np.shape(x)}")
    if flag("scale", scale):
        pixels = pixels - _finite(pixels).min()
        largest = pixels.max()
        pixels = (pixels / largest if largest != 0 else pixels) * 255
    deep = _finite(pixels).max() > 255 and channels == 1
    _check_range(pixels, 2.0**31 if deep else 256.0)
    kind = np.int32 if deep else np.uint8
    made = pixels[:, :, 0] if channels == 1 else pixels
    return image.fromarray(np.ascontiguousarray(made.astype(kind)))


def save_img(
    path: Any,
    x: ArrayLike,
    data_format: DataFormat | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **options: Any,
) -> None:
    """Writes an array (height, width, channels) as an image file. Needs Pillow (extra `image`).

        >>> fastnn.utils.save_img("dots.png", [[[0], [128], [255]]], scale=False)
        >>> image = fastnn.utils.load_img("dots.png", color_mode="grayscale")
        >>> fastnn.utils.img_to_array(image)[..., 0].tolist()
        [[0.0, 128.0, 255.0]]

    Args:
        path: a path, or a file that is open for writing bytes, with file_format.
        x, data_format, scale: see `array_to_img`.
        file_format: "png", "jpeg" and so on; None: that of the path's suffix.
        **options: Pillow's for this format, such as `quality=90`.

    Raises:
        ImportError: Pillow is not installed.
        ValueError: the format is not known, or see `array_to_img`.

    Warns:
        UserWarning: the format JPEG has no place for the fourth channel, which is left out.
    """
    image = array_to_img(x, data_format=data_format, scale=scale)
    name = _format_of(path, file_format)
    if name == "JPEG" and image.mode == "RGBA":
        warn("save_img: JPEG has no alpha channel: it is left out", UserWarning)
        image = image.convert("RGB")
    image.save(path, format=name, **options)


def _pillow(function: str) -> Any:
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as error:
        raise ImportError(
            f"{function} needs Pillow: pip install pillow, or install fastnn from its source with "
            "the extra 'image', pip install '.[image]'"
        ) from error


def _opened(path: Any) -> Any:
    """The image in a file, read to its end."""
    module = _pillow("load_img")
    data = _bytes_of(path)
    name = repr(path)
    try:
        image = module.open(io.BytesIO(data))
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # a broken PNG is a SyntaxError
        told = "no image in a format that Pillow knows"
        if not isinstance(error, importlib.import_module("PIL").UnidentifiedImageError):
            told = str(error)
        if not data:
            told = "an empty file"
        kind = type(error) if isinstance(error, OSError) else OSError
        raise kind(f"path: {name}: {told}") from None
    return image


def _bytes_of(path: Any) -> bytes:
    read = getattr(path, "read", None)
    if read is None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            raise TypeError(f"path: expected a path or a file of bytes, got {path!r}")
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - pathlib would slow down the import
                return file.read()
        except ValueError:  # a zero in it
            raise ValueError(
                f"path: expected the name of a file, got {os.fsencode(path)[:20]!r}...; bytes of an image go "
                "into io.BytesIO"
            ) from None
    if callable(getattr(path, "seek", None)) and getattr(path, "seekable", lambda: True)():
        path.seek(0)
    data = read()
    if not isinstance(data, bytes):
        raise TypeError(f"path: expected a file of bytes, got {path!r}; open it with mode 'rb'")
    return data


def _converted(image: Any, color_mode: ColorMode) -> Any:
    """The image in the mode of Pillow that a color_mode means."""
    if color_mode == "grayscale":
        if image.mode in ("L", "I", "I;16"):
            return image
        if image.mode.startswith("I;16"):  # in another byte order, which Pillow cannot resize
            return _pillow("load_img").fromarray(np.asarray(image).astype(np.uint16))
        return _plain(image).convert("L")
    wanted = color_mode.upper()
    return image if image.mode == wanted else _plain(image).convert(wanted)


def _plain(image: Any) -> Any:
    """The image without what Pillow converts wrongly, or with a warning."""
    if image.mode.startswith("I;16"):
        upper = np.asarray(image).astype(np.uint16) >> 8
        return _pillow("load_img").fromarray(upper.astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA")
    return image


def _size(given: Any) -> tuple[int, int]:
    """(width, height), as Pillow has it, of a target_size (height, width)."""
    values = list(given) if isinstance(given, (list, tuple, np.ndarray)) else None
    if values is None or len(values) != 2:
        raise ValueError(f"target_size: expected (height, width) in pixels, got {given!r}")
    height, width = (integer("target_size", value, 1, 2**31 - 1) for value in values)
    return width, height


def _centre(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest box (left, top, right, bottom) in the centre with the proportions of `wanted`."""
    width, height = size
    crop_width = max(1, min(width, height * wanted[0] // wanted[1]))
    crop_height = max(1, min(height, width * wanted[1] // wanted[0]))
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    return left, top, left + crop_width, top + crop_height


def _channels_first(data_format: DataFormat | None) -> bool:
    if data_format is None:
        return False
    return choose("data_format", data_format, _DATA_FORMATS) == "channels_first"


def _dtype(given: DTypeLike | None) -> np.dtype[Any]:
    try:
        kind: np.dtype[Any] = np.dtype(np.float32 if given is None else given)
    except TypeError:
        kind = np.dtype(object)
    if kind.kind not in "biuf":
        raise TypeError(f"dtype: expected a type of real numbers, got {given!r}")
    return kind


def _finite(pixels: NDArray[Any]) -> NDArray[Any]:
    wrong = ~np.isfinite(pixels)
    if wrong.any():
        raise ValueError(f"x: expected finite numbers, got {pixels[wrong][0]}")
    return pixels


def _check_range(pixels: NDArray[Any], end: float) -> None:
    wrong = (pixels < 0) | (pixels >= end)
    if wrong.any():
        raise ValueError(
            f"x: expected numbers in [0, {int(end) - 1}], got {pixels[wrong][0]:g}; "
            "scale=True scales them"
        )


def _format_of(path: Any, file_format: str | None) -> str:
    """Pillow's name of a format."""
    known = importlib.import_module("PIL.Image").registered_extensions()
    if file_format is None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            raise ValueError("file_format: a file without a path needs one, such as 'png'")
        suffix = os.path.splitext(os.fsdecode(path))[1].lower()  # noqa: PTH122
        if suffix not in known:
            raise ValueError(f"path: no format of images has the suffix {suffix!r}: {path!r}")
        return str(known[suffix])
    if not isinstance(file_format, str):
        raise TypeError(f"file_format: expected a name such as 'png', got {file_format!r}")
    name = str(known.get(f".{file_format.lower().lstrip('.')}", file_format.upper()))
    if name not in known.values():
        raise ValueError(f"file_format: no format of images is named {file_format!r}")
    return name


if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "image")
