"""ONNX Runtime's predictions of one row, from a NumPy array with `session.run`."""

import itertools
from collections.abc import Callable

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks import workloads
from benchmarks.workers.serve import Prepared, serve


def build(work: workloads.Workload) -> bytes:
    """The network of a row as a chain of Gemm and Relu."""
    nodes, constants = [], []
    values = work.weights()
    for layer, (kernel, bias) in enumerate(zip(values[0::2], values[1::2], strict=True)):
        constants.append(numpy_helper.from_array(kernel, f"w{layer}"))
        constants.append(numpy_helper.from_array(bias, f"b{layer}"))
        inputs = [f"x{layer}", f"w{layer}", f"b{layer}"]
        nodes.append(helper.make_node("Gemm", inputs, [f"z{layer}"]))
        nodes.append(helper.make_node("Relu", [f"z{layer}"], [f"x{layer + 1}"]))
    nodes.pop()

    def rows(name: str, width: int) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width])

    outputs = [rows(nodes[-1].output[0], work.widths[-1])]
    graph = helper.make_graph(nodes, "mlp", [rows("x0", work.widths[0])], outputs, constants)
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    return bytes(model.SerializeToString())


def session_of(model: bytes, threads: int | None) -> onnxruntime.InferenceSession:
    """A session with `threads` threads, or with the settings of ONNX Runtime if None."""
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def prepare(work: workloads.Workload, threads: int) -> Prepared:
    x, _ = work.data()
    model = build(work)
    feed = {"x0": x[:1].copy()}
    sessions = {
        "ONNX Runtime": session_of(model, threads),
        "ONNX Runtime, default settings": session_of(model, None),
    }

    def entry(session: onnxruntime.InferenceSession) -> Callable[[int], None]:
        def run(times: int) -> None:
            for _ in itertools.repeat(None, times):
                session.run(None, feed)

        return run

    return Prepared(
        {name: (entry(session), 1) for name, session in sessions.items()},
        {name: session.run(None, feed)[0][0].tolist() for name, session in sessions.items()},
    )


if __name__ == "__main__":
    serve(prepare, onnxruntime.__version__)
