"""A search over parameters of fastnn.sklearn.MLPClassifier: a grid on the rows of wines, then a search that
halves the candidates and grants those that remain more epochs.

Some of the parameters, such as dropout and layer_norm, are not in `sklearn.neural_network`. The
searches run in two processes; each takes its share of the cores.
"""

import sys
import warnings

try:
    from sklearn.datasets import load_wine
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, train_test_split
except ImportError:
    sys.exit("ModuleNotFoundError: this example needs scikit-learn; install it first")

from fastnn.sklearn import MLPClassifier


def main() -> None:
    x, y = load_wine(return_X_y=True)
    x, test, y, test_y = train_test_split(x, y, test_size=0.4, stratify=y, random_state=0)

    # scale=True standardizes the columns inside, by the rows of each fit.
    mlp = MLPClassifier((32,), scale=True, max_iter=100, learning_rate_init=0.01, random_state=0)
    grid = {
        "alpha": [1e-4, 1.0],
        "dropout": [0.0, 0.3],
        "layer_norm": [False, True],
    }
    # Candidates that have not converged after so few epochs are compared as they are.
    warnings.simplefilter("ignore", ConvergenceWarning)
    search = GridSearchCV(mlp, grid, cv=3, n_jobs=2).fit(x, y)
    print(f"{len(search.cv_results_['params'])} candidates, the best: {search.best_params_}")
    print(f"accuracy on {len(test)} other wines: {search.score(test, test_y):.3f}")

    halving = HalvingGridSearchCV(
        mlp, grid, resource="max_iter", min_resources=10, max_resources=90, cv=3, random_state=0
    ).fit(x, y)
    for step, (count, epochs) in enumerate(
        zip(halving.n_candidates_, halving.n_resources_, strict=True), 1
    ):
        print(f"step {step}: {count} candidates, {epochs} epochs each")
    print(f"accuracy of the one that remained: {halving.score(test, test_y):.3f}")


if __name__ == "__main__":
    main()
