"""Models that come from PyTorch and go there: equal predictions, and refusals that name the module."""

from __future__ import annotations

import numpy as np
import pytest
import travelling
from travelling import near, predicted

import fastnn
from fastnn import interop, layers
from fastnn.files.layout import ModelFileError
from fastnn.interop import torch_modules


@pytest.fixture
def torch():
    module = pytest.importorskip("torch")
    module.manual_seed(5)
    return module


@pytest.fixture
def nn(torch):
    return torch.nn


def answer(torch, module, x):
    with torch.no_grad():
        return module.eval()(torch.from_numpy(np.asarray(x))).numpy()


def brought(torch, module, x, **options):
    """The model made of a module, which predicts the same."""
    model = fastnn.from_torch(module, **options)
    near(predicted(model, [x]), answer(torch, module, x))
    return model


def sent(torch, model, x):
    module = fastnn.to_torch(model)
    near(answer(torch, module, x), predicted(model, [x]))
    return module


# -- from PyTorch


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_nested_sequential(torch, nn, dtype):
    block = nn.Sequential(nn.Linear(8, 8, bias=False), nn.LayerNorm(8, eps=1e-3), nn.SiLU())
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Dropout(0.4), block, nn.Identity()
    )
    module.append(nn.Sequential(nn.Linear(8, 3), nn.Softmax(dim=1)))
    module = module.to(getattr(torch, dtype))
    x = travelling.rows(3, 4, dtype=dtype)
    model = brought(torch, module, x, input_shape=(3, 4))
    assert model.dtype == dtype
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == [
        "Flatten",
        "Dense",
        "Dropout",
        "Dense",
        "LayerNormalization",
        "Activation",
        "Dense",
    ]
    assert [layer.activation for layer in model.layers if type(layer) is layers.Dense] == [
        "relu",
        "linear",
        "softmax",
    ]


def _moved(norm):
    """A BatchNorm1d whose statistics are no longer those of the beginning."""
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2.0)
    return norm


MODULES = {
    "ReLU": lambda nn: nn.ReLU(inplace=True),
    "LeakyReLU": lambda nn: nn.LeakyReLU(0.07),
    "LeakyReLU as an activation": lambda nn: nn.LeakyReLU(0.2),
    "ELU": lambda nn: nn.ELU(0.6),
    "CELU": lambda nn: nn.CELU(0.5),
    "SELU": lambda nn: nn.SELU(),
    "GELU": lambda nn: nn.GELU(),
    "GELU by tanh": lambda nn: nn.GELU("tanh"),
    "Mish": lambda nn: nn.Mish(),
    "ReLU6": lambda nn: nn.ReLU6(),
    "Hardtanh": lambda nn: nn.Hardtanh(),
    "Hardtanh from 0": lambda nn: nn.Hardtanh(0.0, 2.0),
    "Hardswish": lambda nn: nn.Hardswish(),
    "Hardsigmoid": lambda nn: nn.Hardsigmoid(),
    "LogSigmoid": lambda nn: nn.LogSigmoid(),
    "Softsign": lambda nn: nn.Softsign(),
    "Softshrink": lambda nn: nn.Softshrink(0.3),
    "Hardshrink": lambda nn: nn.Hardshrink(0.7),
    "Tanhshrink": lambda nn: nn.Tanhshrink(),
    "Threshold": lambda nn: nn.Threshold(0.1, 20.0),
    "SiLU": lambda nn: nn.SiLU(),
    "Softplus": lambda nn: nn.Softplus(),
    "Sigmoid": lambda nn: nn.Sigmoid(),
    "Tanh": lambda nn: nn.Tanh(),
    "Softmax": lambda nn: nn.Softmax(dim=-1),
    "LogSoftmax": lambda nn: nn.LogSoftmax(dim=-1),
    "LayerNorm": lambda nn: nn.LayerNorm(5, eps=0.2),
    "LayerNorm without bias": lambda nn: nn.LayerNorm(5, bias=False),
    "LayerNorm alone": lambda nn: nn.LayerNorm((5,), elementwise_affine=False),
    "RMSNorm": lambda nn: nn.RMSNorm(5, eps=0.2),
    "RMSNorm at the defaults": lambda nn: nn.RMSNorm(5, elementwise_affine=False),
    "BatchNorm1d": lambda nn: _moved(nn.BatchNorm1d(5, eps=0.2, momentum=0.3)),
    "BatchNorm1d alone": lambda nn: _moved(nn.BatchNorm1d(5, affine=False, momentum=None)),
    "GroupNorm": lambda nn: nn.GroupNorm(5, 5, eps=0.2),
    "PReLU": lambda nn: nn.PReLU(5, 0.3),
    "PReLU of one slope": lambda nn: nn.PReLU(init=-0.4),
    "Dropout": lambda nn: nn.Dropout(0.25),
    "AlphaDropout": lambda nn: nn.AlphaDropout(0.25),
    "Flatten": lambda nn: nn.Flatten(),
    "Unflatten": lambda nn: nn.Sequential(nn.Unflatten(1, (5, 1)), nn.Flatten()),
    "Identity": lambda nn: nn.Identity(),
    "Linear": lambda nn: nn.Linear(5, 7, bias=False),
}


@pytest.mark.parametrize("kind", MODULES)
def test_each_module(torch, nn, kind):
    middle = MODULES[kind](nn)
    module = nn.Sequential(nn.Linear(4, 5), middle)
    model = brought(torch, module, 3 * travelling.rows(4))
    near(
        answer(torch, fastnn.to_torch(model), travelling.rows(4)), model.predict(travelling.rows(4))
    )
    alone = nn.Sequential(middle)
    if kind != "Identity":
        brought(torch, alone, travelling.rows(5), input_shape=(5,))


def test_all_layers_with_weights_by_state_dict(torch, nn):
    """There and back as modules, and by their names of weights."""
    module = nn.Sequential(
        *(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(12, 8), _moved(nn.BatchNorm1d(8))),
        *(nn.PReLU(8), nn.GroupNorm(2, 8), nn.RMSNorm(8, eps=1e-3), nn.LayerNorm(8), nn.PReLU()),
        *(nn.GLU(), nn.Linear(4, 2)),
    )
    for parameter in module.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter)
    x = travelling.whole_numbers("int64")[:, :3]
    model = brought(torch, module, x, input_shape=(3,))
    sent(torch, model, x)
    fresh = fastnn.models.clone_model(model)
    interop.load_state_dict(fresh, module.state_dict())
    near(predicted(fresh, [x]), answer(torch, module, x))
    found = {k: torch.from_numpy(v) for k, v in interop.state_dict(fresh).items()}
    there = fastnn.to_torch(fastnn.models.clone_model(model))
    there.load_state_dict(found, strict=False)
    near(answer(torch, there, x), predicted(model, [x]))
    made = [layers.Input((2, 3)), layers.PReLU(), layers.Flatten(), layers.Dense(1)]
    with pytest.raises(ValueError, match=r"'pre_lu': PyTorch, unless its slopes .* of PReLU"):
        fastnn.to_torch(fastnn.Sequential(made))


def test_every_module_that_is_read_is_tested():
    tested = {name.partition(" ")[0] for name in MODULES} | {"Embedding", "GLU"}
    assert tested == set(torch_modules.READERS)


def test_an_embedding_of_whole_numbers(torch, nn):
    module = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(36, 2))
    x = travelling.whole_numbers("int64")
    model = brought(torch, module, x, input_shape=(12,))
    near(answer(torch, fastnn.to_torch(model), x), model.predict(x))


def test_one_module(torch, nn):
    brought(torch, nn.Linear(4, 3), travelling.rows(4))
    brought(torch, nn.LayerNorm(4), travelling.rows(4))


def test_the_shape_of_a_row(torch, nn):
    """It goes through what leaves shapes as they are; a Flatten does not tell it."""
    brought(torch, nn.Sequential(nn.Dropout(0.5), nn.ReLU(), nn.Linear(4, 3)), travelling.rows(4))
    for first in (nn.Flatten(), nn.Unflatten(1, (2, 2)), nn.ReLU()):
        with pytest.raises(ValueError, match="input_shape: give the shape of one row"):
            fastnn.from_torch(nn.Sequential(first))
    model = fastnn.from_torch(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), input_shape=[4])
    assert model.input_shape == (None, 4)
    with pytest.raises(TypeError, match="input_shape: expected a tuple"):
        fastnn.from_torch(nn.Sequential(nn.Flatten()), input_shape=4)


def test_names_of_children(nn):
    from collections import OrderedDict

    inner = nn.Sequential(nn.Linear(4, 4))
    children = OrderedDict(hidden=nn.Linear(4, 4), act=nn.Tanh(), drop=nn.Dropout(0.1), block=inner)
    model = fastnn.from_torch(nn.Sequential(children), name="net")
    assert model.name == "net"
    assert [layer.name for layer in model.layers] == ["hidden", "drop", "block.0"]


def test_derived_modules(torch, nn):
    """A class of one's own counts as what it derives from while `forward` is the same."""

    class Net(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(4, 5), nn.ReLU())

    class Other(Net):
        def forward(self, x):
            return super().forward(x) * 2

    brought(torch, nn.Sequential(Net(), nn.Linear(5, 2)), travelling.rows(4))
    with pytest.raises(ValueError, match=r"1 \(Other\): .*`forward`.*load_state_dict"):
        fastnn.from_torch(nn.Sequential(nn.Linear(4, 4), Other()))


def test_shared_modules(torch, nn):
    relu, linear = nn.ReLU(), nn.Linear(4, 4)
    brought(torch, nn.Sequential(linear, relu, nn.Linear(4, 4), relu), travelling.rows(4))
    with pytest.raises(ValueError, match=r"^1\.0 \(Linear\): the module occurs twice"):
        fastnn.from_torch(nn.Sequential(linear, nn.Sequential(linear)))


def test_hooks_are_refused(nn):
    linear = nn.Linear(4, 4)
    linear.register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match=r"0 \(Linear\): it has hooks"):
        fastnn.from_torch(nn.Sequential(linear))


REFUSED = {
    "Conv1d": (lambda nn: nn.Conv1d(1, 1, 1), "no layer for Conv1d; fastnn trains dense networks"),
    "BatchNorm2d": (lambda nn: nn.BatchNorm2d(4), "no layer for BatchNorm2d; use 'BatchNormal"),
    "BatchNorm1d": (
        lambda nn: nn.BatchNorm1d(4, track_running_stats=False),
        "track_running_stats: expected True",
    ),
    "Embedding": (lambda nn: nn.Embedding(4, 2, max_norm=1.0), "max_norm: expected None"),
    "Hardtanh": (lambda nn: nn.Hardtanh(-2.0, 2.0), "limits of -1 and 1"),
    "Softplus": (lambda nn: nn.Softplus(beta=2), "beta=2"),
    "Softmax": (lambda nn: nn.Softmax(dim=0), "dim: expected 1 or -1"),
    "CELU": (lambda nn: nn.CELU(-0.5), "alpha"),
    "LeakyReLU": (lambda nn: nn.LeakyReLU(-1.0), "negative_slope"),
    "Dropout": (lambda nn: nn.Dropout(1.0), "rate"),
    "LayerNorm": (lambda nn: nn.LayerNorm((2, 2)), "normalized_shape: expected one axis"),
    "Flatten": (lambda nn: nn.Flatten(0), "start_dim=1"),
    "Unflatten": (lambda nn: nn.Unflatten(0, (2, 2)), "dim=1"),
    "LazyLinear": (lambda nn: nn.LazyLinear(4), "it has hooks"),
    "Linear": (lambda nn: nn.Linear(3, 4), r"expected a kernel of shape \(4, 4\)"),
}


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize("kind", REFUSED)
def test_refusals_name_the_module(nn, kind):
    make, words = REFUSED[kind]
    module = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), make(nn)))
    with pytest.raises(ValueError, match=rf"^1\.1 \({type(make(nn)).__name__}\): .*{words}"):
        fastnn.from_torch(module)


def test_what_is_no_module(nn):
    with pytest.raises(TypeError, match=r"module: expected a torch\.nn\.Module, got list"):
        fastnn.from_torch([nn.Linear(4, 4)])
    with pytest.raises(ValueError, match="got an empty module"):
        fastnn.from_torch(nn.Sequential())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats_become_float32(torch, nn, dtype):
    linear = nn.Linear(4, 3).to(getattr(torch, dtype))
    model = fastnn.from_torch(linear)
    assert model.dtype == "float32"
    assert np.array_equal(model.get_weights()[0], linear.weight.detach().float().numpy().T)
    assert fastnn.from_torch(linear, dtype="float64").dtype == "float64"


def test_weights_are_copies(torch, nn):
    linear = nn.Linear(4, 3)
    model = fastnn.from_torch(linear)
    before = model.get_weights()[0]
    with torch.no_grad():
        linear.weight.zero_()
    assert np.array_equal(model.get_weights()[0], before)
    module = fastnn.to_torch(model)
    model.set_weights([w * 0 for w in model.get_weights()])
    assert np.array_equal(next(module.parameters()).detach().numpy().T, before)


# -- to PyTorch


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cls", travelling.CLASSES, ids=lambda cls: cls.__name__)
def test_each_layer_goes_or_is_refused_by_name(torch, cls, dtype):
    *before, layer = travelling.alone(cls)
    x = travelling.rows(12, dtype=dtype)
    if cls in travelling.NUMBERED:
        x = travelling.whole_numbers("int64")
    if layer.merges:
        model, _ = travelling.of_class(cls)
        with pytest.raises(ValueError, match="is no chain of layers"):
            fastnn.to_torch(model)
        return
    first = (
        [layer] if isinstance(layer, layers.InputLayer) else [layers.Input((12,)), *before, layer]
    )
    if isinstance(layer, layers.InputLayer):
        x = travelling.rows(4, dtype=dtype)
    chain = [*first, layers.Flatten(), layers.Dense(2, "tanh")]
    model = travelling.with_weights(fastnn.Sequential(chain, dtype=dtype))
    if cls in torch_modules.WRITERS or cls in (layers.InputLayer, layers.Rescaling):
        sent(torch, model, x)
        return
    with pytest.raises(ValueError, match=f"PyTorch has no form of {cls.__name__}"):
        fastnn.to_torch(model)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", [*travelling.ACTIVATIONS, *travelling.WITH_PARAMETERS])
def test_each_activation(torch, activation, dtype):
    model = travelling.chain([activation, activation], dtype)
    x = 3 * travelling.rows(6, dtype=dtype)
    if activation in travelling.NOT_IN_TORCH:
        with pytest.raises(ValueError, match="'dense': PyTorch has no form of the activation"):
            fastnn.to_torch(model)
        return
    module = sent(torch, model, x)
    near(predicted(fastnn.from_torch(module), [x]), predicted(model, [x]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_there_and_back(torch, dtype):
    model = travelling.everything(dtype)
    x = travelling.rows(3, 4, dtype=dtype)
    module = sent(torch, model, x)
    assert not module.training
    back = fastnn.from_torch(module, input_shape=(3, 4))
    assert np.array_equal(back.predict(x), model.predict(x))
    names = [name for name, _ in module.named_children()]
    assert names[:3] == ["flatten", "dense", "dense_relu"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("use_bias", [True, False])
def test_rescaling_goes_into_the_kernel_after_it(torch, use_bias, dtype):
    made = [layers.Rescaling(1 / 255, -0.5, input_shape=(2, 3)), layers.Flatten()]
    made += [layers.Rescaling(2.0), layers.Dense(4, "relu", use_bias=use_bias), layers.Dense(2)]
    model = travelling.with_weights(fastnn.Sequential(made, dtype=dtype))
    sent(torch, model, 255 * abs(travelling.rows(2, 3, dtype=dtype)))
    for after in (
        [],
        [layers.Activation("tanh"), layers.Dense(3)],
        [layers.Dropout(0.5), layers.Dense(1)],
    ):
        model = fastnn.Sequential([layers.Rescaling(2.0, 1.0, input_shape=(3,), name="r"), *after])
        with pytest.raises(
            ValueError, match=r"layer 'r': nn\.Sequential, except before a Dense, has no"
        ):
            fastnn.to_torch(model)


@pytest.mark.usefixtures("torch")
def test_graphs_and_layers_of_ones_own_are_refused():
    model, _ = travelling.graph()
    with pytest.raises(ValueError, match="to_torch: the model 'model' is no chain of layers"):
        fastnn.to_torch(model)
    x = fastnn.Input((4,))
    shared = layers.Dense(4, name="shared")
    with pytest.raises(ValueError, match="no chain of layers, at layer 'shared'"):
        fastnn.to_torch(fastnn.Model(x, shared(shared(x))))
    only_beta = layers.LayerNormalization(scale=False, name="norm", input_shape=(4,))
    with pytest.raises(
        ValueError, match="layer 'norm': PyTorch, unless it has a gamma, has no form"
    ):
        fastnn.to_torch(fastnn.Sequential([only_beta]))
    with pytest.raises(RuntimeError, match="to_torch: the model is not built"):
        fastnn.to_torch(fastnn.Sequential([layers.Dense(3)]))


@pytest.mark.usefixtures("torch")
def test_several_outputs_are_refused():
    """Also where each layer is called on the one before it."""
    x = fastnn.Input((4,))
    h = layers.Dense(3, "relu")(x)
    with pytest.raises(ValueError, match="has outputs besides that of its last layer; nn"):
        fastnn.to_torch(fastnn.Model(x, [h, layers.Dense(2)(h)]))


def test_names_that_modules_cannot_have(torch):
    """Names with dots, and those of methods."""
    made = [layers.Dense(4, name="block.0", input_shape=(4,)), layers.Dense(4, name="forward")]
    model = fastnn.Sequential(made)
    module = sent(torch, model, travelling.rows(4))
    assert [name for name, _ in module.named_children()] == ["block_0", "forward_"]


def test_training_goes_on_there(torch):
    """Dropout is in the module, and acts after train()."""
    module = fastnn.to_torch(travelling.everything())
    module.train()
    x = torch.ones(2, 3, 4)
    assert not torch.equal(module(x), module(x))
    module(x).sum().backward()
    assert all(p.grad is not None for p in module.parameters())


# -- files


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_files(torch, suffix, tmp_path):
    model = travelling.everything()
    path = tmp_path / f"weights{suffix}"
    interop.save_state_dict(model, path)
    module = fastnn.to_torch(model)
    if suffix != ".safetensors":
        read = torch.load(path, weights_only=True)
        assert list(read) == list(module.state_dict())
        module.load_state_dict(read)
    fresh = travelling.everything()
    fresh.set_weights([w * 0 for w in fresh.get_weights()])
    interop.load_state_dict(fresh, path)
    assert all(map(np.array_equal, fresh.get_weights(), model.get_weights()))


def test_a_file_that_would_run_code(torch, nn, tmp_path):
    path = tmp_path / "module.pt"
    torch.save(nn.Linear(4, 3), path)
    model = travelling.chain(["relu"])
    with pytest.raises(ModelFileError, match=r"module\.pt: it holds more than weights"):
        interop.load_state_dict(model, path)
    path.write_bytes(b"no file of torch")
    with pytest.raises(ModelFileError, match=r"module\.pt: "):
        interop.load_state_dict(model, path)


def test_a_module_of_any_form_gives_its_weights(torch, nn):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.norm, self.fc2 = nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 2)

        def forward(self, x):
            return self.fc2(torch.relu(self.norm(self.fc1(x))))

    module = Net()
    made = [layers.Dense(5, input_shape=(4,)), layers.LayerNormalization(epsilon=1e-5)]
    model = fastnn.Sequential([*made, layers.ReLU(), layers.Dense(2)])
    x = travelling.rows(4)
    interop.load_state_dict(model, module.state_dict())
    near(model.predict(x), answer(torch, module, x))
    checkpoint = {
        "epoch": 3,
        "state_dict": {f"module.{k}": v for k, v in module.state_dict().items()},
    }
    model.set_weights([w * 0 for w in model.get_weights()])
    interop.load_state_dict(model, checkpoint)
    near(model.predict(x), answer(torch, module, x))
