"""Sequential: a model that is a chain of layers, its Variables and its table.

How a chain becomes a native network is in `built`; training is in `trainer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from fastnn import _core, keys
from fastnn.console import say
from fastnn.layers.base import (
    Dtype,
    Layer,
    Shape,
    dtype_of,
    snake_case,
    without_batch,
    write_all,
)
from fastnn.layers.shape import InputLayer
from fastnn.models.built import Built, assemble, shapes_through
from fastnn.models.summary import summary_lines
from fastnn.models.trainer import Trainer
from fastnn.variables import Variable
from fastnn.words import flag, integer, keywords, unknown


class Sequential(Trainer):
    """A chain of layers.

        >>> import numpy as np
        >>> import fastnn
        >>> fastnn.utils.set_random_seed(0)
        >>> model = fastnn.Sequential([
        ...     fastnn.layers.Dense(16, activation="relu", input_shape=(4,)),
        ...     fastnn.layers.Dense(3),
        ... ])
        >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> x = np.random.default_rng(0).normal(size=(90, 4))
        >>> y = x[:, :3].argmax(axis=1)
        >>> history = model.fit(x, y, epochs=100, verbose=0)
        >>> history.history["accuracy"][-1] > 0.9
        True
        >>> model.predict(x).shape
        (90, 3)

    Args:
        layers: the layers, in order; the first may be `Input`. If the first layer gives its
            input shape, the model is built, and its parameters exist, at once; if not, they
            exist from the first call with data, or from `build`.
        trainable: False freezes all layers.
        name: the model's name, in its table and in paths of Variables.
        dtype: "float32" (the default) or "float64"; layers that name a dtype must agree.
        seed: fixes the model's random numbers (first weights, dropout, order of rows,
            validation split), independently of earlier draws; None: they come from
            `fastnn.utils.set_random_seed`, or from the system's entropy. (Not in Keras.)

    A layer belongs to one model. A model computes in float32 or in float64, never in both.
    """

    @keywords()
    def __init__(
        self,
        layers: Iterable[Layer] | None = None,
        trainable: bool = True,
        name: str | None = None,
        *,
        dtype: str | None = None,
        seed: int | None = None,
    ) -> None:
        key = keys.next_key() if seed is None else keys.key_of(integer("seed", seed, 0))
        super().__init__(key)
        self.name = snake_case(type(self).__name__) if name is None else name
        self._given_dtype = None if dtype is None else dtype_of(dtype)
        self._layers: list[Layer] = []
        # The shape of a row from `build` or from the first data.
        self._late_shape: Shape | None = None
        if isinstance(layers, Layer):
            raise TypeError("layers: expected a list of layers, got a single layer")
        self._change(list(layers or ()))
        if not flag("trainable", trainable):
            self.trainable = False

    # -- the chain

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the Input, as in Keras."""
        return [layer for layer in self._layers if not isinstance(layer, InputLayer)]

    def add(self, layer: Layer) -> None:
        """Appends a layer.

        Parameters keep their values, though they may move to a larger buffer. The model must
        be compiled again.
        """
        self._exclusive.refuse_all("add")
        self._change([*self._layers, layer])

    def pop(self) -> Layer:
        """Removes the last layer and returns it; it keeps its values. Compile again."""
        self._exclusive.refuse_all("pop")
        if not self.layers:
            raise ValueError("pop: the model has no layers")
        last = self._layers[-1]
        self._change(self._layers[:-1])
        last.leave()
        return last

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer with this name, or at this place in `layers`."""
        if (name is None) == (index is None):
            raise ValueError("get_layer: give name or index")
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(f"get_layer: index {index} of {len(self.layers)} layers")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(unknown("layer", str(name), [layer.name for layer in self.layers]))

    def _change(self, layers: list[Layer]) -> None:
        """Makes `layers` the chain; on any error nothing has changed."""
        names = self._check_chain(layers)
        shape = _first_shape(layers) or self._late_shape
        built = None
        if shape is not None and any(not isinstance(layer, InputLayer) for layer in layers):
            built = self._make(layers, shape)
        for layer, name in zip(layers, names, strict=True):
            layer.join(self, name)
        self._layers = layers
        self._settle(built)
        self.forget_compile()

    def _check_chain(self, layers: list[Layer]) -> list[str]:
        """Checks that the layers can be a chain; returns a name for each."""
        _check_are_layers(layers)
        names = [layer.given_name or "" for layer in layers]
        for i, layer in enumerate(layers):
            if layer.owner not in (None, self):
                raise ValueError(
                    f"layer {layer.name!r} belongs to another model; make a layer for each model"
                )
            if any(layer is other for other in layers[:i]):
                raise ValueError(f"layer {layer.name!r} is in the model twice")
            if isinstance(layer, InputLayer) and i > 0:
                raise ValueError("Input must be the first layer")
            if names[i]:
                if names[i] in names[:i]:
                    raise ValueError(f"layers: two are named {names[i]!r}; names must differ")
                continue
            names[i] = _numbered(snake_case(type(layer).__name__), names)
        self._agreed_dtype(layers)
        return names

    def _agreed_dtype(self, layers: list[Layer]) -> Dtype:
        agreed = self._given_dtype
        for layer in layers:
            if layer.dtype is not None:
                if agreed is not None and layer.dtype != agreed:
                    raise ValueError(
                        f"layer {layer.name!r} is {layer.dtype}, but the model is {agreed}; "
                        "all layers of a model have one dtype"
                    )
                agreed = layer.dtype
        return agreed or "float32"

    # -- building

    @property
    def built(self) -> bool:
        return self._built is not None

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the parameters for inputs of shape (None, ...), batch axis first."""
        shape = without_batch(input_shape)
        if self._built is not None:
            if shape != self._built.shapes[0]:
                raise ValueError(
                    f"build: the model is built for {self.input_shape}, got {tuple(input_shape)}"
                )
            return
        self.keep(self.build_for(shape))

    def build_for(self, row_shape: Shape) -> Built:
        self.shapes_for(row_shape)
        return self._make(self._layers, row_shape)

    def keep(self, built: Built) -> None:
        self._late_shape = built.shapes[0]
        self._settle(built)

    def shapes_for(self, row_shape: Shape) -> list[Shape]:
        if not self.layers:
            raise ValueError("the model has no layers; add some first")
        return shapes_through(self._layers, row_shape)

    def _make(self, layers: list[Layer], shape: Shape) -> Built:
        """The chain built for input rows of `shape`; nothing of the model changes."""
        built = assemble(layers, shape, self._agreed_dtype(layers), self._key)
        if self._built is not None:
            built.network.steps = self._built.network.steps
            built.network.epochs = self._built.network.epochs
        return built

    def _settle(self, built: Built | None) -> None:
        """Adopts `built` as the state of the model and its layers."""
        self._built = built
        if built is None:
            return
        for i, layer in enumerate(self._layers):
            for variable, place in zip(built.variables[i], built.places[i], strict=True):
                variable.move(place)
                variable.path = f"{self.name}/{layer.name}/{variable.name}"
            layer.settle(built.shapes[i], built.shapes[i + 1], built.variables[i])

    @property
    def network(self) -> _core.Network:
        return self._complete().network

    def _complete(self) -> Built:
        if self._built is None:
            raise RuntimeError(
                "the model is not built: give input_shape to its first layer, or call build"
            )
        return self._built

    @property
    def dtype(self) -> str:
        """ "float32" or "float64"."""
        return self._agreed_dtype(self._layers)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """(None, ...); AttributeError before the model is built."""
        return (None, *self._built_shapes()[0])

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """(None, ...); AttributeError before the model is built."""
        return (None, *self._built_shapes()[-1])

    def _built_shapes(self) -> list[Shape]:
        if self._built is None:
            raise AttributeError("the model has no shape until it is built")
        return self._built.shapes

    # -- parameters

    @property
    def weights(self) -> list[Variable]:
        """All Variables, layer by layer: kernel, then bias."""
        return [variable for layer in self._layers for variable in layer.variables]

    @property
    def variables(self) -> list[Variable]:
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        return [variable for variable in self.weights if variable.trainable]

    @property
    def trainable_variables(self) -> list[Variable]:
        return self.trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        return [variable for variable in self.weights if not variable.trainable]

    @property
    def trainable(self) -> bool:
        """Whether any layer is trainable; setting it sets all layers, from `compile` on."""
        return any(layer.trainable for layer in self._layers) or not self._layers

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self._layers:
            layer.trainable = value

    def count_params(self) -> int:
        """The number of parameters, trainable or not; ValueError before the model is built."""
        if self._built is None:
            raise ValueError("count_params: the model is not built; its sizes are not known yet")
        return sum(variable.size for variable in self.weights)

    def get_weights(self) -> list[NDArray[Any]]:
        """Copies of all parameters, in the order of `weights`."""
        return [variable.numpy().copy() for variable in self.weights]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Writes all parameters, in the order of `weights`.

        Number, shapes and types are checked before anything is written. The state of the
        optimizer is kept.
        """
        self._exclusive.refuse_others("set_weights")
        if self._built is None:
            raise ValueError("set_weights: the model is not built; give input_shape, or call build")
        write_all(self.name, self.weights, weights)

    def summary(
        self,
        line_length: int | None = None,
        *,
        print_fn: Callable[[str], object] | None = None,
        batch_size: int | None = None,
    ) -> None:
        """Prints a table of the layers.

        Args:
            line_length: the width of the table; None: as wide as it needs to be.
            print_fn: called with each line, and its errors are raised; None: standard output, and
                what cannot be printed is left out.
            batch_size: rows of a training step. With it, a last line names the session that
                runs such a step: "plain" (layer by layer, all gradients kept), "streaming"
                (layer by layer, each kernel updated as its gradient is made) or "tiled" (a
                tile of rows through all layers before the next); on a GPU "plain", "generic"
                (recorded once as a graph), "wide" (the same with the optimizer beside the
                products) or "resident" (many steps in one kernel). It also names the numbers
                that products multiply: "float32", "bfloat16" or "two bfloat16", whose sum
                stands for a float32 (see `compile`). Needs a compiled model.
        """
        write = say if print_fn is None else print_fn
        for line in summary_lines(self, line_length):
            write(line)
        if batch_size is not None:
            session, bf16_parts = self.session(batch_size), self.network.bf16_parts(batch_size)
            made = (self.dtype, "bfloat16", "two bfloat16")[bf16_parts]
            where = " on the GPU" if self.network.device(batch_size) == "cuda" else ""
            write(f"Session in batches of {batch_size:,}: {session}{where}, products in {made}")

    def __repr__(self) -> str:
        return f"<Sequential name={self.name}, layers={len(self.layers)}, built={self.built}>"


def _check_are_layers(layers: Sequence[object]) -> None:
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"layers: expected Layer objects, got {layer!r} at {i}")


def _first_shape(layers: Sequence[Layer]) -> Shape | None:
    """The input shape that the first layer gives, or was built with."""
    if not layers:
        return None
    first = layers[0]
    if first.given_shape is not None:
        return first.given_shape
    # Only parameters tie a layer to a shape; a Flatten that was built elsewhere fits anywhere.
    return without_batch(first.input_shape) if first.variables else None


def _numbered(base: str, taken: Sequence[str]) -> str:
    """ "dense", "dense_1", ...: the first that is not taken."""
    name, count = base, 0
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    return name
