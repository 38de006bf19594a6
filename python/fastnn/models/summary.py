"""The lines of the table that `model.summary()` prints. Only sums of sizes are computed here.

A graph that is no chain has a column that says what each layer is connected to, and lines for its
inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from fastnn.layers.base import Layer
from fastnn.models.drawn import Part, is_chain, source_of
from fastnn.variables import Variable
from fastnn.words import integer


class Described(Protocol):
    """A model as the table shows it."""

    name: str

    @property
    def layers(self) -> Sequence[Any]: ...
    def named_parts(self) -> Sequence[tuple[str, Any]]: ...
    @property
    def built(self) -> bool: ...
    @property
    def dtype(self) -> str: ...
    @property
    def input_shape(self) -> tuple[int | None, ...]: ...
    @property
    def trainable_weights(self) -> Sequence[Variable]: ...
    @property
    def weights(self) -> Sequence[Variable]: ...
    def count_params(self) -> int: ...


def summary_lines(
    model: Described, line_length: int | None, parts: Sequence[Part], expand_nested: bool
) -> Iterator[str]:
    """The lines of the table, at least `line_length` wide.

    `parts`: of the model's graph, as far as it is known.
    """
    connected = not is_chain(parts)
    head: tuple[str, ...] = ("Layer (type)", "Output shape", "Parameters")
    rows = [(*head, "Connected to")] if connected else [head]
    rows += _connected_rows(parts) if connected else _rows(model, expand_nested)
    widths = [max(len(row[i]) for row in rows) + 2 for i in range(len(head))]
    if connected:
        widths.append(2 + max(len(row[3]) for row in rows))
    if line_length is not None:
        widths[0] += max(0, integer("line_length", line_length) - sum(widths))
    shape = getattr(model, "input_shape", "not known yet")
    yield f'Model: "{model.name}" ({model.dtype}), input shape {shape}'
    for i, row in enumerate(rows):
        if i < 2:
            yield "-" * sum(widths)
        line = f"{row[0]:<{widths[0]}}{row[1]:<{widths[1]}}{row[2]:>{widths[2]}}"
        yield f"{line}  {row[3]}".rstrip() if connected else line
    yield "-" * sum(widths)
    if not model.built and not model.weights:
        yield "Parameters: not known until the model is built (by Input((columns,)) first, or by fit)"
        return
    trained = sum(variable.size for variable in model.trainable_weights)
    total = model.count_params()
    yield f"Parameters: {total:,} ({trained:,} trainable, {total - trained:,} not)"


def _rows(
    model: Described, expand_nested: bool, within: tuple[object, ...] = ()
) -> Iterator[tuple[str, str, str]]:
    """Name, output and number of parameters of each layer and of each model that is one."""
    indent = "  " * len(within)
    outer = (*within, model)  # models that are no graph yet may hold each other
    for name, layer in model.named_parts():
        output = str(layer.output_shape) if layer.built else "?"
        count = f"{layer.count_params():,}" if layer.built else "?"
        yield f"{indent}{name} ({type(layer).__name__})", output, count
        if expand_nested and not isinstance(layer, Layer) and not any(layer is m for m in outer):
            yield from _rows(layer, expand_nested, outer)


def _connected_rows(parts: Sequence[Part]) -> list[tuple[str, ...]]:
    """A line for each layer and connection: a layer that is called again has further connections."""
    rows: list[tuple[str, ...]] = []
    of_layer: dict[int, list[Part]] = {}
    for part in parts:
        if part.layer is not None:
            of_layer.setdefault(id(part.layer), []).append(part)
    for part in parts:
        if part.call > 0:
            continue
        calls = [part] if part.layer is None else of_layer[id(part.layer)]
        sources = [source_of(parts[i]) for call in calls for i in call.inputs] or ["-"]
        shape = "?" if part.shape is None else str(part.shape)
        count = "?" if part.parameters is None else f"{part.parameters:,}"
        rows.append((f"{part.name} ({part.kind})", shape, count, sources[0]))
        rows += [("", "", "", source) for source in sources[1:]]
    return rows
