"""PyTorch, eager, compiled and in bfloat16, each in the form that is fastest on the row.

Eager: the loop of its tutorials, with the fused or the foreach Adam. Compiled:
that loop with the forward pass compiled, or a functional step with Adam written
out, all in one graph. bfloat16: any of these with the forward pass under autocast.
Batches are tensors cut beforehand, in order: no loader, no shuffle, no gather.
"""

import itertools
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks import timer, workloads
from benchmarks.workers.serve import Prepared, serve, wanted

Step = Callable[[Tensor, Tensor], Tensor]
TRIAL = 0.1  # seconds for the trial of a form


def build(work: workloads.Workload) -> nn.Sequential:
    model = nn.Sequential()
    values = work.weights()
    for kernel, bias in zip(values[0::2], values[1::2], strict=True):
        layer = nn.Linear(*kernel.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(kernel.T))
            layer.bias.copy_(torch.from_numpy(bias))
        model.extend([layer, nn.ReLU()])
    return model[:-1]


def criterion(work: workloads.Workload) -> nn.Module:
    return nn.CrossEntropyLoss() if work.loss == "softmax" else nn.BCEWithLogitsLoss()


def autocast(*, rounded: bool) -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=rounded)


def loop_step(
    work: workloads.Workload, *, compiled: bool, fused: bool = True, rounded: bool = False
) -> Step:
    model, loss_of = build(work), criterion(work)
    adam = torch.optim.Adam(
        model.parameters(),
        lr=workloads.LEARNING_RATE,
        betas=(workloads.BETA_1, workloads.BETA_2),
        eps=workloads.EPSILON,
        fused=fused,
        foreach=not fused,
    )

    def forward(x: Tensor, y: Tensor) -> Tensor:
        with autocast(rounded=rounded):
            return loss_of(model(x), y)

    if compiled:
        forward = torch.compile(forward, dynamic=False)

    def step(x: Tensor, y: Tensor) -> Tensor:
        adam.zero_grad()
        loss = forward(x, y)
        loss.backward()
        adam.step()
        return loss.detach()

    return step


def graph_step(work: workloads.Workload, *, rounded: bool = False) -> Step:
    model, criterion_of = build(work), criterion(work)
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    m = {name: torch.zeros_like(value) for name, value in parameters.items()}
    v = {name: torch.zeros_like(value) for name, value in parameters.items()}
    count = torch.zeros(())
    b1, b2 = workloads.BETA_1, workloads.BETA_2

    def loss_of(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        with autocast(rounded=rounded):
            return criterion_of(torch.func.functional_call(model, parameters, (x,)), y)

    @torch.no_grad()
    @torch.compile(dynamic=False, fullgraph=True)
    def step(x: Tensor, y: Tensor) -> Tensor:
        grads, loss = torch.func.grad_and_value(loss_of)(parameters, x, y)
        count.add_(1)
        correct_1, correct_2 = 1 - b1**count, 1 - b2**count
        for name, p in parameters.items():
            m[name].mul_(b1).add_(grads[name], alpha=1 - b1)
            v[name].mul_(b2).addcmul_(grads[name], grads[name], value=1 - b2)
            root = (v[name] / correct_2).sqrt_().add_(workloads.EPSILON)
            p.sub_(workloads.LEARNING_RATE * (m[name] / correct_1) / root)
        return loss

    return step


FORMS: dict[str, dict[str, Callable[[workloads.Workload], Step]]] = {
    "PyTorch eager": {
        "fused Adam": partial(loop_step, compiled=False),
        "foreach Adam": partial(loop_step, compiled=False, fused=False),
    },
    "PyTorch compiled": {
        "one graph": graph_step,
        "forward compiled, fused Adam": partial(loop_step, compiled=True),
    },
    "PyTorch bfloat16": {
        "eager, fused Adam": partial(loop_step, compiled=False, rounded=True),
        "one graph": partial(graph_step, rounded=True),
        "forward compiled, fused Adam": partial(loop_step, compiled=True, rounded=True),
    },
}


def prepare(work: workloads.Workload, threads: int) -> Prepared:
    torch.set_num_threads(threads)
    torch.compiler.reset()  # forgets the compiled networks of the last row
    x, y = (torch.from_numpy(array) for array in work.data())
    pairs = list(zip(x.split(work.batch), y.split(work.batch), strict=True))
    ready = Prepared({})
    for name, forms in FORMS.items():
        fastest = float("inf")
        chosen = [form for form in forms if wanted(name, form)]
        for form in chosen:
            try:
                step = forms[form](work)
                losses = [float(step(*pairs[k])) for k in range(2)]
            except Exception as reason:  # noqa: BLE001 - exceptions of torch.compile have no common base
                kind = str(reason).strip().partition("\n")[0][:100]
                ready.notes[f"{name}, {form}"] = f"left out ({type(reason).__name__}: {kind})"
                continue
            ready.losses[f"{name}, {form}"] = losses
            batches = itertools.cycle(pairs)

            def run(steps: int, step: Step = step, batches=batches) -> None:
                for x, y in itertools.islice(batches, steps):
                    step(x, y)

            seconds = trial(run) if len(chosen) > 1 else 0.0
            if seconds < fastest:
                fastest = seconds
                ready.entries[name] = (run, 1)
                ready.notes[name] = form
    ready.rounded.extend(entry for entry in ready.losses if "bfloat16" in entry)
    return ready


def trial(run: Callable[[int], None]) -> float:
    """Seconds of a step, from a short measurement."""
    one = timer.Contestant(lambda steps: timer.clock(lambda: run(steps)))
    repeats = timer.calibrate(one, TRIAL)
    return min(one.run(repeats) for _ in range(3)) / repeats


if __name__ == "__main__":
    serve(prepare, torch.__version__)
