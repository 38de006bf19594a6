"""fastnn as its users call it: one `fit` over whole epochs, shuffle and gather included."""

import fastnn
from benchmarks import workloads
from benchmarks.workers.serve import Prepared, serve


def build(work: workloads.Workload) -> fastnn.Sequential:
    """The network of a row, with its given weights."""
    hidden = [fastnn.layers.Dense(o, activation="relu") for o in work.widths[1:-1]]
    model = fastnn.Sequential(
        [fastnn.Input((work.widths[0],)), *hidden, fastnn.layers.Dense(work.widths[-1])]
    )
    loss = "sparse_categorical_crossentropy" if work.loss == "softmax" else "binary_crossentropy"
    adam = fastnn.optimizers.Adam(
        workloads.LEARNING_RATE, workloads.BETA_1, workloads.BETA_2, workloads.EPSILON
    )
    model.compile(optimizer=adam, loss=loss)
    model.set_weights(work.weights())
    return model


def prepare(work: workloads.Workload, threads: int) -> Prepared:
    fastnn.set_num_threads(threads)
    x, y = work.data()
    model = build(work)
    batches = [slice(k * work.batch, (k + 1) * work.batch) for k in range(2)]
    losses = [float(model.train_on_batch(x[rows], y[rows])) for rows in batches]

    def run(epochs: int) -> None:
        model.fit(x, y, batch_size=work.batch, epochs=epochs, verbose=0)

    return Prepared({"fastnn": (run, work.batches)}, {"fastnn": losses})


if __name__ == "__main__":
    serve(prepare, fastnn.__version__)
