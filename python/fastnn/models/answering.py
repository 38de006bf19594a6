"""Answering: predict, for every kind of model, probabilities, and predictors for serving.

Arguments become checked words and arrays here; the loops are in `training`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

from numpy.typing import NDArray

from fastnn._core import Predictor
from fastnn.autodiff.tensor import Tensor
from fastnn.callbacks.base import Callback
from fastnn.callbacks.listeners import CallbackList
from fastnn.data.batches import Batches
from fastnn.data.chunks import Chunks
from fastnn.data.feed import kind_of
from fastnn.data.outputs import Kept, filled
from fastnn.data.structures import form_of, mapped
from fastnn.data.table import Table
from fastnn.models import probabilities
from fastnn.models.call_words import (
    DEFAULT_BATCH,
    batch_size_of,
    batches_of,
    steps_of,
    verbosity_of,
)
from fastnn.models.chunked import Chunked
from fastnn.models.compiled import heads_of
from fastnn.models.frozen import frozen
from fastnn.models.steps import own_steps
from fastnn.models.taped_tables import Given
from fastnn.training import passes
from fastnn.words import keywords

Callbacks = Callback | Iterable[Callback] | None


class Answering(Chunked):
    """Outputs of rows, with Keras's names, arguments and defaults."""

    @keywords()
    def predict(
        self,
        x: object,
        batch_size: int | None = None,
        verbose: Literal["auto", "tqdm", 0, 1, 2] = "auto",
        *,
        steps: int | None = None,
        callbacks: Callbacks = None,
        out: NDArray[Any] | None = None,
    ) -> Any:
        """The output of the last layer for each row, as in Keras: logits after a linear layer.

            >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
            >>> model.set_weights([[[1.0], [10.0]], [5.0]])
            >>> model.predict([[1.0, 2.0], [3.0, 4.0]]).tolist()
            [[26.0], [48.0]]

        Many threads may predict with one model at once. Nothing is printed.

        Args:
            x: rows, see `fit`, `fastnn.data.Chunks`, or what makes batches x, (x, y) or
                (x, y, sample_weight). The model need not be compiled.
            batch_size: the batch of on_predict_batch hooks; results do not depend on it.
            verbose: accepted as in Keras, and unused.
            steps: see `evaluate`.
            callbacks: see `fit`.
            out: an array (n, outputs) of floats, such as a memory map, which gets the outputs part by
                part; for models with one output.

        Returns:
            `out` where it was given, else an array (n, outputs) of the model's dtype; of several outputs such arrays in a list, a
            tuple or a dictionary, as the model was made or as its `call` returns them.

        Raises:
            RuntimeError: another thread is training this model.
            ValueError: x is empty, of another shape, or has NaN or infinity in it.
        """
        self._training.refuse_others("predict")
        if isinstance(x, Chunks):
            sizes = batch_size_of("batch_size", batch_size, DEFAULT_BATCH), steps_of(steps)
            listeners = CallbackList(callbacks, self, {"verbose": 0, "epochs": 1})
            return self._predict_chunks(x, sizes, listeners, out)
        if kind_of(x) is not None:
            listeners = CallbackList(callbacks, self, {"verbose": 0, "epochs": 1})
            found = self._predict_streamed(x, steps, listeners, self._outputs_of)
            return found if out is None else filled(out, [found])
        if own_steps(self, "predict") or self._reason_of_call(x) is not None:
            params = {"verbose": verbosity_of(verbose), "epochs": 1}
            sized = batch_size, steps
            found = self._predict_taped(x, sized, CallbackList(callbacks, self, params))
            return found if out is None else filled(out, [found])
        table = Table(self._rows(x))
        self._shapes(table.x)  # an error about shapes comes before those of other arguments
        size, count = batches_of("steps", steps, batch_size, table.length, DEFAULT_BATCH)
        table = table.first(count)
        params = {
            "verbose": verbosity_of(verbose),
            "epochs": 1,
            "steps": math.ceil(table.length / size),
        }
        listeners = CallbackList(callbacks, self, params)
        built = self.prepare(
            table.x.shape[1:], lambda network: network.check_input(table.native()), "predict"
        )
        if out is None:
            outputs = passes.predict(built.network, table, listeners, size)
            return outputs.reshape(-1, *built.shapes[-1])
        kept = Kept(out, table.length, built.shapes[-1], built.network.dtype)
        passes.predict_into(built.network, table, listeners, size, kept.add)
        return kept.all()

    def _outputs_of(self, x: Any) -> Any:
        return self.predict(x, verbose=0)

    @keywords()
    def predict_proba(
        self,
        x: object,
        batch_size: int | None = None,
        verbose: Literal["auto", 0, 1, 2] = "auto",
        *,
        callbacks: Callbacks = None,
    ) -> Any:
        """Probabilities of classes, whatever the last layer is: as the loss means its outputs.

            >>> import numpy as np
            >>> import fastnn
            >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(4,))])
            >>> model.compile("sgd", "binary_crossentropy")
            >>> model.predict_proba(np.zeros((2, 4)))
            array([[0.5, 0.5],
                   [0.5, 0.5]], dtype=float32)

        Keras's `predict` gives logits where the last layer is linear; here softmax or sigmoid is
        applied to these, as the cross-entropy does.

        Args:
            x, batch_size, verbose, callbacks: see `predict`.

        Returns:
            (n, classes); for one unit (n, 2), that of no and that of yes; for several labels that do
            not exclude each other (n, labels), each that of yes. Of several outputs such arrays in
            the structure of `predict`.

        Raises:
            ValueError: the outputs are no probabilities: of a regression, or of scores (hinge).
            RuntimeError: the model is not compiled; and as `predict`.
        """
        objective = self._compiled("predict_proba").objective
        outputs = self.predict(x, batch_size, verbose, callbacks=callbacks)
        form = form_of(outputs, self._output_names())
        objective.outline(form)
        activations = self._activations(x)
        found = probabilities.of_all(
            form.leaves(outputs),
            [(target.name, target.loss) for target in objective.targets],
            activations,
        )
        return form.like(found)

    def _activations(self, x: object) -> list[str | None]:
        """How each output ends; None where that is not known."""
        state = self._state.now
        if state.calls:
            return [head.activation for head in heads_of(state)]
        inputs, _ = self._inputs("predict_proba", Given(x))
        first = Batches(inputs, None, None, 1, self._float_type()).take(slice(0, 1))[0]
        outputs = self._called(mapped(Tensor, first), training=False)
        leaves = form_of(outputs, self._output_names()).leaves(outputs)
        return [None if leaf.logits is None else leaf.logits[1] for leaf in leaves]

    @keywords()
    def predict_on_batch(self, x: object) -> Any:
        """The same as `predict(x)`.

        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
        >>> model.set_weights([[[1.0], [10.0]], [5.0]])
        >>> model.predict_on_batch([[1.0, 2.0]]).tolist()
        [[26.0]]
        """
        return self.predict(x, verbose=0)

    def predictor(self) -> Predictor:
        """The model as it is now, made to answer quickly: a row or rows in, outputs out.

            >>> import numpy as np
            >>> import fastnn
            >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,))])
            >>> predict = model.predictor()
            >>> predict
            <Predictor input_shape=(4,), output_shape=(3,), dtype=float32>
            >>> predict(np.ones(4)).shape, predict(np.ones((5, 4))).shape
            ((3,), (5, 3))

        It is for serving, where questions come one at a time: a call costs a few tenths of a
        microsecond beside the arithmetic, while `predict` calls callbacks and builds the model
        if need be. Its numbers equal those of `predict`, bit for bit.

        It has a copy of the weights: later changes of the model do not change it. Many threads
        may call it at once, also in a child after fork; calls of more than a few microseconds
        release the GIL. It cannot be pickled: pickle the weights.

        Returns:
            A callable of one argument, x: one row of `input_shape` (without the
            batch axis; no axis is added or guessed), or rows (n, ...) of it, of all types that
            `predict` takes. A C-contiguous NumPy array of numbers in native byte order is read
            where it lies, lists and the like are converted first. It returns a new array of the
            model's dtype: `output_shape` for a row, (n, ...) for rows. For several inputs x is a
            list or a dictionary, as for `predict`, with a row in each, or as many rows in each;
            several outputs come as `predict` gives them. Its errors are `predict`'s: ValueError for
            a shape that does not fit, with both shapes, for no rows, and for NaN or infinity, with
            row (0 for a single one) and column; TypeError for anything but real numbers.

        Raises:
            RuntimeError: the model is not built (as one whose `call` is no graph of layers, or
                takes several inputs), it predicts by a `predict_step` of its own, or another thread
                is training it.
        """
        self._training.refuse_others("predictor")
        own = own_steps(self, "predict")
        if own:
            raise RuntimeError(
                f"predictor: {type(self).__name__} predicts by a {own[0]} of its own; use predict"
            )
        built = self._built()
        self._refresh(built, "predictor")
        return frozen(self, self._state.now, built)
