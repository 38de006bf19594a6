"""Builds _cuda without a GPU: the kernels of csrc/cuda over the fiber emulator, by the C++ compiler.

`python tests/emulator.py [--sanitize address,undefined | --sanitize thread]` prints where the
library is; with FASTNN_CUDA_LIBRARY set to that, fastnn opens it in place of a real one.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMPILER = shutil.which(os.environ.get("CXX", "c++"))
FLAGS = (
    *("-std=c++20", "-O2", "-g1", "-fPIC", "-fvisibility=hidden", "-pthread"),
    *("-Icsrc", "-DFASTNN_TARGET=cuda", "-ffp-contract=off"),
    *("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"),
)


def sources(root: Path = ROOT) -> list[Path]:
    """Every kernel, and what emulates the device."""
    cuda = root / "csrc" / "cuda"
    return sorted([*cuda.glob("*.cu"), *(cuda / "emulated").glob("*.cpp")])


def build(directory: Path, *, sanitize: str = "", root: Path = ROOT) -> Path:
    """Compiles what changed, and links the library; its path.

    Sanitized for "thread" it has kernels tell their every access to emulated/races.cpp, which
    takes the place of the sanitizer's own library; that costs them several times their time.
    """
    if COMPILER is None:
        raise FileNotFoundError("no C++ compiler")
    flags = [*FLAGS, *fused()]
    if sanitize not in ("", "thread"):
        flags += [f"-fsanitize={sanitize}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
    directory.mkdir(parents=True, exist_ok=True)

    def compiled(source: Path) -> Path:
        watched = sanitize == "thread" and source.suffix == ".cu"
        own = [*flags, *(["-fsanitize=thread"] if watched else [])]
        key = hashlib.sha256(f"{COMPILER} {own} {_digest(_included(source, root))}".encode())
        out = directory / f"{source.stem}-{key.hexdigest()[:16]}.o"
        if not out.exists():
            made = out.with_suffix(f".{os.getpid()}")
            command = [COMPILER, "-x", "c++", *own, "-c", source, "-o", made]
            # There is only a constant in it, whose assertion GCC cannot evaluate under sanitizers.
            command += ["-fno-sanitize=all"] if source.stem == "table" else []
            subprocess.run(command, cwd=root, check=True, timeout=600)
            made.rename(out)
        return out

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, sources(root)))
    key = hashlib.sha256(" ".join(map(str, objects)).encode()).hexdigest()[:16]
    library = directory / f"_cuda_emulated-{key}.so"
    if not library.exists():
        made = library.with_suffix(f".{os.getpid()}")
        link = [COMPILER, "-shared", "-pthread", *objects, "-o", made]
        own = sanitize in ("", "thread")
        link.append("-Wl,-z,defs" if own else f"-fsanitize={sanitize}")
        subprocess.run(link, cwd=root, check=True, timeout=600)
        made.rename(library)
    return library


def fused() -> list[str]:
    """The flag under which a * b + c is one operation, as it is on every GPU."""
    info = Path("/proc/cpuinfo")
    return ["-mfma"] if info.exists() and " fma " in info.read_text() else []


def _included(source: Path, root: Path) -> list[Path]:
    """The source and all headers of ours that it includes, or they do."""
    found: list[Path] = []
    left = [source]
    while left:
        path = left.pop()
        if path in found:
            continue
        found.append(path)
        names = re.findall(r'^ *# *include "(.+)"', path.read_text(), re.MULTILINE)
        left += [root / "csrc" / name for name in names if (root / "csrc" / name).exists()]
    return sorted(found)


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sanitize", default="")
    given = parser.parse_args()
    name = "emulated" + ("-" + given.sanitize.replace(",", "-") if given.sanitize else "")
    print(build(ROOT / "build" / name, sanitize=given.sanitize))
