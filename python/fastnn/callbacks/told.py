"""How values of the logs are written, in lines and in tables."""

from __future__ import annotations

import math

import numpy as np

from fastnn.protocols import Logs

# Numbers of an array that a line shows.
_MOST = 20


def values_text(logs: Logs) -> str:
    """ " - loss: 0.1234 - accuracy: 0.9600"."""
    return "".join(f" - {name}: {short(value)}" for name, value in logs.items())


def short(value: object) -> str:
    """A value of the logs, where callbacks may have put anything."""
    try:
        if isinstance(value, np.ndarray) and value.ndim > 0 and value.dtype.kind == "f":
            parts = [short(part) for part in value]
            if len(parts) > _MOST:
                parts = [*parts[:3], "...", *parts[-3:]]
            return f"[{' '.join(parts)}]"
        if not isinstance(value, (int, float, np.floating)):
            return str(value)
        number = float(value)
    except Exception:  # noqa: BLE001 - an integer beyond float, a `__str__` that raises
        return f"<{type(value).__name__}>"
    small = number != 0 and abs(number) < 1e-3
    return f"{number:.4e}" if small or not math.isfinite(number) else f"{number:.4f}"
