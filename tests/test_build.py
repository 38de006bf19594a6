"""What was built and installed: what it needs, what it weighs, what its symbols are.

How fast the import is, is a benchmark's business.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
import zlib
from pathlib import Path

import cases
import pytest

import fastnn
from fastnn import _core

try:
    METADATA = importlib.metadata.metadata("fastnn")
except importlib.metadata.PackageNotFoundError:
    METADATA = None
installed = pytest.mark.skipif(METADATA is None, reason="fastnn is on the path, not installed")

PACKAGE = Path(fastnn.__file__).parent
CORE = Path(_core.__file__)
CUDA = PACKAGE / "_cuda.so"


@installed
def test_only_numpy_at_run_time():
    required = [r for r in METADATA.get_all("Requires-Dist") if "extra ==" not in r]
    assert len(required) == 1
    assert re.match(r"numpy\b", required[0])


def test_import_loads_numpy_and_the_standard_library_alone():
    program = """
import sys
import zlib
import numpy
before = set(sys.modules)
import fastnn
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(new - set(sys.stdlib_module_names) - {"numpy"}))
"""
    done = cases.python(program)
    assert done.stdout.split() == ["fastnn"], done.stdout + done.stderr


def test_import_leaves_out_slow_modules():
    """Each of these takes a tenth of the import or more."""
    program = """
import sys
import zlib
import numpy
before = set(sys.modules)
import fastnn
slow = {"argparse", "difflib", "inspect", "logging", "pathlib", "typing_extensions", "urllib.parse"}
print(*sorted((set(sys.modules) - before) & slow))
"""
    done = cases.python(program)
    assert done.stdout.split() == [], done.stdout + done.stderr


def test_import_has_no_side_effects():
    """No output, no thread, no signal handler, no seed of NumPy touched."""
    program = """
import os, signal, threading
import numpy as np
np.random.seed(1)
state, handlers = np.random.get_state()[1].copy(), [signal.getsignal(s) for s in (2, 15)]
import fastnn
assert (np.random.get_state()[1] == state).all()
assert handlers == [signal.getsignal(s) for s in (2, 15)]
assert threading.active_count() == 1
if os.path.isdir("/proc/self/task"):
    from_numpy = int(os.popen(f"ls /proc/{os.getpid()}/task | wc -l").read())
    import subprocess, sys
    alone = "import numpy, os; print(len(os.listdir('/proc/self/task')))"
    assert from_numpy == int(subprocess.check_output([sys.executable, "-c", alone]))
"""
    done = cases.python(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python always has its GIL"
)
def test_free_threaded_python_gets_the_gil_back():
    """No test has shown that the module is safe without it, so it must not say that it is."""
    program = "import sys, fastnn; print(sys._is_gil_enabled())"
    done = cases.python(program, PYTHON_GIL="")
    assert done.stdout.split() == ["True"], done.stdout + done.stderr
    assert "'fastnn._core'" in done.stderr


@installed
def test_version():
    assert fastnn.__version__ == _core.__version__ == METADATA["Version"]


def test_typed():
    assert (PACKAGE / "py.typed").exists()
    assert (PACKAGE / "_core.pyi").exists()


def test_stub_names_what_is_there():
    """Every public name of the native module stands in its stub, and the other way round."""
    stub = re.sub(r'""".*?"""', "", (PACKAGE / "_core.pyi").read_text(), flags=re.DOTALL)
    named = set(re.findall(r"^(?:def|class) ([^\W_]\w*)", stub, re.MULTILINE)) | {"__version__"}
    there = {name for name in dir(_core) if not name.startswith("_")} | {"__version__"}
    assert there == named

    def members(kind: str) -> set[str]:
        """Those that the stub gives the class, and the class that it derives from."""
        pattern = rf"^class {kind}(?:\((\w+)\))?:\n(.*?)(?=^\S)"
        found = re.search(pattern, stub + "\nend", re.MULTILINE | re.DOTALL)
        assert found
        own = set(re.findall(r"^    (?:def )?(\w+)(?:\(|: )", found[2], re.MULTILINE))
        return own | (members(found[1]) if found[1] else set())

    for kind in ("Parameters", "Data", "Graph", "Network", "Run", "Recorded"):
        have = {name for name in dir(getattr(_core, kind)) if not name.startswith("_")}
        assert have == {name for name in members(kind) if not name.startswith("_")}, kind


def test_size():
    """The wheel, which is a ZIP file, is to stay under 5 MB, and nothing else is in it."""
    files = [f for f in PACKAGE.rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    if any(f.suffix in (".cpp", ".h", ".cu") for f in files):
        raise AssertionError("sources are no part of the wheel")
    packed = sum(len(zlib.compress(f.read_bytes())) for f in files if f != CUDA)
    assert packed + 200 * len(files) < 5e6  # with names, times and hashes of files


@installed
def test_what_it_says_of_cuda_is_so():
    """Either _cuda lies beside _core, or there is a reason why not."""
    said = _core.build_info()["cuda"]
    assert re.match(r"built for \d\d" if CUDA.exists() else r"not built: \w", said)


@pytest.mark.skipif(shutil.which("ldd") is None, reason="ldd is not installed")
@pytest.mark.parametrize("library", [CORE, CUDA], ids=lambda path: path.stem.partition(".")[0])
def test_no_foreign_libraries(library):
    """The C and C++ run-time libraries, and nothing else: no BLAS, no OpenMP, no CUDA.

    _cuda has CUDA's run-time library inside, and opens the driver when it is asked to.
    """
    if not library.exists():
        pytest.skip(f"CUDA is {_core.build_info()['cuda']}")
    text = subprocess.run(["ldd", library], capture_output=True, text=True, check=True).stdout
    needed = {line.split()[0].partition(".so")[0] for line in text.splitlines() if line.strip()}
    system = re.compile(r"(.*/)?(linux-vdso|ld-linux.*|lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+))$")
    assert [n for n in needed if not system.match(n)] == []


@pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("cmake", "c++", "nm")),
    reason="needs cmake, c++ and nm",
)
@pytest.mark.parametrize("stray", [False, True])
def test_the_symbol_check_of_the_build_sees_a_stray(stray, tmp_path):
    """Every build runs it over its objects; here one inline function is planted outside."""
    script = Path(__file__).parent.parent / "cmake" / "check_symbols.cmake"
    body = "inline int found() { return 1; } int use() { return found(); }"
    inside = f"namespace fastnn::avx2 {{ {body} }}"
    outside = (
        "inline int found() { return 1; } namespace fastnn::avx2 { int use() { return found(); } }"
    )
    (tmp_path / "a.cpp").write_text(outside if stray else inside)
    subprocess.run(
        ["c++", "-std=c++17", "-O0", "-c", "a.cpp", "-o", "a.o"], cwd=tmp_path, check=True
    )
    options = [f"-D{k}={v}" for k, v in {"NM": "nm", "OBJECTS": "a.o", "NAMESPACE": "avx2"}.items()]
    done = subprocess.run(
        ["cmake", *options, "-P", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode != 0) == stray, done.stderr
    assert ("found" in done.stderr) == stray


@pytest.mark.skipif(
    shutil.which("objdump") is None or sys.platform != "linux", reason="objdump is not installed"
)
@pytest.mark.skipif("avx512" not in _core.isas_built(), reason="one instruction set alone is built")
def test_wide_registers_stay_in_their_namespaces():
    """The disassembly: ymm and zmm are used by functions of their levels, by no other.

    Mangled names are read: a demangler may not know the newest kinds of lambda.
    """
    home = re.compile(r"^_Z(?:GV|TV|TI|TS)?Z*NK?6fastnn\d+(avx2|avx512|avx512_bf16|amx)(?=[^a-z_])")
    header = re.compile(r"^[0-9a-f]+ <(.*)>:$")
    stray, seen, function, named = set(), set(), "", False
    command = ["objdump", "-d", "--no-show-raw-insn", CORE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listing:
        assert listing.stdout is not None
        for line in listing.stdout:
            if match := header.match(line):
                function = match[1]
                named = named or "6fastnn" in function
            elif "%zmm" in line or "%ymm" in line:
                wide = "zmm" if "%zmm" in line else "ymm"
                match = home.match(function)
                isa = match and match[1]
                seen.add((isa, wide))
                if isa is None or (isa == "avx2" and wide == "zmm"):
                    stray.add(function)
    assert listing.returncode == 0
    if not named:
        pytest.skip("the module is stripped: look at a debug build, or at what the build checks")
    assert {("avx2", "ymm"), ("avx512", "zmm")} <= seen
    assert stray == set()
