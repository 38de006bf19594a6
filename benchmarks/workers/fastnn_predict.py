"""fastnn's predictions of one row: the predictor, called with a row, and `predict` with one row."""

import itertools

import fastnn
from benchmarks import workloads
from benchmarks.workers.fastnn_steps import build
from benchmarks.workers.serve import Prepared, serve


def prepare(work: workloads.Workload, threads: int) -> Prepared:
    fastnn.set_num_threads(threads)
    x, _ = work.data()
    model = build(work, "highest")
    predict, row, rows = model.predictor(), x[0].copy(), x[:1].copy()

    def by_predictor(times: int) -> None:
        for _ in itertools.repeat(None, times):
            predict(row)

    def by_model(times: int) -> None:
        for _ in itertools.repeat(None, times):
            model.predict(rows, verbose=0)

    outputs = {
        "fastnn predictor": predict(row).tolist(),
        "fastnn predict": model.predict(rows, verbose=0)[0].tolist(),
    }
    return Prepared(
        {"fastnn predictor": (by_predictor, 1), "fastnn predict": (by_model, 1)}, outputs
    )


if __name__ == "__main__":
    serve(prepare, fastnn.__version__)
