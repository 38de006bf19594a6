"""scikit-learn's own tests of its MLPs, run on those of `fastnn.sklearn`.

The file of the tests is taken from the scikit-learn that is installed, its import is rewritten into a
temporary folder, and pytest runs it there; nothing of it is kept. Tests in `ELSEWHERE` look into the
insides of scikit-learn's classes, and are left out.

    python scripts/sklearn_tests.py [options of pytest]

Exits with pytest's status, and with 1 where less than 95 % of the tests pass.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

# By name, with the reason.
ELSEWHERE = {
    "test_gradient": "calls _loss_grad_lbfgs with lists of scikit-learn's activations and deltas; "
    "tests/test_sklearn_same.py compares the gradients",
}
_IMPORT = "from sklearn.neural_network import MLPClassifier, MLPRegressor"
_LEAST = 0.95


def _source() -> str:
    found = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    if found is None or found.origin is None:
        raise SystemExit("scikit-learn is not installed, or without its tests")
    source = Path(found.origin).read_text()
    if source.count(_IMPORT) != 1:
        raise SystemExit(f"{found.origin}: expected the import once: {_IMPORT}")
    return source.replace(_IMPORT, "from fastnn.sklearn import MLPClassifier, MLPRegressor")


# The fixture that scikit-learn's own conftest.py has.
_CONFTEST = """
import pytest

@pytest.fixture
def global_random_seed():
    return 42
"""


def main(options: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "test_mlp.py").write_text(_source())
        (path / "conftest.py").write_text(_CONFTEST)
        report = path / "report.xml"
        left_out = [f"--deselect=test_mlp.py::{name}" for name in ELSEWHERE]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mlp.py"]
        command += [f"--junitxml={report}", "--rootdir", folder, *left_out, *options]
        status = subprocess.run(command, cwd=folder, check=False).returncode
        suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None
    count, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    wrong = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    ran = count - skipped + len(ELSEWHERE)
    share = (count - skipped - wrong) / ran
    print(f"{count - skipped - wrong} of {ran} of scikit-learn's tests pass, {share:.1%}")
    for name, why in ELSEWHERE.items():
        print(f"left out: {name}: {why}")
    return status or int(share < _LEAST)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
