"""SingleSteps: a training step or a gradient for given rows, and averages of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.callbacks.base import History
from fastnn.callbacks.listeners import CallbackList
from fastnn.claims import Claim
from fastnn.layers.base import write_all
from fastnn.models.answering import Answering
from fastnn.models.call_words import (
    results_of,
)
from fastnn.models.compiled import claim_layers
from fastnn.models.sharing import refuse_to_rob
from fastnn.models.taped_tables import Given
from fastnn.protocols import Logs
from fastnn.training.loops import Fit, Schedule
from fastnn.variables import within
from fastnn.words import flag, keywords

ClassWeight = Mapping[Any, Any] | Sequence[float] | ArrayLike | Literal["balanced"] | None


class SingleSteps(Answering):
    """One step on the rows of a call, with Keras's names, arguments and defaults."""

    def take_averages(self) -> None:
        """Makes the averages of the weights, which use_ema=True keeps, the weights.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
            >>> model.compile(fastnn.optimizers.SGD(0.1, use_ema=True), "mean_squared_error")
            >>> loss = model.train_on_batch([[1.0]], [1.0])
            >>> model.take_averages()

        `fit` does so at its end. RuntimeError if `compile` had no use_ema.
        """
        self._training.refuse_others("take_averages")
        built = self._state.now.built
        if built is not None:  # one buffer is written all at once
            self._take_over(built, "take_averages", if_free=True)
        claim = Claim("take_averages")
        with claim, claim.lock:
            self._changes.take(claim, waits=True)
            plan = self._compiled("take_averages")
            if (plan.native is None or self._trains_taped) and plan.optimizer.use_ema:
                plan.optimizer.finalize_variable_values(self._variables_to_train())
                return
            built = self._built()
            claim_layers(claim, self._state.now.layers)
            refuse_to_rob("take_averages", self, self._state.now.layers)
            if built.settings is None or not built.settings.averages:
                raise RuntimeError(
                    "take_averages: compiled without averages; give the optimizer use_ema=True "
                    "first"
                )
            if built.network.updates < built.settings.stage["accumulate"]:  # in batches: none yet
                return
            flat = built.network.optimizer_state[-1]
            variables = built.all_variables
            weights = [variable.numpy() for variable in variables]
            roles = built.network.roles
            for i, (offset, _) in enumerate(built.network.parameters):
                if built.settings.trained[i] and roles[i] != "statistic":
                    weights[i] = within(variables[i], flat, offset)
            write_all("take_averages", variables, weights)

    # -- one batch

    @keywords()
    def train_on_batch(
        self,
        x: object,
        y: object = None,
        sample_weight: object = None,
        class_weight: ClassWeight = None,
        return_dict: bool = False,
    ) -> float | list[Any] | Logs:
        """One step on all rows of x; returns the loss and metrics before it.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(1, use_bias=False, input_shape=(1,))])
            >>> model.compile(fastnn.optimizers.SGD(0.25), "mean_squared_error")
            >>> model.set_weights([[[3.0]]])
            >>> model.train_on_batch([[1.0]], [1.0])  # (3 - 1) ** 2
            4.0
            >>> model.get_weights()[0].tolist()  # 3 - 0.25 * 2 * (3 - 1)
            [[2.0]]

        Args and errors: see `fit`. Results: see `evaluate`; they are of these rows alone
        (Keras returns a mean since metrics were last reset). Rows are part of a stream, whose
        mean weight is taken as 1; where none of them counts, the loss is NaN and nothing learns.
        """
        claim = Claim("train_on_batch")
        with claim, claim.lock:
            self._training.take(claim)
            plan = self._compiled("train_on_batch")
            if self._reason_for(plan, x) is not None:
                given = Given(x, y, sample_weight, class_weight)
                logs = self._train_on_batch_taped(plan, given)
                return results_of(logs, flag("return_dict", return_dict))
            table = self._table("train_on_batch", x, y, sample_weight)
            table = self._weigh_classes(table, class_weight)
            as_dict = flag("return_dict", return_dict)
            schedule = Schedule(table.length, 1, 0, False, 1, table.length)
            run = Fit(self, table, None, schedule, CallbackList(None, self, {}, History()))
            self.prepare(
                table.x.shape[1:],
                lambda network: network.check(run.train),
                "train_on_batch",
                plan,
                trains=True,
            )
            logs = run.step()
        return results_of(logs, as_dict)

    @keywords()
    def value_and_grad(
        self,
        x: object,
        y: object,
        sample_weight: object = None,
        *,
        class_weight: ClassWeight = None,
        training: bool = False,
    ) -> tuple[float, list[NDArray[Any]]]:
        """The loss over all rows of x, and its gradient; nothing is changed.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
            >>> model.compile("sgd", "mean_squared_error")
            >>> model.set_weights([[[3.0]], [0.0]])
            >>> loss, (d_kernel, d_bias) = model.value_and_grad([[2.0]], [5.0])  # (3 * 2 - 5) ** 2
            >>> loss, d_kernel.tolist(), d_bias.tolist()
            (1.0, [[4.0]], [2.0])

        Args:
            x, y, sample_weight, class_weight: see `fit`.
            training: whether dropout acts.

        Returns:
            The loss, and for each array of `get_weights`, in its order, the gradient of the
            loss, of the same shape and dtype. Where nothing counts the loss is NaN, a mean over
            nothing, and the gradient 0. Arrays that were not trainable at `compile`, or that the
            outputs do not depend on, have zeros: an optimizer that follows the gradient leaves
            them as they are.
        """
        self._training.refuse_others("value_and_grad")
        plan = self._compiled("value_and_grad")
        if self._reason_for(plan, x) is not None:
            given = Given(x, y, sample_weight, class_weight)
            return self._value_and_grad_taped(plan, given, flag("training", training))
        table = self._table("value_and_grad", x, y, sample_weight)
        rows = self._weigh_classes(table, class_weight).native()
        dropping = flag("training", training)
        built = self.prepare(
            table.x.shape[1:], lambda network: network.check(rows), "value_and_grad", plan
        )
        loss, flat = built.network.gradients(rows, training=dropping)
        found = {
            id(variable): within(variable, flat, offset)
            for variable, (offset, _) in zip(
                built.all_variables, built.network.parameters, strict=True
            )
        }
        # A class may have layers, models and Variables that its `call` does not use.
        return loss, [
            found[id(variable)]
            if id(variable) in found
            else np.zeros(variable.shape, variable.dtype)
            for variable in self.weights
        ]
