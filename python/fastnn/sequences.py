"""Sequence and PyDataset: the base classes of data that a program makes batch by batch."""

from __future__ import annotations

from typing import Any

from fastnn.words import flag, integer, keywords


class PyDataset:
    """Batches by number: derive from it, and define `__len__` and `__getitem__`.

        >>> import numpy as np
        >>> import fastnn
        >>> class Rows(fastnn.utils.PyDataset):
        ...     def __len__(self):
        ...         return 3
        ...     def __getitem__(self, index):
        ...         x = np.full((4, 2), index)
        ...         return x, x.sum(axis=1)
        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
        >>> model.compile("sgd", "mse")
        >>> history = model.fit(Rows(), epochs=2, verbose=0)
        >>> model.predict(Rows()).shape
        (12, 1)

    `fit`, `evaluate` and `predict` also take objects that do not derive from it. Batches are read
    ahead by one thread while the batch before trains; `fit` with shuffle=True takes them in another
    order in each epoch, and calls `on_epoch_begin` and `on_epoch_end`.

    Args:
        workers, use_multiprocessing, max_queue_size: taken as in Keras, and unused.
    """

    @keywords()
    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
    ) -> None:
        self.workers = integer("workers", workers, 0)
        self.use_multiprocessing = flag("use_multiprocessing", use_multiprocessing)
        self.max_queue_size = integer("max_queue_size", max_queue_size, 0)

    def __len__(self) -> int:
        """The number of batches."""
        raise NotImplementedError(f"{type(self).__name__} has to define __len__")

    @property
    def num_batches(self) -> int:
        """The number of batches."""
        return len(self)

    def __getitem__(self, index: int) -> Any:
        """Batch `index`, from 0: (x, y) or (x, y, sample_weight); x alone for `predict`."""
        raise NotImplementedError(f"{type(self).__name__} has to define __getitem__")

    def on_epoch_begin(self) -> None:
        """Called by `fit` before each epoch."""

    def on_epoch_end(self) -> None:
        """Called by `fit` after each epoch."""


class Sequence(PyDataset):
    """The former name of `PyDataset`.

    >>> import fastnn
    >>> issubclass(fastnn.utils.Sequence, fastnn.utils.PyDataset)
    True
    """
