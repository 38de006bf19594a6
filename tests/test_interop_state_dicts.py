"""Weights by PyTorch's names, in dictionaries of arrays and files of safetensors: no PyTorch is needed."""

from __future__ import annotations

import numpy as np
import pytest
import travelling

import fastnn
from fastnn import interop, layers
from fastnn.files.layout import Contents, ModelFileError, write


def net(dtype="float32"):
    made = [layers.Input((4,)), layers.Dense(5, "relu", name="hidden"), layers.LayerNormalization()]
    made += [layers.Dense(5, name="middle"), layers.Dense(2, use_bias=False, name="head")]
    return travelling.with_weights(fastnn.Sequential(made, dtype=dtype))


def emptied(dtype="float32"):
    model = net(dtype)
    model.set_weights([w * 0 for w in model.get_weights()])
    return model


def renamed(found, names):
    """The same weights under other names of modules."""
    changed = {}
    for key, value in found.items():
        module, _, word = key.rpartition(".")
        changed[f"{names[module]}.{word}"] = value
    return changed


NUMBERED = {"hidden": "0", "layer_normalization": "2", "middle": "10", "head": "11"}


def same(a, b):
    return all(map(np.array_equal, a.get_weights(), b.get_weights()))


def test_names_shapes_and_values():
    model = net()
    found = interop.state_dict(model)
    assert {name: array.shape for name, array in found.items()} == {
        "hidden.weight": (5, 4),
        "hidden.bias": (5,),
        "layer_normalization.weight": (5,),
        "layer_normalization.bias": (5,),
        "middle.weight": (5, 5),
        "middle.bias": (5,),
        "head.weight": (2, 5),
    }
    assert np.array_equal(found["hidden.weight"].T, model.layers[0].kernel.numpy())
    assert all(array.flags.c_contiguous and array.flags.owndata for array in found.values())
    found["hidden.weight"][:] = 0
    assert np.any(model.layers[0].kernel.numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_by_name_in_any_order(dtype):
    model, fresh = net(dtype), emptied(dtype)
    found = interop.state_dict(model)
    interop.load_state_dict(fresh, dict(reversed(found.items())))
    assert same(fresh, model)


def test_by_order():
    model, fresh = net(), emptied()
    interop.load_state_dict(fresh, renamed(interop.state_dict(model), NUMBERED))
    assert same(fresh, model)
    for prefix in ("module.", "_orig_mod.", "_orig_mod.module."):
        fresh = emptied()
        found = {f"{prefix}{k}": v for k, v in interop.state_dict(model).items()}
        interop.load_state_dict(fresh, {"step": 1, "model_state_dict": found})
        assert same(fresh, model)


def test_by_given_names():
    """Two layers of one shape that are the other way round in the source."""
    model, fresh = net(), emptied()
    names = {"hidden": "z", "layer_normalization": "n", "middle": "b", "head": "a"}
    found = renamed(interop.state_dict(model), names)
    interop.load_state_dict(fresh, dict(sorted(found.items())), names=names)
    assert same(fresh, model)
    for wrong, words in (
        ({**names, "hiden": "z"}, "names: unknown name 'hiden', did you mean 'hidden'"),
        ({**names, "hidden": "y"}, r"names\['hidden'\]: unknown name 'y'"),
        ({k: v for k, v in names.items() if k != "head"}, "layer 'head' has no name"),
        ({**names, "head": "b"}, "'a' of the state_dict is of no layer"),
    ):
        with pytest.raises(ValueError, match=words):
            interop.load_state_dict(emptied(), found, names=wrong)


def test_a_layer_alone():
    model = travelling.chain(["relu"])
    kernel, bias = model.get_weights()
    fresh = travelling.chain(["relu"])
    fresh.set_weights([kernel * 0, bias * 0])
    interop.load_state_dict(fresh, {"weight": kernel.T, "bias": bias})
    assert same(fresh, model)


def test_shared_layers_stand_there_once():
    model, _ = travelling.graph()
    found = interop.state_dict(model)
    assert sum(array.size for array in found.values()) == model.count_params()
    fresh, _ = travelling.graph()
    fresh.set_weights([w * 0 for w in fresh.get_weights()])
    interop.load_state_dict(fresh, found)
    assert same(fresh, model)


def test_files_of_safetensors(tmp_path):
    model = net()
    path = tmp_path / "weights.safetensors"
    interop.save_state_dict(model, path)
    fresh = emptied()
    interop.load_state_dict(fresh, path)
    assert same(fresh, model)
    # Other programs sort the names: numbers count as such, 2 before 10.
    numbered = renamed(interop.state_dict(model), NUMBERED)
    write(path, Contents({}, dict(sorted(numbered.items()))))
    fresh = emptied()
    interop.load_state_dict(fresh, str(path))
    assert same(fresh, model)
    # Words that are sorted say nothing of the order of layers.
    words = {"hidden": "in", "layer_normalization": "norm", "middle": "mid", "head": "out"}
    write(path, Contents({}, dict(sorted(renamed(interop.state_dict(model), words).items()))))
    with pytest.raises(
        ValueError, match=r"the file keeps no order, and has in, mid, norm, out.*give names"
    ):
        interop.load_state_dict(fresh, path)
    interop.load_state_dict(fresh, path, names=words)
    assert same(fresh, model)


def test_a_file_written_by_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    model, fresh = net(), emptied()
    path = tmp_path / "weights.safetensors"
    safetensors.save_file(renamed(interop.state_dict(model), NUMBERED), path)
    interop.load_state_dict(fresh, path)
    assert same(fresh, model)
    interop.save_state_dict(model, path)
    assert np.array_equal(safetensors.load_file(path)["head.weight"], model.get_weights()[-1].T)


def changed(**parts):
    found = interop.state_dict(net())
    for key, value in parts.items():
        name = key.replace("__", ".")
        if value is None:
            del found[name]
        else:
            found[name] = value
    return found


BROKEN = {
    "shape": (
        changed(hidden__weight=np.ones((4, 5), np.float32)),
        r"'hidden\.weight': expected shape \(5, 4\) for the kernel of layer 'hidden', got \(4, 5\)",
    ),
    "missing": (changed(hidden__bias=None), r"'hidden\.bias' is missing, for the bias of layer"),
    "module missing": (
        changed(head__weight=None),
        "expected weights of 4 layers, hidden, layer_normalization, middle, head, got those of 3",
    ),
    "too many": (
        changed(head__bias=np.ones(2, np.float32)),
        r"'head\.bias' has no place in layer 'head', a Dense",
    ),
    "another norm": (
        changed(layer_normalization__running_mean=np.ones(5, np.float32)),
        r"'layer_normalization\.running_mean' has no place in layer",
    ),
    "integers": (
        changed(hidden__bias=np.ones(5, int)),
        r"'hidden\.bias': expected floats, got int",
    ),
    "complex": (changed(hidden__bias=np.ones(5, complex)), "expected numbers, got dtype complex"),
    "no array": (
        changed(hidden__bias="no"),
        r"expected tensors or arrays by name, got str for 'hid",
    ),
    "empty": ({}, "it is empty"),
    "a list": (
        {"state_dict": {"a": [1.0]}},
        "expected tensors or arrays by name, got list for 'a'",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_ones_change_nothing(case):
    found, words = BROKEN[case]
    model = net()
    before = model.get_weights()
    found = {k: v * 2 if isinstance(v, np.ndarray) else v for k, v in found.items()}
    with pytest.raises((TypeError, ValueError), match=words):
        interop.load_state_dict(model, found)
    assert all(map(np.array_equal, model.get_weights(), before))


def test_sources_and_paths(tmp_path):
    model = net()
    with pytest.raises(TypeError, match="source: expected a state_dict or a path, got list"):
        interop.load_state_dict(model, [])
    for call in (interop.load_state_dict, interop.save_state_dict):
        with pytest.raises(ValueError, match="path: the suffix decides the format"):
            call(model, tmp_path / "weights.bin")
    with pytest.raises(FileNotFoundError):
        interop.load_state_dict(model, tmp_path / "weights.safetensors")
    (tmp_path / "weights.safetensors").write_bytes(b"short")
    with pytest.raises(ModelFileError, match="too short"):
        interop.load_state_dict(model, tmp_path / "weights.safetensors")
    with pytest.raises(RuntimeError, match="state_dict: the model is not built"):
        interop.state_dict(fastnn.Sequential([layers.Dense(3)]))
