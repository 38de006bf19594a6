"""Restored: the state of training that a file has is put back. All is checked before anything is.

docs/files.md specifies what a file has, and `stored` writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.split import check_bits
from fastnn.layers.noise import Noise
from fastnn.models.built import restore_progress
from fastnn.models.packing import unpacked
from fastnn.models.paths import named_layers, named_models, named_optimizers, named_weights
from fastnn.models.training_state import TrainingState
from fastnn.optimizers.base import Optimizer
from fastnn.protocols import Position
from fastnn.words import integer, number

Array = NDArray[Any]
Put = Callable[[], object]

_MOST_EPOCHS = 2**62  # so that they can be counted on


def restore(
    model: Any, told: Mapping[str, Any], tensors: Mapping[str, Array], *, compiles: bool
) -> None:
    """Puts the state of training into a model that was just made.

    `compiles`: it is compiled as it was.
    """
    run(_of_model(model, told, tensors))
    for part, own, place in _compiled_in(model, told):
        if compiles:
            part.compile_from_config(own["compile"])
            run(_of_compiled(part, own, _state_in(model, place), tensors, compiles=True))
    if compiles and told.get("compile") is not None:
        model.compile_from_config(told["compile"])
    run(_of_training(model, told, tensors, compiles=compiles))


def restoring(model: Any, told: Mapping[str, Any], tensors: Mapping[str, Array]) -> list[Put]:
    """What puts the state of training into a model that stays as its program has compiled it."""
    found = _of_model(model, told, tensors)
    for part, own, place in _compiled_in(model, told):
        found += _of_compiled(part, own, _state_in(model, place), tensors, compiles=False)
    return [*found, *_of_training(model, told, tensors, compiles=False)]


def _compiled_in(model: Any, told: Mapping[str, Any]) -> list[tuple[Any, Mapping[str, Any], str]]:
    """Models in the model that were compiled for themselves, and what was told of that."""
    models = named_models(model)
    places = {name: f"/models/{i}" for i, name in enumerate(models)}
    ran = told.get("models", {})
    return [(models[n], ran[n]["training"], places[n]) for n in ran if "training" in ran[n]]


def _state_in(model: Any, place: str) -> TrainingState:
    return TrainingState(named_weights(model), place)


def own_optimizers(model: Any) -> dict[str, Optimizer]:
    """Optimizers among the attributes, but for the one that `compile` was given."""
    plan = model._state.now.plan
    known = None if plan is None else plan.optimizer
    return {name: one for name, one in named_optimizers(model).items() if one is not known}


def run(puts: Iterable[Put]) -> None:
    """Puts it back."""
    for put in puts:
        put()


def position_of(told: Any, tensors: Mapping[str, Array]) -> Position | None:
    """Where training was."""
    if told is None:
        return None
    sums = tuple(tensors[f"/position/{i}"] for i in range(integer("sums", told["sums"], 0, 10**6)))
    data = None if told["data"] is None else (*map(int, told["data"][:2]), bool(told["data"][2]))
    epoch, step = integer("epoch", told["epoch"], 0), integer("step", told["step"], 0)
    if step and not sums:
        raise ValueError(f"position: step {step} of an epoch of which nothing was counted")
    logs = unpacked(told.get("logs"), tensors)
    if logs is not None and not isinstance(logs, dict):
        raise ValueError(f"position: logs: expected values by name, got {logs!r:.100}")
    layout = told.get("layout")
    if layout is not None and not isinstance(layout, str):
        raise ValueError(f"position: layout: expected a word, got {layout!r:.100}")
    passed = integer("passed", told.get("passed", 0), 0)
    return Position(epoch, step, sums, data, logs, layout, passed)  # type: ignore[arg-type]


def _of_model(model: Any, told: Mapping[str, Any], tensors: Mapping[str, Array]) -> list[Put]:
    """What does not depend on how the model is compiled."""
    position = position_of(told.get("position"), tensors)
    epochs = integer("epochs", told.get("epochs", 0), 0, _MOST_EPOCHS)
    weights = named_weights(model)
    frozen = [weights[name] for name in told.get("frozen", ())]

    def put() -> None:
        model.position, model._epochs = position, epochs
        for weight in frozen:
            weight.trainable = False

    return [
        put,
        *_of_splits(model, told.get("splits", ()), tensors),
        *_of_parts(model, told),
    ]


def _of_splits(model: Any, told: Iterable[Any], tensors: Mapping[str, Array]) -> list[Put]:
    puts: list[Put] = []
    for i, split in enumerate(told):
        rows = integer("splits: rows", split["rows"], 1)
        share = number("splits: share", split["share"], 0.0, 1.0)
        bits = tensors[f"/split/{i}"]
        if bits.dtype != np.uint8 or bits.shape != (-(-rows // 8),):
            raise ValueError(f"/split/{i}: expected a bit for each of {rows} rows")
        check_bits(rows, bits)
        puts.append(partial(model._splits.put, rows, share, bits))
    return puts


def _of_parts(model: Any, told: Mapping[str, Any]) -> list[Put]:
    """Of models in the model that have run by themselves, and of their layers with noise."""
    puts: list[Put] = []
    models: dict[str, Any] = dict(named_models(model))
    for name, ran in told.get("models", {}).items():
        part, key, shape = models[name], _key_of(ran["key"]), ran.get("build_input_shape")
        counts = [integer(what, ran.get(what, 0), 0) for what in ("steps", "epochs")]
        puts.append(partial(part.run_as, key, shape, *counts))
    layers = named_layers(model)
    for name, counts in told.get("dropout", {}).items():
        layer, key = layers[name], _key_of(counts["key"])
        calls = integer("dropout: calls", counts["calls"], 0)
        if not isinstance(layer, Noise):
            raise TypeError(f"dropout: {name!r} is a {type(layer).__name__}")
        puts.append(partial(_go_on, layer, key, calls))
    return puts


def _go_on(layer: Noise, key: int, calls: int) -> None:
    layer._key, layer._calls = key, calls


def _key_of(text: Any) -> int:
    if not isinstance(text, str) or not 0 < len(text) <= 16:
        raise ValueError(f"key: expected 16 hexadecimal digits, got {text!r:.100}")
    return int(text, 16)


def _of_training(
    model: Any, told: Mapping[str, Any], tensors: Mapping[str, Array], *, compiles: bool
) -> list[Put]:
    """Counts, and what depends on how the model is compiled now."""
    steps, begun = (integer(name, told.get(name, 0), 0) for name in ("steps", "begun"))

    def put_counts() -> None:
        built = model._state.now.built
        if built is not None:
            built.network.steps, built.network.epochs = steps, begun

    puts: list[Put] = [put_counts]
    names = TrainingState(named_weights(model))
    if compiles or model._state.now.plan is not None:
        puts += names.own_puts(own_optimizers(model), told.get("optimizers", ()), tensors)
    return puts + _of_compiled(model, told, names, tensors, compiles=compiles)


def _of_compiled(
    model: Any,
    told: Mapping[str, Any],
    names: TrainingState,
    tensors: Mapping[str, Array],
    *,
    compiles: bool,
) -> list[Put]:
    """What a model has from `compile`, where it is compiled now."""
    plan, built = model._state.now.plan, model._state.now.built
    puts: list[Put] = []
    if plan is None:
        return puts
    if "optimizer" in told:
        puts.append(names.optimizer_put(plan.optimizer, told["optimizer"], tensors))
        rate = told.get("learning_rate")
        if rate is not None:
            rate = number("learning_rate", rate, 0.0)
            puts.append(lambda: setattr(plan.optimizer, "learning_rate", rate))
    known = told.get("found", {})
    own = {id(weight) for weight in model.weights}
    found = [(w, known.get(name)) for name, w in names.weights.items() if id(w) in own]
    puts.append(lambda: setattr(plan.objective, "found", [(w, _found(w, k)) for w, k in found]))
    if "network" not in told or plan.native is None or built is None:
        return puts
    settings = built.settings
    assert settings is not None
    variables = built.all_variables
    if compiles:
        settings = names.settings_of(told["network"], variables, settings)
    progress = names.progress_of(
        told["network"], built.network, settings, variables, plan.optimizer, tensors
    )
    if compiles:
        puts.append(lambda: model.go_on(settings, progress))
    else:
        puts.append(lambda: restore_progress(model._state.now.built.network, progress))
    return puts


def _found(weight: Any, known: Any) -> bool:
    return bool(weight.trainable if known is None else known)
