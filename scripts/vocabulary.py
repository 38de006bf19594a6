"""Writes docs/vocabulary.md: every word of the package, from its registries and docstrings.

    python scripts/vocabulary.py            # writes the page
    python scripts/vocabulary.py --check    # exit status 1 where the page is not up to date

Only what no class says of itself stands here: the names that others use, and where values differ
on purpose.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastnn
from fastnn import registry

PAGE = Path(__file__).parent.parent / "docs" / "vocabulary.md"

# The names in sklearn.metrics.
SCIKIT_LEARN: dict[str, str] = {
    "AUC": "roc_auc_score",
    "AveragePrecision": "average_precision_score",
    "BalancedAccuracy": "balanced_accuracy_score",
    "BinaryAccuracy": "accuracy_score",
    "BrierScore": "brier_score_loss",
    "CategoricalAccuracy": "accuracy_score",
    "CohenKappa": "cohen_kappa_score",
    "ConfusionMatrix": "confusion_matrix",
    "ExactMatch": "accuracy_score",
    "ExplainedVariance": "explained_variance_score",
    "F1Score": "f1_score",
    "FBetaScore": "fbeta_score",
    "HammingLoss": "hamming_loss",
    "LogLoss": "log_loss",
    "MatthewsCorrelation": "matthews_corrcoef",
    "MeanAbsoluteError": "mean_absolute_error",
    "MeanIoU": "jaccard_score",
    "MeanSquaredError": "mean_squared_error",
    "Pinball": "mean_pinball_loss",
    "Precision": "precision_score",
    "R2Score": "r2_score",
    "Recall": "recall_score",
    "RootMeanSquaredError": "root_mean_squared_error",
    "SparseCategoricalAccuracy": "accuracy_score",
    "SparseTopKCategoricalAccuracy": "top_k_accuracy_score",
}

# The names in PyTorch (torch.nn, torch.optim, torch.optim.lr_scheduler, torch.nn.init).
PYTORCH: dict[str, str] = {
    # layers
    "AlphaDropout": "AlphaDropout",
    "BatchNormalization": "BatchNorm1d",
    "Concatenate": "torch.cat",
    "Dense": "Linear",
    "Dropout": "Dropout",
    "ELU": "ELU",
    "Embedding": "Embedding",
    "Flatten": "Flatten",
    "GroupNormalization": "GroupNorm",
    "Identity": "Identity",
    "LayerNormalization": "LayerNorm",
    "LeakyReLU": "LeakyReLU",
    "PReLU": "PReLU",
    "Permute": "torch.permute",
    "RMSNormalization": "RMSNorm",
    "ReLU": "ReLU",
    "Reshape": "Unflatten",
    "Softmax": "Softmax",
    "UnitNormalization": "functional.normalize",
    # losses
    "BinaryCrossentropy": "BCELoss, BCEWithLogitsLoss",
    "CategoricalCrossentropy": "CrossEntropyLoss",
    "CategoricalHinge": "MultiMarginLoss",
    "CosineSimilarity": "CosineEmbeddingLoss",
    "GaussianNLL": "GaussianNLLLoss",
    "Hinge": "HingeEmbeddingLoss",
    "Huber": "HuberLoss",
    "KLDivergence": "KLDivLoss",
    "MeanAbsoluteError": "L1Loss",
    "MeanSquaredError": "MSELoss",
    "Poisson": "PoissonNLLLoss",
    "SparseCategoricalCrossentropy": "CrossEntropyLoss",
    # optimizers
    "Adadelta": "Adadelta",
    "Adagrad": "Adagrad",
    "Adam": "Adam",
    "AdamW": "AdamW",
    "Adamax": "Adamax",
    "LBFGS": "LBFGS",
    "Muon": "Muon",
    "Nadam": "NAdam",
    "RMSprop": "RMSprop",
    "SGD": "SGD",
    # schedules
    "CosineDecay": "CosineAnnealingLR",
    "CosineDecayRestarts": "CosineAnnealingWarmRestarts",
    "ExponentialDecay": "ExponentialLR",
    "OneCycle": "OneCycleLR",
    "PiecewiseConstantDecay": "MultiStepLR",
    "PolynomialDecay": "PolynomialLR",
    # initializers
    "Constant": "constant_",
    "GlorotNormal": "xavier_normal_",
    "GlorotUniform": "xavier_uniform_",
    "HeNormal": "kaiming_normal_",
    "HeUniform": "kaiming_uniform_",
    "Ones": "ones_",
    "Orthogonal": "orthogonal_",
    "RandomNormal": "normal_",
    "RandomUniform": "uniform_",
    "TruncatedNormal": "trunc_normal_",
    "Zeros": "zeros_",
    # callbacks
    "ReduceLROnPlateau": "ReduceLROnPlateau",
    "LearningRateScheduler": "LambdaLR",
}
# Classes and functions that Keras 3 does not have.
NOT_IN_KERAS = frozenset(
    [
        "TimeLimit",
        "TqdmBar",
        "OneCycle",
        "LBFGS",
        "Gamma",
        "Tweedie",
        "Quantile",
        "GaussianNLL",
        "SparseCategoricalFocalCrossentropy",
        "MatthewsCorrelation",
        "BalancedAccuracy",
        "CohenKappa",
        "ConfusionMatrix",
        "MeanOf",
        "Specificity",
        "HammingLoss",
        "AveragePrecision",
        "LogLoss",
        "BrierScore",
        "ExplainedVariance",
        "Pinball",
        "sine",
    ]
)

# What gives other values than Keras on purpose; docs/keras.md says why.
DIFFERENT: dict[str, str] = {
    "AUC": "exact, by ranking, unless `thresholds` are given",
    "Adam": "epsilon is added behind the correction of the moments, as in the paper",
    "BinaryCrossentropy": "from logits; a NaN among the targets is a missing label",
    "CategoricalCrossentropy": "from logits; rows of targets must add up to 1",
    "CategoricalHinge": "rows of targets must add up to 1",
    "Dice": "rows cannot have weights where axis is None",
    "Discretization": 'quantiles of `adapt` are exact; "int" gives floats',
    "F1Score": "thresholds of labels, largest output of classes",
    "FBetaScore": "thresholds of labels, largest output of classes",
    "Maximum": "equal inputs share the gradient",
    "Minimum": "equal inputs share the gradient",
    "SparseCategoricalCrossentropy": "from logits",
    "Tversky": "rows cannot have weights where axis is None",
}

SECTIONS: tuple[tuple[str, str, str, str], ...] = (
    # title, family, module, whose names the last column has
    ("Layers", "layer", "layers", "PyTorch"),
    ("Losses", "loss", "losses", "PyTorch"),
    ("Optimizers", "optimizer", "optimizers", "PyTorch"),
    ("Schedules of the learning rate", "schedule", "optimizers.schedules", "PyTorch"),
    ("Metrics", "metric", "metrics", "scikit-learn"),
    ("Regularizers", "regularizer", "regularizers", "PyTorch"),
    ("Constraints", "constraint", "constraints", "PyTorch"),
    ("Initializers", "initializer", "initializers", "PyTorch"),
    ("Callbacks", "callback", "callbacks", "PyTorch"),
)


def summary(thing: Any) -> str:
    """The first paragraph of a docstring on one line, fit for a cell of a table."""
    text = (inspect.getdoc(thing) or "").split("\n\n")[0]
    return " ".join(text.split()).replace("|", "\\|")


def words(names: list[str]) -> str:
    return " ".join(f"`{name}`" for name in names)


def rows(family: str, module: str) -> Iterator[tuple[str, list[str], type]]:
    """Class name, words and class of each public class of a family."""
    where: Any = fastnn
    for part in module.split("."):
        where = getattr(where, part)
    known = registry.FAMILIES[family].names
    for name in sorted(where.__all__, key=str.lower):
        cls = getattr(where, name)
        if isinstance(cls, type) and cls.__name__ == name:
            yield name, [word for word, other in known.items() if other is cls], cls


def table(title: str, family: str, module: str, others: str) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield f"| `fastnn.{module}` | words | what it is | Keras 3 | {others} | differs from Keras |"
    yield "|---|---|---|---|---|---|"
    for name, known, cls in rows(family, module):
        short = [word for word in known if word != name]
        keras = "-" if name in NOT_IN_KERAS else f"`{name}`"
        found = (SCIKIT_LEARN if family == "metric" else PYTORCH).get(name)
        other = "-" if found is None else f"`{found}`"
        cells = (
            f"`{name}`",
            words(short) or "-",
            summary(cls),
            keras,
            other,
            DIFFERENT.get(name, "-"),
        )
        yield "| " + " | ".join(cells) + " |"
    yield ""


def functions() -> Iterator[str]:
    yield "## Activations"
    yield ""
    yield "| `fastnn.activations` | what it is | Keras 3 |"
    yield "|---|---|---|"
    for name in fastnn.activations.__all__:
        if name not in ("get", "serialize", "deserialize"):
            keras = "-" if name in NOT_IN_KERAS else f"`{name}`"
            yield f"| `{name}` | {summary(getattr(fastnn.activations, name))} | {keras} |"
    yield ""


def page() -> str:
    lines = [
        "# The vocabulary",
        "",
        "<!-- Written by scripts/vocabulary.py from the registries and docstrings. -->",
        "",
        "Arguments, defaults and values are those of Keras 3, or PyTorch's where Keras has no such",
        "word, but for what the last column says. A word is what `compile`, a layer's `activation` or",
        "`get` of the module take; the class has options. `help(fastnn.losses.Huber)` tells them.",
        "",
    ]
    for section in SECTIONS:
        if section[1] in registry.FAMILIES:
            lines += table(*section)
        if section[1] == "layer":
            lines += functions()
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    made = page()
    if parser.parse_args().check:
        return int(PAGE.read_text() != made)
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
