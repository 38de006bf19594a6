# What type checkers are told of `fastnn.layers.Layer`, of which programs derive classes.
#
# It is the class of layers of the package (`base.py`) with these members of `fastnn.models.own_layer.Layer`,
# a class of a higher room. Nothing here exists when a program runs.

from collections.abc import Callable, Sequence
from typing import Any

from fastnn.variables import Variable

class Declared:
    def call(self, *args: Any, **options: Any) -> Any: ...
    def build(self, input_shape: Any) -> None: ...
    def add_loss(self, loss: Any) -> None: ...
    def add_weight(
        self,
        shape: Sequence[int] | int | None = None,
        initializer: str | Callable[..., Any] | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: Any = None,
        name: str | None = None,
    ) -> Variable: ...
