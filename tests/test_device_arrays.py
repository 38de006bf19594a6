"""Arrays on the device: by DLPack and `__cuda_array_interface__`, in the order of streams.

Needs a GPU, or the emulated library that test_emulated.py runs this file with.
"""

from __future__ import annotations

import gc
import sys
import threading
import types

import calls
import numpy as np
import pytest
import reference
import tolerances

from fastnn import _core, ops
from fastnn.ops import DeviceArray


@pytest.fixture(autouse=True)
def _device():
    state = _core.cuda_state()
    if not state["usable"]:
        pytest.skip(f"needs a device: {state['reason']}")


@pytest.fixture
def streams(tmp_path, monkeypatch):
    """Waits since the last call: "wait for 77" of a stream, "wait 78" of the host."""
    if _core.cuda_state()["library"] != "emulated":
        pytest.skip("the emulated device alone writes it down")
    log = tmp_path / "streams"
    monkeypatch.setenv("FASTNN_EMULATOR_LOG", str(log))

    def read():
        lines = log.read_text().splitlines() if log.exists() else []
        log.write_text("")
        return lines

    return read


class Interface:
    """An array of a library that has `__cuda_array_interface__` alone."""

    def __init__(self, array, **told):
        self.array, self.told = array, told

    @property
    def __cuda_array_interface__(self):
        return {**self.array.__cuda_array_interface__, "stream": None, **self.told}

    def numpy(self):
        return self.array.numpy()


class Exchange:
    """An array of a library that has DLPack alone, of version 1 or before."""

    def __init__(self, array, versioned=True):
        self.array, self.versioned, self.asked = array, versioned, []

    def __dlpack__(self, **asked):
        self.asked.append(asked)
        if "max_version" in asked and not self.versioned:
            raise TypeError("unexpected keyword argument 'max_version'")
        return self.array.__dlpack__(**asked)

    def __dlpack_device__(self):
        return (2, 0)

    def numpy(self):
        return self.array.numpy()


WRAPPERS = {
    "own": lambda array: array,
    "interface": Interface,
    "interface with a stream": lambda array: Interface(array, stream=1),
    "interface of version 2": lambda array: Interface(array, version=2, strides=None),
    "DLPack": Exchange,
    "DLPack before version 1": lambda array: Exchange(array, versioned=False),
}


@pytest.fixture(params=WRAPPERS)
def wrap(request):
    return lambda values: WRAPPERS[request.param](DeviceArray(np.asarray(values, order="C")))


def same(wrap, call, arrays, words):
    """The same as from NumPy arrays, and it stays on the device."""
    on_host = call(arrays, words)
    there = {k: wrap(v) if isinstance(v, np.ndarray) else v for k, v in words.items()}
    on_device = call([wrap(a) for a in arrays], there)
    if not isinstance(on_host, tuple):
        on_host, on_device = (on_host,), (on_device,)
    for want, got in zip(on_host, on_device, strict=True):
        assert type(got) is (float if isinstance(want, float) else DeviceArray)
        got = got if isinstance(got, float) else got.numpy()
        dtype = arrays[0].dtype
        assert isinstance(got, float) or got.dtype == dtype
        tolerances.check(got, want, call.family, dtype.name, scale=40)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_op(wrap, dtype, rng):
    for call in calls.CALLS.values():
        same(wrap, call, *call.arguments(rng, dtype, 33, 7, 5))


def test_every_op_of_numpy_arrays(rng, monkeypatch):
    """Copied there and back: what the host gives, also of ops that call several kernels."""
    for name, call in calls.CALLS.items():
        arrays, words = call.arguments(rng, "float32", 33, 7, 5)
        monkeypatch.setenv("FASTNN_DEVICE", "cpu")
        on_host = call(arrays, words)
        monkeypatch.setenv("FASTNN_DEVICE", "cuda")
        there = call(arrays, words)
        if not isinstance(on_host, tuple):
            on_host, there = (on_host,), (there,)
        for want, got in zip(on_host, there, strict=True):
            tolerances.check(got, want, call.family, "float32", scale=40, what=name)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_labels_of_any_integer_type(wrap, kind, rng):
    call = calls.CALLS["softmax_cross_entropy, weighted"]
    (z, labels), words = call.arguments(rng, "float32", 33, 7, 5)
    same(wrap, call, [z, labels.astype(kind)], words)


def test_steps_change_the_array_itself(wrap, rng):
    for call in calls.STEPS.values():
        arrays, words = call.arguments(rng, "float64", 5, 1, 3)
        here = [None if a is None else a.copy() for a in arrays]
        there = [None if a is None else wrap(a) for a in arrays]
        call(here, words)
        call(there, words)
        for want, got in zip(here, there, strict=True):
            if want is not None:
                tolerances.check(got.numpy(), want, "optimizer", "float64")
        assert np.any(there[0].numpy() != arrays[0])


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (2, 3, 4)])
def test_shapes(wrap, shape, rng):
    x = rng.normal(size=shape)
    y = ops.activation_forward(wrap(x), "relu")
    assert (y.shape, y.ndim, y.size, y.dtype) == (shape, x.ndim, x.size, np.float64)
    np.testing.assert_array_equal(y.numpy(), reference.activation_forward(x, "relu"))
    np.testing.assert_array_equal(np.asarray(y), y.numpy())


# -- results in the caller's own kind ------------------------------------------------------


@pytest.fixture
def framework(monkeypatch):
    """A library with a class of arrays, and `from_dlpack` as all have it."""
    library = types.ModuleType("framework")

    class Tensor(Exchange):
        __module__ = "framework.tensors"

    library.Tensor = Tensor
    library.from_dlpack = lambda source: Tensor(_core.from_dlpack("x", source.__dlpack__()))
    monkeypatch.setitem(sys.modules, "framework", library)
    return library


def test_results_are_of_the_library_of_the_first_argument(framework, rng):
    x, w, dy = (framework.Tensor(DeviceArray(rng.normal(size=(4, 4)))) for _ in range(3))
    labels = framework.Tensor(DeviceArray(np.arange(4)))
    own = DeviceArray(rng.normal(size=(4, 4)))
    loss, dlogits = ops.softmax_cross_entropy(x, labels)
    assert isinstance(loss, float)
    results = [dlogits, *ops.dense_backward(dy, x, w, x), ops.dense_forward(x, own)]
    results += [ops.softmax(x), ops.activation_forward(x, "elu")]
    assert {type(result) for result in results} == {framework.Tensor}
    want = x.numpy() @ own.numpy()
    tolerances.check(results[4].numpy(), want, "dense", "float64", scale=10)
    assert type(ops.dense_forward(own, x)) is DeviceArray


def test_pytorch():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU")
    x = torch.randn(257, 33, device="cuda")
    with torch.cuda.stream(torch.cuda.Stream()):
        y = ops.activation_forward(x * 2, "relu")
        torch.testing.assert_close(y, torch.relu(x * 2))
        param = torch.zeros_like(x)
        ops.sgd_step(param, x, None, learning_rate=1.0)
        torch.testing.assert_close(param, -x)


def test_cupy():
    cupy = pytest.importorskip("cupy")
    x = cupy.random.standard_normal((257, 33), dtype=cupy.float32)
    with cupy.cuda.Stream(non_blocking=True):
        y = ops.activation_forward(x * 2, "relu")
        assert isinstance(y, cupy.ndarray)
        cupy.testing.assert_array_equal(y, cupy.maximum(x * 2, 0))


# -- streams -------------------------------------------------------------------------------


def test_a_stream_that_is_told_is_waited_for_and_waits(streams, rng):
    x = Interface(DeviceArray(rng.normal(size=5)), stream=77)
    streams()
    ops.activation_forward(x, "relu")
    assert streams() == ["wait for 77", "let wait 77"]
    ops.activation_backward(x, Interface(x.array, stream=78), x, "relu")
    assert streams() == [f"{wait} {s}" for wait in ("wait for", "let wait") for s in (77, 78, 77)]


def test_a_library_is_asked_with_our_stream(streams, rng):
    x = Exchange(DeviceArray(rng.normal(size=5)))
    streams()
    ops.activation_forward(x, "relu")
    ours = _core.device_stream()
    assert x.asked == [{"stream": ours, "max_version": (1, 0)}]
    # The library makes our stream wait for its own; here both are one. Its stream is not known to
    # us, so the host waits until the work is done.
    assert streams() == [f"let wait {ours}", f"wait {ours}"]
    ops.activation_forward(Interface(x.array), "relu")
    assert streams() == [f"wait {ours}"]


def test_for_arrays_of_our_own_the_host_does_not_wait(streams, rng):
    x = DeviceArray(rng.normal(size=(5, 5)))
    streams()
    y = ops.dense_forward(ops.softmax(x), x)
    ops.sgd_step(x, y, None, learning_rate=0.1)
    assert streams() == []


def test_consumers_wait_for_ours(streams, rng):
    x = DeviceArray(rng.normal(size=5))
    streams()
    for stream, lines in ((88, ["let wait 88"]), (None, ["let wait 1"]), (2, ["let wait 2"])):
        x.__dlpack__(stream=stream)
        assert streams() == lines
    x.__dlpack__(stream=-1)
    assert streams() == []
    assert x.__cuda_array_interface__["stream"] == _core.device_stream()
    assert x.__dlpack_device__() == (2, 0)


def test_threads_have_streams_of_their_own(streams, rng):
    """And an array outlives the thread that made it."""
    values, made = rng.normal(size=5), []
    for _ in range(2):
        other = threading.Thread(target=lambda: made.append(DeviceArray(values)))
        other.start()
        other.join()
    theirs = {array.__cuda_array_interface__["stream"] for array in made}
    assert len(theirs) == 2
    assert _core.device_stream() not in theirs
    streams()
    y = ops.activation_backward(*made, made[0], "linear")
    assert [line.split()[:2] for line in streams()] == [["wait", "for"]] * 3 + [["let", "wait"]] * 3
    np.testing.assert_array_equal(y.numpy(), values)


# -- lifetime of memory --------------------------------------------------------------------


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_a_capsule_keeps_the_memory(version, rng):
    x = rng.normal(size=(3, 2))
    array = DeviceArray(x)
    array.__dlpack__(max_version=version)  # and no reader takes it
    capsule = array.__dlpack__(max_version=version)
    del array
    gc.collect()
    taken = _core.from_dlpack("x", capsule)
    np.testing.assert_array_equal(taken.numpy(), x)
    with pytest.raises(ValueError, match="x: expected a capsule of DLPack"):
        _core.from_dlpack("x", capsule)


# -- what is refused -----------------------------------------------------------------------


def test_arrays_of_both_sides_are_refused(wrap, rng):
    x, labels = rng.normal(size=(4, 4)), np.arange(4)
    d = wrap(x)
    cross_entropy, step = ops.softmax_cross_entropy, ops.sgd_step
    for call, there, here in (
        (lambda: ops.dense_forward(d, x), "x", "w"),
        (lambda: ops.dense_forward(x, d), "w", "x"),
        (lambda: ops.activation_backward(d, d, x, "relu"), "dy", "y"),
        (lambda: cross_entropy(d, labels), "logits", "labels"),
        (lambda: cross_entropy(x, wrap(labels)), "labels", "logits"),
        (lambda: cross_entropy(x, d), "labels", "logits"),
        (lambda: cross_entropy(x, labels, sample_weight=d), "sample_weight", "logits"),
        (lambda: ops.sigmoid_cross_entropy(d, x), "logits", "targets"),
        (lambda: ops.sigmoid_cross_entropy(x, d), "targets", "logits"),
        (lambda: ops.mean_squared_error(d, d, sample_weight=labels), "pred", "sample_weight"),
        (lambda: step(d, x, None, learning_rate=0.1), "param", "grad"),
        (lambda: step(x, x.copy(), d, learning_rate=0.1), "velocity", "param"),
    ):
        with pytest.raises(TypeError, match=f"^{there} lies on the device and {here} does not"):
            call()


def test_types(wrap):
    single, double = wrap(np.zeros((2, 2), np.float32)), wrap(np.zeros((2, 2)))
    with pytest.raises(TypeError, match="w: expected float32 as x is, got float64"):
        ops.dense_forward(single, double)
    with pytest.raises(TypeError, match="x: expected float32 or float64 on the device, got int64"):
        ops.softmax(wrap(np.zeros((2, 2), np.int64)))
    with pytest.raises(TypeError, match="labels: expected integers"):
        ops.softmax_cross_entropy(single, wrap(np.zeros(2, np.float32)))
    with pytest.raises(TypeError, match="x: expected numbers, got dtype complex64"):
        ops.softmax(Interface(DeviceArray(np.zeros(2)), typestr="<c8"))
    with pytest.raises(TypeError, match="array: expected numbers"):
        DeviceArray(np.zeros(2, complex))


def test_values_are_checked(wrap):
    z = wrap(np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"labels: expected integers in \[0, 2\), got 2 at row 1"):
        ops.softmax_cross_entropy(z, wrap(np.array([0, 2, 1])))
    with pytest.raises(ValueError, match=r"sample_weight.*-1 at row 2"):
        ops.mean_squared_error(z, z, sample_weight=wrap(np.array([1.0, 1.0, -1.0])))
    with pytest.raises(ValueError, match=r"targets: .*7 at row 0"):
        ops.sigmoid_cross_entropy(z, wrap(np.full((3, 2), 7.0)))
    with pytest.raises(ValueError, match=r"labels: .*row 0"):
        ops.softmax_cross_entropy(z, wrap(np.full((3, 2), 7.0)))
    with pytest.raises(ValueError, match=r"w: expected 2 axes, got shape \(2,\)"):
        ops.dense_forward(z, wrap(np.zeros(2)))


def test_layouts(rng):
    x = rng.normal(size=(3, 4))
    for host in (x, x.T, x[::-1], x[:, ::2]):
        np.testing.assert_array_equal(DeviceArray(host).numpy(), host)
        for order in "<>":  # one of them is this machine's, written out
            array = DeviceArray(host.astype(host.dtype.newbyteorder(order)))
            assert array.dtype.isnative
            np.testing.assert_array_equal(array.numpy(), host)
            same = ops.softmax(DeviceArray(host))
            np.testing.assert_array_equal(ops.softmax(array).numpy(), same.numpy())
    array = DeviceArray(np.arange(12.0).reshape(3, 4))
    columns = Interface(array, strides=(8, 24))
    with pytest.raises(ValueError, match="x: expected a C-contiguous array"):
        ops.softmax(columns)
    assert ops.softmax(Interface(array, strides=(32, 8))).shape == (3, 4)
    assert ops.softmax(Interface(array, shape=(1, 4), strides=(999, 8))).shape == (1, 4)
    with pytest.raises(ValueError, match="x: stream 0 is ambiguous"):
        ops.softmax(Interface(array, stream=0))
    with pytest.raises(ValueError, match="x: masked"):
        ops.softmax(Interface(array, mask=array))


def test_steps_refuse_what_they_cannot_change():
    p, g = DeviceArray(np.zeros(4)), DeviceArray(np.ones(4))
    address = p.address
    fixed = Interface(p, data=(address, True))
    with pytest.raises(ValueError, match="param: the array is not writable"):
        ops.sgd_step(fixed, g, None, learning_rate=1.0)
    ops.sgd_step(Interface(g), fixed, None, learning_rate=1.0)
    with pytest.raises(ValueError, match=r"velocity: expected memory of its own, .* with param"):
        ops.sgd_step(p, g, p, learning_rate=1.0, momentum=0.5)
    part = Interface(p, data=(address + 24, False), shape=(1,))
    with pytest.raises(ValueError, match=r"grad: expected memory of its own, .* with param"):
        ops.sgd_step(Interface(p, shape=(4,)), part, None, learning_rate=1.0)
    with pytest.raises(TypeError, match="m: expected an array, got None"):
        ops.adam_step(p, g, None, None, step=1)
    np.testing.assert_array_equal(p.numpy(), 0)


def test_exports_that_cannot_be():
    array = DeviceArray(np.zeros(2))
    for words in ({"dl_device": (1, 0)}, {"dl_device": (2, 1)}, {"copy": True}):
        with pytest.raises(BufferError):
            array.__dlpack__(**words)
    with pytest.raises(ValueError, match="stream: expected"):
        array.__dlpack__(stream=0)
    with pytest.raises(ValueError, match="must be copied"):
        array.__array__(copy=False)
    assert repr(array) == "DeviceArray(shape=(2,), dtype=float64)"
