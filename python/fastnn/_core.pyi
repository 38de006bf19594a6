"""The native module. Python passes words and arrays in; loops and memory are native.

Everything here is private: it checks shapes and names the offending value, but
the public modules resolve words, defaults and types before they call it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float32] | NDArray[np.float64]
Dtype = Literal["float32", "float64"]
Precision = Literal["highest", "high", "medium"]
Session = Literal["auto", "plain", "streaming", "tiled", "generic", "resident", "wide"]

__version__: str

class RankError(RuntimeError):
    """Another rank of a `fit` ended, or went another way; see `fastnn.RankError`."""

class Exchange:
    """Sums over ranks (csrc/core/exchange.h): all of them make the same calls, in the same order.

    `link` carries bytes: gather(mine, all), where row r of `all` gets what rank r has in `mine`;
    swap(out, into), where row r of `out` goes to rank r. Where one returns True, rest() is called
    between two sums, and may raise what came meanwhile.
    """

    def __init__(self, link: Any, rank: int, size: int) -> None: ...
    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def is_over(self) -> bool:
        """Whether a rank has left; no more calls are made then."""
    def sum(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sums over ranks (n,), added up in the order of ranks."""
    def sum_in_place(self, values: Floats) -> None:
        """The same, of an array of float32 or float64, in its place."""
    def gather(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """(ranks, n): the numbers (n,) of each rank."""
    def leave(self, why: str) -> None:
        """Makes the next call of the other ranks a RankError that tells why."""

class TrainingDiverged(ArithmeticError):
    """The loss of a training step was NaN or infinite; see `fastnn.TrainingDiverged`."""

    epoch: int
    step: int
    loss: float

# -- settings ---------------------------------------------------------------

def build_info() -> dict[str, str]:
    """Compiler, build type and the like, as text."""

def isas_built() -> list[str]:
    """Instruction sets compiled in, from the least to the most capable."""

def isas_supported() -> list[str]:
    """Those of `isas_built` that this processor can run."""

def isa() -> str:
    """The instruction set in use: the last of `isas_supported`, or what FASTNN_ISA names."""

def cuda_state(libraries: bool = False) -> dict[str, Any]:
    """Whether a GPU can be used, opening it: "usable", "reason" why not; else what it is.

    With `libraries` opens those that it uses, too: "cublas", which it found or why none.
    """

def thread_limits(root: str = "") -> dict[str, float]:
    """What the default number of threads is the least of, by name.

    `root` stands before the paths of files about control groups, for tests.
    """

def num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def limit_threads(n: int) -> None:
    """Threads that native calls of the calling thread use at most from now on; 0: num_threads()."""

def environment(name: str) -> str | None: ...
def activations() -> list[_ActivationRow]:
    """The elementwise activations, the one list that there is, and their parameters."""

class _ActivationParameter(TypedDict):
    name: str
    default: float
    low: float  # both ends are included
    high: float

class _ActivationRow(TypedDict):
    name: str
    parameters: list[_ActivationParameter]
    needs_input: bool  # the slope is not known from the output alone

def shutdown() -> None:
    """Joins the worker threads; called when the interpreter ends."""

# -- arrays on the device ---------------------------------------------------

class DeviceArray:
    """An array in the memory of the GPU.

        >>> x = fastnn.ops.DeviceArray(np.array([[-1.0, 2.0]], "float32"))
        >>> y = fastnn.ops.activation_forward(x, "relu")  # runs on the GPU, and stays there
        >>> y, y.numpy().tolist()
        (DeviceArray(shape=(1, 2), dtype=float32), [[0.0, 2.0]])

    A result of `fastnn.ops`, or with DeviceArray(array) a copy of an array. Other libraries take
    it by DLPack (`torch.from_dlpack`) or `__cuda_array_interface__` (CuPy, Numba), without a copy;
    `numpy()` copies it to the host.
    """

    def __init__(self, array: Array) -> None:
        """Copies an array of numbers to the device."""
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def address(self) -> int:
        """Where it lies in the device's memory."""
    @property
    def writable(self) -> bool: ...
    def numpy(self) -> Array:
        """A copy on the host, when all work on it is done."""
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array: ...
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...
    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """The consumer's `stream` waits for what fastnn does with the array."""
    def __dlpack_device__(self) -> tuple[int, int]: ...

def from_dlpack(name: str, capsule: Any) -> DeviceArray:
    """Takes a capsule, without a copy; `name` is for errors."""

def from_cuda_array_interface(name: str, source: Any) -> DeviceArray: ...
def device_stream() -> int:
    """The stream of the calling thread, as DLPack names it; opens the device."""

# -- ops: float32 or float64 C-contiguous arrays, all of one type -----------
# On the device where the leading array lies there, or FASTNN_DEVICE says so.

_Floats = Floats | DeviceArray  # all of one kind

def dense_forward(
    x: _Floats,
    w: _Floats,
    b: _Floats | None,
    activation: str,
    activation_parameters: Sequence[float] = (),
) -> _Floats: ...
def dense_backward(
    dy: _Floats,
    x: _Floats,
    w: _Floats,
    y: _Floats | None,
    z: _Floats | None,
    activation: str,
    activation_parameters: Sequence[float] = (),
) -> tuple[_Floats, _Floats, _Floats]: ...
def split_product(
    x: NDArray[np.float32],
    w: NDArray[np.float32],
    bf16_parts: int,
    transpose_x: bool = False,
    transpose_w: bool = False,
) -> NDArray[np.float32]:
    """x w (or of their transposes) with operands as sums of `bf16_parts` bfloat16 numbers.

    RuntimeError where the instruction set in use has no unit for it. Denormals count as
    zeros; with two or three parts, what is infinite in bfloat16 gives NaN.
    """

# Without parameters an activation has its defaults.
def activation_forward(x: _Floats, name: str, parameters: Sequence[float] = ()) -> _Floats: ...
def activation_backward(
    dy: _Floats, x: _Floats | None, y: _Floats | None, name: str, parameters: Sequence[float] = ()
) -> _Floats: ...
def softmax(x: _Floats, logarithm: bool = False) -> _Floats: ...
def layer_normalization(
    x: _Floats, gamma: _Floats | None, beta: _Floats | None, epsilon: float, keeps: bool = False
) -> Any:
    """y; with `keeps` y and what the backward pass needs, which else makes it again, as in those below."""

def layer_normalization_backward(
    dy: _Floats, x: _Floats, gamma: _Floats | None, epsilon: float, kept: _Floats | None = None
) -> tuple[_Floats, _Floats, _Floats]: ...
def disturbed(
    x: _Floats, kind: str, amount: float, key: int, backward: bool, first_row: int = 0
) -> _Floats:
    """`first_row`: the number of the first row, which random numbers count."""

def scale_rows(
    x: _Floats, gamma: _Floats | None, length: str, epsilon: float, keeps: bool = False
) -> Any:
    """`length`: "root_mean_square" or "norm"."""

def scale_rows_backward(
    dy: _Floats,
    x: _Floats,
    gamma: _Floats | None,
    length: str,
    epsilon: float,
    kept: _Floats | None = None,
) -> tuple[_Floats, _Floats]: ...
def group_normalization(
    x: _Floats,
    groups: int,
    gamma: _Floats | None,
    beta: _Floats | None,
    epsilon: float,
    keeps: bool = False,
) -> Any: ...
def group_normalization_backward(
    dy: _Floats, x: _Floats, groups: int, gamma: _Floats | None, epsilon: float, kept: _Floats
) -> tuple[_Floats, _Floats, _Floats]: ...
def batch_normalization(
    x: _Floats, gamma: _Floats | None, beta: _Floats | None, epsilon: float, keeps: bool = False
) -> Any:
    """y, and the mean and variance of each column; with `keeps` also what the backward pass needs."""

def batch_normalization_backward(
    dy: _Floats, x: _Floats, gamma: _Floats | None, epsilon: float, kept: _Floats | None = None
) -> tuple[_Floats, _Floats, _Floats]: ...
def embedding(x: NDArray[np.float64], table: _Floats) -> _Floats: ...
def embedding_backward(dy: _Floats, x: NDArray[np.float64], vocabulary: int) -> _Floats: ...
def row_loss(
    loss: str,
    logits: _Floats,
    labels: NDArray[np.int32] | Floats,
    sample_weight: NDArray[np.float64] | None,
    options: Mapping[str, float],
    ignore_class: int | None,
    column_weight: NDArray[np.float64] | None = None,
) -> tuple[float, _Floats]:
    """A loss of `losses()` of whole rows, and its gradient."""

def element_loss(
    loss: str,
    outputs: _Floats,
    targets: Floats,
    sample_weight: NDArray[np.float64] | None,
    column_weight: NDArray[np.float64] | None,
    options: Mapping[str, float],
    ignore_nan: bool = False,
) -> tuple[float, _Floats]:
    """A loss of `losses()` that compares one output with one target, and its gradient."""

def optimizer_step(
    optimizer: str,
    param: _Floats,
    grad: _Floats,
    slots: Sequence[_Floats | None],
    settings: Mapping[str, float],
    step: int = 1,
) -> None:
    """One step of a row of `optimizers()`, in place; None for a slot that is not in use."""

class StepState:
    """What steps of one parameter keep: zeros before the first.

    The parameter is `count` elements of the buffer from `offset` on, in rows of so many columns.
    """

    def __init__(
        self, optimizer: str, parameters: Parameters, offset: int, count: int, columns: int = 1
    ) -> None: ...
    steps: int
    @property
    def slots(self) -> list[Floats]:
        """Copies, in the order of the row's names."""
    def set_slots(self, slots: Sequence[Floats]) -> None: ...
    def move(self, parameters: Parameters, offset: int) -> None:
        """The parameter lies there from now on."""

def apply_steps(
    states: list[StepState],
    gradients: list[Floats],
    settings: Mapping[str, float],
    scales: Sequence[tuple[float, float, bool]] = ...,
) -> None:
    """A step of each parameter, in place and in order.

    `scales`: for each a factor of the learning rate, one of the weight decay, and whether a step of
    Muon is its own; none: the factors are 1.

    Raises RuntimeError while one of them is being trained, before any step.
    """

# -- tables -----------------------------------------------------------------

def losses() -> list[dict[str, Any]]:
    """Rows of core/loss.h (see `fastnn.rows.LossRow`)."""

def optimizers() -> list[dict[str, Any]]:
    """Rows of core/optimizer.h: name, slots (names), options (see `fastnn.rows.Option`)."""

# -- random numbers ---------------------------------------------------------

def permutation(n: int, key: int, epoch: int) -> NDArray[np.int64]:
    """The order in which epoch `epoch` of the model with `key` visits `n` rows."""

def random_bits(count: int, key: int, stream: int) -> NDArray[np.uint32]:
    """Philox 4x32-10 words of one stream, for choices that must repeat."""

# -- the network ------------------------------------------------------------

class Parameters:
    """One aligned buffer with all parameters of a model, zeros at first."""

    def __init__(self, size: int, dtype: Dtype) -> None:
        """`size` in elements. MemoryError names the size where it cannot be had."""
    @property
    def size(self) -> int: ...
    @property
    def dtype(self) -> Dtype: ...
    @property
    def version(self) -> int:
        """Grows with every write; holders of packed copies compare it."""
    @property
    def weights_version(self) -> int:
        """The same, without `write_statistics` and statistics that move in a pass."""
    def view(self, offset: int, shape: Sequence[int]) -> Floats:
        """A read-only array on the buffer, which it keeps alive."""
    def write(self, offset: int, values: Array) -> None:
        """Copies C-contiguous `values` of this buffer's dtype to `offset`.
        RuntimeError while a network trains on the buffer in a native call."""
    def write_statistics(self, offset: int, values: Array) -> None:
        """`write` of statistics, which no gradient depends on."""
    def write_all(self, offsets: Sequence[int], arrays: Sequence[Array]) -> None:
        """The same for several arrays: all are written, or none."""
    def fill_uniform(
        self, offset: int, count: int, low: float, high: float, *, key: int, stream: int
    ) -> None: ...
    def fill_normal(
        self,
        offset: int,
        count: int,
        mean: float,
        stddev: float,
        *,
        truncated: bool,
        key: int,
        stream: int,
    ) -> None:
        """`truncated`: redraw what lies further than two standard deviations off."""

class SparseMatrix:
    """Rows of a sparse matrix (CSR), checked: starts and columns are copied, values are not.

    values: (count,) float32 or float64; columns: (count,) int32, ascending in each row, each once;
    starts: (rows + 1,) int64, where each row begins; width: the number of columns.
    """

    def __init__(
        self,
        values: _Floats,
        columns: NDArray[np.int32],
        starts: NDArray[np.int64],
        width: int,
    ) -> None: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    def __len__(self) -> int: ...

class DataCheck:
    """Checks of data for a network, also while that trains in another thread."""

    def check(self, data: Data) -> None:
        """See `Network.check`."""
    def check_input(self, data: Data) -> None:
        """See `Network.check_input`."""
    def weight(self, data: Data) -> float:
        """The weight of all rows, as the loss counts it."""
    @property
    def rows_at_once(self) -> int:
        """Rows that one step of evaluation and prediction takes; sums go by these."""

class Data:
    """Rows to train on or to predict from: views of the caller's arrays, never copies.

    x: a SparseMatrix, or (n, ...) of bool, integer or floating type (float16 too), native byte order, any strides.
    targets: (n, o), likewise; NaN marks a missing label (sigmoid cross-entropy only).
    labels: (n,) int32, C-contiguous, in place of targets.
    weights: (n,) float64, C-contiguous, not negative; None: all one.
    rows: int64 indices of the rows that count, in order; None: all.
    """

    def __init__(
        self,
        x: Array | SparseMatrix,
        *,
        targets: Array | None = None,
        labels: NDArray[np.int32] | None = None,
        weights: NDArray[np.float64] | None = None,
        rows: NDArray[np.int64] | None = None,
    ) -> None: ...
    def __len__(self) -> int:
        """Rows that count."""

class Graph:
    """The layers of a model, native. Tensors are numbered; 0 is the input.

    Building methods return the number of the tensor that they make. A width of None is not known
    yet: such a graph has no sizes, and tells how it ends.
    """

    def __init__(self, width: int | None, dtype: Dtype) -> None: ...
    def dense(
        self,
        input: int,
        units: int,
        activation: str,
        *,
        use_bias: bool = True,
        activation_parameters: Sequence[float] = (),
        like: int | None = None,
    ) -> int:
        """`activation`: one of `activations()`, or "softmax". Adds a parameter
        (width, units) and, with `use_bias`, another (units,); or shares those of the dense call
        that returned `like`."""
    def grouped_dense(
        self,
        input: int,
        groups: int,
        units: int,
        use_bias: bool = True,
        *,
        like: int | None = None,
    ) -> int:
        """Adds a kernel (width, units) and a bias (groups * units,), or shares those of the call
        that returned `like`; each part of a row has rows of the kernel of its own."""
    def activation(self, input: int, name: str, parameters: Sequence[float] = ()) -> int: ...
    def dropout(self, input: int, rate: float, key: int | None = None) -> int:
        """`key`: 64 bits that its random numbers come from; None: the key of the network."""
    def gaussian_noise(self, input: int, amount: float, key: int | None = None) -> int:
        """`amount`: the deviation."""
    def gaussian_dropout(self, input: int, amount: float, key: int | None = None) -> int:
        """`amount`: the rate."""
    def alpha_dropout(self, input: int, amount: float, key: int | None = None) -> int:
        """`amount`: the rate."""
    def rescale(self, input: int, scale: float, offset: float) -> int: ...
    def add(self, *tensors: int) -> int:
        """Tensors of one width, element by element; as with those below, 1 to 64 of them, and
        those of width 1 are repeated for every column."""
    def subtract(self, *tensors: int) -> int:
        """The first of two tensors minus the second."""
    def multiply(self, *tensors: int) -> int: ...
    def average(self, *tensors: int) -> int: ...
    def maximum(self, *tensors: int) -> int:
        """Its gradient goes to the tensors that equal the maximum, in equal shares."""
    def minimum(self, *tensors: int) -> int: ...
    def concatenate(self, tensors: Sequence[int]) -> int:
        """Their columns side by side."""
    def logits(self, tensor: int) -> int | None:
        """What a softmax or sigmoid made the tensor of; None: neither did. A dense node that ends in
        a sigmoid becomes two, so parameters are shared with it before this call alone."""
    def slice(self, input: int, first: int, width: int) -> int:
        """Columns first to first + width - 1."""
    def repeat(self, input: int, times: int) -> int:
        """All columns, so many times side by side."""
    def sum_pieces(self, input: int, pieces: int) -> int:
        """The sum of so many pieces of equal width, which make up the columns."""
    def layer_normalization(
        self,
        input: int,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        *,
        like: int | None = None,
    ) -> int:
        """Adds gamma (width,) with `scale`, and beta (width,) with `center`; or shares those of the
        call that returned `like`."""
    def rms_normalization(
        self, input: int, epsilon: float = 1e-6, *, like: int | None = None
    ) -> int:
        """Adds a scale (width,), or shares that of the call that returned `like`."""
    def unit_normalization(self, input: int, epsilon: float = 1e-12) -> int: ...
    def group_normalization(
        self,
        input: int,
        groups: int,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        *,
        like: int | None = None,
    ) -> int:
        """Each of `groups` parts of a row for itself; parameters as `layer_normalization`."""
    def batch_normalization(
        self,
        input: int,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        *,
        like: int | None = None,
    ) -> int:
        """Adds gamma with `scale`, beta with `center`, the moving mean and the moving variance, each
        (width,); or shares those of the call that returned `like`."""
    def normalize(
        self,
        input: int,
        epsilon: float = 1e-7,
        inverts: bool = False,
        *,
        like: int | None = None,
    ) -> int:
        """Adds a mean and a variance (width,), or shares those of the call that returned `like`:
        columns minus the mean, over the root of the variance; `inverts`: back from that."""
    def scale_columns(self, input: int, bias: bool = False, *, like: int | None = None) -> int:
        """Columns times a scale (width,) and, with `bias`, plus one, each trained; or with those of
        the call that returned `like`."""
    def permute(self, input: int, shape: Sequence[int], order: Sequence[int]) -> int:
        """Rows of this shape with its axes in another order: axis i is axis order[i]."""
    def categories(self, input: int, vocabulary: int, counts: bool = False) -> int:
        """Which numbers below `vocabulary` the columns of a row hold, or how often each."""
    def embedding(
        self, input: int, vocabulary: int, dimension: int, *, like: int | None = None
    ) -> int:
        """Adds a table (vocabulary, dimension), or shares that of the call that returned `like`;
        each column of the input names a row of it."""
    def encode_columns(
        self,
        input: int,
        levels: Sequence[int],
        missing: Sequence[bool],
        bins: Sequence[int],
        bound: float = 0.0,
        *,
        like: int | None = None,
    ) -> int:
        """Adds the statistics fill, center and factor (numbers,) and edges, of those that there
        are, or shares those of the call that returned `like`; see `layers.ColumnEncoding`."""
    def begin_layer(self) -> None:
        """Nodes that are added from now on belong to one layer."""
    @property
    def layer(self) -> int | None:
        """The number of the layer that was begun, from 1; None where it has no node."""
    def width(self, tensor: int) -> int:
        """0: not known."""
    def set_output(self, tensor: int) -> None: ...
    @property
    def end(self) -> tuple[str, int | None, int | None, str | None, int | None]:
        """How a loss sees the output: the activation of the last layer that gives outputs of its
        own, that layer's number, the number of a dropout or rescaling behind it, and the
        activation and number of the layer before it, unless it is a dense one."""

class Network(Graph):
    """A graph of layers, the plan made of it, and the sessions that run the plan.

    (Natively not derived from Graph, but it has all of its methods.)
    """

    def __init__(self, width: int, dtype: Dtype, key: int) -> None:
        """`key`: 64 bits that all random numbers of this model come from."""
    @property
    def parameter_size(self) -> int:
        """Elements of a buffer that holds every parameter (each starts aligned)."""
    @property
    def parameter_count(self) -> int:
        """The length of `parameters`."""
    @property
    def parameters(self) -> list[tuple[int, tuple[int, ...]]]:
        """(offset, shape) of each parameter, in the order in which layers were added."""
    def plan_bytes(self) -> tuple[bytes, bytes, bytes]:
        """What tells the plan apart from others: its layers, its loss and metrics, its update stage."""
    def bind(self, parameters: Parameters) -> None:
        """The buffer to work on, of `parameter_size` elements; borrowed, never moved."""
    def take(self, parameters: Parameters, ranges: Sequence[tuple[int, int, int]]) -> None:
        """Copies values of another buffer into the bound one: for each (to, from, count) so many
        elements. Readers of the bound one are waited for. RuntimeError while a network trains on
        either in a native call."""
    def bring(self) -> None:
        """Brings parameters that a GPU trained to the host. RuntimeError, once, where they cannot
        be read; the network is then back at the last copy of its state."""
    def set_trainable(self, flags: Sequence[bool]) -> None:
        """One flag for each parameter; all True at first. Takes effect at `compile`."""
    def set_moving(self, flags: Sequence[bool]) -> None:
        """Whether each statistic moves in passes that are recorded from now on, in training; flags of
        other parameters are not looked at."""
    @property
    def roles(self) -> list[Literal["matrix", "vector", "statistic"]]:
        """What each parameter is: matrices go into products."""
    def set_groups(self, groups: Sequence[int]) -> None:
        """The number of the group of each parameter; takes effect at `compile`."""
    def session(self, batch_size: int) -> Session:
        """The session that training in batches of so many rows uses."""
    def device(self, batch_size: int) -> Literal["cpu", "cuda"]:
        """The device that trains in batches of so many rows."""
    def bf16_parts(self, batch_size: int) -> int:
        """Parts in bfloat16 into which it splits the operands of products; 0: it does not."""
    @property
    def whole_for(self) -> str | None:
        """What needs all gradients before a step changes any, and so one of the slower sessions."""
    def compile(
        self,
        *,
        loss: str,
        optimizer: str,
        options: Mapping[str, float] = ...,
        ignore_class: int | None = None,
        pos_weight: NDArray[np.float64] | None = None,
        by_batch_weight: bool = False,
        ignore_nan: bool = False,
        metrics: Sequence[Mapping[str, Any]] = (),
        session: Session = "auto",
        precision: Precision = "highest",
        device: Literal["auto", "cpu", "cuda"] = "auto",
        groups: Sequence[Mapping[str, float]] = (),
        clip_value: float = 0.0,
        clip_norm: float = 0.0,
        global_clip_norm: float = 0.0,
        average_momentum: float | None = None,
        collects: bool = False,
        initial_state: float = 0.0,
        accumulate: int = 1,
    ) -> None:
        """Makes the plan and zeroes the optimizer's state.

        `loss` and its `options` are a row of `losses()`, `optimizer` one of `optimizers()`. A
        softmax or sigmoid before a loss that has it as its head is folded into the loss; any
        other output is taken as it is (for the cross-entropies: as logits).
        `by_batch_weight`: the gradient of a batch is divided by the weight that it has.
        `ignore_nan`: targets of a loss of elements that are NaN are left out.

        Metrics are dictionaries: "kind" (a count of core/metric.h), "weighted" (whether rows
        count by their weight; else each once, a missing label and an ignored class never),
        "value" (k, or the threshold of a probability), for "mean_of" a "loss" with "options", and
        for "confusion" "thresholds" of probabilities (sets, outputs) and "top", the number of the
        largest outputs of a row that may be positive; without both it is 1 for classes, and
        "value" is the threshold of all other outputs.
        Counts and cross-entropies know whether the output is a folded or a plain softmax or
        sigmoid, or logits; regression losses see what `predict` returns.

        The update stage: `groups` (dictionaries with "rate", "decay", "l1", "l2", "orthogonal", and
        "constraint": 1 for numbers of at least 0, 2 for norms, with "low", "high",
        "constraint_rate", "over_rows" and "over_columns"; see `set_groups`), gradients cut to
        +-clip_value, each parameter's gradient to clip_norm, all together to global_clip_norm (0:
        not), an average of the weights where average_momentum is given, which is then the last
        array of `optimizer_state`, and the gradients of `accumulate` batches averaged for one
        update, which have the array before. `initial_state`: of the optimizer's first array.

        `collects`: passes may be asked for the logits of their rows.
        """
    @property
    def sum_widths(self) -> list[int]:
        """How many numbers the loss and each metric add up."""
    @property
    def head(self) -> Literal["none", "sigmoid", "softmax"]:
        """What makes the outputs of the logits."""
    @property
    def key(self) -> int:
        """The key of the model's random numbers."""
    @property
    def dtype(self) -> Dtype: ...
    def check_weight_of(self, name: str, data: Data) -> float:
        """The weight of all rows, as the loss counts it; ValueError where nothing counts."""
    steps: int
    """Steps trained in the life of the model; random numbers count them."""
    updates: int
    """Steps since the optimizer's state was zero, as `compile` makes it; Adam counts them."""
    epochs: int
    """Epochs begun in the life of the model; the permutation counts them."""
    @property
    def optimizer_state(self) -> list[Floats]:
        """Copies of the optimizer's buffers, each laid out as the parameters."""
    def set_optimizer_state(self, state: Sequence[Floats]) -> None: ...
    continues: bool
    """Whether the parameters are those that training left. After others averages begin anew."""
    def check(self, data: Data) -> None:
        """ValueError naming row and value: NaN or infinity in x, labels out of
        range, targets that the loss cannot take, weights that are negative or not finite."""
    def check_input(self, data: Data) -> None:
        """The part of `check` that concerns x."""
    def data_check(self) -> DataCheck:
        """The checks of data by the network as it is compiled now."""
    def run(
        self,
        data: Data,
        *,
        batch_size: int,
        validation: Data | None = None,
        shuffle: bool = True,
        fresh: bool = True,
        streams_in: bool = False,
        row_weight: float | None = None,
        exchange: Exchange | None = None,
        shards: bool = False,
        total: int = 0,
        before: int = 0,
        average_every: int = 0,
    ) -> Run:
        """Begins training on checked data, in as many native calls as are needed.

        `fresh`: no state from before is gone back to. `streams_in`: the data are a part of what
        is not known yet, whose rows are taken to weigh 1 on average, or `row_weight`.
        `exchange`: the ranks that train together. `total`: the rows of all of them; with `shards` the
        data are this rank's rows, and there are so many of other ranks `before` them. With
        `average_every` each rank makes steps of its own, and weights are averaged after so many.
        """
    def record(
        self,
        data: Data,
        *,
        training: bool = False,
        logits: bool = False,
        input_gradient: bool = True,
    ) -> Recorded:
        """Runs a forward pass over all rows and keeps it; `training` lets dropout act, and counts in
        `steps`. With `logits` a softmax or sigmoid at the end is left out; without
        `input_gradient`, `pull` gives None for the inputs."""
    def record_rows(
        self,
        x: Array,
        training: bool,
        input_gradient: bool,
        exchange: Exchange | None = None,
        first_row: int = 0,
        batch: int = 0,
    ) -> Recorded:
        """`record` of the rows of an array, with logits=True.

        `exchange`: the ranks that each have a part of a `batch` of so many rows; those here begin with
        `first_row` of it. All ranks call this, and `pull`, with the same layers.
        """
    def evaluate(
        self,
        data: Data,
        logits: Array | None = None,
        so_far: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """Sums as in `Run.advance`, one dimension, added to those `so_far`; nothing is changed.
        `logits`, of the network's type, gets those of all rows, (rows, outputs)."""
    def predict(self, data: Data) -> Floats:
        """(rows, width of the output). Many threads may call it at once."""
    def predictor(
        self,
        inputs: tuple[type | None, tuple[str, ...], tuple[tuple[int, ...], ...]],
        outputs: tuple[type | None, tuple[str, ...], tuple[tuple[int, ...], ...]],
        ends: Sequence[str],
        convert: Callable[[str, object], Array],
    ) -> Predictor:
        """A copy of the network as it is now, for these inputs and outputs.

        Each is (list, tuple or dict, or None for a single array; names; shapes of a row). Names of
        a list let a dictionary stand for it. Several inputs stand side by side in a row of the
        network, and so do several outputs. `ends`: for each of several outputs "softmax",
        "sigmoid" or "none", the activation after the tensor that the last node joins.
        `convert` is called with "x" and whatever is not a plain array of numbers; it returns
        one, or raises."""
    def gradients(self, data: Data, *, training: bool = False) -> tuple[float, Floats]:
        """The loss over all rows of `data` and its gradient, laid out as the
        parameters; `training` lets dropout act. Nothing is changed."""

class Run:
    """What `Network.run` returns: one training under way, a context that ends it."""

    def advance(
        self,
        *,
        optimizer: Mapping[str, float],
        epochs: int = 1,
        first_epoch: int = 0,
        first_step: int = 0,
        steps: int | None = None,
        validates: bool = False,
        ends: bool = False,
        progress: Callable[[int, int, NDArray[np.float64]], None] | None = None,
        rates: NDArray[np.float64] | None = None,
        logits: Array | None = None,
        validation_logits: Array | None = None,
        watches: Sequence[Mapping[str, Any]] = (),
        seconds: float | None = None,
    ) -> NDArray[np.float64]:
        """Trains for some epochs or steps; returns (epochs, columns) of sums.

        Columns are the weighted losses and their weight, then the counts of each metric
        (`sum_widths` of them). Where it `validates`, as many follow for the validation data.
        `optimizer`: learning_rate, weight_decay, and options of its row; also "plain_epsilon" (1: Adam
        adds epsilon to the root of v as it is), "penalty_rows" (penalties are those of so many rows
        of weight 1, and are scaled to those of each batch) and "weighs_penalties" (1: and divided by
        its weight where gradients are; the loss is then the mean of batches by rows). `rates`: a learning rate for each update of the call instead.
        With `steps`, one epoch is run in part, `steps` steps from `first_step`,
        and `Network.epochs` is left alone; else it grows by one an epoch. With `ends` no step
        follows these, so the weights after the last one are checked, as after a whole epoch. The
        sums of a part go on from those of the part before it.
        `logits` (rows, outputs) gets, of one epoch or a part of it, the logits of its rows at the
        places that they have in the order of the epoch, `validation_logits` those of the validation
        data; for a network that is compiled to collect them.
        The call ends after the first epoch in which one of the `watches` says so (Watch in
        csrc/nn/watch.h has their keys), or when `seconds` are over: the epoch then has the steps that
        were made, one piece of work at least.
        `first_epoch` is only for messages. Every 0.1 s or so signals are
        handled and `progress(epoch, steps done in it, sums so far)` is called.
        Raises TrainingDiverged (the state of an earlier step is restored) or what a
        signal handler or `progress` raises (the weights stay as they are), and
        RuntimeError where another thread trains or predicts on this network.
        """
    def bring(self, first_step: int, before: Sequence[int], rows: Sequence[int]) -> None:
        """Over ranks that bring their own rows to every batch: by step from this one on, at least one,
        the rows of the ranks before this one, and of all.

        A step takes the next batch_size rows of the data, of which there may be fewer, or none.
        """
    def keep_call(
        self,
        *,
        optimizer: Mapping[str, float],
        epochs: int = 1,
        first_epoch: int = 0,
        first_step: int = 0,
        steps: int | None = None,
        validates: bool = False,
        ends: bool = False,
        progress: Callable[[int, int, NDArray[np.float64]], None] | None = None,
        rates: NDArray[np.float64] | None = None,
        logits: Array | None = None,
        validation_logits: Array | None = None,
        watches: Sequence[Mapping[str, Any]] = (),
        seconds: float | None = None,
    ) -> bytes | None:
        """Keeps a call of `advance` for `Lanes.add`; what it must have in common with others there.

        None: it goes alone, and is not kept. What `progress` raises ends this run alone.
        """
    def make_call(self) -> NDArray[np.float64]:
        """Makes the call that was kept, alone."""
    def result(self) -> NDArray[np.float64]:
        """What `advance` would have returned or raised, of a run that `Lanes.advance` has told."""
    def best(self, watch: int) -> Array | None:
        """The parameters of the best epoch that a watch of the last `advance` kept; None: it kept
        none."""
    def go_on(self, step: int, sums: NDArray[np.float64]) -> None:
        """Lets the next `advance`, if it begins at this step, go on from the sums that the part of
        the epoch before it has, in another run."""
    def take_finished(self) -> NDArray[np.float64]:
        """The sums of the epochs that the last `advance` finished, also where it raised; once."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

class Lanes:
    """Runs whose steps are made side by side, a lane of every vector for each, to the bits of each alone."""

    count: ClassVar[int]
    def __init__(self) -> None: ...
    def add(self, run: Run) -> None:
        """Begins the call that the run keeps; those in lanes must be of one kind."""
    def advance(self, *, more: bool, fewest: int) -> list[Run]:
        """Trains until one or more runs have ended, and returns these.

        With `more` others wait for their lanes; without, less than `fewest` runs end one after another.
        """
    def clear(self) -> None:
        """Ends all runs, whose weights stay as they are."""

class Recorded:
    """What `Network.record` returns: a forward pass whose gradient may be asked for."""

    @property
    def outputs(self) -> Floats:
        """(rows, width of the output), a copy."""
    @property
    def head(self) -> Literal["softmax", "sigmoid"] | None:
        """The activation at the end that `logits=True` left out; None: there is none."""
    def pull(self, dy: Floats) -> list[Any]:
        """From the gradient at the outputs, of their shape, that at the inputs, (rows, width of the
        input), or None, and that of each parameter.

        RuntimeError where parameters were changed since the pass.
        """

class Predictor:
    """What `model.predictor()` returns; see there. Made by nothing else."""

    @property
    def input_shape(self) -> Any:
        """The shape of a row, without the batch axis; of several inputs such in a list or a
        dictionary."""
    @property
    def output_shape(self) -> Any:
        """The shape of a row; of several outputs such in their structure."""
    @property
    def dtype(self) -> Dtype: ...
    def __call__(self, x: object) -> Any:
        """The outputs for one row of `input_shape`, or for rows (n, ...); of several such in their
        structure. Many threads may call it at once."""
