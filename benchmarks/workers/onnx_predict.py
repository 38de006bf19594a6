"""ONNX Runtime's predictions of one row, from a NumPy array with `session.run`."""

import itertools

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


def prepare(work: workloads.Workload, threads: int) -> Prepared:
    x, _ = work.data()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(build(work), options, providers=["CPUExecutionProvider"])
    feed = {"x0": x[:1].copy()}

    def run(times: int) -> None:
        for _ in itertools.repeat(None, times):
            session.run(None, feed)

    outputs = session.run(None, feed)[0][0].tolist()
    return Prepared({"ONNX Runtime": (run, 1)}, {"ONNX Runtime": outputs})


if __name__ == "__main__":
    serve(prepare, onnxruntime.__version__)
