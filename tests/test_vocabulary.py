"""The page of the vocabulary is what scripts/vocabulary.py makes of the classes that there are."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest
from emulator import ROOT

from fastnn import activations


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vocabulary", ROOT / "scripts" / "vocabulary.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(script: ModuleType) -> None:
    told = "docs/vocabulary.md: run python scripts/vocabulary.py"
    assert script.PAGE.read_text() == script.page(), told


def test_what_is_told_of_names_is_of_names_that_there_are(script: ModuleType) -> None:
    found = {
        name
        for _, family, module, _ in script.SECTIONS
        for name, _, _ in script.rows(family, module)
    } | set(activations.__all__)
    for table in (script.SCIKIT_LEARN, script.PYTORCH, script.NOT_IN_KERAS, script.DIFFERENT):
        assert set(table) <= found, set(table) - found
