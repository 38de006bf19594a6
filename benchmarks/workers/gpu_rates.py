"""Rates of a GPU, measured with PyTorch, and the times of fastnn's memory-bound ops.

Prints one line of JSON, the fields of `gpu_rows.Rates`. fastnn's ops take NumPy arrays
here, which are copied to the device and back. Only the time in its kernels counts, which
PyTorch's profiler measures in the same way as that of PyTorch's own kernels.
"""

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks import gpu_rows
from benchmarks.workloads import BETA_1, BETA_2, EPSILON, LEARNING_RATE

COPY = 1 << 30  # bytes of an array
PRODUCT = {"highest": 4096, "medium": 8192}  # rows and columns
ELEMENTS = 1 << 26  # of an array of the optimizer
LOGITS = ((1 << 17, 1024), (1 << 23, 10))
TURNS = 7
Call = Callable[[], object]


def events(call: Call, repeats: int = 10) -> float:
    """Seconds of a call on the device, between events of its stream; the median."""
    for _ in range(3):
        call()
    taken = []
    for _ in range(TURNS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(repeats):
            call()
        end.record()
        end.synchronize()
        taken.append(begin.elapsed_time(end) / repeats / 1e3)
    return statistics.median(taken)


def copy_rate() -> float:
    a = torch.randn(COPY // 4, device="cuda")
    b = torch.empty_like(a)
    return 2 * COPY / events(lambda: b.copy_(a))


def product_rate(precision: str) -> float:
    n = PRODUCT[precision]
    dtype = torch.bfloat16 if precision == "medium" else torch.float32
    a, b = (torch.randn(n, n, device="cuda", dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)
    return 2 * n**3 / events(lambda: torch.mm(a, b, out=out))


def in_kernels(call: Call, repeats: int = 3) -> float:
    """The least seconds in kernels of one call, without copies and clearing."""
    call()
    taken = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profile:
            call()
            torch.cuda.synchronize()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "trace.json"
            profile.export_chrome_trace(str(file))
            trace = json.loads(file.read_text())["traceEvents"]
        taken.append(sum(event["dur"] for event in trace if event.get("cat") == "kernel") * 1e-6)
    if not min(taken) > 0:
        raise RuntimeError("the profiler saw no kernel")
    return min(taken)


def cases() -> dict[str, tuple[int, Callable[[], Call], Callable[[], Call]]]:
    """By op: the bytes that it must move, and functions that make its calls in fastnn and PyTorch."""

    def softmax_cross_entropy(n: int, c: int) -> tuple[Callable[[], Call], Callable[[], Call]]:
        def ours() -> Call:
            from fastnn import ops

            rng = np.random.default_rng(0)
            z = rng.standard_normal((n, c), dtype=np.float32)
            labels = rng.integers(0, c, n).astype(np.int32)
            return lambda: ops.softmax_cross_entropy(z, labels)

        def torchs() -> Call:
            z = torch.randn(n, c, device="cuda", requires_grad=True)
            labels = torch.randint(0, c, (n,), device="cuda")
            return lambda: torch.autograd.grad(functional.cross_entropy(z, labels), z)

        return ours, torchs

    def our_adam() -> Call:
        from fastnn import ops

        rng = np.random.default_rng(0)
        grad = rng.standard_normal(ELEMENTS, dtype=np.float32)
        p, m, v = (np.zeros_like(grad) for _ in range(3))
        return lambda: ops.adam_step(p, grad, m, v, step=1000, learning_rate=LEARNING_RATE)

    def torchs_adam() -> Call:
        p = torch.zeros(ELEMENTS, device="cuda", requires_grad=True)
        p.grad = torch.randn(ELEMENTS, device="cuda")
        adam = torch.optim.Adam(
            [p], lr=LEARNING_RATE, betas=(BETA_1, BETA_2), eps=EPSILON, fused=True
        )
        return lambda: adam.step()

    return {
        **{
            f"softmax_cross_entropy of {c}": (2 * 4 * n * c + 4 * n, *softmax_cross_entropy(n, c))
            for n, c in LOGITS
        },
        "adam_step": (7 * 4 * ELEMENTS, our_adam, torchs_adam),
    }


def measured_ops() -> dict[str, dict[str, float]]:
    """Each op's bytes and times; a failure is reported on stderr."""
    found: dict[str, dict[str, float]] = {}
    for name, (moved, *makers) in cases().items():
        found[name] = {"bytes": moved}
        for who, make in zip(("fastnn", "PyTorch"), makers, strict=True):
            try:
                found[name][who] = in_kernels(make())
            except Exception as reason:  # noqa: BLE001 - from two libraries and a profiler
                kind = str(reason).strip().partition("\n")[0][:200]
                print(f"left out: {name}, {who} ({type(reason).__name__}: {kind})", file=sys.stderr)
            torch.cuda.empty_cache()
    return found


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")  # output of libraries goes to stderr
    os.dup2(2, 1)
    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU")
    os.environ["FASTNN_DEVICE"] = "cuda"
    torch.set_float32_matmul_precision("highest")
    rates: dict[str, Any] = {
        "copy": copy_rate(),
        "products": {word: product_rate(word) for word in gpu_rows.PRECISIONS},
        "cache": torch.cuda.get_device_properties(0).L2_cache_size,
        "ops": measured_ops(),
    }
    print(json.dumps(rates), file=answers)


if __name__ == "__main__":
    main()
