"""The memory that words of a file take as objects: the length of the file bounds it."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import pytest

from fastnn.files import texts
from fastnn.files.layout import ModelFileError, parsed, read

pytestmark = pytest.mark.cpu

MANY = 20_000
VALUES: dict[str, str] = {
    "lists": "[],",
    "lists in lists": "[[[[]]]],",
    "objects": "{},",
    "objects of one entry": '{"a":{}},',
    "objects of few": '{"a":500,"b":[],"c":{}},',
    "strings": '"ab",',
    "numbers": "999,",
    "fractions": "1e9,",
    "wide strings": '"\\ud83d\\ude00abcdefghijklmnopqrstuvwxyz",',
    "wide letters": '"😀",',
    "entries": "",
}


@pytest.mark.parametrize("name", VALUES)
def test_objects_of_a_header_are_bounded_by_the_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON becomes objects of up to 37 times its length, which is known before they are made."""
    monkeypatch.setattr(texts, "_IN_ALL_FILES", 2**20)
    inner = VALUES[name] * MANY + "0"
    if not VALUES[name]:
        inner = ",".join(f'"{i}":999' for i in range(MANY))
    text = f'{{"x":{{{inner}}}}}' if name == "entries" else f'{{"x":[{inner}]}}'
    path = tmp_path / "file"
    path.write_bytes(len(text.encode()).to_bytes(8, "little") + text.encode())
    size = path.stat().st_size
    tracemalloc.start()
    with pytest.raises(ModelFileError):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    assert parsed("it", text, 10**9)
    needed = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak < (8 + 2) * size + 2 * 2**20  # 2: the text as it is, and decoded
    with pytest.raises(ModelFileError, match="could take") as told:
        texts.check_room("it", text, -(10**9))
    assert int(re.findall(r"take (\d+) MiB", str(told.value))[0]) + 1 >= needed / 2**20
