"""Fuzzes the reader of model files by coverage: nox -s fuzz -- -max_total_time=600

An input is the number of a part and its bytes: a whole file, the JSON of one part of a file that is
right otherwise, or changes of such JSON, a place and a value each. Only a ModelFileError may come out. Needs atheris; the arguments are libFuzzer's.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import atheris

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE)]

with atheris.instrument_imports(include=["fastnn"]):
    import saved_models
    import test_hostile_files

    import fastnn
    from fastnn import callbacks
    from fastnn.files import layout
    from fastnn.files.layout import Contents
    from fastnn.models import stored

FIXTURES = sorted((HERE / "files" / "format1").glob("*.safetensors"))
FILES = [layout.read(path) for path in FIXTURES]
# Under /dev/shm, a file that is written for each input never reaches a disk.
FOLDER = tempfile.mkdtemp(
    prefix="fastnn-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None
)


class _Interruption(Exception):
    """What ends a `fit` so that its backup stays."""


class _Interrupts(callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        del logs
        if batch == 1:
            raise _Interruption


def backup() -> Contents:
    """A backup of the middle of an epoch."""
    with contextlib.suppress(_Interruption):
        keeps = callbacks.BackupAndRestore(FOLDER, save_freq=1)
        saved_models.chain().fit(
            *(saved_models.X, saved_models.Y), verbose=0, callbacks=[keeps, _Interrupts()]
        )
    return layout.read(Path(FOLDER) / "latest.safetensors")


def seeds(folder: Path, backed: Contents) -> None:
    """The inputs to begin with: the parts of files that are right."""
    for i, (path, found) in enumerate(zip(FIXTURES, FILES, strict=True)):
        (folder / f"file-{i}").write_bytes(b"\0" + path.read_bytes())
        (folder / f"model-{i}").write_bytes(bytes([1, i]) + found.metadata["model"].encode())
        (folder / f"state-{i}").write_bytes(bytes([2, i]) + found.metadata["state"].encode())
        (folder / f"changes-{i}").write_bytes(bytes([4, i, 9, 0, 1, 20, 0, 2]))
        (folder / f"changed-state-{i}").write_bytes(bytes([5, i, 9, 0, 1, 20, 0, 2]))
    (folder / "backup-state").write_bytes(b"\3\0" + backed.metadata["state"].encode())
    (folder / "backup-more").write_bytes(b"\3\1" + backed.metadata["more"].encode())


def changed(text: str, data: bytes) -> str:
    """JSON with changes: two bytes give a place, one the value that is put there."""
    told = json.loads(text)
    values = test_hostile_files.ODD
    for i in range(0, min(len(data), 30) - 2, 3):
        places = list(test_hostile_files.places(told))
        place = places[int.from_bytes(data[i : i + 2], "little") % len(places)]
        number = data[i + 2] % (len(values) + 1)
        gone = number == len(values) and place
        told = test_hostile_files.changed(told, place, "gone" if gone else values[number - 1])
    return json.dumps(told)


def tester(backed: Contents) -> Callable[[bytes], None]:
    model = saved_models.chain()

    def test(data: bytes) -> None:
        part, number, rest = data[:1], data[1:2], data[2:]
        with contextlib.suppress(fastnn.ModelFileError):
            if part == b"\0":
                path = Path(FOLDER) / "input"
                path.write_bytes(data[1:])
                fastnn.load_model(path)
                return
            if not number:
                return
            text = rest.decode("utf-8", "replace")
            if part == b"\3":
                name = ("state", "more")[number[0] % 2]
                about = {**backed.metadata, name: text}
                stored.backup_in(model, Contents(about, backed.tensors), "backup").put()
                return
            found = FILES[number[0] % len(FILES)]
            name = "model" if part in b"\1\4" else "state"
            if part in b"\4\5":
                text = changed(found.metadata[name], rest)
            about = {**found.metadata, name: text}
            stored.model_of(Contents(about, found.tensors), "file", compiles=True)

    return test


def main() -> None:
    warnings.simplefilter("ignore")
    backed = backup()
    corpus = Path(FOLDER) / "corpus"
    corpus.mkdir()
    seeds(corpus, backed)
    arguments = sys.argv[1:] or ["-max_total_time=120"]
    defaults = ["-timeout=20", "-rss_limit_mb=3000", "-max_len=20000", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *defaults, *arguments, str(corpus)], tester(backed))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
