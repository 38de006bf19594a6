"""The service of examples/serve.py in a process of its own, over fastnn, ONNX Runtime or nothing.

    python -m benchmarks.workers.service <contestant> <widths> <batches>

It prints a line of JSON with its port and version, and serves until it gets SIGTERM.
"""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workloads import Workload

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))


class OnnxRuntime:
    """A session as the service asks it, with the checks that fastnn makes natively."""

    def __init__(self, work: Workload) -> None:
        import onnxruntime
        from onnx import load_from_string

        from benchmarks.workers.onnx_predict import build, session_of

        self.version = onnxruntime.__version__
        model = load_from_string(build(work))
        for end in (model.graph.input[0], model.graph.output[0]):
            end.type.tensor_type.shape.dim[0].dim_param = "n"
        self._session = session_of(model.SerializeToString(), 1)
        self.input_shape, self.output_shape = (work.widths[0],), (work.widths[-1],)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        rows = x.astype(np.float32)
        if not np.isfinite(rows).all():
            raise ValueError("x: expected finite numbers")
        (made,) = self._session.run(None, {"x0": rows})
        return np.asarray(made)


class Nothing:
    """Zeros: what a request costs without a model."""

    version = "-"

    def __init__(self, work: Workload) -> None:
        self.input_shape, self.output_shape = (work.widths[0],), (work.widths[-1],)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.zeros((len(x), *self.output_shape), np.float32)


def predictor_of(contestant: str, work: Workload) -> tuple[Any, str]:
    if contestant == "fastnn":
        import fastnn
        from benchmarks.workers.fastnn_steps import build

        fastnn.set_num_threads(1)
        return build(work, "highest").predictor(), fastnn.__version__
    made = OnnxRuntime(work) if contestant == "onnx" else Nothing(work)
    return made, made.version


def main() -> None:
    import serve
    import uvicorn

    contestant, widths, batches = sys.argv[1:]
    work = Workload("served", tuple(map(int, widths.split("-"))), 32, "softmax")
    predict, version = predictor_of(contestant, work)
    app = serve.app_of(predict, batches=json.loads(batches))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    # asyncio turns Nagle's delay off for sockets that are told to be of TCP.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        print(json.dumps({"port": listening.getsockname()[1], "version": version}), file=answers)
        config = uvicorn.Config(app, log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
