"""Files that are replaced whole: at any moment there is the old one or the new one."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write, which becomes `path` at the end of the block unless an error ends it.

    It is written beside `path` under a name of its own, synced to the disk and renamed. A process
    that is killed meanwhile leaves `path` as it was, and that file. An existing file keeps its
    permissions, and a link that leads to it stays.

    Raises:
        OSError: the folder is missing or may not be written, or the disk is full.
    """
    from pathlib import Path  # which takes long to import, and writers of files alone need it

    try:
        target = Path(path).resolve()
    except RuntimeError:  # by Python 3.12 and older
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path)) from None
    if target.is_dir():
        raise IsADirectoryError(f"{os.fspath(path)}: expected the path of a file, got a folder")
    if target.exists() and not target.is_file():  # renaming would replace it
        raise OSError(f"{os.fspath(path)}: expected the path of a file, got a device or a pipe")
    made = target.parent / f".{os.urandom(8).hex()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(made, flags, 0o666)
    except OSError as why:
        raise _of(path, why) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                os.fchmod(descriptor, stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(descriptor)
        made.replace(target)
    except BaseException as why:
        with contextlib.suppress(OSError):
            made.unlink()
        if isinstance(why, OSError) and why.filename in (None, os.fspath(made)):
            raise _of(path, why) from None
        raise
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder
        parent = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)


def _of(path: str | os.PathLike[str], why: OSError) -> OSError:
    """An error about the file under its passing name as one about the file that was asked for."""
    if why.errno is None:  # of a program, in its own words
        return why
    return OSError(why.errno, why.strerror, os.fspath(path))
