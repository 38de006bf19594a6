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
                config = _member(archive, _CONFIG, _MOST_CONFIG)
                size = Path(path).stat().st_size
                weights = _member(archive, _WEIGHTS, _MOST_SHRUNK * size)
        except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
            raise ModelFileError(f"no zip archive that can be read: {error}") from error
        return Archive(parsed(_CONFIG, config), weights)


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    info = archive.getinfo(name)
    if info.flag_bits & 1:
        raise ModelFileError(f"{name} is encrypted")
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
            self._file = self._h5py.File(io.BytesIO(source), "r")

    def close(self) -> None:
        self._file.close()

    def __call__(self, place: Place, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
        """The arrays of a layer, which have these shapes."""
        found = self.arrays(place.stored)
        given = [tuple(array.shape) for array in found]
        if given != [tuple(shape) for shape in shapes]:
            raise ModelFileError(
                f"{self._where(place.stored)}: expected weights of shapes {_listed(shapes)}, got "
                f"{_listed(given)}"
            )
        return found

    def arrays(self, group: str) -> list[Array]:
        """The arrays of a group, none where it is not there."""
        with self._faults(group):
            variables = self._group(f"{group}/vars")
            if variables is None:
                return []
            count = len(variables)
            return [self._array(variables, str(i)) for i in range(count)]

    def layers(self, group: str = "layers") -> dict[str, str | None]:
        """The groups with weights below one, and the layer's name in each, where it is kept."""
        found: dict[str, str | None] = {}
        with self._faults(group):
            folder = self._group(group)
            for name in folder or ():
                inner = self._group(f"{group}/{name}/vars")
                if inner is not None and len(inner):
                    found[f"{group}/{name}"] = _name_of(inner)
                if self._group(f"{group}/{name}/layers") is not None:
                    found |= self.layers(f"{group}/{name}/layers")
        return found

    def _group(self, path: str) -> Any:
        """A group by way of groups of this file alone; None where there is none."""
        at = self._file
        for part in path.split("/"):
            if part not in at:
                return None
            at = self._linked(at, part)
            if not isinstance(at, self._h5py.Group):
                raise ModelFileError(f"{path}: expected a group")
        return at

    def _linked(self, group: Any, name: str) -> Any:
        """A member that is in the file itself: links may lead to other files."""
        if type(group.get(name, getlink=True)) is not self._h5py.HardLink:
            raise ModelFileError(f"{name!r} is a link, which is not followed")
        return group[name]

    def _array(self, group: Any, name: str) -> Array:
        if name not in group:
            raise ModelFileError(f"the variable {name} is missing")
        data = self._linked(group, name)
        if not isinstance(data, self._h5py.Dataset):
            raise ModelFileError(f"the variable {name}: expected an array")
        if data.is_virtual or data.external:
            raise ModelFileError(f"the variable {name}: its numbers are in another file")
        shape, dtype = data.shape, data.dtype
        brain = data.attrs.get("dtype") == "bfloat16" and dtype.itemsize == 2
        if shape is None or (dtype.kind != "f" and not brain) or dtype.itemsize > 8:
            raise ModelFileError(f"the variable {name}: expected floats, got {dtype}")
        # What is stored bounds what is allocated: an array may claim any shape.
        size = math.prod(shape) * dtype.itemsize
        if size > _MOST_SHRUNK * data.id.get_storage_size():
            raise ModelFileError(
                f"the variable {name}: {data.id.get_storage_size()} bytes are stored for {size}"
            )
        array: Array = data[()]
        if brain:
            return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        return array.astype(np.float64 if dtype.itemsize == 8 else np.float32)

    def _where(self, group: str) -> str:
        return f"{self._path}: {group}" if self._path else group

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


def _name_of(group: Any) -> str | None:
    """The name that Keras keeps beside the variables of a layer."""
    if "name" not in group.attrs or group.attrs.get_id("name").shape != ():
        return None
    name = group.attrs["name"]
    return name if isinstance(name, str) else None


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, map(tuple, shapes))) or "none"
