"""The functions of networks under the names of TensorFlow's `tf.nn`: activations of Tensors, losses
of single rows. Layers and `fastnn.losses` are the usual way; nothing else is here."""

from typing import TYPE_CHECKING

from fastnn import elsewhere
from fastnn.autodiff.arranging import top_k
from fastnn.autodiff.derived import (
    elu,
    l2_loss,
    l2_normalize,
    leaky_relu,
    log_sigmoid,
    moments,
    relu6,
    selu,
    sigmoid_cross_entropy_with_logits,
    softmax_cross_entropy_with_logits,
    softsign,
    sparse_softmax_cross_entropy_with_logits,
)
from fastnn.autodiff.drawing import dropout
from fastnn.autodiff.functions import add as bias_add
from fastnn.autodiff.functions import (
    gelu,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from fastnn.autodiff.functions import silu as swish
from fastnn.listing import names_of

__all__ = [
    "bias_add",
    "dropout",
    "elu",
    "gelu",
    "l2_loss",
    "l2_normalize",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "moments",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "sigmoid_cross_entropy_with_logits",
    "silu",
    "softmax",
    "softmax_cross_entropy_with_logits",
    "softplus",
    "softsign",
    "sparse_softmax_cross_entropy_with_logits",
    "swish",
    "tanh",
    "top_k",
]

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "nn")
__dir__ = names_of(__all__)
