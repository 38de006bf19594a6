"""Files that Chunks reads: NumPy's and Parquet, whole, broken, and of forms that are refused."""

from __future__ import annotations

import os
import zipfile

import numpy as np
import pytest
from chunked import LABELS, WEIGHTS, N, X, Y, classifier, files, model_of, same

import fastnn
from fastnn.data import Chunks

QUIET = {"verbose": 0}


def trained(chunks, make=classifier):
    model = make()
    model.fit(chunks, shuffle=False, **QUIET)
    return model


def expected(y=LABELS, make=classifier, weights=None):
    model = make()
    model.fit(X, y, sample_weight=weights, shuffle=False, **QUIET)
    return model


STORED = {
    "float64": lambda x: x.astype(np.float64),
    "big-endian": lambda x: x.astype(">f4"),
    "columns first": np.asfortranarray,
}


@pytest.mark.parametrize("kind", STORED)
def test_types_and_layouts(tmp_path, kind):
    paths = files(tmp_path, STORED[kind](X), LABELS.astype(np.int8))
    assert same(trained(Chunks(*paths, rows=50, window=100)), expected())


def test_bytes_are_converted_as_they_are_gathered(tmp_path):
    x = np.random.default_rng(1).integers(0, 256, X.shape).astype(np.uint8)
    ours, theirs = classifier(), classifier()
    ours.fit(Chunks(*files(tmp_path, x, LABELS), rows=50, window=100), shuffle=False, **QUIET)
    theirs.fit(x, LABELS, shuffle=False, **QUIET)
    assert same(ours, theirs)


def test_lists_of_files(tmp_path):
    names = []
    for i, (begin, stop) in enumerate([(0, 100), (100, 100), (100, 290), (290, N)]):
        folder = tmp_path / str(i)
        folder.mkdir()
        names.append(files(folder, X[begin:stop], LABELS[begin:stop]))
    xs, ys = zip(*names, strict=True)
    assert same(trained(Chunks(list(xs), list(ys), rows=33, window=80)), expected())


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives(tmp_path, save):
    save(tmp_path / "data.npz", x=X, y=LABELS, sample_weight=WEIGHTS)
    whole = Chunks(tmp_path / "data.npz", rows=40, window=90)
    assert same(trained(whole), expected(weights=WEIGHTS))
    paths = []
    for i in range(0, N, 100):
        paths.append(tmp_path / f"{i}.npz")
        save(paths[-1], a=X[i : i + 100], b=LABELS[i : i + 100])
    assert same(trained(Chunks(paths, "b", x="a", window=150)), expected())


def test_several_inputs_in_files(tmp_path):
    def model():
        fastnn.utils.set_random_seed(4)
        a, b = fastnn.Input((2,), name="a"), fastnn.Input((3,), name="b")
        made = fastnn.Model([a, b], fastnn.layers.Dense(2)(fastnn.layers.Concatenate()([a, b])))
        made.compile("adam", "mse")
        return made

    a, b = files(tmp_path, X[:, :2], X[:, 2:])
    np.save(tmp_path / "t.npy", Y)
    np.savez(tmp_path / "t.npz", a=X[:, :2], b=X[:, 2:], y=Y)
    theirs = model()
    theirs.fit({"a": X[:, :2], "b": X[:, 2:]}, Y, shuffle=False, **QUIET)
    chunks = Chunks({"a": a, "b": b}, tmp_path / "t.npy", rows=50, window=90)
    assert same(trained(chunks, model), theirs)
    chunks = Chunks(tmp_path / "t.npz", x=["a", "b"], rows=50, window=90)
    assert same(trained(chunks, model), theirs)


def parquet(path, group=60, **columns):
    arrow = pytest.importorskip("pyarrow")
    writer = pytest.importorskip("pyarrow.parquet")
    writer.write_table(arrow.table(columns), path, row_group_size=group)
    return path


def columns_of(x):
    return {f"c{i}": x[:, i] for i in range(x.shape[1])}


def test_parquet(tmp_path):
    path = parquet(tmp_path / "a.parquet", **columns_of(X), label=LABELS, w=WEIGHTS)
    assert same(trained(Chunks(path, "label", "w", window=100)), expected(weights=WEIGHTS))
    halves = [
        parquet(tmp_path / f"{i}.parquet", **columns_of(X[s]), label=LABELS[s])
        for i, s in enumerate([slice(0, 200), slice(200, N)])
    ]
    assert same(trained(Chunks(halves, "label", window=100)), expected())
    names = ["c4", "c3", "c2", "c1", "c0"]
    backwards = classifier()
    backwards.fit(X[:, ::-1], LABELS, shuffle=False, **QUIET)
    assert same(trained(Chunks(path, "label", x=names, window=100)), backwards)


def test_parquet_of_lists_and_several_targets(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    lists = arrow.FixedSizeListArray.from_arrays(arrow.array(X.ravel()), X.shape[1])
    path = parquet(tmp_path / "a.parquet", x=lists, p=Y[:, 0], q=Y[:, 1])
    chunks = Chunks(path, ["p", "q"], window=100)
    assert same(trained(chunks, model_of), expected(Y, model_of))
    loose = arrow.array(list(X))
    path = parquet(tmp_path / "b.parquet", x=loose, p=Y[:, 0], q=Y[:, 1])
    assert same(trained(Chunks(path, ["p", "q"], window=100), model_of), expected(Y, model_of))
    path = parquet(tmp_path / "c.parquet", x=arrow.array([[1.0], [1.0, 2.0]]), y=[1, 0])
    with pytest.raises(ValueError, match=r"c\.parquet: column 'x': expected lists of one length"):
        trained(Chunks(path, "y"))


def test_what_parquet_cannot_give(tmp_path):
    path = parquet(tmp_path / "a.parquet", **columns_of(X), label=LABELS, name=["a"] * N)
    with pytest.raises(ValueError, match=r"a\.parquet: expected a column 'other', got c0, c1"):
        Chunks(path, "other")
    with pytest.raises(TypeError, match=r"a\.parquet: column 'name': expected numbers, got string"):
        trained(Chunks(path, "label"))
    gaps = X[:, 0].tolist()
    gaps[70] = None
    columns = columns_of(X) | {"c0": gaps}
    path = parquet(tmp_path / "b.parquet", **columns, label=LABELS)
    with pytest.raises(ValueError, match=r"b\.parquet: x: .*nan at row 70, column 0"):
        trained(Chunks(path, "label"))


# -- broken files


def cut(path, size):
    os.truncate(path, size)


def test_a_truncated_npy_is_named_with_its_row(tmp_path):
    paths = files(tmp_path, X, LABELS)
    begin = len((tmp_path / "x.npy").read_bytes()) - X.nbytes
    cut(paths[0], begin + 123 * 20 + 7)
    with pytest.raises(
        ValueError, match=r"x\.npy: the file ends in row 123, before the last of 437"
    ):
        Chunks(*paths)
    cut(paths[0], 50)
    with pytest.raises(ValueError, match=r"x\.npy: not an array in NumPy's format"):
        Chunks(*paths)


def test_a_file_that_becomes_shorter_in_training_is_named(tmp_path):
    paths = files(tmp_path, X, LABELS)
    size = len((tmp_path / "x.npy").read_bytes())

    def shorten(*_):
        cut(paths[0], size - 20 * 100 - 3)

    model = classifier()
    halt = fastnn.callbacks.LambdaCallback(on_epoch_end=shorten)
    with pytest.raises(ValueError, match=r"x\.npy: the file ends in row 336"):
        model.fit(
            Chunks(*paths, rows=50, window=100), epochs=2, shuffle=False, callbacks=[halt], **QUIET
        )
    assert model.history.epoch == [0]


@pytest.mark.parametrize("kind", ["another type", "fewer bytes"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_that_is_written_anew_in_training_is_named(tmp_path, order, kind):
    paths = files(tmp_path, np.asarray(X, order=order), LABELS)
    size = len((tmp_path / "x.npy").read_bytes())

    def change(*_):
        if kind == "fewer bytes":
            cut(paths[0], size - 500)
        else:
            np.save(paths[0], X.view(np.int32).copy(order=order))  # as many bytes

    model = classifier()
    halt = fastnn.callbacks.LambdaCallback(on_epoch_end=change)
    told = "the file ends" if kind == "fewer bytes" else "the file has changed since"
    with pytest.raises(ValueError, match=rf"x\.npy: {told}"):
        model.fit(Chunks(*paths, rows=50, window=100), epochs=2, callbacks=[halt], **QUIET)
    assert model.history.epoch == [0]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_broken_archives_are_named(tmp_path, save):
    path = tmp_path / "data.npz"
    save(path, x=X, y=LABELS)
    whole = path.read_bytes()
    cut(path, 3000)
    with pytest.raises(ValueError, match=r"data\.npz: not a \.npz"):
        Chunks(path)
    # The directory at the end is whole, what it tells of is not.
    path.write_bytes(whole[:40] + bytes(200) + whole[240:])
    with pytest.raises(ValueError, match=r"data\.npz"):
        trained(Chunks(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", "no array")
    with pytest.raises(ValueError, match=r"data\.npz: x: not an array"):
        Chunks(path)


def test_a_broken_parquet_is_named(tmp_path):
    path = parquet(tmp_path / "a.parquet", **columns_of(X), label=LABELS)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"a\.parquet: "):
        Chunks(path, "label")
    # Pages in the middle are overwritten.
    path.write_bytes(whole[:3000] + b"\xff" * 1500 + whole[4500:])
    with pytest.raises((ValueError, OSError), match=r"a\.parquet: "):
        trained(Chunks(path, "label", window=100))


# -- forms that are refused


def test_forms_that_are_refused(tmp_path):
    paths = files(tmp_path, X, LABELS)
    np.save(tmp_path / "short.npy", LABELS[:-1])
    np.save(tmp_path / "one.npy", np.float32(1))
    np.save(tmp_path / "objects.npy", np.array([None] * N), allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=X)
    cases = [
        ((paths[0], tmp_path / "short.npy"), {}, r"x\.npy: .*437 rows of x, 436 rows of y"),
        ((tmp_path / "one.npy",), {}, r"one\.npy: expected rows, got a single number"),
        ((tmp_path / "objects.npy",), {}, r"objects\.npy: holds Python objects"),
        (([paths[0], paths[0]], paths[1]), {}, "y: expected 2 files, as of x, got 1"),
        (("data.csv",), {}, r"source: expected \.npy, \.npz or \.parquet, got 'data\.csv'"),
        (([paths[0], "a.npz"],), {}, r"source: expected files of one kind, got \.npy, \.npz"),
        ((tmp_path / "a.npz", "label"), {}, r"a\.npz: expected an array named 'label', got x"),
        ((paths[0], paths[1]), {"x": "a"}, r"x: names arrays of \.npz and columns of Parquet"),
        (([(X, Y)], Y), {}, r"y: let each chunk be \(x, y\)"),
        ((X, Y), {"rows": 0}, "rows: expected a positive integer, got 0"),
        ((X, Y), {"window": -1}, "window: expected a positive integer, got -1"),
    ]
    for args, how, message in cases:
        with pytest.raises(ValueError, match=message):
            Chunks(*args, **how)
    with pytest.raises(FileNotFoundError, match="absent"):
        Chunks(str(tmp_path / "absent.npy"))
    for none, told in (({}, "expected arrays of x, got none"), (5, "a single number")):
        with pytest.raises(ValueError, match=told):
            Chunks(none)
    for none in (None, Chunks(X, Y)):
        with pytest.raises(TypeError, match="source: expected files, arrays or chunks, got"):
            Chunks(none)
    np.save(tmp_path / "dates.npy", np.zeros((N, 5), "M8[s]"))
    with pytest.raises(TypeError, match=r"dates\.npy: x: expected numbers, got dtype datetime64"):
        model_of().fit(Chunks(tmp_path / "dates.npy", paths[1]), **QUIET)


# -- where outputs go


def test_predictions_go_into_a_memory_map(tmp_path):
    model = trained(Chunks(X, LABELS))
    theirs = model.predict(X)
    for x in (X, Chunks(X, rows=50, window=90), Chunks([(X[:200],), (X[200:],)])):
        out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.float32, (N, 3))
        assert model.predict(x, out=out) is out
        out.flush()
        assert np.array_equal(np.load(tmp_path / "out.npy"), theirs)
    wide = np.zeros((N, 3), np.float64)
    assert np.array_equal(model.predict(X, out=wide), theirs)


def test_places_for_predictions_that_are_refused():
    model = trained(Chunks(X, LABELS))
    before = np.full((N, 3), 7, np.float32)
    before.setflags(write=False)
    chunks = Chunks(X, rows=50)
    for x in (X, chunks):
        with pytest.raises(ValueError, match=r"out: expected shape \(437, 3\), got \(5, 3\)"):
            model.predict(x, out=np.zeros((5, 3), np.float32))
        with pytest.raises(TypeError, match="out: expected an array of floats"):
            model.predict(x, out=np.zeros((N, 3), np.int64))
        with pytest.raises(ValueError, match="out: cannot be written"):
            model.predict(x, out=before)
    own = Chunks(lambda: iter([(X[:200],), (X[200:],)]))
    for rows in (100, 300, N - 1, N + 1):
        with pytest.raises(ValueError, match="out: expected as many rows as x has"):
            model.predict(own, out=np.zeros((rows, 3), np.float32))
