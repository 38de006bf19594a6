"""Model files that were damaged, or made to do harm: ModelFileError and nothing else, in little memory."""

from __future__ import annotations

import contextlib
import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import saved_models
import test_saved_resumed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import layers
from fastnn.files import layout
from fastnn.files.layout import Contents

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")

ODD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**63,
        2**64,
        -(2**63),
        1e308,
        -0.5,
        "",
        "x",
        "dense/kernel",
    ),
    *([], {}, [[]], [0], [-1], [10**9], {"class_name": "Dense"}, "Dense", "../../x", "a" * 10_000),
    *([0] * 1000, {"same_as": [0]}, {"array": "/more/0"}, {"loss": {"class_name": "Huber"}}),
    {"class_name": "Dense", "config": {"units": 2**40}},
    {"class_name": "Sequential", "config": {"layers": []}},
    {"class_name": "RepeatVector", "config": {"n": 2**50}},
    *({"input": [0, None]}, {"input": 7}, {"tuple": [1, 2**50]}, {"array": [[1], "object"]}),
    {
        "class_name": "Operation",
        "config": {"function": "tile", "arguments": {"multiples": [1, 2**40]}},
    },
    {"class_name": "Operation", "config": {"function": "exp", "arguments": {"y": 1}}},
]


FILES = ["chain", "nested", "own_class_inside", "eager", "functions", "several"]


@pytest.fixture(scope="module", params=FILES)
def contents(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    path = tmp_path_factory.mktemp("files") / "m.safetensors"
    if request.param == "several":
        model, x, y = saved_models.several()
        model.fit(x, y, verbose=0)
    else:
        model = saved_models.KINDS[request.param]()
        model.fit(saved_models.X, saved_models.Y, verbose=0, validation_split=0.2)
    model.save(path)
    return layout.read(path)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All places of a structure of JSON."""
    yield above
    if isinstance(value, dict):
        for key, part in value.items():
            yield from places(part, (*above, key))
    elif isinstance(value, list):
        for i, part in enumerate(value):
            yield from places(part, (*above, i))


def changed(value: Any, place: tuple[Any, ...], to: Any) -> Any:
    """The structure with another value at a place; "gone": without it."""
    if not place:
        return to
    made = copy.copy(value)
    if len(place) == 1 and to == "gone":
        del made[place[0]]
    else:
        made[place[0]] = changed(value[place[0]], place[1:], to)
    return made


def told_or_loaded(about: dict[str, str], tensors: dict[str, Any], path: Path) -> Any:
    """The model, or None after a ModelFileError; any other error is a fault."""
    layout.write(path, Contents(about, tensors))
    with contextlib.suppress(fastnn.ModelFileError):
        return fastnn.load_model(path)
    return None


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_changed_words(contents: Contents, tmp_path: Path, data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(["model", "state"]))
    told = json.loads(contents.metadata[part])
    place = data.draw(st.sampled_from(list(places(told))))
    to = data.draw(st.sampled_from([*ODD, "gone"] if place else ODD))
    about = {**contents.metadata, part: json.dumps(changed(told, place, to))}
    told_or_loaded(about, contents.tensors, tmp_path / "m.safetensors")


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_all_changed_words(contents: Contents, tmp_path: Path) -> None:
    for part in ("model", "state"):
        told = json.loads(contents.metadata[part])
        for place in places(told):
            for to in [*ODD, "gone"] if place else ODD:
                about = {**contents.metadata, part: json.dumps(changed(told, place, to))}
                told_or_loaded(about, contents.tensors, tmp_path / "m.safetensors")


def test_changed_tensors(contents: Contents, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for name, value in contents.tensors.items():
        for other in (None, value[..., None], value.astype(np.int64), np.zeros(0, value.dtype)):
            tensors = {k: v for k, v in contents.tensors.items() if k != name}
            if other is not None:
                tensors[name] = other
            told_or_loaded(dict(contents.metadata), tensors, path)
    extra = {**contents.tensors, "dense/more": np.zeros(3)}
    assert told_or_loaded(dict(contents.metadata), extra, path) is None


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"format": "pt"}, "the file has no model of fastnn"),
        ({"version": "2"}, r"format '2' is not known; .* a newer one has written the file"),
        ({"version": "-1"}, "format '-1' is not known"),
        ({"version": "1" * 5000}, "is not known"),
        ({"model": "{"}, "model is no JSON"),
        ({"model": "[]"}, "expected an object"),
        ({"model": '{"a": 1, "a": 2}'}, "the key 'a' occurs twice"),
        ({"model": '{"a": NaN}'}, "NaN is no number of JSON"),
        ({"model": '{"a":' * 20_000 + "1" + "}" * 20_000}, "nested too deeply"),
        ({"state": '{"frozen": ["none"]}'}, "'none' is missing"),
    ],
)
def test_faults_are_named(about: dict[str, str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    fastnn.Sequential([layers.Dense(3, input_shape=(4,))]).save(path)
    found = layout.read(path)
    layout.write(path, Contents({**found.metadata, **about}, found.tensors))
    with pytest.raises(fastnn.ModelFileError, match=message) as told:
        fastnn.load_model(path)
    assert str(path) in str(told.value)


def test_files_of_other_kinds(tmp_path: Path) -> None:
    for start in (b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"):
        (tmp_path / "x").write_bytes(start + b"\0" * 100)
        with pytest.raises(fastnn.ModelFileError, match=r"fastnn\.from_keras reads those of Keras"):
            fastnn.load_model(tmp_path / "x")
    layout.write(tmp_path / "y", Contents({}, {"a": np.zeros(3)}))
    with pytest.raises(fastnn.ModelFileError, match="has no model of fastnn"):
        fastnn.load_model(tmp_path / "y")


PROGRAM = """
import resource, sys, json
import fastnn
from fastnn.files import layout
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIMIT_AS and 2**31, 2**31))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        fastnn.load_model(path)
    except fastnn.ModelFileError as error:
        print(str(error)[-150:].replace("\\n", " "))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_words_ask_for_no_more_memory_than_the_numbers_take(tmp_path: Path) -> None:
    """Layers of a million units, in a file of a few hundred bytes, and many models of one layer."""
    path = tmp_path / "m.safetensors"
    fastnn.Sequential([layers.Dense(3, input_shape=(4,))]).save(path)
    found = layout.read(path)
    told = json.loads(found.metadata["model"])
    wide = copy.deepcopy(told)
    wide["config"]["layers"][0]["config"]["units"] = 40_000_000
    deep = copy.deepcopy(told)
    one = deep["config"]["layers"][0]
    deep["config"]["layers"] += [
        {**one, "config": {**one["config"], "units": 7000, "input_shape": None, "name": f"d{i}"}}
        for i in range(30)
    ]
    many = copy.deepcopy(told)
    many["config"]["layers"] += [
        {
            "class_name": "Sequential",
            "config": {
                "name": f"s{i}",
                "layers": [
                    {"class_name": "Dense", "config": {"units": 5000, "input_shape": [5000]}}
                ],
            },
        }
        for i in range(30)
    ]
    files = []
    for i, model in enumerate((wide, deep, many)):
        files.append(str(tmp_path / f"{i}.safetensors"))
        about = {**found.metadata, "model": json.dumps(model)}
        layout.write(files[-1], Contents(about, found.tensors))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *files], check=True, capture_output=True, text=True
    )
    *told_lines, grown = done.stdout.splitlines()
    assert len(told_lines) == 3
    assert int(grown) < 50, done.stdout


def test_numbers_and_names_of_other_kinds(tmp_path: Path) -> None:
    """How the network was compiled, and what a model and a layer of a program's own are called."""
    path = tmp_path / "m.safetensors"
    made = [layers.Input((8,)), test_saved_resumed.Own(), layers.Dense(3)]
    model = fastnn.Sequential(made)
    model.compile(fastnn.optimizers.SGD(0.1, gradient_accumulation_steps=2, use_ema=True), "mse")
    plain = fastnn.Sequential([layers.Dense(3, input_shape=(4,))])
    plain.compile(fastnn.optimizers.SGD(0.1, use_ema=True), "mse")
    wrong: Any
    for one, part, place in (
        (plain, "state", ("network", "stage", "accumulate")),
        (plain, "state", ("network", "stage", "overwrite")),
        (plain, "model", ("config", "name")),
        (model, "model", ("config", "name")),
        (model, "model", ("config", "layers", 1, "config", "name")),
        (plain, "model", ("config", "layers", 0, "name_in_model")),
    ):
        one.save(path)
        found = layout.read(path)
        for wrong in (
            -1,
            2**64,
            10**30,
            0.5,
            [],
            {},
            *(["../x"] if "name_in_model" in place else []),
        ):
            told = json.loads(found.metadata[part])
            inner = told
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = wrong
            about = {**found.metadata, part: json.dumps(told)}
            layout.write(tmp_path / "x", Contents(about, found.tensors))
            with pytest.raises(fastnn.ModelFileError):
                fastnn.load_model(tmp_path / "x")
