"""PyTorch eager, the loop of its tutorials, with Adam as it comes and with the fused Adam."""

import itertools
from collections.abc import Callable
from functools import partial

import torch

from benchmarks import workloads
from benchmarks.workers.serve import Prepared, serve, wanted
from benchmarks.workers.torch_steps import Step, build, criterion, loop_step


def tutorial_step(work: workloads.Workload) -> Step:
    model, loss_of = build(work), criterion(work)
    adam = torch.optim.Adam(
        model.parameters(),
        lr=workloads.LEARNING_RATE,
        betas=(workloads.BETA_1, workloads.BETA_2),
        eps=workloads.EPSILON,
    )

    def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        adam.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        adam.step()
        return loss.detach()

    return step


def prepare(work: workloads.Workload, threads: int) -> Prepared:
    torch.set_num_threads(threads)
    x, y = (torch.from_numpy(array) for array in work.data())
    pairs = list(zip(x.split(work.batch), y.split(work.batch), strict=True))
    ready = Prepared({})
    steps: dict[str, Callable[[workloads.Workload], Step]] = {
        "PyTorch eager": tutorial_step,
        "PyTorch eager, fused Adam": partial(loop_step, compiled=False),
    }
    for name, make in steps.items():
        if not wanted(name):
            continue
        step = make(work)
        ready.losses[name] = [float(step(*pairs[k])) for k in range(2)]
        batches = itertools.cycle(pairs)

        def run(count: int, step: Step = step, batches=batches) -> None:
            for x, y in itertools.islice(batches, count):
                step(x, y)

        ready.entries[name] = (run, 1)
    return ready


if __name__ == "__main__":
    serve(prepare, torch.__version__)
