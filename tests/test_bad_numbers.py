"""Numbers that cannot be meant (units, rates, limits) are refused where they are first said."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import layers, losses, metrics, optimizers

NAN, INF = np.nan, np.inf


def fit(**options):
    model = fastnn.Sequential([layers.Input((2,)), layers.Dense(3)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model.fit(np.zeros((4, 2)), np.zeros(4, int), **options)


NUMBERS = {
    "units 0": (lambda: layers.Dense(0), r"units.*0"),
    "units negative": (lambda: layers.Dense(-3), r"units.*-3"),
    "units fractional": (lambda: layers.Dense(2.5), r"units.*2\.5"),
    "units a word": (lambda: layers.Dense("10"), r"units.*10"),
    "input_shape": (lambda: layers.Dense(3, input_shape=(0,)), r"input_shape.*0"),
    "input_shape negative": (lambda: layers.Input((-1,)), r"shape.*-1"),
    "rate 1": (lambda: layers.Dropout(1.0), r"rate.*1"),
    "learning_rate": (lambda: optimizers.Adam(-0.1), r"learning_rate.*-0\.1"),
    "learning_rate NaN": (lambda: optimizers.SGD(NAN), r"learning_rate.*nan"),
    "learning_rate a word": (lambda: optimizers.SGD("fast"), r"learning_rate.*fast"),
    "momentum": (lambda: optimizers.SGD(0.1, momentum=1.5), r"momentum.*1\.5"),
    "beta_1": (lambda: optimizers.Adam(beta_1=1.0), r"beta_1.*1"),
    "beta_2": (lambda: optimizers.Adam(beta_2=-0.1), r"beta_2.*-0\.1"),
    "epsilon": (lambda: optimizers.Adam(epsilon=-1.0), r"epsilon.*-1"),
    "label_smoothing": (
        lambda: losses.CategoricalCrossentropy(label_smoothing=1.5),
        r"label_smoothing.*1\.5",
    ),
    "threshold": (lambda: metrics.BinaryAccuracy(threshold=2.0), r"threshold.*2"),
    "k": (lambda: metrics.TopKCategoricalAccuracy(k=0), r"\bk\b.*0"),
    "threads 0": (lambda: fastnn.set_num_threads(0), r"0"),
    "threads negative": (lambda: fastnn.set_num_threads(-2), r"-2"),
    "seed": (lambda: fastnn.utils.set_random_seed("x"), r"seed.*x"),
    "threads beyond": (lambda: fastnn.set_num_threads(10**12), r"\bn: .*\[1, 256\].*1000000000000"),
    "ignore_class beyond": (
        lambda: losses.SparseCategoricalCrossentropy(ignore_class=2**40),
        r"ignore_class: .*2147483647\].*1099511627776",
    ),
    "ignore_class of an op": (
        lambda: fastnn.ops.softmax_cross_entropy(np.ones((1, 2)), [0], ignore_class=2**31),
        r"ignore_class: .*2147483647\].*2147483648",
    ),
    "epochs beyond": (lambda: fit(epochs=2**62), r"epochs: .*1000000000\]"),
    "initial_epoch beyond": (
        lambda: fit(initial_epoch=2**63),
        r"initial_epoch: .*1000000000\]",
    ),
    "batch_size beyond": (
        lambda: fit(batch_size=2**63),
        r"batch_size: .*2\*\*63, got 9223372036854775808",
    ),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers(case):
    call, message = NUMBERS[case]
    with pytest.raises((ValueError, TypeError), match=f"(?i){message}"):
        call()
