"""scikit-learn's checks of estimators, all of them, and its own tests of its MLPs."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

pytest.importorskip("sklearn.neural_network")

from sklearn.utils.estimator_checks import parametrize_with_checks

from fastnn.sklearn import MLPClassifier, MLPRegressor

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


@parametrize_with_checks([MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)])
def test_check(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that few epochs do not converge, among others
        check(estimator)


def test_its_own_tests():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "sklearn_tests.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
