"""Activations: functions of Tensors and arrays, and the words that layers take.

    layers.Dense(64, "mish")
    layers.Dense(64, "leaky_relu(negative_slope=0.1)")
    layers.Dense(64, functools.partial(fastnn.activations.leaky_relu, negative_slope=0.1))
    fastnn.activations.mish(x)

A word is a name, alone or with parameters. Functions take a Tensor or an array, and give a Tensor of
its shape with a gradient; of a symbol of a functional model they give a symbol. The kernels are the
engine's. NaN gives NaN; at a kink the gradient is PyTorch's, that of the flat side or the one below.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastnn import activation_words, elsewhere
from fastnn.autodiff import functions as f
from fastnn.autodiff import kernels
from fastnn.autodiff.activation_formulas import glu as halved
from fastnn.autodiff.quiet import operation
from fastnn.layers.activation import Activation
from fastnn.layers.symbol import Symbol
from fastnn.listing import names_of

__all__ = [
    "celu",
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "sine",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]

__dir__ = names_of(__all__)


def _applied(x: Any, name: str, **parameters: Any) -> Any:
    word = activation_words.word(name, **parameters)
    return Activation(word)(x) if isinstance(x, Symbol) else kernels.activation(x, word)


def _plain(name: str, doc: str, gives: str) -> Callable[[Any], Any]:
    """The function of an activation without parameters; `gives`: what its example prints."""

    def applied(x: Any) -> Any:
        return _applied(x, name)

    applied.__name__ = applied.__qualname__ = name
    applied.__doc__ = f"""{doc}

    >>> print(fastnn.activations.{name}([-2.0, 0.5, 4.0]).numpy().round(4))
    {gives}

Args:
    x: a Tensor, a Variable, an array or a symbol; integers become float32.
"""
    return operation(applied)


linear = _plain(
    "linear",
    "x.",
    "[-2.   0.5  4. ]",
)
relu6 = _plain(
    "relu6",
    "x cut to [0, 6]. At 0 and at 6 the slope is 0.",
    "[0.  0.5 4. ]",
)
selu = _plain(
    "selu",
    "1.0507 * elu(x, alpha=1.6733), for self-normalizing networks (Klambauer et al., 2017).",
    "[-1.5202  0.5254  4.2028]",
)
silu = _plain(
    "silu",
    "x * sigmoid(x), also called swish (Ramachandran et al., 2017).",
    "[-0.2384  0.3112  3.9281]",
)
hard_sigmoid = _plain(
    "hard_sigmoid",
    "relu6(x + 3) / 6. From -3 down and from 3 on, to the last digit, the slope is 0.",
    "[0.1667 0.5833 1.    ]",
)
hard_silu = _plain(
    "hard_silu",
    "x * relu6(x + 3) / 6, also called hard_swish (Howard et al., 2019). At -3 the slope is 0, at 3 it is 1.",
    "[-0.3333  0.2917  4.    ]",
)
hard_tanh = _plain(
    "hard_tanh",
    "x cut to [-1, 1]. At -1 and at 1 the slope is 0.",
    "[-1.   0.5  1. ]",
)
mish = _plain(
    "mish",
    "x * tanh(softplus(x)) (Misra, 2019).",
    "[-0.2525  0.3752  3.9974]",
)
softplus = _plain(
    "softplus",
    "log(1 + exp(x)).",
    "[0.1269 0.9741 4.0182]",
)
softsign = _plain(
    "softsign",
    "x / (1 + |x|).",
    "[-0.6667  0.3333  0.8   ]",
)
tanh_shrink = _plain(
    "tanh_shrink",
    "x - tanh(x).",
    "[-1.036   0.0379  3.0007]",
)
sparse_plus = _plain(
    "sparse_plus",
    "0 below -1, x above 1, and (x + 1) ** 2 / 4 in between.",
    "[0.     0.5625 4.    ]",
)
sparse_sigmoid = _plain(
    "sparse_sigmoid",
    "(x + 1) / 2 cut to [0, 1].",
    "[0.   0.75 1.  ]",
)
sigmoid = _plain(
    "sigmoid",
    "1 / (1 + exp(-x)). Losses use x, which the result keeps.",
    "[0.1192 0.6225 0.982 ]",
)
tanh = _plain(
    "tanh",
    "The hyperbolic tangent.",
    "[-0.964   0.4621  0.9993]",
)
exponential = _plain(
    "exponential",
    "exp(x).",
    "[ 0.1353  1.6487 54.5982]",
)
log_sigmoid = _plain(
    "log_sigmoid",
    "log(sigmoid(x)) = -softplus(-x).",
    "[-2.1269 -0.4741 -0.0181]",
)
sine = _plain(
    "sine",
    "sin(x) (Sitzmann et al., 2020). In float32 right to 2 ** -23 for |x| up to 1e4; beyond that the error grows by |x| * 2 ** -24, as that of x itself.",
    "[-0.9093  0.4794 -0.7568]",
)
swish = silu
hard_swish = hard_silu


@operation
def relu(
    x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Any:
    """x above threshold, up to max_value, and negative_slope * (x - threshold) below.

        >>> print(fastnn.activations.relu([-2.0, 0.5, 4.0], max_value=3.0).numpy().round(4))
        [0.  0.5 3. ]

    Args:
        x: a Tensor, an array or a symbol.
        negative_slope: at least 0.
        max_value: at least 0; None: no limit.
        threshold: at least 0.
    """
    return _applied(
        x, "relu", negative_slope=negative_slope, max_value=max_value, threshold=threshold
    )


@operation
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """x above 0, negative_slope * x below (Maas et al., 2013).

        >>> print(fastnn.activations.leaky_relu([-2.0, 0.5, 4.0], negative_slope=0.1).numpy().round(4))
        [-0.2  0.5  4. ]

    Args:
        x: a Tensor, an array or a symbol.
        negative_slope: at least 0.
    """
    return _applied(x, "leaky_relu", negative_slope=negative_slope)


@operation
def elu(x: Any, alpha: float = 1.0) -> Any:
    """x above 0, alpha * (exp(x) - 1) below (Clevert et al., 2016).

        >>> print(fastnn.activations.elu([-2.0, 0.5, 4.0], alpha=0.5).numpy().round(4))
        [-0.4323  0.5     4.    ]

    Args:
        x: a Tensor, an array or a symbol.
        alpha: at least 0.
    """
    return _applied(x, "elu", alpha=alpha)


@operation
def celu(x: Any, alpha: float = 1.0) -> Any:
    """x above 0, alpha * (exp(x / alpha) - 1) below (Barron, 2017).

        >>> print(fastnn.activations.celu([-2.0, 0.5, 4.0], alpha=0.5).numpy().round(4))
        [-0.4908  0.5     4.    ]

    Args:
        x: a Tensor, an array or a symbol.
        alpha: above 0.
    """
    return _applied(x, "celu", alpha=alpha)


@operation
def gelu(x: Any, approximate: bool = False) -> Any:
    """x times the normal distribution function of x (Hendrycks and Gimpel, 2016).

        >>> print(fastnn.activations.gelu([-2.0, 0.5, 4.0], approximate=True).numpy().round(4))
        [-0.0454  0.3457  3.9999]

    Args:
        x: a Tensor, an array or a symbol.
        approximate: the form with tanh, 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x ** 3))), whose
            word is "gelu_tanh".
    """
    return _applied(x, "gelu", approximate=approximate)


@operation
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x moved towards 0 by threshold, and 0 where it is no larger.

        >>> print(fastnn.activations.soft_shrink([-2.0, 0.5, 4.0]).numpy().round(4))
        [-1.5  0.   3.5]

    Args:
        x: a Tensor, an array or a symbol.
        threshold: at least 0.
    """
    return _applied(x, "soft_shrink", threshold=threshold)


@operation
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x, and 0 where |x| is at most threshold.

        >>> print(fastnn.activations.hard_shrink([-2.0, 0.5, 4.0]).numpy().round(4))
        [-2.  0.  4.]

    Args:
        x: a Tensor, an array or a symbol.
        threshold: at least 0.
    """
    return _applied(x, "hard_shrink", threshold=threshold)


@operation
def threshold(x: Any, threshold: float = 0.0, default_value: float = 0.0) -> Any:
    """x above threshold, and default_value up to it.

        >>> print(fastnn.activations.threshold([-2.0, 0.5, 4.0], threshold=1.0, default_value=-1.0).numpy().round(4))
        [-1. -1.  4.]

    Args:
        x: a Tensor, an array or a symbol.
        threshold, default_value: numbers.
    """
    return _applied(x, "threshold", threshold=threshold, default_value=default_value)


@operation
def squareplus(x: Any, b: float = 4) -> Any:
    """(x + sqrt(x ** 2 + b)) / 2 (Barron, 2021).

        >>> print(fastnn.activations.squareplus([-2.0, 0.5, 4.0]).numpy().round(4))
        [0.4142 1.2808 4.2361]

    Args:
        x: a Tensor, an array or a symbol.
        b: at least 0; with 0 it is relu.
    """
    return _applied(x, "squareplus", b=b)


@operation
def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) / sum(exp(x)) along an axis. Losses use x, which the result keeps.

        >>> print(fastnn.activations.softmax([-2.0, 0.5, 4.0]).numpy().round(4))
        [0.0024 0.0292 0.9684]

    Args:
        x: a Tensor, an array or a symbol.
        axis: along which the numbers add up to 1.
    """
    return f.softmax(x, axis)


@operation
def log_softmax(x: Any, axis: int = -1) -> Any:
    """x - log(sum(exp(x))) along an axis, exact for large x. Cross-entropies take it for logits.

        >>> print(fastnn.activations.log_softmax([-2.0, 0.5, 4.0]).numpy().round(4))
        [-6.0322 -3.5322 -0.0322]

    At the end of a model `predict` gives logarithms of probabilities, and `predict_proba`
    probabilities; with sparse_categorical_crossentropy it is PyTorch's LogSoftmax and NLLLoss.

    Args:
        x: a Tensor, an array or a symbol.
        axis: that of the classes.
    """
    return f.log_softmax(x, axis)


@operation
def glu(x: Any, axis: int = -1) -> Any:
    """a * sigmoid(b), with the two halves a and b of an axis (Dauphin et al., 2017).

        >>> print(fastnn.activations.glu([1.0, 2.0, 0.0, 3.0]).numpy().round(4))
        [0.5    1.9051]

    Args:
        x: a Tensor, an array or a symbol of rows of one axis.
        axis: of a symbol the last.

    Raises:
        ValueError: the axis has an odd length.
    """
    if not isinstance(x, Symbol):
        return halved(x, axis)
    if axis not in (-1, len(x.row_shape)):
        raise ValueError(f"axis: expected the last axis of a symbol, got {axis}")
    return _applied(x, "glu")


# -- words -----------------------------------------------------------------------------------------

_OF_NAMES: dict[str, Callable[..., Any]] = {
    name: function for name in activation_words.known() if callable(function := globals().get(name))
} | {"rectifier": relu, "gelu_tanh": functools.partial(gelu, approximate=True)}
activation_words.functions.update(
    {function: name for name, function in _OF_NAMES.items() if name in __all__}
)
activation_words.functions.update({silu: "silu", hard_silu: "hard_silu"})


def get(identifier: Any) -> Callable[..., Any]:
    """The function of an activation.

        >>> fastnn.activations.get("mish") is fastnn.activations.mish
        True

    Args:
        identifier: a word, such as "relu" or "leaky_relu(negative_slope=0.1)"; a function, which is
            returned; or None for `linear`.

    Returns:
        A function of this module, or of a word with parameters a functools.partial of one.

    Raises:
        ValueError: the word is unknown (the near match is suggested), or a parameter out of range.
        TypeError: it is neither a word nor a function.
    """
    if callable(identifier):
        function: Callable[..., Any] = identifier
        return function
    name, parameters = activation_words.native(activation_words.get(identifier))
    function = _OF_NAMES[name]
    if not parameters:
        return function
    named = activation_words.Native(name, parameters).named()
    return functools.partial(function, **named)


def deserialize(config: Any) -> Callable[..., Any]:
    """The function that `config` means, the word that `serialize` gave of it; see `get`.

    >>> fastnn.activations.deserialize("relu") is fastnn.activations.relu
    True
    """
    return get(config)


def serialize(activation: Any) -> str:
    """The word of an activation, which `get` and layers take.

        >>> import functools
        >>> sloped = functools.partial(fastnn.activations.leaky_relu, negative_slope=0.1)
        >>> fastnn.activations.serialize(sloped)
        'leaky_relu(negative_slope=0.1)'

    Args:
        activation: a function of this module, of `fastnn.nn` or `fastnn.math`, a functools.partial
            of one with parameters by name, or a word.

    Raises:
        TypeError: it is another function.
    """
    return activation_words.get(activation)


if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "activation")
