"""Images from files: pixels against Pillow's own and against numbers worked out by hand."""

from __future__ import annotations

import importlib
import io
import sys

import cases
import numpy as np
import pytest

import fastnn
import fastnn as tf
from fastnn.preprocessing import image
from fastnn.preprocessing.image import array_to_img, img_to_array, load_img, save_img

Image = pytest.importorskip("PIL.Image")

GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLORS = np.arange(3 * 4 * 3, dtype=np.uint8).reshape(3, 4, 3) * 7


def saved(pixels, form="png", mode=None, **options):
    """A file in memory that holds these pixels; its place is at the end, as after writing."""
    file = io.BytesIO()
    made = pixels if not isinstance(pixels, np.ndarray) else Image.fromarray(pixels)
    (made if mode is None else made.convert(mode)).save(file, form, **options)
    return file


def test_the_same_functions_under_every_name():
    assert tf.keras.preprocessing.image.load_img is load_img
    assert fastnn.utils.load_img is load_img
    assert tf.keras.utils.img_to_array is img_to_array
    for name in ("fastnn.keras.preprocessing.image", "fastnn.preprocessing.image"):
        assert importlib.import_module(name) is image
    from fastnn.keras.preprocessing.image import load_img as again
    from fastnn.keras.utils import save_img as other

    assert again is load_img
    assert other is save_img


@pytest.mark.parametrize("how", ["str", "path", "bytes", "open", "memory"])
def test_where_images_are_read_from(how, tmp_path):
    path = tmp_path / "an image.png"
    Image.fromarray(COLORS).save(path)
    with path.open("rb") as file:
        given = {
            "str": str(path),
            "path": path,
            "bytes": str(path).encode(),
            "open": file,
            "memory": saved(COLORS),
        }[how]
        read = load_img(given)
    assert read.mode == "RGB"
    assert read.size == (4, 3)
    np.testing.assert_array_equal(np.asarray(read), COLORS)
    path.unlink()
    array = img_to_array(read)  # the file is not needed any more
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, COLORS)


def test_color_modes():
    """Each kind of file in each color_mode; grayscale weighs red, green and blue as Pillow does."""
    rgba = np.dstack([COLORS, np.full((3, 4), 99, np.uint8)])
    np.testing.assert_array_equal(
        img_to_array(load_img(saved(GRAY))), np.repeat(GRAY[..., None], 3, axis=2)
    )
    gray = img_to_array(load_img(saved(COLORS), color_mode="grayscale"))
    assert gray.shape == (3, 4, 1)
    weighed = (COLORS @ [0.299, 0.587, 0.114])[..., None]
    np.testing.assert_allclose(gray, weighed, atol=0.6)
    np.testing.assert_array_equal(img_to_array(load_img(saved(rgba), color_mode="rgba")), rgba)
    np.testing.assert_array_equal(img_to_array(load_img(saved(rgba))), COLORS)
    whole = img_to_array(load_img(saved(COLORS), color_mode="rgba"))
    np.testing.assert_array_equal(whole[..., 3], 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F"])
@pytest.mark.parametrize("color_mode", ["grayscale", "rgb", "rgba"])
def test_every_mode_of_pillow(mode, color_mode):
    file = saved(COLORS, "tiff", mode)
    expected = Image.open(file)
    wanted = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}[color_mode]
    if not (mode == "I" and wanted == "L"):
        expected = expected.convert(wanted)
    read = load_img(file, color_mode=color_mode)
    assert read.mode == expected.mode
    np.testing.assert_array_equal(np.asarray(read), np.asarray(expected))


@pytest.mark.parametrize("order", ["little", "big"])
def test_grayscale_of_16_bits(order):
    """All bits in "grayscale"; the upper 8 in colours, where a cut at 255 would leave white."""
    deep = np.array([[0, 255, 256], [1000, 40000, 65535]], np.uint16)
    made = Image.fromarray(deep)
    if order == "big":
        made = Image.frombytes("I;16B", (3, 2), deep.astype(">u2").tobytes())
    file = saved(made, "tiff" if order == "big" else "png")
    read = img_to_array(load_img(file, color_mode="grayscale"))
    np.testing.assert_array_equal(read[..., 0], deep)
    for color_mode in ("rgb", "rgba"):
        colors = img_to_array(load_img(file, color_mode=color_mode))
        np.testing.assert_array_equal(colors[..., 1], deep // 256)
    small = load_img(file, color_mode="grayscale", target_size=(1, 1), interpolation="box")
    assert img_to_array(small).item() == pytest.approx(deep.mean(), abs=1)


def test_palettes_with_transparency():
    """No warning of Pillow comes through, and colours are those of the palette."""
    made = Image.fromarray(GRAY // 20)
    made.putpalette([value for i in range(256) for value in (i, 255 - i, 7)])
    assert made.mode == "P"
    file = saved(made, transparency=bytes([0, 255, 128] + [255] * 253))
    colors = img_to_array(load_img(file))
    np.testing.assert_array_equal(colors[..., 0], GRAY // 20)
    np.testing.assert_array_equal(colors[..., 1], 255 - GRAY // 20)
    alpha = img_to_array(load_img(file, color_mode="rgba"))[..., 3]
    np.testing.assert_array_equal(alpha.ravel()[:4], [0, 255, 128, 255])
    assert load_img(file, color_mode="grayscale").mode == "L"


def test_rotation_noted_by_a_camera_is_not_applied():
    made = Image.fromarray(COLORS)
    exif = made.getexif()
    exif[0x0112] = 6  # a quarter turn
    file = io.BytesIO()
    made.save(file, "png", exif=exif)
    assert load_img(file).size == (4, 3)


def test_target_size_is_height_and_width():
    assert load_img(saved(COLORS), target_size=(6, 8)).size == (8, 6)
    twice = img_to_array(load_img(saved(COLORS), target_size=(6, 8)))
    np.testing.assert_array_equal(twice, COLORS.repeat(2, axis=0).repeat(2, axis=1))
    same = load_img(saved(COLORS), target_size=(3, 4), interpolation="lanczos")
    np.testing.assert_array_equal(np.asarray(same), COLORS)
    assert load_img(saved(COLORS), target_size=np.array([2, 5])).size == (5, 2)
    assert load_img(saved(COLORS), target_size=[2, np.int32(5)]).size == (5, 2)


@pytest.mark.parametrize(
    "interpolation", ["nearest", "bilinear", "bicubic", "hamming", "box", "lanczos"]
)
def test_interpolations_are_those_of_pillow(interpolation):
    pixels = np.random.default_rng(0).integers(0, 256, (17, 23, 3), np.uint8)
    read = load_img(saved(pixels), target_size=(7, 40), interpolation=interpolation)
    kind = Image.Resampling[interpolation.upper()]
    expected = Image.fromarray(pixels).resize((40, 7), kind)
    np.testing.assert_array_equal(np.asarray(read), np.asarray(expected))


@pytest.mark.parametrize(
    ("size", "target", "box"),
    [
        ((4, 8), (2, 2), (2, 0, 6, 4)),  # the middle square of a wide image
        ((8, 4), (2, 2), (0, 2, 4, 6)),  # and of a high one
        ((6, 6), (1, 2), (0, 1, 6, 4)),
        ((340, 500), (200, 200), (80, 0, 420, 340)),
        ((1, 3), (1, 300), (0, 0, 3, 1)),  # a box is never empty
    ],
)
def test_keep_aspect_ratio_cuts_the_centre(size, target, box):
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    read = load_img(saved(pixels), target_size=target, keep_aspect_ratio=True)
    expected = Image.fromarray(pixels).resize(target[::-1], Image.Resampling.NEAREST, box=box)
    np.testing.assert_array_equal(np.asarray(read), np.asarray(expected))


def test_arrays_of_images():
    picture = Image.fromarray(COLORS)
    assert img_to_array(picture, dtype="uint8").dtype == np.uint8
    first = img_to_array(picture, data_format="channels_first")
    np.testing.assert_array_equal(first, COLORS.transpose(2, 0, 1))
    assert img_to_array(GRAY).shape == (3, 4, 1)
    assert img_to_array(GRAY, "channels_first").shape == (1, 3, 4)
    array = img_to_array(COLORS)
    array /= 255  # of its own, and writable
    assert COLORS.max() == 245


def test_images_of_arrays():
    """Scaled from the least to the largest; fractions are cut off, as in Keras."""
    x = np.array([[[-1.0], [0.0]], [[1.0], [3.0]]])
    np.testing.assert_array_equal(np.asarray(array_to_img(x)), [[0, 63], [127, 255]])
    plain = array_to_img(np.array([[[0.0], [254.9]]]), scale=False)
    np.testing.assert_array_equal(np.asarray(plain), [[0, 254]])
    np.testing.assert_array_equal(np.asarray(array_to_img(np.full((2, 2, 3), 7.0))), 0)
    for channels, mode in ((1, "L"), (3, "RGB"), (4, "RGBA")):
        made = array_to_img(np.zeros((2, 3, channels)))
        assert (made.mode, made.size) == (mode, (3, 2))
        first = array_to_img(np.zeros((channels, 2, 3)), data_format="channels_first")
        assert (first.mode, first.size) == (mode, (3, 2))
    deep = array_to_img(np.array([[[300.0], [70000.0]]]), scale=False)
    assert deep.mode == "I"
    np.testing.assert_array_equal(np.asarray(deep), [[300, 70000]])
    every = np.arange(256.0).reshape(16, 16, 1)
    np.testing.assert_array_equal(img_to_array(array_to_img(every)), every)
    np.testing.assert_array_equal(
        np.asarray(array_to_img(tf.constant(COLORS), scale=False)), COLORS
    )


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.tif", "a.bmp", "a.webp", "a.jpg", "a.JPEG"])
def test_save_and_load(name, tmp_path):
    """Formats without loss give the same pixels back; JPEG nearly."""
    path = tmp_path / name
    options = {"lossless": True} if name.endswith("webp") else {}
    try:
        save_img(path, COLORS, scale=False, **options)
    except (OSError, KeyError, ValueError) as error:
        pytest.skip(f"this Pillow writes no {name}: {error}")
    off = 90 if "jp" in name.lower() else 0
    np.testing.assert_allclose(img_to_array(load_img(path)), COLORS, atol=off)


def test_save_to_memory_and_without_alpha():
    file = io.BytesIO()
    save_img(file, np.zeros((2, 2, 4)), file_format="png")
    assert img_to_array(load_img(file, color_mode="rgba")).shape == (2, 2, 4)
    for form in ("jpg", "jpeg", "JPEG", ".jpg"):
        with pytest.warns(UserWarning, match="JPEG has no alpha channel"):
            save_img(io.BytesIO(), np.zeros((2, 2, 4)), file_format=form)


def text_file(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("no image")
    return path


def truncated():
    return io.BytesIO(
        saved(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).getvalue()[:900]
    )


def broken():
    """A PNG whose data are said to be shorter than they are, so that a part begins within them."""
    data = bytearray(
        saved(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).getvalue()
    )
    place = data.index(b"IDAT") - 4
    data[place : place + 4] = (100).to_bytes(4, "big")
    return io.BytesIO(bytes(data))


WRONG = {
    "color": (lambda: load_img(saved(GRAY), color_mode="gray"), ValueError, "color_mode: .*'gray'"),
    "interpolation": (
        lambda: load_img(saved(GRAY), interpolation="linear"),
        ValueError,
        "interpolation: unknown name 'linear', did you mean 'bilinear'",
    ),
    "one size": (
        lambda: load_img(saved(GRAY), target_size=224),
        ValueError,
        r"target_size: expected \(height, width\) in pixels, got 224",
    ),
    "three sizes": (
        lambda: load_img(saved(GRAY), target_size=(224, 224, 3)),
        ValueError,
        r"target_size: .* got \(224, 224, 3\)",
    ),
    "no size": (
        lambda: load_img(saved(GRAY), target_size=(0, 4)),
        ValueError,
        r"target_size: expected an integer in \[1, .*, got 0",
    ),
    "half a pixel": (
        lambda: load_img(saved(GRAY), target_size=(2.5, 4)),
        TypeError,
        "target_size: expected an integer, got 2.5",
    ),
    "flag": (
        lambda: load_img(saved(GRAY), keep_aspect_ratio="yes"),
        TypeError,
        "keep_aspect_ratio: expected True or False, got 'yes'",
    ),
    "old keyword": (
        lambda: load_img(saved(GRAY), grayscale=True),
        TypeError,
        "'grayscale' is not in fastnn; use color_mode='grayscale'",
    ),
    "no file": (lambda: load_img("no such.png"), FileNotFoundError, "no such.png"),
    "no path": (lambda: load_img(3), TypeError, "path: expected a path or a file of bytes, got 3"),
    "an array": (lambda: load_img(GRAY), TypeError, "path: expected a path"),
    "bytes": (
        lambda: load_img(saved(GRAY).getvalue()),
        ValueError,
        r"path: expected the name of a file, .*go into io\.BytesIO",
    ),
    "text": (lambda: load_img(io.StringIO("a")), TypeError, "path: expected a file of bytes"),
    "empty": (lambda: load_img(io.BytesIO()), OSError, "path: .*: an empty file"),
    "truncated": (lambda: load_img(truncated()), OSError, "path: .*truncated"),
    "broken": (lambda: load_img(broken()), OSError, "path: .*broken PNG"),
    "a path to img_to_array": (
        lambda: img_to_array("a.png"),
        TypeError,
        "img: expected an image, as load_img reads, or an array, got 'a.png'",
    ),
    "a batch": (
        lambda: img_to_array(np.zeros((1, 2, 2, 3))),
        ValueError,
        r"img: .* got \(1, 2, 2, 3\)",
    ),
    "data_format": (
        lambda: img_to_array(GRAY, data_format="channels"),
        ValueError,
        "data_format: unknown name 'channels'",
    ),
    "dtype": (lambda: img_to_array(GRAY, dtype="floot"), TypeError, "dtype: .*'floot'"),
    "two axes": (lambda: array_to_img(GRAY), ValueError, r"x: .* 3 axes, got shape \(3, 4\)"),
    "channels": (
        lambda: array_to_img(np.zeros((3, 5, 2))),
        ValueError,
        r"x: expected 1, 3 or 4 channels, got 2 \(shape \(3, 5, 2\) as 'channels_last'\)",
    ),
    "NaN": (lambda: array_to_img(np.full((1, 1, 1), np.nan)), ValueError, "x: .* got nan"),
    "NaN as it is": (
        lambda: array_to_img(np.full((1, 1, 3), np.nan), scale=False),
        ValueError,
        "x: .* got nan",
    ),
    "above": (
        lambda: array_to_img(np.full((1, 1, 3), 256), scale=False),
        ValueError,
        r"x: expected numbers in \[0, 255\], got 256",
    ),
    "below": (
        lambda: array_to_img(np.full((1, 1, 1), -1), scale=False),
        ValueError,
        r"x: expected numbers in \[0, 255\], got -1",
    ),
    "nothing": (lambda: array_to_img(np.zeros((0, 2, 3))), ValueError, "x: .*at least one pixel"),
    "suffix": (
        lambda: save_img("a.xyz", GRAY[..., None]),
        ValueError,
        "path: no format of images has the suffix '.xyz'",
    ),
    "no suffix": (lambda: save_img("a", GRAY[..., None]), ValueError, "path: no format .* ''"),
    "file_format": (
        lambda: save_img("a.png", GRAY[..., None], file_format="xyz"),
        ValueError,
        "file_format: no format of images is named 'xyz'",
    ),
    "no format": (
        lambda: save_img(io.BytesIO(), GRAY[..., None]),
        ValueError,
        "file_format: a file without a path needs one",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_use(what):
    call, kind, message = WRONG[what]
    with pytest.raises(kind, match=message):
        call()


def test_a_file_that_is_no_image(tmp_path):
    """The error is Pillow's own, which programs may catch, and names the file."""
    from PIL import UnidentifiedImageError

    with pytest.raises(
        UnidentifiedImageError, match=r"path: .*notes\.png'\): no image in a format"
    ):
        load_img(text_file(tmp_path))


def test_names_that_are_not_here():
    with pytest.raises(
        AttributeError, match="'ImageDataGenerator': it is not in fastnn; read each"
    ):
        _ = image.ImageDataGenerator
    with pytest.raises(ImportError, match="it is not in fastnn; "):
        from fastnn.preprocessing.image import smart_resize  # noqa: F401
    with pytest.raises(AttributeError, match="'sequence': it is not in fastnn; "):
        _ = fastnn.preprocessing.sequence


def test_without_pillow(monkeypatch):
    """The functions that need it say what to install; importing them does without."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    for call in (
        lambda: load_img("a.png"),
        lambda: array_to_img(COLORS),
        lambda: save_img("a.png", COLORS),
    ):
        with pytest.raises(ImportError, match=r"needs Pillow: pip install pillow.*'\.\[image\]'"):
            call()
    assert img_to_array(COLORS).shape == (3, 4, 3)
    monkeypatch.undo()
    done = cases.python("import sys, fastnn.preprocessing.image; print('PIL' in sys.modules)")
    assert done.stdout.split() == ["False"], done.stdout + done.stderr
