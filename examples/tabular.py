"""fastnn.sklearn.TabularRegressor on a table as it comes: numbers with gaps, categories, dates.

The table is a dict of columns; a frame of pandas, polars or Arrow does as well. The data are made here: flats,
and the rent of each.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

try:
    from fastnn.sklearn import TabularRegressor, load_table_estimator
except ImportError:
    sys.exit("ModuleNotFoundError: this example needs scikit-learn; install it first")

DISTRICTS = np.array(["Altstadt", "Hafen", "Neustadt", "Westend"], dtype=object)


def flats(n: int, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns of n flats, and the rent of each, a number."""
    size = rng.gamma(8.0, 9.0, n)
    built = rng.integers(1890, 2024, n).astype(float)
    district = rng.choice(DISTRICTS, n)
    balcony = rng.random(n) < 0.4
    since = np.datetime64("2015-01-01") + rng.integers(0, 3650, n).astype("timedelta64[D]")
    per_meter = 9.0 + 3.0 * (district == "Westend") - 2.0 * (district == "Hafen")
    per_meter += 2.5 * np.cos((built - 1900.0) / 25.0) + 0.8 * balcony
    per_meter += 4.0 * (since - np.datetime64("2015-01-01")).astype(float) / 3650.0
    rent = size * per_meter * np.exp(rng.normal(0.0, 0.08 + 0.1 * balcony, n))
    built[rng.random(n) < 0.15] = np.nan
    district[rng.random(n) < 0.05] = None
    table = {"size": size, "built": built, "district": district, "balcony": balcony, "since": since}
    return table, rent


def main() -> None:
    rng = np.random.default_rng(0)
    train, rent = flats(1500, rng)
    test, expected = flats(1000, rng)

    net = TabularRegressor(random_state=0).fit(train, rent)
    print(f"R^2 on 1000 other flats: {net.score(test, expected):.3f}")
    held_out = 1 - np.mean((net.oof_ - rent) ** 2) / np.var(rent)
    print(f"R^2 on rows that members held out: {held_out:.3f}")
    for name, share in sorted(
        zip(net.feature_names_in_, net.feature_importances_, strict=True), key=lambda pair: -pair[1]
    ):
        print(f"  {name:8s} {share:.2f}")

    # A district that no row of training has, and a gap.
    new = {
        "size": [70.0, 70.0],
        "built": [1975.0, None],
        "district": ["Seeblick", "Hafen"],
        "balcony": [True, False],
        "since": ["2024-05-31", "2016-05-31"],
    }
    found, spread = net.predict(new, return_std=True)
    print(f"rents: {found.round().tolist()}, the members' spread: {spread.round().tolist()}")

    ranges = TabularRegressor(members=3, quantiles=(0.1, 0.9), random_state=0).fit(train, rent)
    low, high = ranges.predict_quantiles(test).T
    inside = np.mean((low <= expected) & (expected <= high))
    print(f"between the quantiles 0.1 and 0.9: {inside:.2f} of the other flats")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rents.safetensors"
        net.save(path)
        again = load_table_estimator(path)
    print(f"the file gives the same answers: {np.array_equal(again.predict(new), found)}")


if __name__ == "__main__":
    main()
