"""The program of one rank in tests/test_ranks_mpi.py: python rank_job.py FOLDER EPOCHS PAUSE [LEAVER]."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
from mpi4py import MPI

import fastnn


def main() -> None:
    folder, epochs, pause = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    leaver = int(sys.argv[4]) if len(sys.argv) > 4 else -1
    comm = MPI.COMM_WORLD
    rank = comm.Get_rank()
    fastnn.set_num_threads(1)
    if rank == leaver:
        raise FileNotFoundError("the data of this rank are missing")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((203, 7))
    y = (x @ rng.standard_normal((7, 3))).argmax(axis=1)
    model = fastnn.Sequential(
        [
            fastnn.layers.Dense(40, "relu", input_shape=(7,)),
            fastnn.layers.BatchNormalization(),
            fastnn.layers.Dropout(0.3),
            fastnn.layers.Dense(3, "softmax"),
        ],
        seed=3,
        dtype="float64",
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    def told(epoch: int, _logs: object) -> None:
        if epoch == 1:
            (folder / f"begun-{rank}").write_text(str(os.getpid()))
        time.sleep(pause)

    callbacks = [
        fastnn.callbacks.LambdaCallback(on_epoch_begin=told),
        fastnn.callbacks.BackupAndRestore(str(folder / "backup")),
    ]
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=callbacks, comm=comm)
    weights = np.concatenate([one.ravel() for one in model.get_weights()])
    np.save(folder / f"weights-{rank}.npy", weights)


if __name__ == "__main__":
    main()
