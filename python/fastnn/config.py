"""Settings of the process (threads, precision, device), and a report of the build.

Only words are checked here. Native code chooses the instruction set, once, at import
(FASTNN_ISA forces one).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fastnn import _core, elsewhere
from fastnn.console import say
from fastnn.listing import names_of
from fastnn.words import choose, integer, refuse_elsewhere

__all__ = [
    "get_float32_matmul_precision",
    "get_num_threads",
    "list_physical_devices",
    "set_float32_matmul_precision",
    "set_num_threads",
    "show_config",
]

__dir__ = names_of(__all__)

Precision = Literal["highest", "high", "medium"]
Device = Literal["cpu", "cuda"]
Session = Literal["auto", "plain", "streaming", "tiled", "generic", "resident", "wide"]

_PRECISIONS: tuple[Precision, ...] = ("highest", "high", "medium")
_SESSIONS: tuple[Session, ...] = (
    *("auto", "plain", "streaming", "tiled"),
    *("generic", "resident", "wide"),
)
_DEVICES: dict[str, Device | None] = {"auto": None, "cpu": "cpu", "cuda": "cuda"}

# The limit of native code (csrc/cpu/parallel.cpp).
_MOST_THREADS = 256

_precision: Precision = "highest"


def set_float32_matmul_precision(precision: str) -> None:
    """Sets how exact float32 matrix products must be, in PyTorch's words.

        >>> fastnn.set_float32_matmul_precision("medium")
        >>> fastnn.get_float32_matmul_precision()
        'medium'
        >>> fastnn.set_float32_matmul_precision("highest")

    Args:
        precision: "highest" (the default; as exact as float32 fused multiply-add gives),
            "high" (each float32 may be split into two bfloat16) or "medium" (operands
            rounded to bfloat16).

    Models take it at `compile`, for the steps of training. "medium" needs a processor that
    multiplies bfloat16 (AVX512-BF16 or AMX), "high" AMX; on other processors, where they would
    be slower than float32, both act as "highest". So do both in layers too small to gain by
    them, in float64, and outside of training: in `evaluate`, `predict`, `value_and_grad` and
    `fastnn.ops`. `model.summary(batch_size=...)` names the numbers that products multiply.

    Raises:
        ValueError: for any other word.
    """
    global _precision
    _precision = matmul_precision(precision)


def get_float32_matmul_precision() -> Precision:
    """The word given to `set_float32_matmul_precision`, "highest" at first.

    >>> fastnn.get_float32_matmul_precision()
    'highest'
    """
    return _precision


def matmul_precision(word: str | None) -> Precision:
    """A checked word of precision; None means the global setting."""
    return _precision if word is None else choose("matmul_precision", word, _PRECISIONS)


def session() -> Session:
    """The session that training steps are to use: FASTNN_SESSION, or "auto"."""
    return choose("FASTNN_SESSION", os.environ.get("FASTNN_SESSION") or "auto", _SESSIONS)


def device(word: str | None = "auto") -> Device | None:
    """The device that a word means; None: either. "auto" asks FASTNN_DEVICE.

    Raises:
        ValueError: for a word other than "auto", "cpu" and "cuda".
        RuntimeError: for "cuda" where it cannot be used, with the reason and what to do.
    """
    asked = _core.environment("FASTNN_DEVICE")
    if word == "auto" and not asked:  # the usual case, in every call of an op
        return None
    refuse_elsewhere("device", "device", word)
    chosen = choose("device", "auto" if word is None else word, _DEVICES)
    source = "device='cuda'"
    if chosen is None:
        chosen = choose("FASTNN_DEVICE", asked, _DEVICES) if asked else None
        source = "FASTNN_DEVICE=cuda"
    if chosen == "cuda":
        state = _core.cuda_state()
        if not state["usable"]:
            raise RuntimeError(
                f"{source}: CUDA cannot be used: {state['reason']}; use 'cpu' or 'auto' instead"
            )
    return chosen


def _cuda() -> str:
    """The state of CUDA in one line."""
    state = _core.cuda_state()
    built = _core.build_info()["cuda"]
    if state["usable"]:
        return f"{state['device']} (experimental); {built}"
    reason = state["reason"] if built in state["reason"] else f"{built}; {state['reason']}"
    return f"{reason}; runs on the CPU alone"


def set_num_threads(n: int) -> None:
    """Sets the number of threads that native calls may use.

        >>> fastnn.set_num_threads(2)
        >>> fastnn.get_num_threads()
        2

    Results do not depend on it: the same seed gives the same bits with any number.

    Args:
        n: an integer in [1, 256]; 1 means that only the calling thread works.

    Raises:
        ValueError, TypeError: n is no such integer.
    """
    _core.set_num_threads(integer("n", n, 1, _MOST_THREADS))


def get_num_threads() -> int:
    """The number of threads that native calls may use.

        >>> 1 <= fastnn.get_num_threads() <= 256
        True

    Default: the environment variable FASTNN_NUM_THREADS, if it is set. Else the least of

    - the physical cores that this process may run on (its affinity);
    - the CPU quota of its control groups, rounded up;
    - the first number of OMP_NUM_THREADS and of OMP_THREAD_LIMIT, which joblib, Dask and Slurm
      set for their workers. Values that are no numbers above zero are ignored.

    The default is taken at the first native call, and again in a process made by fork: a variable
    that is set after the import, but before that, counts. Limits of threadpoolctl (3.2 or later)
    that are for all libraries, or for the user_api "fastnn", are set here too, and taken back
    where its `with` block ends. `python -m fastnn info` shows the limits.
    """
    return _core.num_threads()


def _limits() -> str:
    """What the default number of threads is the least of, in words."""
    named = os.environ.get("FASTNN_NUM_THREADS")
    limits = {"FASTNN_NUM_THREADS": named} if named else {}
    limits |= {name: f"{most:g}" for name, most in _core.thread_limits().items()}
    return ", ".join(f"{name} {most}" for name, most in limits.items())


def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> dict[str, Any] | None:
    """Reports the build and the settings of this process.

        >>> sorted(fastnn.show_config("dicts"))[:3]
        ['build', 'cuda', 'float32_matmul_precision']

    Args:
        mode: "stdout" prints the settings and returns None; "dicts" returns them as a
            dictionary and prints nothing (NumPy's `show_config` does the same).

    Raises:
        ValueError: for any other mode.
    """
    choose("mode", mode, ("stdout", "dicts"))
    build = {name: text for name, text in _core.build_info().items() if name != "cuda"}
    settings: dict[str, Any] = {
        "version": _core.__version__,
        "build": build,
        "isa": _core.isa(),
        "isas_supported": _core.isas_supported(),
        "isas_built": _core.isas_built(),
        "threads": _core.num_threads(),
        "float32_matmul_precision": _precision,
        "cuda": _core.cuda_state(libraries=True),
    }
    if mode == "dicts":
        return settings
    rows = [("fastnn", settings["version"])]
    rows += list(build.items())
    rows += [
        ("instruction set", settings["isa"]),
        ("supported here", ", ".join(settings["isas_supported"])),
        ("built", ", ".join(settings["isas_built"])),
        ("threads", f"{settings['threads']} ({_limits()})"),
        ("matmul precision", settings["float32_matmul_precision"]),
        ("CUDA", _cuda()),
    ]
    if settings["cuda"]["usable"]:
        rows.append(("cuBLASLt", settings["cuda"]["cublas"]))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        say(f"{name:<{width}}  {text}")
    return None


class PhysicalDevice(NamedTuple):
    """A device that can train, with TensorFlow's names of its parts."""

    name: str
    device_type: str


def list_physical_devices(device_type: str | None = None) -> list[PhysicalDevice]:
    """The devices that can train, as TensorFlow's function of this name lists them.

        >>> fastnn.config.list_physical_devices("CPU")
        [PhysicalDevice(name='/physical_device:CPU:0', device_type='CPU')]

    Args:
        device_type: "CPU" or "GPU"; None: both. Other types of TensorFlow's have no devices.
    """
    found = [PhysicalDevice("/physical_device:CPU:0", "CPU")]
    if _core.cuda_state()["usable"]:
        found.append(PhysicalDevice("/physical_device:GPU:0", "GPU"))
    return [each for each in found if device_type in (None, each.device_type)]


if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "config")
