"""The table that `model.summary()` prints, as lines. It computes nothing but sums of sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastnn.words import integer

if TYPE_CHECKING:
    from fastnn.models import Sequential


def summary_lines(model: Sequential, line_length: int | None) -> Iterator[str]:
    """The lines of the table, at least `line_length` wide."""
    rows = [("Layer (type)", "Output shape", "Parameters")]
    for layer in model.layers:
        output = str(layer.output_shape) if layer.built else "?"
        count = f"{layer.count_params():,}" if layer.built else "?"
        rows.append((f"{layer.name} ({type(layer).__name__})", output, count))
    widths = [max(len(row[i]) for row in rows) + 2 for i in range(3)]
    if line_length is not None:
        widths[0] += max(0, integer("line_length", line_length) - sum(widths))
    shape = model.input_shape if model.built else "not known yet"
    yield f'Model: "{model.name}" ({model.dtype}), input shape {shape}'
    for i, row in enumerate(rows):
        if i < 2:
            yield "-" * sum(widths)
        yield f"{row[0]:<{widths[0]}}{row[1]:<{widths[1]}}{row[2]:>{widths[2]}}"
    yield "-" * sum(widths)
    if not model.built:
        yield "Parameters: not known until the model is built"
        return
    trained = sum(variable.size for variable in model.trainable_weights)
    total = model.count_params()
    yield f"Parameters: {total:,} ({trained:,} trainable, {total - trained:,} not)"
