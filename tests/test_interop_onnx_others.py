"""Files that PyTorch and scikit-learn wrote give what their models give."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_files import near, same, saved

import fastnn


class Models:
    """What PyTorch writes: modules by name, and rows for those that take other ones than x."""

    def __init__(self, torch):
        nn, functional = torch.nn, torch.nn.functional

        class Unit(nn.Module):
            def forward(self, x):
                return functional.normalize(x, dim=-1)

        class Turned(nn.Module):
            def forward(self, x):
                return x.reshape(-1, 2, 3).transpose(1, 2).flatten(1)

        self.modules = {
            "norms": [nn.BatchNorm1d(6), nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU()],
            "layer norm": [nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)],
            "group norm": [nn.Linear(6, 8), nn.GroupNorm(4, 8), nn.GroupNorm(1, 8, affine=False)],
            "rms norm": [nn.Linear(6, 8), nn.RMSNorm(8), nn.RMSNorm(8, 0.1, False)],
            "silu": [nn.Linear(6, 8), nn.SiLU(), nn.Dropout(0.5), nn.Linear(8, 3)],
            "others": [nn.Linear(6, 8), nn.ReLU6(), nn.SELU(), nn.CELU(1.5), nn.Softplus()],
            "mish": [nn.Linear(6, 8), nn.Mish(), nn.Hardswish(), nn.PReLU(8), nn.Softmax(1)],
            "log sigmoid": [nn.Linear(6, 8), nn.LogSigmoid(), nn.Sigmoid(), nn.PReLU()],
            "lengths": [nn.Linear(6, 8), Unit(), nn.Tanhshrink(), nn.Softsign()],
            "turned": [Turned(), nn.Linear(6, 2)],
            "table": [nn.Embedding(7, 5), nn.Flatten(), nn.Linear(15, 2)],
        }
        self.rows = {"table": torch.randint(0, 7, (5, 3))}


WHICH = (
    *("norms", "layer norm", "group norm", "rms norm", "silu", "others", "mish", "log sigmoid"),
    *("lengths", "turned", "table"),
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("which", WHICH)
def test_models_of_pytorch(which, dynamo, tmp_path):
    torch = pytest.importorskip("torch")
    if dynamo:
        pytest.importorskip("onnxscript")
    elif which == "rms norm":
        pytest.skip("the older exporter has no RMSNorm")
    torch.manual_seed(0)
    known = Models(torch)
    modules = known.modules[which]
    module = torch.nn.Sequential(*modules).eval()
    for name, part in (*module.named_parameters(), *module.named_buffers()):
        if name.endswith("running_var"):
            part.uniform_(0.5, 2)
        elif part.dim() == 1 and part.is_floating_point():
            torch.nn.init.normal_(part)
    x = known.rows.get(which, torch.randn(5, 6))
    path = tmp_path / "model.onnx"
    if dynamo:
        shapes = ({0: torch.export.Dim("batch")},)
        options = {"dynamic_shapes": shapes, "verbose": False}
    else:
        options = {"dynamic_axes": {"x": {0: "batch"}}}
    torch.onnx.export(module, (x,), str(path), dynamo=dynamo, input_names=["x"], **options)
    model = same(path, {"x": x.numpy()}, 2e-6)
    with torch.no_grad():
        near(model.predict(x.numpy()), module(x).numpy(), 2e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("which", ["regressor", "two classes", "three classes", "scaled"])
def test_models_of_scikit_learn(which, dtype, tmp_path):
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.random.default_rng(0).normal(3, 2, (60, 5)).astype(dtype)
    options = {"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0}
    if which == "regressor":
        found, y = MLPRegressor(activation="tanh", **options), x[:, 0]
    else:
        found = MLPClassifier(**options)
        y = (x[:, 0] * (1 if which == "two classes" else 0.5)).astype(int) % 3
        y = y % 2 if which == "two classes" else y
    if which == "scaled":
        found = make_pipeline(StandardScaler(), found)
    found.fit(x, y)
    zipped = None if which == "regressor" else {"zipmap": False}
    proto = skl2onnx.to_onnx(found, x[:1], options=zipped)
    path = saved(tmp_path, proto)
    if which == "regressor":
        near(fastnn.from_onnx(path).predict(x)[:, 0], found.predict(x).astype(dtype), 1e-5)
        return
    with pytest.raises(ValueError, match=r"ArgMax.*`outputs` names the outputs to read"):
        fastnn.from_onnx(path)
    model = fastnn.from_onnx(path, outputs="probabilities")
    near(model.predict(x), found.predict_proba(x).astype(dtype), 1e-5)
