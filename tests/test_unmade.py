"""Objects of native classes that were made without their constructor: refused, never a crash."""

from __future__ import annotations

import cases
import pytest

from fastnn import _core

CLASSES = sorted(
    name
    for name, member in vars(_core).items()
    if isinstance(member, type) and not issubclass(member, BaseException)
)

USES = """
import copy, faulthandler, itertools, os, pickle
import numpy as np
from fastnn import _core, ops
faulthandler.enable()
cls = getattr(_core, os.environ["NAME"])

made = [_core.Parameters(4, "float32"), _core.Data(np.ones((2, 3))), _core.Graph(3, "float32")]
network = _core.Network(3, "float32", 1)
network.set_output(network.dense(0, 1, "linear"))
made += [network, np.ones(3), 1, "a", None]

def unmade():
    try:
        return cls.__new__(cls)
    except TypeError:
        return None

def refused(use, *arguments, **named):
    try:
        use(*arguments, **named)
    except Exception:
        return True
    return False

used, survived = 0, []
for other in (object, cls.__mro__[1]):
    assert refused(other.__new__, cls) or other is not object
if unmade() is not None:
    for name in vars(cls):
        if name in ("__init__", "__new__", "__module__", "__doc__", "_pybind11_conduit_v1_"):
            continue
        used += 1
        one = unmade()
        if isinstance(vars(cls)[name], property):
            if not refused(getattr, one, name):
                survived.append(name)
            refused(setattr, one, name, 1)
            continue
        for count in range(4):
            for arguments in itertools.product([*made, one], repeat=min(count, 2)):
                arguments += (one,) * (count - len(arguments))
                if not refused(getattr(one, name), *arguments):
                    survived.append((name, arguments))
        if not refused(getattr(cls, name), one):
            survived.append(name)
    protocols = [repr, str, len, bytes, memoryview, copy.copy, copy.deepcopy, pickle.dumps, iter,
                 complex, int, float, list, hash, bool, dir, np.asarray, np.from_dlpack, ops.softmax,
                 lambda o: o(np.ones(3)), lambda o: o == o, lambda o: o < o, lambda o: format(o),
                 lambda o: o[0], lambda o: o.__enter__(), lambda o: next(o), lambda o: o.__reduce__(),
                 lambda o: o.__getstate__(), lambda o: _core.from_dlpack("x", o),
                 lambda o: _core.from_cuda_array_interface("x", o)]
    for protocol in protocols:
        refused(protocol, unmade())
    # As an argument of other functions and methods.
    for owner in (_core, *made[:4]):
        for name in dir(owner):
            # Properties may have nothing to tell before they are compiled or bound.
            if name.startswith("_") or name == "shutdown" or isinstance(
                getattr(type(owner), name, None), property
            ):
                continue
            function = getattr(owner, name)
            if not callable(function):
                continue
            for count in range(1, 8):
                refused(function, *[unmade()] * count)
    for keywords in ({"data": unmade()}, {"data": made[1], "validation": unmade()}):
        assert refused(network.run, batch_size=1, **keywords) or cls is not _core.Data
    # A constructor that failed leaves such an object, and one that runs later makes it.
    one = unmade()
    refused(one.__init__, object())
    refused(repr, one)
    later = {"Graph": (3, "float32"), "Parameters": (4, "float32"), "Network": (3, "float32", 1)}
    if cls.__name__ in later:
        one.__init__(*later[cls.__name__])
        assert one.size == 4 if cls.__name__ == "Parameters" else one.width(0) == 3
# A subclass whose constructor does not call that of its base.
refused(type("Own", (cls,), {"__init__": lambda self: None}))
print(used, survived)
"""


@pytest.mark.cpu
@pytest.mark.parametrize("name", CLASSES)
def test_every_use_is_refused(name):
    done = cases.python(USES, NAME=name)
    assert done.returncode == 0, done.stderr
    used, survived = done.stdout.split(maxsplit=1)
    assert survived.strip() == "[]"
    assert int(used) > 0 or name == "Predictor", "nothing was tried"


@pytest.mark.cpu
def test_the_message():
    made = "from fastnn.ops import DeviceArray; print(DeviceArray.__new__(DeviceArray))"
    done = cases.python(made)
    assert done.returncode == 1
    assert "TypeError: an object that was made by __new__, without its constructor" in done.stderr


MADE = """
import copy, os, pickle
import numpy as np
import fastnn
from fastnn import _core
name = os.environ["NAME"]
network = _core.Network(3, "float32", 1)
network.set_output(network.dense(0, 1, "linear"))
parameters = _core.Parameters(network.parameter_size, "float32")
network.bind(parameters)
network.compile(loss="mean_squared_error", optimizer="sgd")
data = _core.Data(np.ones((2, 3)), targets=np.ones((2, 1)))
made = {
    "Network": network, "Parameters": parameters, "Data": data,
    "Graph": _core.Graph(3, "float32"), "Run": network.run(data, batch_size=1),
    "Recorded": network.record(data),
    "Predictor": network.predictor((None, (), ((3,),)), (None, (), ((1,),)), [], None),
}
uses = [lambda o, p=p: pickle.dumps(o, p) for p in range(pickle.HIGHEST_PROTOCOL + 1)]
uses += [copy.copy, copy.deepcopy, lambda o: o.__reduce__()]
for use in uses if name in made else ():
    try:
        use(made[name])
    except TypeError as error:
        assert "cannot pickle" in str(error), error
    else:
        raise AssertionError(use)
"""


@pytest.mark.cpu
@pytest.mark.parametrize("name", CLASSES)
def test_none_is_pickled_or_copied(name):
    """In any protocol: copyreg makes an object of the base of all native classes."""
    done = cases.python(MADE, NAME=name)
    assert done.returncode == 0, done.stderr
