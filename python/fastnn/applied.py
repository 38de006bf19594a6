"""Steps by gradients that a program has itself, in loops of its own: `optimizer.apply_gradients`.

The state of each Variable (velocity, moments, the number of its steps) is kept by the optimizer and
lives as long as the Variable. All Variables of a step are stepped in one native call, in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.autodiff.tape import GradientTape
from fastnn.autodiff.tensor import Tensor
from fastnn.console import warn
from fastnn.listing import Listed
from fastnn.step_states import Kept, State, States, gathered
from fastnn.variables import Variable

Array = NDArray[Any]


class Progress(NamedTuple):
    """How far an optimizer is with some Variables."""

    taken: int
    states: list[tuple[Variable, Kept | None]]


def _shortened(grad: Array, limit: float, length: Any) -> Array:
    return grad if length <= limit else (grad * (limit / length)).astype(grad.dtype)


class Applies(Listed):
    """The part of an optimizer that steps Variables by gradients."""

    _inside: ClassVar[Iterable[str]] = (
        *("accumulated", "native", "settings", "initial_state"),
        *("forget", "progress", "restore"),
    )

    native: str
    clipnorm: Any
    clipvalue: Any
    global_clipnorm: Any
    use_ema: Any
    ema_momentum: Any
    ema_overwrite_frequency: Any
    taken: Any
    iterations: Any
    learning_rate: Any
    slot_names: Any
    _states: States
    _built: list[ref[Variable]] | None

    def settings(self) -> dict[str, float]:
        """Hyperparameters as a native call takes them."""
        raise NotImplementedError

    @property
    def accumulated(self) -> int:
        """The number of batches whose gradients make one update."""
        return 1

    @property
    def initial_state(self) -> float:
        """What the first slot of each parameter holds before the first step."""
        return 0.0

    def _scales_of(self, variables: Sequence[Variable]) -> list[tuple[float, float, bool]]:
        raise NotImplementedError

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> int:
        """One step of each Variable by its gradient, as in a training loop of one's own.

            >>> import fastnn
            >>> w = fastnn.Variable([1.0, 2.0])
            >>> optimizer = fastnn.optimizers.SGD(0.5)
            >>> with fastnn.GradientTape() as tape:
            ...     loss = fastnn.math.reduce_sum(w * w)
            >>> optimizer.apply_gradients([(tape.gradient(loss, w), w)])
            1
            >>> w.numpy().tolist()
            [0.0, 0.0]

        The state of each Variable (velocity, moments) is kept in this object; that of `fit` is the
        model's. Clipping, weight decay and its exemptions act as in `fit`, and constraints of
        Variables after the step; averages of use_ema are written by `finalize_variable_values`.
        With gradient_accumulation_steps=n every n-th call makes a step, by the mean of n gradients.

        Args:
            grads_and_vars: pairs of a gradient (a Tensor or an array of the Variable's shape, or
                None for a Variable that is left as it is, with a warning) and a Variable.

        Returns:
            `iterations` after the step.

        Raises:
            ValueError: no Variable has a gradient, or a shape does not fit. Nothing has changed.
            RuntimeError: a `fit` of the model is running. Nothing has changed.
        """
        grads: list[Array] = []
        variables: list[Variable] = []
        states: list[State] = []
        without: list[str] = []
        for grad, variable in _pairs(grads_and_vars):
            if grad is None:
                without.append(getattr(variable, "path", repr(variable)))
                continue
            state = self._states.of(variable, len(states), self.initial_state)
            grads.append(state.fitted(variable, grad))
            states.append(state)
            variables.append(variable)
        if not states:
            raise ValueError(
                "apply_gradients: no variable has a gradient; did the tape watch them?"
            )
        if without:
            warn(
                f"apply_gradients: no gradient for {', '.join(without)}: the loss does not depend on "
                "it, or the tape did not record how; it is left as it is",
                UserWarning,
            )
        every, taken = self.accumulated, int(self.taken)
        if every > 1:
            grads = gathered(states, grads, taken % every, every)
        if (taken + 1) % every == 0:
            _core.apply_steps(
                [state.native for state in states],
                self._clipped(grads),
                self.settings(),
                self._scales_of(variables),
            )
            if self.use_ema:
                self._average(variables, states, (taken + 1) // every)
            for variable in variables:
                if variable.constraint is not None:
                    variable.assign(variable.constraint(variable))
        vars(self)["taken"] = taken + 1  # without the check of a value that a program sets
        return (taken + 1) // every

    def apply(
        self, grads: Iterable[Any], trainable_variables: Iterable[Variable] | None = None
    ) -> int:
        """`apply_gradients` with gradients and Variables in two lists, as in Keras 3.

            >>> w = fastnn.Variable([1.0, 2.0])
            >>> fastnn.optimizers.SGD(0.5).apply([[2.0, 2.0]], [w])
            1
            >>> w.numpy().tolist()
            [0.0, 1.0]

        Args:
            grads: a gradient for each Variable, or None.
            trainable_variables: the Variables; None: those of the first `apply` or of `build`.

        Returns:
            `iterations` after the step.

        Raises:
            ValueError: there are more or fewer gradients than Variables, or no Variables are known.
                Errors of the gradients: see `apply_gradients`.
        """
        if not isinstance(grads, Iterable):
            raise TypeError(f"apply: grads: expected a list of gradients, got {grads!r}")
        given = list(grads)
        if trainable_variables is None:
            variables = self._built_for()
        else:
            variables = list(trainable_variables)
        if len(given) != len(variables):
            raise ValueError(
                f"apply: expected a gradient for each of {len(variables)} variables, got {len(given)}"
            )
        if self._built is None:
            self.build(variables)
        return self.apply_gradients(zip(given, variables, strict=True))

    def build(self, variables: Iterable[Variable]) -> None:
        """Makes the state of these Variables, and lets `apply(grads)` step them, as in Keras.

            >>> w = fastnn.Variable([1.0, 2.0])
            >>> optimizer = fastnn.optimizers.SGD(0.5)
            >>> optimizer.build([w])
            >>> optimizer.apply([[2.0, 2.0]])
            1

        Variables that have a state keep it. No other call needs this one.

        Raises:
            TypeError: something else than Variables is given.
        """
        given = list(variables)
        for variable in given:
            if not isinstance(variable, Variable):
                raise TypeError(f"build: expected Variables, got {variable!r}")
        for place, variable in enumerate(given):
            self._states.of(variable, place, self.initial_state)
        self._built = [ref(variable) for variable in given]

    def _built_for(self) -> list[Variable]:
        if self._built is None:
            raise ValueError("apply: give trainable_variables, or call build(variables) first")
        variables = [reference() for reference in self._built]
        if any(variable is None for variable in variables):
            raise ValueError(
                "apply: variables of the last build are gone; give trainable_variables"
            )
        return [variable for variable in variables if variable is not None]

    def minimize(
        self,
        loss: Tensor | Callable[[], Any],
        var_list: Any,
        tape: GradientTape | None = None,
    ) -> int:
        """Takes the gradient of a loss, and makes one step of each Variable, as in tf.keras.

            >>> import fastnn
            >>> w = fastnn.Variable([1.0, 2.0])
            >>> fastnn.optimizers.SGD(0.5).minimize(lambda: fastnn.math.reduce_sum(w * w), [w])
            1
            >>> w.numpy().tolist()
            [0.0, 0.0]

        Args:
            loss: a function without arguments that computes the loss, or a Tensor that `tape`
                recorded.
            var_list: Variables, or a function without arguments that gives them.
            tape: the tape that recorded the Tensor; given with a function, it records that.

        Returns:
            `iterations` after the step.

        Raises:
            ValueError: a Tensor is given without its tape. Other errors: see `apply_gradients`.
        """
        if not callable(loss) and tape is None:
            raise ValueError(
                f"minimize: loss: give the tape that recorded it, or a function, got {loss!r}"
            )
        recorder = GradientTape() if tape is None else tape
        value: Any = loss
        if callable(loss):
            with recorder:
                if not callable(var_list):
                    recorder.watch([one for one in _listed(var_list) if isinstance(one, Variable)])
                value = loss()
        variables = _listed(var_list() if callable(var_list) else var_list)
        for one in variables:
            if not isinstance(one, Variable):
                raise TypeError(f"minimize: var_list: expected Variables, got {one!r}")
        return self.apply_gradients(
            zip(recorder.gradient(value, variables), variables, strict=True)
        )

    @property
    def variables(self) -> list[Variable]:
        """What it keeps, as Variables in Keras's order: copies, which steps do not change.

        `iterations` and `learning_rate`, then what it keeps of each Variable that `apply_gradients`
        has stepped, such as the moments of Adam. That of `fit` is the model's.
        """
        found = [
            Variable(self.iterations, trainable=False, name="iterations", dtype="int64"),
            Variable(float(self.learning_rate), trainable=False, name="learning_rate"),
        ]
        for variable, (slots, *_) in self._states.kept():
            for name, value in zip(self.slot_names, slots, strict=True):
                array = np.reshape(value, variable.shape)
                found.append(Variable(array, trainable=False, name=f"{variable.path}/{name}"))
        return found

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        """Writes the averages that use_ema keeps of these Variables, as in Keras.

        >>> w = fastnn.Variable([0.0])
        >>> optimizer = fastnn.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
        >>> steps = [optimizer.apply([[-1.0]], [w]) for _ in range(2)]  # w is 1, then 2
        >>> optimizer.finalize_variable_values([w])
        >>> w.numpy().tolist()  # half of 1 and half of 2
        [1.5]
        """
        for variable in var_list:
            state = self._states.find(variable)
            if state is not None and state.average is not None:
                variable.assign(state.average)

    def progress(self, variables: Iterable[Variable]) -> Progress:
        """A copy of the state of these Variables, and of the batches taken (for models)."""
        return Progress(int(self.taken), self._states.copied(variables))

    def restore(self, progress: Progress) -> None:
        """Goes back to what `progress` gave (for models)."""
        self._states.put(progress.states)
        self.taken = progress.taken

    def forget(self, variables: Iterable[Variable]) -> None:
        """Lets the state of these Variables begin anew (for models)."""
        self._states.put((variable, None) for variable in variables)

    def _clipped(self, grads: list[Array]) -> list[Array]:
        if self.clipvalue is not None:
            return [np.clip(grad, -self.clipvalue, self.clipvalue) for grad in grads]
        if self.clipnorm is not None:
            return [_shortened(grad, self.clipnorm, np.linalg.norm(grad)) for grad in grads]
        if self.global_clipnorm is not None:
            length = np.sqrt(sum(float(np.vdot(grad, grad)) for grad in grads))
            return [_shortened(grad, self.global_clipnorm, length) for grad in grads]
        return grads

    def _average(
        self, variables: Sequence[Variable], states: Sequence[State], updates: int
    ) -> None:
        m, often = self.ema_momentum, self.ema_overwrite_frequency
        overwrites = often is not None and updates % often == 0
        for variable, state in zip(variables, states, strict=True):
            values, old = variable.numpy(), state.average
            state.average = values if old is None else m * old + (1 - m) * values
            if overwrites:
                variable.assign(state.average)


def _pairs(given: Any) -> Any:
    """Pairs of a gradient and a Variable; TypeError where it is something else."""
    if type(given) is zip:
        return given
    if not isinstance(given, Iterable):
        raise TypeError(
            f"apply_gradients: grads_and_vars: expected pairs of a gradient and a Variable, got {given!r}"
        )
    pairs = list(given)
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(
                "apply_gradients: grads_and_vars: expected pairs of a gradient and a Variable, got "
                f"{pair!r} among them"
            )
    return pairs


def _listed(var_list: Any) -> list[Any]:
    if isinstance(var_list, Variable):
        return [var_list]
    if not isinstance(var_list, Iterable):
        raise TypeError(f"minimize: var_list: expected Variables, got {var_list!r}")
    return list(var_list.values() if isinstance(var_list, Mapping) else var_list)
