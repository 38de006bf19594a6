"""scikit-learn's MLPClassifier in its fastest form: `partial_fit` of a whole data set is one epoch.

No shuffle, no penalty. It chooses its own initial weights, so its losses are not compared.
"""

import itertools

import sklearn
from sklearn.neural_network import MLPClassifier

from benchmarks import workloads
from benchmarks.workers.serve import Prepared, serve


def prepare(work: workloads.Workload, threads: int) -> Prepared:  # noqa: ARG001 - the environment says
    x, y = work.data()
    outputs = work.widths[-1]
    if outputs == 1:
        y = y[:, 0]
    model = MLPClassifier(
        work.widths[1:-1],
        activation="relu",
        solver="adam",
        alpha=0.0,
        batch_size=work.batch,
        learning_rate_init=workloads.LEARNING_RATE,
        beta_1=workloads.BETA_1,
        beta_2=workloads.BETA_2,
        epsilon=workloads.EPSILON,
        shuffle=False,
    )
    classes = range(outputs if work.loss == "softmax" else max(2, outputs))
    model.partial_fit(x[: work.batch], y[: work.batch].astype(int), classes=list(classes))
    y = y.astype(int)

    def run(epochs: int) -> None:
        for _ in itertools.repeat(None, epochs):
            model.partial_fit(x, y)

    return Prepared({"scikit-learn": (run, work.batches)})


if __name__ == "__main__":
    serve(prepare, sklearn.__version__)
