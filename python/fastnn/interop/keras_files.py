"""Files of Keras: `.keras`, a zip archive with a config and weights, and `.weights.h5`.

They are not trusted. Sizes are checked before anything is unpacked or allocated, links out of a file
are refused, and nothing in a file is imported or run.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastnn.extras import needed
from fastnn.files.layout import ModelFileError, parsed
from fastnn.interop.keras_graph import Place
from fastnn.interop.parts import Array

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MOST_CONFIG = 64 * 2**20
# Members are mostly stored as they are. Weights of trained models hardly become smaller.
_MOST_SHRUNK = 32
_STORED, _DEFLATED = (
    0,
    8,
)  # what Keras and zipfile write; the others are made for much smaller files
_DEEPEST = 40  # groups of layers in groups of layers


class Archive(NamedTuple):
    """What a `.keras` file holds."""

    config: dict[str, Any]
    weights: bytes


def read_archive(path: str | os.PathLike[str]) -> Archive:
    """The contents of a `.keras` file.

    Raises:
        ModelFileError: it is damaged, or none.
        OSError: it cannot be read.
    """
    with _faults(path):
        try:
            with zipfile.ZipFile(path) as archive:
                names = [member.filename for member in archive.infolist()]
                for name in (_CONFIG, _WEIGHTS):
                    if names.count(name) != 1:
                        raise ModelFileError(
                            f"expected one {name} in it, got {names.count(name)}; it is no file that "
                            "Keras 3 has written by model.save"
                        )
                size = Path(path).stat().st_size
                most = min(_MOST_CONFIG, 2**20 + _MOST_SHRUNK * size)
                config = _member(archive, _CONFIG, most)
                weights = _member(archive, _WEIGHTS, _MOST_SHRUNK * size)
        except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
            raise ModelFileError(f"no zip archive that can be read: {error}") from error
        # Configs of Keras are words for the most part: twice their length is enough for large ones.
        return Archive(parsed(_CONFIG, config, 2 * len(config)), weights)


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    info = archive.getinfo(name)
    if info.flag_bits & 1:
        raise ModelFileError(f"{name} is encrypted")
    if info.compress_type not in (_STORED, _DEFLATED):
        raise ModelFileError(
            f"{name} is compressed by the method {info.compress_type}, not deflate"
        )
    if info.file_size > most:
        raise ModelFileError(f"{name} has {info.file_size} bytes; more than {most} are not read")
    import zlib

    try:
        with archive.open(info) as member:
            found = member.read(most + 1)
    except zlib.error as error:
        raise ModelFileError(f"{name} is damaged: {error}") from error
    if len(found) != info.file_size:
        raise ModelFileError(f"{name} has {len(found)} bytes, and is said to have {info.file_size}")
    return found


class Store:
    """The weights in a file of HDF5, by groups such as "layers/dense_1".

    An object of such a file may be in many groups, and say that it has any size. All reads together
    allocate no more than a multiple of the file's length.

    Args:
        source: the file's bytes, or its path.
        doing: the call, for messages.
    """

    def __init__(self, source: bytes | str | os.PathLike[str], doing: str) -> None:
        self._h5py = needed("h5py", doing, "h5")
        self._path = "" if isinstance(source, bytes) else os.fspath(source)
        with self._faults():
            if not isinstance(source, bytes):
                source = Path(source).read_bytes()
            self._left = _MOST_SHRUNK * len(source)
            self._length = len(source)
            self._file = self._h5py.File(io.BytesIO(source), "r")

    def close(self) -> None:
        self._file.close()

    def __call__(self, place: Place, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
        """The arrays of a layer, which have these shapes."""
        with self._faults(place.stored):
            variables = self._group(f"{place.stored}/vars")
            count = 0 if variables is None else len(variables)
            # A layer has a handful of variables; of more it is enough to know a few.
            found = [self._array(variables, str(i)) for i in range(min(count, 8))]
            given = [tuple(data.shape) for data in found]
            if count != len(found) or given != [tuple(shape) for shape in shapes]:
                more = ", ..." if count != len(found) else ""
                raise ModelFileError(
                    f"expected weights of shapes {_listed(shapes)}, got {_listed(given)}{more}"
                )
            # A single integer is the count of a Normalization, which nothing needs.
            kept = [data for data in found if data.shape or data.dtype.kind == "f"]
            return [self._numbers(data) for data in kept]

    def identity(self, place: Place) -> tuple[str, ...]:
        """Each place has weights of its own: Keras reads no file in which two models share a layer."""
        return place.names

    def layers(self) -> dict[str, tuple[str, ...] | None]:
        """The groups with weights, and the names of the layer and of the models that it is in.

        Files of the first versions of Keras 3 keep no names: these are None.
        """
        found: dict[str, tuple[str, ...] | None] = {}
        seen: set[Any] = set()
        waiting: list[tuple[str, tuple[str, ...] | None]] = [("layers", ())]
        with self._faults():
            for path, above in waiting:  # which grows
                folder = self._group(path)
                if folder is None:
                    continue
                if path.count("/") > _DEEPEST or folder.id in seen:
                    raise ModelFileError(f"{path}: it contains itself, or is nested too deeply")
                seen.add(folder.id)
                for name in folder:
                    inner = self._group(f"{path}/{name}/vars")
                    told = None if inner is None or above is None else _name_of(inner)
                    names = None if told is None or above is None else (*above, told)
                    if inner is not None and len(inner):
                        found[f"{path}/{name}"] = names
                    waiting.append((f"{path}/{name}/layers", names))
        return found

    def _group(self, path: str) -> Any:
        """A group by way of groups of this file alone; None where there is none."""
        at = self._file
        for part in path.split("/"):
            at = self._linked(at, part)
            if at is None:
                return None
            if not isinstance(at, self._h5py.Group):
                raise ModelFileError(f"{path}: expected a group")
        return at

    def _linked(self, group: Any, name: str) -> Any:
        """A member that is in the file itself, None where there is none: links lead to other files.

        h5py's `in` follows a link. To ask of what kind it is does not.
        """
        links = group.id.links
        if not links.exists(name.encode()):
            return None
        if links.get_info(name.encode()).type != self._h5py.h5l.TYPE_HARD:
            raise ModelFileError(f"{name!r} is a link, which is not followed")
        return group[name]

    def _array(self, group: Any, name: str) -> Any:
        """An array of floats, or one integer that counts, not read yet."""
        data = self._linked(group, name)
        if data is None:
            raise ModelFileError(f"the variable {name} is missing")
        if not isinstance(data, self._h5py.Dataset):
            raise ModelFileError(f"the variable {name}: expected an array")
        if data.is_virtual or data.external:
            raise ModelFileError(f"the variable {name}: its numbers are in another file")
        shape, dtype = data.shape, data.dtype
        counts = shape == () and dtype.kind in "iu"
        floats = dtype.kind == "f" or _is_brain(data)
        if shape is None or dtype.itemsize > 8 or not (floats or counts):
            raise ModelFileError(f"the variable {name}: expected floats, got {dtype}")
        # What is stored bounds what is allocated: an array may claim any shape. One that is not in
        # chunks claims to be stored whole.
        size = math.prod(shape) * dtype.itemsize
        stored = min(data.id.get_storage_size(), self._length)
        if size > _MOST_SHRUNK * stored or (data.chunks is None and size > stored):
            raise ModelFileError(f"the variable {name}: {stored} bytes are stored for {size}")
        return data

    def _numbers(self, data: Any) -> Array:
        """The numbers of an array, as float32 or float64."""
        self._left -= math.prod(data.shape) * data.dtype.itemsize
        if self._left < 0:
            raise ModelFileError("the weights of the layers are more than the file can hold")
        array: Array = data[()]
        if _is_brain(data):
            return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        return array.astype(np.float64 if data.dtype.itemsize == 8 else np.float32)

    @contextmanager
    def _faults(self, group: str = "") -> Iterator[None]:
        with _faults(f"{self._path}: {group}" if self._path and group else self._path or group):
            yield


@contextmanager
def _faults(where: str | os.PathLike[str]) -> Iterator[None]:
    """Makes errors of a damaged file ModelFileErrors that name it."""
    try:
        yield
    except ModelFileError as fault:
        place = os.fspath(where)
        told = str(fault)
        raise ModelFileError(told if told.startswith(place) else f"{place}: {told}") from fault
    except OSError as error:
        if error.errno is not None and error.filename is not None:
            raise
        raise ModelFileError(f"{os.fspath(where)}: no file of HDF5, or damaged: {error}") from error
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(f"{os.fspath(where)}: damaged: {error}") from error


def _is_brain(data: Any) -> bool:
    """Whether the numbers are bfloat16, which HDF5 has not: Keras writes their bytes."""
    kind = data.attrs.get("dtype")
    return isinstance(kind, str) and kind == "bfloat16" and data.dtype.itemsize == 2


def _name_of(group: Any) -> str | None:
    """The name that Keras keeps beside the variables of a layer."""
    if "name" not in group.attrs or group.attrs.get_id("name").shape != ():
        return None
    name = group.attrs["name"]
    return name if isinstance(name, str) else None


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, map(tuple, shapes))) or "none"
