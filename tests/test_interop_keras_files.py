"""Files of Keras that are damaged, or made to harm: errors that name the fault, and bounded work."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import re
import struct
import zipfile

import numpy as np
import pytest
import travelling
from travelling import near

import fastnn
from fastnn import interop
from fastnn.files.layout import ModelFileError

h5py = pytest.importorskip("h5py")


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.keras"
    interop.save_keras(travelling.chain(["relu", "softmax"]), path)
    return path


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path, found, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in found.items():
            archive.writestr(name, content)
    return path


def refused(path, words):
    with pytest.raises(ModelFileError, match=words):
        fastnn.from_keras(path)


def test_other_archives_are_refused(saved):
    found = members(saved)
    saved.write_bytes(b"no archive at all")
    refused(saved, r"model\.keras: no zip archive")
    packed(saved, {"config.json": found["config.json"]})
    refused(saved, r"expected one model\.weights\.h5 in it, got 0")
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr("config.json", found["config.json"])
        archive.writestr("model.weights.h5", found["model.weights.h5"])
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("config.json", found["config.json"])
    refused(saved, r"expected one config\.json in it, got 2")
    with pytest.raises(FileNotFoundError):
        fastnn.from_keras(saved.with_name("none.keras"))


def test_archives_that_unpack_to_much_more(saved, monkeypatch):
    found = members(saved)
    zeros = bytes(8 * 2**20)
    packed(saved, {**found, "model.weights.h5": zeros}, zipfile.ZIP_DEFLATED)
    refused(saved, r"model\.weights\.h5 has 8388608 bytes; more than \d+ are not read")
    monkeypatch.setattr("fastnn.interop.keras_files._MOST_CONFIG", 2**20)
    packed(saved, {**found, "config.json": zeros}, zipfile.ZIP_DEFLATED)
    refused(saved, r"config\.json has 8388608 bytes; more than 1048576")
    # A member that is longer than it says.
    packed(saved, found, zipfile.ZIP_DEFLATED)
    raw = bytearray(saved.read_bytes())
    at = raw.rindex(b"PK\x01\x02", 0, raw.rindex(b"config.json"))
    raw[at + 24 : at + 28] = (100).to_bytes(4, "little")
    saved.write_bytes(raw)
    refused(saved, r"model\.keras: ")
    packed(saved, found, zipfile.ZIP_DEFLATED)
    fastnn.from_keras(saved)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[]", "expected an object"),
        (b'{"a": 1, "a": 2}', "occurs twice"),
        (b"{" * 100_000, "nested too deeply|no JSON"),
        (b"\xff", "no UTF-8"),
        (b'{"x": NaN}', "NaN is no number"),
    ],
)
def test_configs_that_are_no_json(saved, text, words):
    packed(saved, {**members(saved), "config.json": text})
    refused(saved, rf"config\.json.*({words})")


def edited(path, edit):
    """The file with its config changed."""
    found = members(path)
    config = json.loads(found["config.json"])
    edit(config)
    return packed(path, {**found, "config.json": json.dumps(config).encode()})


EDITS = {
    "another class": (lambda c: c.update(class_name="Net"), "what a class of one's own computes"),
    "no layers": (lambda c: c["config"].update(layers=[]), "expected layers, got none"),
    "no class": (lambda c: c["config"]["layers"].append({}), "expected a layer with a class_name"),
    "a Lambda": (
        lambda c: c["config"]["layers"][1].update(class_name="Lambda"),
        "layer for Lambda",
    ),
    "a module": (lambda c: c["config"]["layers"][1].update(module="os"), "a class of one's own"),
    "too many units": (
        lambda c: c["config"]["layers"][1]["config"].update(units=10**12),
        r"expected weights of shapes \(6, 1000000000000\)",
    ),
    "units that are none": (
        lambda c: c["config"]["layers"][1]["config"].update(units="5"),
        r"dense \(Dense\): units: expected an integer",
    ),
    "a huge input": (
        lambda c: c["config"]["layers"][0]["config"].update(batch_shape=[None, 10**15]),
        "expected weights of shapes",
    ),
    "an open input": (
        lambda c: c["config"]["layers"][0]["config"].update(batch_shape=[None, None]),
        "known sizes",
    ),
    "a wrong config": (lambda c: c["config"]["layers"][1].update(config=[1]), "expected a config"),
    "one layer more": (
        lambda c: c["config"]["layers"].append(c["config"]["layers"][1]),
        "two layers are named 'dense'",
    ),
    "rms_scaling": (
        lambda c: c["config"]["layers"][1]["config"].update(rms_scaling=True),
        r"dense \(Dense\): rms_scaling=True is not in fastnn",
    ),
}


@pytest.mark.parametrize("case", EDITS)
def test_configs_that_do_not_fit(saved, case):
    edit, words = EDITS[case]
    edited(saved, edit)
    refused(saved, words)


def test_models_nested_deeply(saved):
    def edit(config):
        inner = config["config"]["layers"]
        for i in range(300):
            name = f"s{i}"
            inner = [{"class_name": "Sequential", "config": {"name": name, "layers": inner}}]
        config["config"]["layers"] = inner

    edited(saved, edit)
    refused(saved, "nested too deeply")


def with_weights_of(path, change):
    """The file with its HDF5 changed by a function of the open file."""
    import h5py

    found = members(path)
    raw = io.BytesIO(found["model.weights.h5"])
    with h5py.File(raw, "r+") as file:
        change(file, h5py)
    return packed(path, {**found, "model.weights.h5": raw.getvalue()})


def _replace(make):
    def change(file, h5py):
        group = file["layers/dense/vars"]
        del group["0"]
        make(group, h5py)

    return change


def _external_file(group, h5py):
    group["0"] = h5py.ExternalLink("/etc/hostname", "/x")


def _external_numbers(group, _):
    group.create_dataset("0", (6, 5), "f4", external=[("/etc/passwd", 0, 120)])


def _virtual(group, h5py):
    layout = h5py.VirtualLayout((6, 5), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (6, 5))
    group.create_virtual_dataset("0", layout)


def _huge(group, _):
    group.create_dataset("0", (10**7, 10**7), "f4", chunks=(1, 1000), fillvalue=1.0)


def _unwritten(group, _):
    group.create_dataset("0", (6, 5), "f4", chunks=(6, 5), fillvalue=1.0)


def _text(group, h5py):
    group.create_dataset("0", (6, 5), h5py.string_dtype())


WEIGHTS = {
    "missing": (lambda _group, _: None, "expected weights|missing"),
    "a link to a file": (_external_file, "'0' is a link, which is not followed"),
    "a soft link": (lambda g, h: g.__setitem__("0", h.SoftLink("/x")), "is a link"),
    "numbers elsewhere": (_external_numbers, "in another file"),
    "virtual": (_virtual, "in another file"),
    "huge": (_huge, "0 bytes are stored for"),
    "never written": (_unwritten, "0 bytes are stored for 120"),
    "text": (_text, "expected floats"),
    "integers": (lambda g, _: g.create_dataset("0", data=np.ones((6, 5), int)), "expected floats"),
    "a group": (lambda g, _: g.create_group("0"), "expected an array"),
    "another shape": (
        lambda g, _: g.create_dataset("0", data=np.ones((5, 6), "f4")),
        r"layers/dense: expected weights of shapes \(6, 5\), \(5,\), got \(5, 6\), \(5,\)",
    ),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_made_to_harm(saved, case):
    make, words = WEIGHTS[case]
    with_weights_of(saved, _replace(make))
    refused(saved, rf"model\.keras: .*({words})")


def damaged(whole, rng):
    """Bytes that are cut short, or of which a few are changed."""
    raw = bytearray(whole)
    if rng.random() < 0.3:
        del raw[int(rng.integers(len(raw))) :]
    else:
        for at in rng.integers(len(raw), size=3):
            raw[at] = rng.integers(256)
    return bytes(raw)


def test_files_cut_short_or_changed(saved):
    """Whatever the bytes are: a model, or an error that says why not."""
    whole, inner = saved.read_bytes(), members(saved)["model.weights.h5"]
    rng = np.random.default_rng(5)
    model = travelling.chain(["relu", "softmax"])
    for _ in range(150):
        saved.write_bytes(damaged(whole, rng))
        with contextlib.suppress(ValueError):
            fastnn.from_keras(saved)
    weights = saved.with_name("a.weights.h5")
    for _ in range(150):
        weights.write_bytes(damaged(inner, rng))
        with contextlib.suppress(ModelFileError):
            interop.load_keras_weights(model, weights)


# -- files that ask for more work or memory than they are long


def weights_file(path, change):
    """A `.weights.h5` file of a chain, changed by a function of the open file."""
    interop.save_keras_weights(travelling.chain(["relu", "softmax"]), path)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def _in_itself(file):
    for name in "abcdefgh":
        file.create_group(f"layers/{name}")
        file[f"layers/{name}/layers"] = file["layers"]


def _deep(file):
    file.create_group("layers/" + "a/layers/" * 200)


def _many(file):
    variables = file["layers/dense/vars"]
    for i in range(2, 2000):
        variables[str(i)] = file["layers/dense/vars/0"]


def _to_another_file(file):
    del file["layers/dense_1"]
    file["layers/dense_1"] = h5py.ExternalLink("/etc/hostname", "/x")


ASKING = {
    "groups in themselves": (_in_itself, "contains itself, or is nested too deeply"),
    "groups in groups": (_deep, "contains itself, or is nested too deeply"),
    "one array as many": (_many, r"layers/dense: expected weights of shapes .*, \.\.\."),
    "a group elsewhere": (_to_another_file, "'dense_1' is a link, which is not followed"),
}


@pytest.mark.parametrize("case", ASKING)
def test_weights_that_ask_for_more(case, tmp_path):
    change, words = ASKING[case]
    path = weights_file(tmp_path / "a.weights.h5", change)
    with pytest.raises(ModelFileError, match=words):
        interop.load_keras_weights(travelling.chain(["relu", "softmax"]), path)


def _claiming(columns):
    """A file of HDF5 whose kernel of a Dense, in one piece, claims to have so many columns."""
    raw = io.BytesIO()
    with h5py.File(raw, "w") as file:
        file["layers/dense/vars/0"] = np.full((6, 5), 2.0, "f4")
        file["layers/dense/vars/1"] = np.zeros(5, "f4")
    found = raw.getvalue()
    # The sizes of the axes, and that of what is stored behind an address.
    found, count = re.subn(
        re.escape(struct.pack("<QQ", 6, 5)), lambda _: struct.pack("<QQ", 6, columns), found
    )
    assert count
    stored = struct.pack("<Q", 120)
    found, count = re.subn(
        rb"(?s)(\x03\x01.{8})" + re.escape(stored),
        lambda m: m.group(1) + struct.pack("<Q", 24 * columns),
        found,
    )
    assert count == 1
    return found


@pytest.mark.parametrize("columns", [10**4, 10**8, 10**12])
def test_arrays_that_claim_to_be_stored(saved, columns):
    """HDF5 takes the word of an array in one piece, and NumPy allocates what it says."""

    def edit(config):
        config["config"]["layers"][1]["config"]["units"] = columns

    edited(saved, edit)
    packed(saved, {**members(saved), "model.weights.h5": _claiming(columns)})
    refused(saved, rf"the variable 0: \d+ bytes are stored for {24 * columns}|damaged")


def test_one_array_for_many_layers(saved):
    """A short file: its layers would have a thousand times its length."""
    found = members(saved)
    config = json.loads(found["config.json"])
    entry, dense, *_ = config["config"]["layers"]
    entry["config"]["batch_shape"] = [None, 300]
    config["config"]["layers"] = [entry]
    raw = io.BytesIO()
    with h5py.File(raw, "w") as file:
        file["kernel"], file["bias"] = np.ones((300, 300), "f4"), np.ones(300, "f4")
        for i in range(1000):
            inner = {**dense["config"], "name": f"d{i}", "units": 300}
            config["config"]["layers"].append({**dense, "config": inner})
            group = file.create_group(f"layers/dense{f'_{i}' if i else ''}/vars")
            group["0"], group["1"] = file["kernel"], file["bias"]
    weights = raw.getvalue()
    packed(saved, {**found, "config.json": json.dumps(config), "model.weights.h5": weights})
    refused(saved, "the weights of the layers are more than the file can hold")


def _layer(name, class_name, calls, **config):
    return {
        "module": "keras.layers",
        "class_name": class_name,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": [
            {
                "args": [
                    {
                        "class_name": "__keras_tensor__",
                        "config": {"shape": [None, 6], "dtype": "float32", "keras_history": key},
                    }
                ],
                "kwargs": {},
            }
            for key in calls
        ],
    }


def _model(name, layers, last, calls=()):
    made = _layer(name, "Functional", calls, layers=layers)
    made["config"] |= {"input_layers": ["x", 0, 0], "output_layers": last}
    return {**made, "module": "keras"}


INPUT = _layer("x", "InputLayer", [], batch_shape=[None, 6])


def written(path, config):
    return packed(path, {**members(path), "config.json": json.dumps(config)})


def test_models_that_call_models_many_times(saved):
    """25 levels, of ten calls each: a short file of 10**25 layers."""
    relu = _layer("relu", "Activation", [["x", 0, 0]], activation="relu")
    model = _model("m", [INPUT, relu], ["relu", 0, 0])
    for _ in range(25):
        calls = [["x", 0, 0], *(["m", i, 0] for i in range(9))]
        inner = _model("m", model["config"]["layers"], model["config"]["output_layers"], calls)
        model = _model("m", [INPUT, inner], ["m", 10, 0])
    written(saved, model)
    refused(saved, "has more than 10000 calls of layers")


def test_layers_in_any_order(saved):
    """Sorting thousands of calls takes a time that grows as their number."""
    count = 3000
    made = [
        _layer(
            f"d{i}",
            "Activation",
            [["x", 0, 0] if i == count - 1 else [f"d{i + 1}", 0, 0]],
            activation="relu",
        )
        for i in range(count)
    ]
    written(saved, _model("m", [INPUT, *made], ["d0", 0, 0]))
    assert len(fastnn.from_keras(saved).layers) == count
    written(saved, _model("m", [INPUT, *made, *made, *made, *made], ["d0", 0, 0]))
    refused(saved, "it has 12001 layers, more than 10000")


NESTED = functools.reduce(
    lambda inner, _: {
        "class_name": "Activation",
        "module": "keras.layers",
        "config": {"activation": inner},
    },
    range(320),
    "relu",
)
CODE = {"class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAA", "defaults": None}}
ODD = {
    "units": ({"units": 10**4000}, "units"),
    "a list of units": ({"units": [5]}, "units: expected an integer"),
    "dtype": ({"dtype": ["float32"]}, r"dense \(Dense\): dtype: expected a name"),
    "trainable": ({"trainable": "no"}, "trainable"),
    "a bias": ({"use_bias": "no"}, "use_bias: expected True or False"),
    "a function": (
        {"activation": {"class_name": "function", "config": "run", "module": "builtins"}},
        "activation: function: expected a config",
    ),
    "code": ({"activation": CODE}, "activation: expected a name of Keras's"),
    "an activation in itself": ({"activation": NESTED}, "nested too deeply"),
    "a regularizer with code": ({"quantization_config": CODE}, "is not in fastnn"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_options(saved, case):
    options, words = ODD[case]
    edited(saved, lambda config: config["config"]["layers"][1]["config"].update(options))
    with pytest.raises(ModelFileError, match=words) as told:
        fastnn.from_keras(saved)
    assert str(told.value).startswith(str(saved))
    assert len(str(told.value)) < 1500


def test_code_is_never_run(saved, monkeypatch):
    """A Lambda layer, also where its code would be looked for."""
    import marshal
    import pickle

    for module in (marshal, pickle):
        monkeypatch.setattr(module, "loads", None)

    def edit(config):
        layer = _layer("l", "Lambda", [], function=CODE)
        config["config"]["layers"].insert(1, layer)

    edited(saved, edit)
    refused(saved, r"l \(Lambda\): fastnn has no layer for Lambda")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions(saved, method):
    packed(saved, members(saved), method)
    refused(saved, f"config.json is compressed by the method {method}, not deflate")


def test_a_call_that_drops_in_predictions(saved):
    drop = _layer("drop", "Dropout", [["x", 0, 0]], rate=0.5)
    drop["inbound_nodes"][0]["kwargs"] = {"training": True}
    written(saved, _model("m", [INPUT, drop], ["drop", 0, 0]))
    refused(saved, r"drop \(Dropout\): a call with the arguments .*training")
    drop["inbound_nodes"][0]["kwargs"] = {"training": False, "mask": None}
    written(saved, _model("m", [INPUT, drop], ["drop", 0, 0]))
    near(fastnn.from_keras(saved).predict(travelling.rows(6)), travelling.rows(6))
