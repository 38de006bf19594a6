"""Training on a stream: rows come in small parts, each is predicted first and then learnt by partial_fit.

The stream is the digits of scikit-learn, some of which show up only later: `classes` of the first call
names all that there will be. The scaler is on the stream, too. In the middle the program puts the
model into a file, and goes on with what it reads.
"""

import pickle
import sys
import tempfile
from pathlib import Path

import numpy as np

try:
    from sklearn.datasets import load_digits
    from sklearn.preprocessing import StandardScaler
except ImportError:
    sys.exit("ModuleNotFoundError: this example needs scikit-learn; install it first")

from fastnn.sklearn import MLPClassifier

PART = 50


def stream() -> list[tuple[np.ndarray, np.ndarray]]:
    """Parts of 50 rows; the digits from 5 on come after the tenth part."""
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    small = rng.permutation(np.flatnonzero(y < 5))[: 10 * PART]
    rest = rng.permutation(np.setdiff1d(np.arange(len(x)), small))
    order = np.concatenate([small, rest])
    starts = range(0, len(x), PART)
    return [(x[order[i : i + PART]], y[order[i : i + PART]]) for i in starts]


def main() -> None:
    scaler = StandardScaler()
    mlp = MLPClassifier((64,), learning_rate_init=0.01, batch_size=10, random_state=0)
    right: list[np.ndarray] = []
    parts = stream()
    for number, (x, y) in enumerate(parts):
        if number > 0:
            right.append(mlp.predict(scaler.transform(x)) == y)
        scaler.partial_fit(x)
        mlp.partial_fit(scaler.transform(x), y, classes=np.arange(10) if number == 0 else None)
        if number == len(parts) // 2:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.pickle"
                path.write_bytes(pickle.dumps((scaler, mlp)))
                scaler, mlp = pickle.loads(path.read_bytes())
    scores = [float(part.mean()) for part in right]
    print(f"accuracy on each part before it was learnt, parts of {PART} rows:")
    for first in range(0, len(scores), 9):
        some = " ".join(f"{score:.2f}" for score in scores[first : first + 9])
        print(f"parts {first + 2:2} to {first + 1 + len(scores[first : first + 9]):2}: {some}")
    print(f"accuracy on the last ten parts: {np.mean(scores[-10:]):.3f}")
    print(f"rows seen: {mlp.t_}, loss of the last part: {mlp.loss_:.3f}")


if __name__ == "__main__":
    main()
