"""Saved: a model as configs and files have it.

A config is the architecture alone; a file has the weights and the state of training, too. The layout
of files is in `fastnn.files`, and docs/files.md specifies what is in them.
"""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

from fastnn.changes import Change
from fastnn.console import warn
from fastnn.data.structures import Form
from fastnn.files import layout
from fastnn.files.suffixes import refuse_other_formats
from fastnn.layers.base import Shape
from fastnn.models.architecture import Decoder, Encoder
from fastnn.models.codes import makes_itself
from fastnn.models.compiled import State
from fastnn.models.exported import Exported
from fastnn.models.nested import parts_in
from fastnn.models.opaque import Steps
from fastnn.models.stored import (
    backup_in,
    backup_of,
    contents_of,
    load_weights_of,
)
from fastnn.models.training_state import compile_by, compile_described
from fastnn.models.values import config_of, value_of
from fastnn.protocols import Backup
from fastnn.serializable import custom_object_scope, is_of_fastnn
from fastnn.words import flag, keywords, path

Path = str | os.PathLike[str]
# Suffixes of files of other programs, and what writes them.


class Saved(Exported):
    """A model that can be saved, and made anew from a config."""

    _inside: ClassVar[Iterable[str]] = ("take_graph", "take_parts", "take_steps", "trace_for")
    _arguments_given: dict[str, Any] | None = None  # of a constructor of a program's own

    def __new__(cls, *args: Any, **given: Any) -> Self:
        """Keeps the arguments of a constructor of a program's own, for `get_config`."""
        made = super().__new__(cls)
        if not is_of_fastnn(cls.__init__):
            vars(made)["_arguments_given"] = config_of(cls, args, given)
        return made

    # -- configs

    def get_config(self) -> dict[str, Any]:
        """The architecture, as JSON can hold it: `from_config` makes such a model from it.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
            >>> fastnn.Sequential.from_config(model.get_config()).output_shape
            (None, 3)

        It has neither weights nor what `compile` was given. Of a class of one's own whose
        constructor makes the layers, it holds the arguments of the constructor, where these are
        numbers, words, lists, dictionaries, objects with a config or functions with a name; with
        other arguments the class defines `get_config`.

        Raises:
            NotImplementedError: an argument of the constructor of such a class is something else.
            TypeError: an option of a layer has no config.
        """
        if not makes_itself(type(self)):
            return Encoder().graph(self)
        found = self._arguments_given
        if found is None:
            raise NotImplementedError(
                f"{type(self).__name__}: arguments of its constructor have no config; define "
                "get_config(self), which returns them as numbers, words, lists and dictionaries"
            )
        return dict(found)

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """A model of the architecture that `get_config` gave, with weights of its own.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
            >>> fastnn.Sequential.from_config(model.get_config()).output_shape
            (None, 3)

        Args:
            config: what `get_config` gave.
            custom_objects: classes and functions of one's own that it names; see
                `fastnn.register_serializable`.

        Raises:
            TypeError, ValueError: the config is of no such model; the message names the fault.
        """
        if not isinstance(config, Mapping):
            raise TypeError(f"{cls.__name__}.from_config: expected a dictionary, got {config!r}")
        with custom_object_scope(custom_objects or {}):
            if makes_itself(cls):
                return cls(**{name: value_of(one) for name, one in config.items()})
            made: Self = Decoder().graph(cls, config)  # type: ignore[assignment]
            return made

    def to_json(self, **options: Any) -> str:
        """The architecture as JSON; `fastnn.models.model_from_json` makes a model from it.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
            >>> fastnn.models.model_from_json(model.to_json()).output_shape
            (None, 3)

        Args:
            options: of `json.dumps`, such as indent=2.

        Errors: see `get_config`.
        """
        return json.dumps(Encoder().described(self), **options)

    def get_compile_config(self) -> dict[str, Any] | None:
        """The arguments of `compile` as JSON can hold them; None: the model is not compiled.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
            >>> model.compile("sgd", "mean_squared_error")
            >>> sorted(model.get_compile_config())[:2]
            ['device', 'loss']

        Raises:
            TypeError: one of them has no config, as a lambda.
        """
        plan = self._state.now.plan
        return None if plan is None else compile_described(plan)

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compiles the model with the arguments that `get_compile_config` gave.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
            >>> model.compile("sgd", "mean_squared_error", metrics=["mae"])
            >>> clone = fastnn.models.clone_model(model)
            >>> clone.compile_from_config(model.get_compile_config())
            >>> clone.metrics_names
            ['loss', 'mae']

        A class whose `compile` has arguments of its own defines both.
        """
        if is_of_fastnn(type(self).compile):
            compile_by(self, config)
        else:
            warn(
                f"{type(self).__name__} has a `compile` of its own and no compile_from_config: the "
                "model is not compiled",
                UserWarning,
            )

    # -- files

    @keywords()
    def save(
        self, filepath: Path, overwrite: bool = True, *, include_optimizer: bool = True
    ) -> None:
        """Writes the model to one file, from which `fastnn.load_model` makes an equal one.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
            >>> model.save("model.safetensors")
            >>> fastnn.load_model("model.safetensors").count_params()
            15

        The file has the architecture, the weights, what `compile` was given, and the state of
        training: the optimizer's, all counts, the rows that validation_split held out. A model that
        is loaded, in another process too, trains on to the same weights to the last bit. It is
        written in the layout of safetensors, of which the package safetensors reads the weights, and
        holds no code: classes of one's own are named (see `fastnn.register_serializable`).

        At any moment `filepath` is the file that was there before, or the new one.

        Args:
            filepath: the file, by custom with the suffix ".safetensors".
            overwrite: whether a file that exists is replaced.
            include_optimizer: whether to write what `compile` was given and the state of training.

        Raises:
            FileExistsError: the file exists, and overwrite is False.
            ValueError: the suffix is that of another format.
            TypeError, NotImplementedError: something has no config, as a loss that is a lambda, or
                a class of one's own (see `get_config`).
            RuntimeError: another thread is training the model.
            OSError: the file cannot be written.
        """
        file = _checked_path("save", filepath, flag("overwrite", overwrite))
        training = flag("include_optimizer", include_optimizer)
        layout.write(file, contents_of(self, training=training))

    @keywords()
    def save_weights(self, filepath: Path, overwrite: bool = True) -> None:
        """Writes the weights to a file in the layout of safetensors, by names such as "dense/kernel".

            >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
            >>> clone = fastnn.models.clone_model(model)
            >>> model.save_weights("model.weights.safetensors")
            >>> clone.load_weights("model.weights.safetensors")
            >>> bool((clone.get_weights()[0] == model.get_weights()[0]).all())
            True

        Args and errors: see `save`; ValueError where the model is not built.
        """
        file = _checked_path("save_weights", filepath, flag("overwrite", overwrite))
        if not self.built and not self.weights:
            raise ValueError("save_weights: the model is not built; it has no weights yet")
        layout.write(file, contents_of(self, weights_alone=True))

    @keywords()
    def load_weights(self, filepath: Path, skip_mismatch: bool = False) -> None:
        """Reads weights, by their names, from a file that `save_weights` or `save` wrote.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
            >>> clone = fastnn.models.clone_model(model)
            >>> model.save_weights("model.weights.safetensors")
            >>> clone.load_weights("model.weights.safetensors")
            >>> bool((clone.get_weights()[0] == model.get_weights()[0]).all())
            True

        What the optimizer has is kept. All is checked before anything is written.

        Args:
            filepath: the file.
            skip_mismatch: whether weights stay as they are which the file has in another shape, or
                has not, with a warning that names them. Others that the file has are left out.

        Raises:
            fastnn.ModelFileError: the file is damaged or no such file, or its weights are not those
                of the model; the message names one.
            ValueError: the model is not built.
            RuntimeError: the model is being trained.
        """
        if not self.built and not self.weights:
            raise ValueError(
                "load_weights: the model is not built; give input_shape, or call build"
            )
        skips = flag("skip_mismatch", skip_mismatch)
        file = path("filepath", filepath)
        load_weights_of(self, layout.read(file), file, skips=skips)

    # -- for callbacks

    def write_state(self, file: Path, more: Mapping[str, Any]) -> None:
        """Writes the weights and the state of training, with further values (for callbacks)."""
        layout.write(file, backup_of(self, more))

    def read_state(self, file: Path) -> Backup:
        """What a file of `write_state` has for this model; its `put` makes the model go on."""
        return backup_in(self, layout.read(file), file)

    # -- for configs that are read

    def trace_for(self, row_shape: Shape) -> None:
        """Gives a model of a class with a `call` its graph, without weights (for configs)."""
        change = Change("from_config")
        with change, change.lock:
            self._changes.take(change, waits=True)
            state = self._traced_for(self._state.now, row_shape)
            self._claim_parts(change, state)
            names = self.names_for(parts_in(state))
            self._settle(change, state._replace(row_shape=row_shape), names)

    def take_parts(self, parts: Sequence[Any], row_shape: Shape | None, *, inner: bool) -> None:
        """Makes layers and models the chain (for configs); Sequential defines it."""
        del parts, row_shape, inner
        raise ValueError(f"{type(self).__name__}: a config of a graph has calls")

    def take_graph(self, state: State, input_names: int | list[str] | None, *, inner: bool) -> None:
        """Makes a graph the model (for configs). The weights of an `inner` one are not made yet."""
        count = len(input_names) if isinstance(input_names, list) else input_names
        if count is not None and count != len(state.inputs):
            raise ValueError(
                f"input_names: expected those of {len(state.inputs)} inputs, got {count}"
            )
        self._input_names = input_names
        self._take_graph("from_config", state, builds=not inner)

    @abstractmethod
    def take_steps(
        self, steps: Steps, form: Form, shapes: Sequence[Shape], names: int | list[str] | None
    ) -> None:
        """Makes calls the model of which some are no graph of layers (for configs)."""

    @abstractmethod
    def _take_graph(self, doing: str, state: State, *, builds: bool = True) -> None:
        """Makes a graph the model, whose parts get names."""


def _checked_path(doing: str, filepath: Path, overwrite: bool) -> str:
    file = path("filepath", filepath)
    refuse_other_formats(doing, file)
    if not overwrite and os.path.exists(file):  # noqa: PTH110 - pathlib takes long
        raise FileExistsError(f"{doing}: {file} exists, and overwrite is False")
    return file
