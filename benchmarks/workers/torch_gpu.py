"""PyTorch on a GPU: eager, in CUDA graphs and compiled, each in its fastest form.

The data are on the device, cut into batches beforehand, in order: no loader, no shuffle,
no gather. Adam is the fused one. "medium" is autocast to bfloat16, "highest" is float32
without TF32. `python -m benchmarks.workers.torch_gpu warm` compiles everything once, so
that it is in the compiler's cache on disk. FASTNN_PEER_DEVICE=cpu runs this program
without a GPU; its times then mean nothing.
"""

import itertools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks import gpu_rows, timer, workloads
from benchmarks.workers.serve import Prepared, serve, wanted
from benchmarks.workers.torch_steps import build, criterion

DEVICE = os.environ.get("FASTNN_PEER_DEVICE", "cuda")
TRIAL = 0.03  # seconds for the trial of a form
MOST_STEPS = 32  # of one graph

Pairs = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Form:
    """A way to train: `run(repeats)`, and `losses()` of the first two steps."""

    run: Callable[[int], None]
    losses: Callable[[], list[float]]
    steps: int = 1


def synchronize() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


class Trainer:
    """A network on the device and a step that trains it."""

    def __init__(self, work: workloads.Workload, *, rounded: bool, capturable: bool) -> None:
        self.model: nn.Sequential = build(work).to(DEVICE)
        self.first = [value.detach().clone() for value in self.model.parameters()]
        self.loss_of = criterion(work)
        self.rounded = rounded
        self.forward: Callable[[Tensor, Tensor], Tensor] = self.plain_forward
        self.adam = torch.optim.Adam(
            self.model.parameters(),
            lr=workloads.LEARNING_RATE,
            betas=(workloads.BETA_1, workloads.BETA_2),
            eps=workloads.EPSILON,
            fused=True,
            capturable=capturable,
        )

    def plain_forward(self, x: Tensor, y: Tensor) -> Tensor:
        # Every weight is cast once in a step: a cache of casts would only hold memory of a graph.
        with torch.autocast(
            DEVICE, dtype=torch.bfloat16, enabled=self.rounded, cache_enabled=False
        ):
            return self.loss_of(self.model(x), y)

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        self.adam.zero_grad(set_to_none=True)
        loss = self.forward(x, y)
        loss.backward()
        self.adam.step()
        return loss.detach()

    def start_again(self) -> None:
        """Resets weights and state to their first values, in place."""
        with torch.no_grad():
            for value, first in zip(self.model.parameters(), self.first, strict=True):
                value.copy_(first)
        for state in self.adam.state.values():
            for value in state.values():
                value.zero_()


def loop(work: workloads.Workload, pairs: Pairs, *, rounded: bool, compiled: bool = False) -> Form:
    """One step at a time, from Python."""
    trainer = Trainer(work, rounded=rounded, capturable=False)
    if compiled:
        mode = "reduce-overhead" if DEVICE == "cuda" else "default"
        trainer.forward = torch.compile(trainer.plain_forward, mode=mode, dynamic=False)
    batches = itertools.cycle(pairs)

    def run(steps: int) -> None:
        for x, y in itertools.islice(batches, steps):
            if compiled:
                torch.compiler.cudagraph_mark_step_begin()
            trainer.step(x, y)
        synchronize()

    def losses() -> list[float]:
        found = []
        for pair in pairs[:2]:
            if compiled:
                torch.compiler.cudagraph_mark_step_begin()
            found.append(float(trainer.step(*pair)))
        return found

    return Form(run, losses)


def graph(
    work: workloads.Workload, pairs: Pairs, *, rounded: bool, many: bool, compiled: bool = False
) -> Form:
    """A graph of one step, into which each batch is copied, or of many steps, one for each batch."""
    trainer = Trainer(work, rounded=rounded, capturable=True)
    if compiled:
        trainer.forward = torch.compile(trainer.plain_forward, dynamic=False)
    held = list(pairs[:MOST_STEPS]) if many else [(pairs[0][0].clone(), pairs[0][1].clone())]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            trainer.step(*held[0])
    torch.cuda.current_stream().wait_stream(side)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        outputs = [trainer.step(*pair) for pair in held]
    trainer.start_again()
    batches = itertools.cycle(pairs)

    def copied(pair: tuple[Tensor, Tensor]) -> None:
        for place, value in zip(held[0], pair, strict=True):
            place.copy_(value)
        recorded.replay()

    def run(repeats: int) -> None:
        if many:
            for _ in range(repeats):
                recorded.replay()
        else:
            for pair in itertools.islice(batches, repeats):
                copied(pair)
        synchronize()

    def losses() -> list[float]:
        if many:
            recorded.replay()
            return [float(loss) for loss in outputs[:2]]
        found = []
        for pair in pairs[:2]:
            copied(pair)
            found.append(float(outputs[0]))
        return found

    return Form(run, losses, len(held))


FORMS: dict[str, dict[str, Callable[..., Form]]] = {
    "PyTorch eager": {"fused Adam": loop},
    "PyTorch CUDA graph": {
        "a graph of one step": partial(graph, many=False),
        "a graph of many steps": partial(graph, many=True),
        "a graph of many compiled steps": partial(graph, many=True, compiled=True),
    },
    "PyTorch compiled": {"reduce-overhead, fused Adam": partial(loop, compiled=True)},
}


def prepare(work: workloads.Workload, threads: int) -> Prepared:
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")
    torch.compiler.reset()  # forgets the compiled networks of the last row
    x, y = (torch.from_numpy(array).to(DEVICE) for array in work.data())
    pairs = list(zip(x.split(work.batch), y.split(work.batch), strict=True))
    ready = Prepared({})
    for word, (name, forms) in itertools.product(gpu_rows.PRECISIONS, FORMS.items()):
        entry, fastest = f"{name} {word}", float("inf")
        if word == "medium":
            ready.rounded.extend(f"{entry}, {form}" for form in forms)
        for form in [form for form in forms if wanted(entry, form)]:
            try:
                made = forms[form](work, pairs, rounded=word == "medium")
                losses = made.losses()
                seconds = trial(made) if len(forms) > 1 else 0.0
            except Exception as reason:  # noqa: BLE001 - exceptions of torch.compile have no common base
                kind = str(reason).strip().partition("\n")[0][:100]
                ready.notes[f"{entry}, {form}"] = f"left out ({type(reason).__name__}: {kind})"
                continue
            ready.losses[f"{entry}, {form}"] = losses
            if seconds < fastest:
                fastest = seconds
                ready.entries[entry] = (made.run, made.steps)
                ready.notes[entry] = form
    return ready


def trial(form: Form) -> float:
    """Seconds of a step, from a short measurement."""
    one = timer.Contestant(lambda repeats: timer.clock(lambda: form.run(repeats)))
    repeats = timer.calibrate(one, TRIAL)
    return min(one.run(repeats) for _ in range(3)) / (repeats * form.steps)


if __name__ == "__main__":
    if DEVICE == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU")
    if sys.argv[1:] == ["warm"]:
        del sys.argv[1:]  # `wanted` reads them
        for each in gpu_rows.ROWS.values():
            prepare(each, threads=4)
    else:
        serve(prepare, torch.__version__)
