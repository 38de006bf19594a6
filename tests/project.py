"""Runs CMake on this project without compiling it: a pybind11 and a compiler's launcher made here
stand in for the real ones. For tests of CMakeLists.txt and cmake/.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
GENERATOR = "Ninja" if shutil.which("ninja") else "Unix Makefiles"
COMPILER = shutil.which(os.environ.get("CXX", "c++"))
USABLE = None not in (COMPILER, shutil.which("cmake"), shutil.which("nm")) and (
    GENERATOR == "Ninja" or shutil.which("make") is not None
)

# What the project needs of pybind11's package for CMake.
CONFIG = """
message(STATUS "pybind11 at ${CMAKE_CURRENT_LIST_DIR}")
function(pybind11_add_module name)
  list(REMOVE_ITEM ARGN MODULE NO_EXTRAS)
  add_library(${name} MODULE ${ARGN})
  set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ".so")
endfunction()
"""
VERSION = """
set(PACKAGE_VERSION %s)
if(NOT PACKAGE_VERSION VERSION_LESS PACKAGE_FIND_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
"""
# In place of compiling, copies an object that is empty.
LAUNCHER = """#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    -o) cp "$(dirname "$0")/empty.o" "$2" ;;
    -MF) : > "$2" ;;
  esac
  shift
done
"""


def pybind11(site: Path, version: str) -> Path:
    """Puts a pybind11 of this version into a folder for Python packages."""
    package = site / "pybind11" / "share" / "cmake" / "pybind11"
    package.mkdir(parents=True)
    (package / "pybind11Config.cmake").write_text(CONFIG)
    (package / "pybind11ConfigVersion.cmake").write_text(VERSION % version)
    (site / "pybind11" / "__init__.py").touch()
    (site / "pybind11" / "__main__.py").write_text(f"print({str(package)!r})\n")
    return site


def launcher(folder: Path) -> Path:
    """The program that CMake runs in place of the compiler."""
    assert COMPILER is not None
    folder.mkdir(exist_ok=True)
    (folder / "empty.cpp").touch()
    command = [COMPILER, "-c", "empty.cpp", "-o", "empty.o"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    script = folder / "launcher"
    script.write_text(LAUNCHER)
    script.chmod(0o755)
    return script


def cmake(
    *arguments: str | Path, cwd: Path, limit: float = 300, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs CMake with all that it says in `stdout`; flags of this environment are left out."""
    flags = ("CXXFLAGS", "CFLAGS", "LDFLAGS", "CPPFLAGS", "CUDAFLAGS", "FASTNN_CUDA", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in flags}
    return subprocess.run(
        ["cmake", *arguments],
        cwd=cwd,
        env={**kept, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit,
        check=False,
    )


def configure(
    folder: Path, *definitions: str, source: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Configures the project in `folder`/build, with a pybind11 of `folder`/site."""
    site = folder / "site"
    if not site.exists():
        pybind11(site, "3.0.2")
    return cmake(
        *("-S", source, "-B", folder / "build", "-G", GENERATOR),
        *(f"-D{each}" for each in ("FASTNN_CUDA=off", f"Python_EXECUTABLE={sys.executable}")),
        *(f"-D{each}" for each in definitions),
        cwd=folder,
        PYTHONPATH=str(site),
        **environment,
    )


def commands(build: Path) -> list[dict[str, str]]:
    """How each file is compiled: `file` and `command`."""
    found: list[dict[str, str]] = json.loads((build / "compile_commands.json").read_text())
    return found
