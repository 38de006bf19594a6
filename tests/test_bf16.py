"""Products in bfloat16: float32 as the sum of one, two or three bfloat16 numbers.

What a unit computes is compared with float64; what the conversion does, with a model of
it in NumPy. The tiles of AMX are emulated in a native program, since few machines have them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import cases
import numpy as np
import pytest
from tolerances import check, check_frobenius

import fastnn
from fastnn import _core

ROOT = Path(__file__).parent.parent
UNITS = ("avx512_bf16", "amx")
PRECISIONS = {"medium": 1, "high": 2, "highest": 3}
F32 = np.float32

unit = pytest.mark.skipif(_core.isa() not in UNITS, reason="no unit for bfloat16 is in use")


def bits(x):
    return np.ascontiguousarray(x, F32).view(np.uint32)


def bfloat16(x):
    """The nearest bfloat16, as float32: ties to even, NaN stays, denormals are zero."""
    u = bits(x).astype(np.uint64)
    even = (u + 0x7FFF + (u >> 16 & 1)) & 0xFFFF0000
    out = even.astype(np.uint32).view(F32)
    out = np.where(np.abs(x) < np.finfo(F32).tiny, np.copysign(F32(0), x), out)
    return np.where(np.isnan(x), x, out).astype(F32)


def parts(x, bf16_parts):
    rest, found = np.asarray(x, F32), []
    with np.errstate(invalid="ignore"):
        for _ in range(bf16_parts):
            found.append(bfloat16(rest))
            rest = rest - found[-1]
    return found


def product(x, w, bf16_parts):
    """In float64, of the parts whose product is taken."""
    xs, ws = ([p.astype(np.float64) for p in parts(a, bf16_parts)] for a in (x, w))
    pairs = [(i, j) for i in range(bf16_parts) for j in range(bf16_parts - i)]
    with np.errstate(invalid="ignore", over="ignore"):
        return sum(xs[i] @ ws[j] for i, j in pairs)


def normal(rng, *shape):
    return rng.normal(size=shape).astype(F32)


@unit
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", cases.shapes(3, sampled=40), ids=cases.name)
def test_product(shape, precision, rng):
    """Of matrices as they are, and of such that lie transposed."""
    n, i, o = shape
    x, w = normal(rng, n, i), normal(rng, i, o)
    expected = x.astype(np.float64) @ w
    scale = np.abs(x) @ np.abs(w)
    turned = {"x": np.ascontiguousarray(x.T), "w": np.ascontiguousarray(w.T)}
    bf16_parts = PRECISIONS[precision]
    for tx in (False, True):
        for tw in (False, True):
            y = _core.split_product(
                turned["x"] if tx else x, turned["w"] if tw else w, bf16_parts, tx, tw
            )
            assert y.dtype == F32
            column = f"cpu {precision}"
            check(y, expected, "split product", "float32", scale=scale, column=column)


@unit
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("k", [64, 784, 2048, 4096])
def test_frobenius(k, precision, rng):
    x, w = normal(rng, 129, k), normal(rng, k, 65)
    y = _core.split_product(x, w, PRECISIONS[precision])
    expected = x.astype(np.float64) @ w
    check_frobenius(y, expected, "float32", "split product frobenius", f"cpu {precision}")


@unit
@pytest.mark.parametrize("bf16_parts", [1, 2, 3])
def test_the_parts_are_those_that_the_product_takes(bf16_parts, rng):
    """To float32's own rounding, far below what a part more or less would change."""
    x, w = normal(rng, 33, 129), normal(rng, 129, 17)
    y = _core.split_product(x, w, bf16_parts)
    scale = np.abs(x) @ np.abs(w)
    check(y, product(x, w, bf16_parts), "product", "float32", scale=scale)


ODD = np.array(
    [0.0, -0.0, 1.0, -1.5, 1.00390625, 1.01171875, 1.0078125, 65280.5, 3.0e38, 3.3895e38, 2.0**-126]
    + [1.1754942e-38, 1e-40, -1e-45, 2.0**-100, -(2.0**-133)],
    F32,
)


@unit
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("bf16_parts", [1, 2, 3])
def test_conversion_is_to_the_bit(bf16_parts, turned, rng):
    """Times the identity, a product is the sum of an operand's parts, which is exact."""
    random = rng.integers(0, 2**32, 2000, dtype=np.uint32).view(F32)
    random = random[np.isfinite(random) & (np.abs(random) > 1e-30) & (np.abs(random) < 3e38)]
    x = np.concatenate([ODD, random])[:1600].reshape(40, 40)
    one = np.eye(40, dtype=F32)
    model = sum(p.astype(np.float64) for p in parts(x, bf16_parts)).astype(F32)
    given = np.ascontiguousarray(x.T) if turned else x
    left = _core.split_product(given, one, bf16_parts, turned, False)
    right = _core.split_product(one, given, bf16_parts, False, turned)
    np.testing.assert_array_equal(left, model)
    np.testing.assert_array_equal(right, model)


@unit
def test_odd_values_in_one_part():
    """NaN stays NaN and an infinity an infinity; what rounds past the largest becomes one."""
    x = np.array([[np.nan], [np.inf], [-np.inf], [3.4e38], [-3.4e38], [1e-40], [3.38e38]], F32)
    y = _core.split_product(x, np.ones((1, 1), F32), 1)[:, 0]
    np.testing.assert_array_equal(y[:6], [np.nan, np.inf, -np.inf, np.inf, -np.inf, 0])
    assert np.isfinite(y[6])
    payload = np.array([[0x7F800001, 0x7FBFFFFF, 0xFF800001, 0x7FFFFFFF]], np.uint32).view(F32)
    assert np.isnan(_core.split_product(payload.T.copy(), np.ones((1, 1), F32), 1)).all()


@unit
@pytest.mark.parametrize("bf16_parts", [2, 3])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3.4e38])
def test_odd_values_in_several_parts_give_nan(value, bf16_parts, rng):
    """In their row alone: padding and neighbours stay clean."""
    x, w = normal(rng, 33, 17), normal(rng, 17, 9)
    x[20, 3] = value
    y = _core.split_product(x, w, bf16_parts)
    assert np.isnan(y[20]).all()
    assert np.isfinite(np.delete(y, 20, axis=0)).all()


@unit
@pytest.mark.parametrize("bf16_parts", [1, 2, 3])
def test_odd_values_stay_in_their_row_and_column(bf16_parts, rng):
    x, w = normal(rng, 65, 33), normal(rng, 33, 49)
    x[64, 32] = w[0, 48] = np.nan
    y = _core.split_product(x, w, bf16_parts)
    assert np.isnan(y[64]).all()
    assert np.isnan(y[:, 48]).all()
    assert np.isfinite(y[:64, :48]).all()


@unit
@pytest.mark.parametrize("bf16_parts", [1, 2, 3])
@pytest.mark.parametrize("shape", [(129, 784, 65), (1000, 64, 64), (33, 4200, 300)], ids=cases.name)
def test_threads_change_no_bit(shape, bf16_parts, rng):
    n, i, o = shape
    x, w = normal(rng, n, i), normal(rng, i, o)
    results = []
    for threads in (1, 2, 3, 8):
        fastnn.set_num_threads(threads)
        results.append(_core.split_product(x, w, bf16_parts).tobytes())
    assert len(set(results)) == 1


@unit
def test_nothing_to_add_or_nowhere_to():
    for n, i, o in ((0, 3, 4), (3, 0, 4), (3, 4, 0)):
        y = _core.split_product(np.ones((n, i), F32), np.ones((i, o), F32), 2)
        np.testing.assert_array_equal(y, np.zeros((n, o)))


@unit
def test_misuse():
    x = np.ones((3, 4), F32)
    with pytest.raises(ValueError, match=r"w: expected a shape to match x \(3, 4\), got \(3, 4\)"):
        _core.split_product(x, x, 1)
    with pytest.raises(ValueError, match="bf16_parts: expected 1, 2 or 3, got 4"):
        _core.split_product(x, x, 4, False, True)
    with pytest.raises(ValueError, match=r"w: expected a C-contiguous.*float64"):
        _core.split_product(x, x.astype(np.float64), 1, False, True)


@pytest.mark.skipif("avx2" not in _core.isas_supported(), reason="the processor has no AVX2")
def test_no_unit_no_emulation():
    program = """
import numpy as np
from fastnn import _core
try:
    _core.split_product(np.ones((2, 2), "f"), np.ones((2, 2), "f"), 1)
except RuntimeError as error:
    print(error)
"""
    done = cases.python(program, FASTNN_ISA="avx2")
    assert done.stdout.strip() == "split_product: avx2 has no unit for it", done.stderr


# -- natively: the forms, and the walk over the tiles of AMX ------------------

COMPILER = shutil.which(os.environ.get("CXX", "c++"))
SOURCES = (
    "tests/native/bf16.cpp",
    "csrc/cpu/gemm_bf16.cpp",
    "csrc/cpu/gemm_bf16_convert.cpp",
    "csrc/cpu/cores.cpp",
    "csrc/cpu/parallel.cpp",
    "csrc/cpu/pool.cpp",
    "csrc/cpu/trial.cpp",
)
AVX512_BF16 = [f"-m{f}" for f in ("avx512f", "avx512bw", "avx512vl", "avx512dq", "fma")] + [
    "-mavx512bf16"
]
native = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")


def compiled(folder, *flags, sources=SOURCES):
    """A program from the sources, or an object from one."""
    assert COMPILER is not None
    out = folder / "out"
    command = [COMPILER, "-std=c++20", "-Icsrc", "-ffp-contract=off", "-pthread", *flags]
    subprocess.run([*command, *sources, "-o", out], cwd=ROOT, check=True, timeout=300)
    return out


def run(program):
    return subprocess.run([program], capture_output=True, text=True, timeout=300, check=False)


@native
@pytest.mark.slow
@pytest.mark.parametrize("sanitized", [False, True], ids=["plain", "sanitized"])
def test_emulated_tiles(sanitized, tmp_path):
    flags = ["-O1", "-DFASTNN_TARGET=emulated", "-DFASTNN_EMULATE_TILES"]
    if sanitized:
        flags += ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    done = run(compiled(tmp_path, *flags))
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert done.stdout == "0 failures\n"


@pytest.mark.slow
@native
@unit
def test_dot_products_of_pairs(tmp_path):
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    done = run(compiled(tmp_path, "-DFASTNN_TARGET=pairs", *flags, *AVX512_BF16))
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]


@native
@pytest.mark.skipif("amx" not in _core.isas_built(), reason="the compiler has no AMX")
@pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump is not installed")
def test_the_amx_object_has_its_instructions(tmp_path):
    """A product of tiles for each pair of parts and tile of C in every kernel, or unrolled more."""
    tiles = ("-DFASTNN_TILES", "-mamx-tile", "-mamx-bf16")
    flags = ("-O3", "-c", "-DFASTNN_TARGET=amx", *tiles, *AVX512_BF16)
    out = compiled(tmp_path, *flags, sources=["csrc/cpu/gemm_bf16.cpp"])
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", out], capture_output=True, text=True, check=True
    ).stdout
    products = sum(r * v * p * (p + 1) // 2 for r in (1, 2) for v in (1, 2) for p in (1, 2, 3))
    assert len(re.findall(r"\btdpbf16ps\b", listing)) >= products
    assert "ldtilecfg" in listing
    assert "tilerelease" in listing


@native
def test_amx_needs_the_processor_and_the_system(tmp_path):
    """The system is asked only where the processor has tiles; refused, a lesser set serves."""
    sources = ["tests/native/isa.cpp", "csrc/cpu/isa.cpp"]
    done = run(compiled(tmp_path, sources=sources))
    assert done.returncode == 0, done.stdout
