"""The CMake project: which pybind11 and compilers it takes, in what folders, with whose flags.

Nothing of fastnn is compiled here, except in the test marked `slow`.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import cases
import project
import pytest

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(not project.USABLE, reason="needs cmake, c++, nm, and ninja or make"),
]
slow = pytest.mark.slow
x86 = platform.machine() in ("x86_64", "AMD64")


# -- pybind11 -----------------------------------------------------------------


@pytest.mark.parametrize(
    "theirs", ["2.13.6", "4.0.0", *(pytest.param(each, marks=slow) for each in ("3.0.1", "3.5.0"))]
)
def test_the_pybind11_of_the_build_is_taken(theirs, tmp_path):
    """pip builds with a pybind11 of its own, beside one that the virtual environment holds.

    scikit-build-core puts the virtual environment first in CMAKE_PREFIX_PATH.
    """
    site = project.pybind11(tmp_path / "site", "3.0.2")
    other = project.pybind11(tmp_path / "venv", theirs)
    done = project.configure(tmp_path, f"CMAKE_PREFIX_PATH={other};{site}")
    assert done.returncode == 0, done.stdout
    assert f"pybind11 at {site}" in done.stdout


@pytest.mark.parametrize("version", ["3.0.1", pytest.param("2.13.6", marks=slow)])
def test_a_pybind11_that_is_too_old_is_refused(version, tmp_path):
    project.pybind11(tmp_path / "site", version)
    done = project.configure(tmp_path)
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert 'compatible with requested version "3.0.2"' in said
    assert f"version: {version}" in said


def test_a_pybind11_that_is_named_is_taken(tmp_path):
    named = project.pybind11(tmp_path / "named", "3.1.0") / "pybind11" / "share/cmake/pybind11"
    done = project.configure(tmp_path, f"pybind11_DIR={named}")
    assert f"pybind11 at {named}" in done.stdout


def test_every_file_names_the_same_least_pybind11():
    root = project.ROOT
    named = set(re.findall(r'"pybind11>=([\d.]+)"', (root / "pyproject.toml").read_text()))
    named |= set(re.findall(r"find_package\(pybind11 (\S+)", (root / "CMakeLists.txt").read_text()))
    assert named == {"3.0.2"}


# -- the version --------------------------------------------------------------


@pytest.mark.parametrize(("version", "number"), [("0.2.0", "0.2.0"), ("2.0.0rc1", "2.0.0")])
def test_the_version_stands_in_pyproject_alone(version, number, tmp_path):
    source = tmp_path / "source"
    for part in ("cmake", "csrc"):
        shutil.copytree(project.ROOT / part, source / part)
    shutil.copy(project.ROOT / "CMakeLists.txt", source)
    (source / "pyproject.toml").write_text(f'[project]\nname = "fastnn"\nversion = "{version}"\n')
    done = project.configure(tmp_path, source=source)
    assert done.returncode == 0, done.stdout
    cache = (tmp_path / "build" / "CMakeCache.txt").read_text()
    assert f"CMAKE_PROJECT_VERSION:STATIC={number}\n" in cache
    header = (tmp_path / "build" / "generated" / "build.h").read_text()
    assert f'build_version = R"text({version})text"' in header


# -- compilers ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("macros", "name"),
    [
        ("-D__GNUC__=10", "GNU 10"),
        (
            "-D__clang__=1 -D__clang_major__=12 -D__clang_minor__=0 -D__clang_patchlevel__=0",
            "Clang 12",
        ),
    ],
)
def test_a_compiler_that_is_too_old_is_refused(macros, name, tmp_path):
    """Before anything is compiled, with its name and the oldest that will do."""
    old = tmp_path / "old-c++"
    undefined = " ".join(f"-U{each}" for each in re.findall(r"__\w+", macros))
    old.write_text(f'#!/bin/sh\nexec {project.COMPILER} {undefined} {macros} "$@"\n')
    old.chmod(0o755)
    done = project.configure(tmp_path, f"CMAKE_CXX_COMPILER={old}")
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "fastnn needs GCC 11 or Clang 13, or later" in said
    assert f"is {name}" in said
    assert "CXX" in said


# -- folders ------------------------------------------------------------------

EVERY_SIGN = "net (copy) & it's $HOME, 100% a+b=c #1 größe"
FOLDERS = (
    "spaced out",
    "net (copy)",
    "a&b",
    "it's",
    "$HOME",
    "a,b",
    "a+b=c",
    "`x`",
    "größe",
)


@pytest.fixture(scope="module")
def launcher(tmp_path_factory):
    return project.launcher(tmp_path_factory.mktemp("launcher"))


def built(folder, launcher, *definitions, **environment):
    """The project's sources copied into a folder, configured, with every step after compiling."""
    source = folder / "fastnn"
    for part in ("cmake", "csrc"):
        shutil.copytree(project.ROOT / part, source / part)
    for part in ("CMakeLists.txt", "pyproject.toml"):
        shutil.copy(project.ROOT / part, source)
    named = (f"CMAKE_CXX_COMPILER_LAUNCHER={launcher}", "CMAKE_BUILD_TYPE=Release", *definitions)
    done = project.configure(folder, *named, source=source, **environment)
    assert done.returncode == 0, done.stdout
    return project.cmake("--build", folder / "build", cwd=folder, **environment)


@pytest.mark.parametrize(
    "name", [EVERY_SIGN, *(pytest.param(name, marks=slow) for name in FOLDERS)]
)
def test_a_folder_of_any_name(name, launcher, tmp_path):
    folder = tmp_path / name
    done = built(folder, launcher)
    assert done.returncode == 0, done.stdout
    there = folder / "installed"
    done = project.cmake("--install", folder / "build", "--prefix", there, cwd=folder)
    assert done.returncode == 0, done.stdout
    assert (there / "fastnn" / "_core.so").exists()


@pytest.mark.parametrize("sign", ['"', "[", "]", "<", "|", ";", "$(", "${", "$ENV{"])
def test_a_folder_in_which_cmake_fails_is_refused(sign, tmp_path):
    folder = tmp_path / f"a{sign}b"
    folder.mkdir()
    done = project.configure(folder)
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert f"cannot build in a folder whose path contains {sign}: " in said
    assert "Build elsewhere" in said


def test_every_command_is_quoted():
    """Without VERBATIM, the shell reads parentheses and quotes of a path."""
    for file in (project.ROOT / "CMakeLists.txt", *(project.ROOT / "cmake").glob("*.cmake")):
        for command in re.findall(r"add_custom_\w+\((?:[^()]|\([^()]*\))*\)", file.read_text()):
            if "COMMAND" in command:
                assert "VERBATIM" in command, f"{file.name}: {command}"


# -- flags --------------------------------------------------------------------

FAST = (
    "-ffast-math -Ofast -funsafe-math-optimizations -ffinite-math-only -fassociative-math "
    "-freciprocal-math -fno-signed-zeros -ffp-contract=fast -frounding-math"
)
FLAGS = {
    "all": f"{FAST} -fno-exceptions -fno-rtti -flto=auto -march=native -mavx2 -mfma -mavx512f",
    "fast math": "-ffast-math",
    "fastest": "-Ofast",
    "every fast math": FAST,
    "no exceptions": "-fno-exceptions -fno-rtti",
    "link time": "-flto=auto -ffat-lto-objects",
    "this processor": "-march=native",
    "a later processor": "-march=x86-64-v3 -mavx2 -mfma -mavx512f -mbmi",
    "the old unit": "-mfpmath=387",
    "single constants": "-fsingle-precision-constant",
}
# What packagers pass; they are kept.
DISTRIBUTION = "-O2 -g -fstack-protector-strong -Wformat -Werror=format-security -fno-plt"


def options(build):
    """The options of each target: those of the compiler's command but for names of files."""
    found = {}
    for each in project.commands(build):
        words = shlex.split(each["command"])
        target = re.search(r"CMakeFiles/(\w+)\.dir", each["command"])[1]
        special = Path(each["file"]).name in ("gemm.cpp", "table.cpp") or "bf16" in each["file"]
        if not special:
            kept = [word for word in words[1:] if word.startswith(("-f", "-m", "-O", "-std"))]
            found[target] = kept
    return found


def meaning(flags):
    """All that the compiler makes of the flags: its switches, if it tells them, and its macros."""
    compiler = [project.COMPILER, *flags]
    switches = subprocess.run(
        [*compiler, "-Q", "--help=optimizers,common,target", "-x", "c++", os.devnull],
        capture_output=True,
        text=True,
        check=False,
    )
    macros = subprocess.run(
        [*compiler, "-dM", "-E", "-x", "c++", os.devnull],
        capture_output=True,
        text=True,
        check=True,
    )
    told = switches.stdout.splitlines() if switches.returncode == 0 else []
    return {" ".join(line.split()) for line in told + macros.stdout.splitlines()}


@pytest.fixture(scope="module")
def unflagged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unflagged")
    assert project.configure(folder, "CMAKE_BUILD_TYPE=Release").returncode == 0
    return {target: meaning(each) for target, each in options(folder / "build").items()}


@pytest.mark.parametrize(
    "name", [name if name == "all" else pytest.param(name, marks=slow) for name in FLAGS]
)
def test_flags_that_would_change_results_have_no_effect(name, unflagged, tmp_path):
    """For each instruction set, and for the code that has none."""
    flags = " ".join(word for word in FLAGS[name].split() if x86 or not word.startswith("-m"))
    done = project.configure(tmp_path, "CMAKE_BUILD_TYPE=Release", CXXFLAGS=flags)
    assert done.returncode == 0, done.stdout
    flagged = options(tmp_path / "build")
    assert flagged.keys() == unflagged.keys() >= {"_core", "fastnn_baseline"}
    for target, each in flagged.items():
        assert set(flags.split()) <= set(each)
        assert meaning(each) ^ unflagged[target] == set(), target


def test_flags_of_packagers_are_kept(tmp_path):
    done = project.configure(tmp_path, "CMAKE_BUILD_TYPE=Release", CXXFLAGS=DISTRIBUTION)
    assert done.returncode == 0, done.stdout
    for target, each in options(tmp_path / "build").items():
        assert {"-fstack-protector-strong", "-fno-plt"} <= set(each), target


@pytest.mark.skipif(not x86, reason="x86-64 alone")
def test_flags_that_cannot_be_taken_back_are_refused(tmp_path):
    done = project.configure(tmp_path, CXXFLAGS="-O2 -mmovbe")
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "(-O2 -mmovbe) change what the code for baseline processors means" in said
    assert "they set __MOVBE__" in said


def test_the_process_keeps_subnormal_numbers(launcher, tmp_path):
    """Compilers link crtfastmath.o for -ffast-math, which sets the processor at import."""
    flags = "-ffast-math -Ofast"
    done = built(tmp_path, launcher, CXXFLAGS=flags, LDFLAGS=flags)
    assert done.returncode == 0, done.stdout
    program = """
import ctypes, sys
ctypes.CDLL({path!r})
print(sys.float_info.min / 2 != 0)
"""
    path = str(tmp_path / "build" / "_core.so")
    assert cases.python(program.format(path=path)).stdout == "True\n"


@pytest.mark.parametrize("fast", [False, True])
def test_the_build_sees_a_module_that_flushes_subnormal_numbers(fast, tmp_path):
    (tmp_path / "a.cpp").write_text("int a;")
    command = [project.COMPILER, "-shared", "-fPIC", "a.cpp", "-o", "a.so"]
    # GCC 13 links it into programs alone, and into libraries where -mdaz-ftz asks for it.
    for flags in (["-ffast-math"], ["-ffast-math", "-mdaz-ftz"]) if fast else ([],):
        subprocess.run([*command, *flags], cwd=tmp_path, check=False)
        symbols = subprocess.check_output(["nm", "a.so"], cwd=tmp_path, text=True)
        if "fast_math" in symbols:
            break
    if fast and "fast_math" not in symbols:
        pytest.skip("this compiler links nothing for -ffast-math")
    script = project.ROOT / "cmake" / "check_module.cmake"
    done = project.cmake("-DNM=nm", "-DMODULE=a.so", "-P", script, cwd=tmp_path)
    assert (done.returncode != 0) == fast, done.stdout
    assert ("flushes subnormal numbers" in done.stdout) == fast


# Each line prints True if the module computes as it should.
NUMBERS = """
import numpy as np
tiny = np.float32(1e-45) * np.float32(1)
import fastnn
from fastnn import layers, losses
print(tiny != 0, np.array([1e-45], "f4")[0] * np.float32(1) == tiny)
print("-fno-fast-math" in fastnn.show_config("dicts")["build"]["flags"])


def fit(y, loss="mse", optimizer="adam", x=((1.0,), (2.0,))):
    model = fastnn.Sequential([fastnn.Input((1,)), layers.Dense(1)])
    model.compile(optimizer, loss)
    return model.fit(np.array(x), np.array(y), epochs=50, verbose=0).history["loss"]


for call, error in (
    (lambda: fit([1.0, np.nan]), ValueError),
    (lambda: fit([1.0, 2.0], x=((1.0,), (np.inf,))), ValueError),
    (lambda: fit([1.0, 2.0], optimizer=fastnn.optimizers.SGD(1e30)), fastnn.TrainingDiverged),
):
    try:
        print(False, call())
    except error:
        print(True)
print(np.isfinite(fit([1.0, np.nan], "binary_crossentropy")).all())
"""


@pytest.mark.long
def test_a_build_with_fast_math_computes_as_any_other(tmp_path):
    """The whole build: minutes."""
    pybind11 = pytest.importorskip("pybind11")
    named = f"pybind11_DIR={pybind11.get_cmake_dir()}"
    flags = "-ffast-math -Ofast"
    done = project.configure(
        tmp_path, "CMAKE_BUILD_TYPE=Release", named, CXXFLAGS=flags, LDFLAGS=flags
    )
    assert done.returncode == 0, done.stdout
    build = project.cmake("--build", tmp_path / "build", cwd=tmp_path, limit=1500)
    assert build.returncode == 0, build.stdout
    package = tmp_path / "package" / "fastnn"
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(project.ROOT / "python" / "fastnn", package, ignore=ignored)
    for module in (tmp_path / "build").glob("_core*.so"):
        shutil.copy(module, package)
    done = cases.python(NUMBERS, PYTHONPATH=str(package.parent))
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"True"}, done.stdout
