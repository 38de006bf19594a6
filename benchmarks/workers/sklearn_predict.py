"""scikit-learn's predictions of one row: MLPRegressor, which has a linear last layer."""

import itertools

import sklearn
from sklearn.neural_network import MLPRegressor

from benchmarks import workloads
from benchmarks.workers.serve import Prepared, serve


def prepare(work: workloads.Workload, threads: int) -> Prepared:  # noqa: ARG001 - the environment says
    x, _ = work.data()
    weights = work.weights()
    model = MLPRegressor(hidden_layer_sizes=work.widths[1:-1], activation="relu")
    few, outputs = x[:2], work.widths[-1]
    model.partial_fit(few, few[:, :1].repeat(outputs, axis=1).squeeze())
    model.coefs_, model.intercepts_ = weights[0::2], weights[1::2]
    row = x[:1].copy()

    def run(times: int) -> None:
        for _ in itertools.repeat(None, times):
            model.predict(row)

    return Prepared(
        {"scikit-learn": (run, 1)}, {"scikit-learn": model.predict(row).ravel().tolist()}
    )


if __name__ == "__main__":
    serve(prepare, sklearn.__version__)
