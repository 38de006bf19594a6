"""Files that are replaced whole: at any moment there is the old one or the new one.

A writer makes a file beside the one that it replaces, and holds a lock on it (flock) until it has
its name. The lock of a writer that was killed is gone, and the next one for that path removes what
it left.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

_LONGEST = 200  # bytes of a name that the name of the file beside it begins with; systems take 255
_DIGITS = 16
_END = ".tmp"


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write, which becomes `path` at the end of the block unless an error ends it.

    It is written beside `path` under a name of its own, ".<name>.<16 hexadecimal digits>.tmp", synced
    to the disk and renamed. A process that is killed meanwhile leaves `path` as it was, and that
    file, which the next writer of `path` removes. An existing file keeps its permissions, and a link
    that leads to it stays.

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
    folder, begin = os.fspath(target.parent), _begin(target.name)
    _remove_left(folder, begin)
    try:
        made, descriptor = _made(folder, begin)
    except OSError as why:
        raise _of(path, why) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                os.fchmod(descriptor, stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(descriptor)
            os.replace(made, target)  # noqa: PTH105 - and still locked
    except BaseException as why:
        with contextlib.suppress(OSError):
            os.unlink(made)  # noqa: PTH108
        if isinstance(why, OSError) and why.filename in (None, made):
            raise _of(path, why) from None
        raise
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder
        parent = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)


def _begin(name: str) -> str:
    """How names of files beside one of this name begin."""
    while len(os.fsencode(name)) > _LONGEST:
        name = name[:-1]
    return f".{name}."


def _made(folder: str, begin: str) -> tuple[str, int]:
    """A new file, which is locked."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    while True:
        name = f"{begin}{os.urandom(_DIGITS // 2).hex()}{_END}"
        made = os.path.join(folder, name)  # noqa: PTH118
        descriptor = os.open(made, flags, 0o666)
        # Another writer may have found it before it was locked: then it has the lock, or removed it.
        if _locked(descriptor) is not False and os.fstat(descriptor).st_nlink:
            return made, descriptor
        os.close(descriptor)


def _locked(descriptor: int) -> bool | None:
    """Locks a file; False: another process, or thread, has the lock. None: the file
    system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_left(folder: str, begin: str) -> None:
    """Removes the temporary files of killed writers: those that no process has locked."""
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return
    for name in names:
        digits = name[len(begin) : -len(_END)]
        ours = name.startswith(begin) and name.endswith(_END) and len(digits) == _DIGITS
        if not ours or digits.strip("0123456789abcdef"):
            continue
        left = os.path.join(folder, name)  # noqa: PTH118
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with contextlib.suppress(OSError):
            descriptor = os.open(left, flags)
            try:
                if stat.S_ISREG(os.fstat(descriptor).st_mode) and _locked(descriptor):
                    os.unlink(left)  # noqa: PTH108
            finally:
                os.close(descriptor)


def _of(path: str | os.PathLike[str], why: OSError) -> OSError:
    """An error about the file under its passing name as one about the file that was asked for."""
    if why.errno is None:  # of a program, in its own words
        return why
    return OSError(why.errno, why.strerror, os.fspath(path))
