"""Weighted: a model or layer of a program's own with weights that `add_weight` makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastnn import calling, constraints, regularizers
from fastnn.constraints import ConstraintLike
from fastnn.layers.base import Layer
from fastnn.models.known import Holder
from fastnn.models.made_weights import made_values
from fastnn.models.parts import Parted
from fastnn.models.stepped import Stepped
from fastnn.models.strangers import refuse_strangers
from fastnn.regularizers import RegularizerLike
from fastnn.serializable import is_of_fastnn
from fastnn.variables import Variable
from fastnn.words import flag


class Weighted(Stepped):
    """The part of models and of layers of a program's own that makes weights."""

    _weights_made: list[Variable]  # there once `add_weight` was called
    _is_layer = False

    def add_weight(
        self,
        shape: Sequence[int] | int | None = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,  # noqa: ARG002 - weights have the type of the layer
        regularizer: RegularizerLike = None,
        constraint: ConstraintLike = None,
        aggregation: Any = None,  # noqa: ARG002 - there are no replicas
        name: str | None = None,
    ) -> Variable:
        """A weight of the layer or model, a Variable, made in `__init__` or in `build`.

            >>> import fastnn
            >>> layer = fastnn.layers.Layer(name="mine")
            >>> layer.add_weight(shape=(2,), initializer="ones", name="scale").numpy().tolist()
            [1.0, 1.0]
            >>> layer.weights[0].path
            'mine/scale'

        Args:
            shape: of the Variable; None: a single number.
            initializer: a name, an object or a class of `fastnn.initializers`, or a function of a
                shape (and a dtype) that gives an array; None: "glorot_uniform".
            dtype: "float32", "float64", or a type of integers for counters; None: that of the layer.
            trainable: whether optimizers change it; they never change integers.
            regularizer: a penalty of it (see `fastnn.regularizers` and `losses`); None: none.
            constraint: what it becomes after each update (see `fastnn.constraints`); None: nothing
                else.
            autocast, aggregation: accepted as in Keras, and unused.
            name: of the Variable; None: "variable".

        Raises:
            ValueError: another weight of the layer has this name, or the shape or type cannot be; or
                `call` asks for the weight, which would be another one in each call; or it is a model
                of layers alone, such as a Sequential, that has no `call` to use the weight.
        """
        kind = "layer" if self._is_layer else "model"
        if "_state" not in vars(self):
            raise RuntimeError(
                f"{type(self).__name__}: call super().__init__() first in its __init__, before "
                "weights are made"
            )
        where = f"{kind} {self.name!r}: add_weight"
        if not self._is_layer and is_of_fastnn(type(self)):
            raise ValueError(
                f"{where}: the weights of a {type(self).__name__} are those of its layers; derive a class "
                "from fastnn.Model, with a `call` that uses the weight, or from fastnn.layers.Layer"
            )
        if self._is_called():
            raise ValueError(
                f"{where}: got a call from within `call`, each of which would make another weight; "
                "make weights in __init__ or build"
            )
        penalty = regularizers.checked(f"{where}: regularizer", regularizer)
        limit = constraints.checked(f"{where}: constraint", constraint)
        made = vars(self).setdefault("_weights_made", [])
        known = {variable.name for variable in made}
        if name is not None and name in known:
            raise ValueError(f"{where}: there is a weight {name!r} already")
        unique, count = name or "variable", 0
        while unique in known:
            count += 1
            unique = f"variable_{count}"
        values = made_values(where, shape, initializer, dtype or self._weight_type())
        trains = flag("trainable", trainable) and values.dtype.kind == "f"
        variable = Variable(values, trainable=trains, name=unique)
        variable.lies_at(f"{self.name}/{unique}")
        if self._frozen:
            variable.trainable = False
        made.append(variable)
        variable.regularizer, variable.constraint = penalty, limit
        self._known = None
        return variable

    add_variable = add_weight

    def _own_parts(
        self, holders: list[Holder] | None = None
    ) -> Iterator[Layer | Parted | Variable]:
        """Weights first, then others, as in Keras."""
        found = list(super()._own_parts(holders))
        variables = [part for part in found if isinstance(part, Variable)]
        yield from (part for part in variables if not part.is_fixed)
        yield from (part for part in variables if part.is_fixed)
        yield from (part for part in found if not isinstance(part, Variable))

    def _is_called(self) -> bool:
        """Whether its `call` runs now, and no `build` in it."""
        now = calling.now()
        if now.building or now.outermost is None:
            return False
        return now.tracing or self._last_call is now.outermost

    def _refuse_strangers(self, variables: Sequence[Variable]) -> None:
        refuse_strangers(self, variables)

    def _weight_type(self) -> str:
        """The dtype of weights for which none is asked."""
        return str(self._given_dtype or calling.now().dtype or "float32")
