"""PyTorch's predictions of one row: eager, without gradients, from a prepared tensor to NumPy."""

import itertools

import torch

from benchmarks import workloads
from benchmarks.workers.serve import Prepared, serve
from benchmarks.workers.torch_steps import build


def prepare(work: workloads.Workload, threads: int) -> Prepared:
    torch.set_num_threads(threads)
    x, _ = work.data()
    model, row = build(work).eval(), torch.from_numpy(x[:1].copy())

    def run(times: int) -> None:
        with torch.inference_mode():
            for _ in itertools.repeat(None, times):
                model(row).numpy()

    with torch.inference_mode():
        outputs = model(row)[0].tolist()
    return Prepared({"PyTorch": (run, 1)}, {"PyTorch": outputs})


if __name__ == "__main__":
    serve(prepare, torch.__version__)
