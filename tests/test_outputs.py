"""Models of several outputs: every form of outputs, losses, metrics, targets and weights."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, losses, metrics, optimizers
from fastnn import math as f

RNG = np.random.default_rng(0)
N = 60
X = RNG.normal(size=(N, 5))
LABELS = RNG.integers(0, 3, N)
YES = (RNG.random((N, 2)) < 0.5).astype(float)
NUMBERS = RNG.normal(size=N)
WEIGHTS = RNG.random(N)
LOSSES = {"kind": "sparse_categorical_crossentropy", "tags": "binary_crossentropy", "size": "mse"}
TARGETS = {"kind": LABELS, "tags": YES, "size": NUMBERS}


class Told:
    """Models that have said already that they train over the tape: warnings are errors here."""

    @staticmethod
    def now(model: Any) -> Any:
        model._told = True
        return model


def drawn(form: Any = list, seed: int = 1) -> Any:
    """A graph with a softmax, a sigmoid that another layer reads, and a linear end."""
    inputs = fastnn.Input((5,))
    hidden = layers.Dense(8, "tanh")(inputs)
    kind = layers.Dense(3, "softmax", name="kind")(hidden)
    tags = layers.Dense(2, "sigmoid", name="tags")(hidden)
    size = layers.Dense(1, name="size")(layers.Concatenate()([hidden, tags]))
    outputs: Any = {"kind": kind, "tags": tags, "size": size}
    if form is not dict:
        outputs = form(outputs.values())
    return Told.now(fastnn.Model(inputs, outputs, seed=seed, dtype="float64"))


class Traced(fastnn.Model):
    """The same by a `call` that is traced."""

    def __init__(self, form: Any = list) -> None:
        super().__init__(seed=1, dtype="float64")
        self.hidden = layers.Dense(8, "tanh")
        self.kind, self.tags = layers.Dense(3, "softmax"), layers.Dense(2, "sigmoid")
        self.join, self.size = layers.Concatenate(), layers.Dense(1)
        self.form = form
        self._told = True

    def call(self, inputs: Any) -> Any:
        hidden = self.hidden(inputs)
        tags = self.tags(hidden)
        found = [self.kind(hidden), tags, self.size(self.join([hidden, tags]))]
        return dict(zip(LOSSES, found, strict=True)) if self.form is dict else self.form(found)


class Eager(Traced):
    """The same by a `call` that is no graph."""

    def call(self, inputs: Any) -> Any:
        return super().call(inputs * 1.0 + f.reduce_sum(inputs * 0.0))


def by_hand(weights: dict[str, float], by_row: Any, epochs: int, x: Any = X) -> Any:
    """A loop over the tape: the losses of the epochs, and the model."""
    model, optimizer = drawn(), optimizers.Adam(0.02)
    found = []
    for _ in range(epochs):
        sums: dict[str, list[float]] = {name: [] for name in weights}
        for begin in range(0, len(x), 16):
            rows = slice(begin, begin + 16)
            with fastnn.GradientTape() as tape:
                outputs = dict(zip(LOSSES, model(x[rows], training=True), strict=True))
                total: Any = 0.0
                for name, weight in weights.items():
                    loss = losses.get(LOSSES[name])
                    w = None if by_row is None else by_row[name][rows]
                    value = loss(TARGETS[name][rows], outputs[name], w)
                    scale = 1.0 if w is None else w.mean() / by_row[name].mean()
                    total = total + value * (weight * scale)
                    sums[name].append(float(value) * (len(x[rows]) if w is None else w.sum()))
            variables = model.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))
        n = {name: N if by_row is None else by_row[name].sum() for name in weights}
        found.append({name: sum(parts) / n[name] for name, parts in sums.items()})
    return found, model


def same_weights(a: Any, b: Any, tolerance: float = 1e-9) -> None:
    for v, w in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(v, w, rtol=tolerance, atol=1e-10)


FORMS: dict[str, tuple[Any, Any, Any, Any]] = {
    # outputs, loss, loss_weights, y
    "lists": (list, list(LOSSES.values()), [1, 0.5, 2], list(TARGETS.values())),
    "tuples": (tuple, tuple(LOSSES.values()), (1, 0.5, 2), tuple(TARGETS.values())),
    "dictionaries": (dict, LOSSES, {"kind": 1, "tags": 0.5, "size": 2}, TARGETS),
    "names of a list": (list, LOSSES, {"tags": 0.5, "size": 2}, TARGETS),
    "a list for a dictionary": (dict, list(LOSSES.values()), [1, 0.5, 2], list(TARGETS.values())),
}


@pytest.mark.parametrize("made", [drawn, Traced, Eager])
@pytest.mark.parametrize("name", FORMS)
def test_it_trains_as_a_loop_by_hand(name: str, made: Any) -> None:
    form, loss, loss_weights, y = FORMS[name]
    model = made(form)
    if made is Eager:
        if name == "names of a list":
            pytest.skip("a call that is no graph has no names of layers")
        fastnn.utils.set_random_seed(0)
        model(X[:1])
        model.set_weights(drawn().get_weights())
    if made is Traced and name == "names of a list":
        model.build((None, 5))
        names = [layer.name for layer in (model.kind, model.tags, model.size)]
        loss = dict(zip(names, LOSSES.values(), strict=True))
        loss_weights = dict(zip(names, (1, 0.5, 2), strict=True))
        y = dict(zip(names, TARGETS.values(), strict=True))
    model.compile(optimizers.Adam(0.02), loss, loss_weights)
    history = model.fit(X, y, 16, 3, 0, shuffle=False).history
    wanted, other = by_hand({"kind": 1.0, "tags": 0.5, "size": 2.0}, None, 3)
    if made is drawn:
        same_weights(model, other)
    found = [value for key, value in history.items() if key.endswith("_loss")]
    np.testing.assert_allclose(
        np.transpose(found), [list(row.values()) for row in wanted], rtol=1e-9
    )
    total = found[0] + 0.5 * np.array(found[1]) + 2 * np.array(found[2])
    np.testing.assert_allclose(history["loss"], total, rtol=1e-12)
    outputs = model.predict(X, batch_size=13)
    assert type(outputs) is form
    parts = list(outputs.values()) if form is dict else list(outputs)
    assert [part.shape for part in parts] == [(N, 3), (N, 2), (N, 1)]
    for a, b in zip(parts, other(X), strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-9)


def test_names_in_logs() -> None:
    model = drawn()
    model.compile(
        "adam",
        LOSSES,
        metrics={"kind": ["accuracy"], "size": "mae"},
        weighted_metrics=[["acc"], [], []],
    )
    history = model.fit(X, TARGETS, verbose=0, sample_weight=WEIGHTS, validation_split=0.3).history
    names = ["loss", "kind_loss", "tags_loss", "size_loss", "kind_accuracy", "size_mae", "kind_acc"]
    assert list(history) == names + [f"val_{name}" for name in names]
    tested = model.evaluate(X, TARGETS, verbose=0, return_dict=True)
    assert list(tested) == names
    assert model.metrics_names == names
    assert model.evaluate(X, TARGETS, verbose=0) == list(tested.values())
    kind = model.predict(X)[0]
    assert tested["kind_accuracy"] == pytest.approx((kind.argmax(axis=1) == LABELS).mean())
    stop = fastnn.callbacks.EarlyStopping("val_kind_accuracy", min_delta=1.0)
    assert (
        len(
            model.fit(X, TARGETS, epochs=5, verbose=0, validation_split=0.3, callbacks=[stop]).epoch
        )
        == 2
    )
    # Outputs in a list that a `call` returns have numbers; those of a graph, names of layers.
    eager = Eager()
    eager.compile("adam", list(LOSSES.values()), metrics=[[], [], ["mae"]])
    history = eager.fit(X, list(TARGETS.values()), verbose=0).history
    assert list(history) == [
        "loss",
        "output_1_loss",
        "output_2_loss",
        "output_3_loss",
        "output_3_mae",
    ]


@pytest.mark.parametrize("form", ["one for all", "by name", "in order"])
def test_weights_of_rows(form: str) -> None:
    by_row = {"kind": WEIGHTS, "tags": WEIGHTS, "size": WEIGHTS}
    given: Any = WEIGHTS
    if form != "one for all":
        by_row = {"kind": WEIGHTS, "tags": WEIGHTS[::-1].copy(), "size": WEIGHTS**2}
        given = by_row if form == "by name" else list(by_row.values())
    model = drawn()
    model.compile(optimizers.Adam(0.02), LOSSES)
    history = model.fit(X, TARGETS, 16, 2, 0, sample_weight=given, shuffle=False).history
    wanted, other = by_hand({"kind": 1.0, "tags": 1.0, "size": 1.0}, by_row, 2)
    same_weights(model, other)
    for name in LOSSES:
        found = history[f"{name}_loss"]
        np.testing.assert_allclose(found, [row[name] for row in wanted], rtol=1e-9)


def test_an_output_without_a_loss() -> None:
    wanted, other = by_hand({"kind": 1.0, "size": 1.0}, None, 2)
    for loss, y in (
        ({"kind": LOSSES["kind"], "size": "mse"}, {"kind": LABELS, "size": NUMBERS}),
        ([LOSSES["kind"], None, "mse"], [LABELS, NUMBERS]),
        ([LOSSES["kind"], None, "mse"], [LABELS, None, NUMBERS]),
        ([LOSSES["kind"], None, "mse"], TARGETS),
    ):
        model = drawn()
        model.compile(optimizers.Adam(0.02), loss)
        before = model.get_layer("tags").kernel.numpy()
        history = model.fit(X, y, 16, 2, 0, shuffle=False).history
        assert list(history) == ["loss", "kind_loss", "size_loss"]
        assert history["kind_loss"] == pytest.approx([row["kind"] for row in wanted])
        same_weights(model, other)
        assert (model.get_layer("tags").kernel.numpy() != before).any()  # the end reads them
    model.compile("adam", [LOSSES["kind"], None, None])
    history = model.fit(X, [LABELS], 16, 1, 0).history
    assert list(history) == ["loss"]


def test_one_loss_for_all_and_losses_of_ones_own() -> None:
    inputs = fastnn.Input((5,))
    ends = [layers.Dense(2, name=name)(inputs) for name in ("a", "b")]
    y = [RNG.normal(size=(N, 2)) for _ in range(2)]
    found: list[Any] = []
    model = Told.now(fastnn.Model(inputs, ends, seed=1))
    first = model.get_weights()
    for loss in (
        "mse",
        lambda t, p: f.square(t - p),
        [losses.MeanSquaredError(), lambda t, p: f.square(t - p)],
    ):
        model.set_weights(first)
        model.compile("sgd", loss, metrics="mae")
        found.append(model.fit(X, y, 16, 2, 0, shuffle=False).history)
        assert list(found[-1]) == ["loss", "a_loss", "b_loss", "a_mae", "b_mae"]
    for other in found[1:]:
        for name, values in other.items():
            np.testing.assert_allclose(values, found[0][name], rtol=1e-5)


def test_wrong_numbers() -> None:
    model = drawn()
    for how, message in (
        ({"loss": ["mse", "mse"]}, "loss: expected a list of 3, one for each output, .* got 2"),
        ({"loss": {"kinds": "mse"}}, "loss: output: unknown name 'kinds', did you mean 'kind'"),
        ({"loss": LOSSES, "loss_weights": [1, 2]}, "loss_weights: expected a list of 3"),
        ({"loss": LOSSES, "loss_weights": {"x": 1}}, "loss_weights: output: unknown name 'x'"),
        ({"loss": LOSSES, "loss_weights": [1, 2, -1]}, r"loss_weights\[2\]: expected a finite"),
        ({"loss": [None, None, None]}, "compile: expected a loss"),
    ):
        with pytest.raises(ValueError, match=message):
            model.compile("adam", **how)
    for how, message in (
        ({"metrics": ["mae"]}, "metrics: expected a list of 3"),
        ({"metrics": {"kinds": ["mae"]}}, "metrics: output: unknown name 'kinds'"),
        ({"metrics": [["accurcy"], [], []]}, "did you mean 'accuracy'"),
        ({"metrics": [[], [], ["accuracy"]]}, "accuracy"),
    ):
        model.compile("adam", LOSSES, **how)
        with pytest.raises(ValueError, match=message):
            model.fit(X, TARGETS, verbose=0)
    model.compile("adam", LOSSES)
    before = model.get_weights()
    for y, message in (
        ([LABELS, YES], "y: expected a list of 3"),
        (LABELS, "y: expected a list of 3, .* got an array of shape"),
        ({"kind": LABELS}, "y: expected targets of the output 'tags'"),
        ({**TARGETS, "other": LABELS}, "y: output: unknown name 'other'"),
        ({**TARGETS, "size": NUMBERS[:4]}, "y: expected 60 rows, as x has, got shape"),
        (
            {**TARGETS, "kind": LABELS + 1},
            r"output 'kind': y: expected integers in \[0, 3\), got 3",
        ),
        ({**TARGETS, "tags": YES * 2}, "output 'tags': y: expected numbers in"),
        (
            {**TARGETS, "size": NUMBERS + np.nan},
            "output 'size': y: expected finite numbers, got nan",
        ),
        ({**TARGETS, "tags": NUMBERS}, "output 'tags': y: shape"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(X, y, verbose=0)
    with pytest.raises(ValueError, match=r"class_weight: .* several outputs"):
        model.fit(X, TARGETS, class_weight={0: 1}, verbose=0)
    with pytest.raises(ValueError, match="sample_weight: output: unknown name 'x'"):
        model.fit(X, TARGETS, sample_weight={"x": WEIGHTS}, verbose=0)
    with pytest.raises(ValueError, match="output 'tags': sample_weight"):
        model.fit(X, TARGETS, sample_weight=[WEIGHTS, -WEIGHTS, WEIGHTS], verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(RuntimeError, match="the model trains over a tape, since it has several"):
        model.session(8)
    with pytest.raises(TypeError, match="outputs: expected what layers make"):
        fastnn.Model(fastnn.Input((2,)), [3])
    with pytest.raises(ValueError, match="outputs: expected what layers make"):
        fastnn.Model(fastnn.Input((2,)), [])
    one = fastnn.Sequential([layers.Dense(1, input_shape=(5,))])
    one.compile("sgd", ["mse"], metrics=[["mae"]])
    one.fit(X, NUMBERS, verbose=0)  # natively
    one.compile("sgd", ["mse", "mae"])
    with pytest.raises(ValueError, match="loss: the model has one output, got 2"):
        Told.now(one).fit(X, NUMBERS, verbose=0)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("made", [drawn, Traced, Eager])
def test_copies(made: Any, way: Any) -> None:
    model = made(dict)
    model.compile("adam", LOSSES, metrics={"kind": "accuracy"})
    model.fit(X, TARGETS, 16, 2, 0, validation_split=0.2)
    other = way(model)
    a, b = (m.fit(X, TARGETS, 16, 2, 0, validation_split=0.2).history for m in (model, other))
    assert a == b
    same_weights(model, other, 0)


# -- the native pass -------------------------------------------------------------------------------

ENDS: dict[str, Any] = {
    "softmax": lambda h: layers.Dense(3, "softmax")(h),
    "sigmoid": lambda h: layers.Dense(3, "sigmoid")(h),
    "linear": lambda h: layers.Dense(3)(h),
    "relu": lambda h: layers.Dense(3, "relu")(h),
    "activation": lambda h: layers.Activation("sigmoid")(layers.Dense(3)(h)),
    "Softmax": lambda h: layers.Softmax()(layers.Dense(3)(h)),
    "reshaped": lambda h: layers.Reshape((3, 2))(layers.Dense(6, "softmax")(h)),
    "scaled": lambda h: layers.Rescaling(2.0)(layers.Dense(3, "sigmoid")(h)),
    "normal": lambda h: layers.LayerNormalization()(layers.Dense(3)(h)),
}


@pytest.mark.parametrize("name", ENDS)
def test_outputs_and_gradients_of_each_end(name: str) -> None:
    """Against the layers called one by one; two outputs, one of which reads the other."""
    inputs = fastnn.Input((5,))
    end = ENDS[name](layers.Dense(4, "tanh")(inputs))
    flat = layers.Flatten()(end)
    model = fastnn.Model(
        inputs, [end, layers.Dense(2, "sigmoid")(flat), end], seed=3, dtype="float64"
    )
    shapes = model.output_shape
    assert shapes == [(None, *end.shape[1:]), (None, 2), (None, *end.shape[1:])]

    def one_by_one(x: Any) -> Any:
        h = x
        for layer in model.layers[:-1]:
            if not isinstance(layer, layers.Flatten):
                h = layer(h)
        return h, model.layers[-1](f.reshape(h, (len(h), -1))), h

    x = fastnn.Tensor(X[:7])
    dy = [fastnn.Tensor(RNG.normal(size=np.shape(part))) for part in model(x)]
    found = []
    for call in (model, one_by_one):
        with fastnn.GradientTape() as outer:
            outer.watch(x)
            with fastnn.GradientTape(persistent=True) as tape:
                tape.watch(x)
                outputs = call(x)
                total = sum(
                    (f.reduce_sum(f.sin(a) * b) for a, b in zip(outputs, dy, strict=True)),
                    fastnn.constant(0.0),
                )
            dx = tape.gradient(total, x)
            again = f.reduce_sum(dx * dx)
        grads = tape.gradient(total, model.trainable_variables)
        second = None if name in ("normal",) else outer.gradient(again, x).numpy()
        found.append(([o.numpy() for o in outputs], dx.numpy(), [g.numpy() for g in grads], second))
        assert [o.logits and o.logits[1] for o in outputs] == [
            o.logits and o.logits[1] for o in one_by_one(x)
        ] or name in ("scaled", "normal", "reshaped")
    for a, b in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-9, atol=1e-12)
    for a, b in zip(found[0][2], found[1][2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    if found[0][3] is not None:
        np.testing.assert_allclose(found[0][3], found[1][3], rtol=1e-8, atol=1e-11)


def test_losses_find_the_logits() -> None:
    """At logits of 1000 probabilities are 0 and 1, and the loss is that of the logits."""
    model = drawn()
    for name in ("kind", "tags"):
        layer = model.get_layer(name)
        layer.set_weights([layer.kernel.numpy() * 1e4, layer.bias.numpy()])
    model.compile(optimizers.SGD(1e-9), LOSSES)
    found = model.evaluate(X, TARGETS, verbose=0, return_dict=True)
    assert found["kind_loss"] > 100
    assert found["tags_loss"] > 100
    before = model.get_layer("kind").kernel.numpy()
    model.fit(X, TARGETS, verbose=0)
    assert (model.get_layer("kind").kernel.numpy() != before).any()


def test_metrics_over_the_outputs_of_a_loop() -> None:
    """`metrics` of the model take whole structures, as steps of one's own give them."""

    class Own(fastnn.Model):
        def train_step(self, data: Any) -> Any:
            x, y = data
            with fastnn.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(x, y, y_pred)
            variables = self.trainable_variables
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    found = []
    for cls in (fastnn.Model, Own):
        inputs = fastnn.Input((5,))
        ends = {"a": layers.Dense(3)(inputs), "b": layers.Dense(1)(inputs)}
        model = Told.now(cls(inputs, ends, seed=1))
        model.compile(
            "adam",
            {"a": LOSSES["kind"], "b": "mse"},
            metrics={"a": ["accuracy"], "b": [metrics.MeanAbsoluteError()]},
        )
        found.append(model.fit(X, {"a": LABELS, "b": NUMBERS}, 16, 2, 0).history)
    assert list(found[0]) == ["loss", "a_loss", "b_loss", "a_accuracy", "b_mean_absolute_error"]
    for name, values in found[0].items():
        np.testing.assert_allclose(found[1][name], values, rtol=1e-6, err_msg=name)


def test_with_a_device(emulated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels may run there; the numbers are the same to rounding."""
    monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(emulated))
    found = []
    for device in ("cpu", "cuda"):
        monkeypatch.setenv("FASTNN_DEVICE", device)
        model = drawn()
        model.compile("adam", LOSSES, metrics={"kind": ["accuracy"]})
        history = model.fit(X, TARGETS, 16, 2, 0, validation_split=0.2).history
        found.append((history, model.predict(X)))
    for name, values in found[0][0].items():
        np.testing.assert_allclose(found[1][0][name], values, rtol=1e-9, err_msg=name)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"other": 1.0}, "loss_weights: output: unknown name 'other', .* y"),
        ([1.0, 2.0], "loss_weights: the model has one output, got 2: 1.0, 2.0"),
    ],
)
@pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")
def test_wrong_loss_weights_of_one_output(given: Any, message: str) -> None:
    for call in ("fit", "evaluate"):
        model = fastnn.Sequential([layers.Dense(1, input_shape=(3,), name="y")])
        with pytest.raises(ValueError, match=message):  # noqa: PT012 - a list is looked at later
            model.compile("sgd", "mse", loss_weights=given)
            getattr(model, call)(np.ones((4, 3)), np.ones(4), verbose=0)
    model.compile("sgd", {"y": "mse"}, loss_weights={"y": 2.0})
    model.fit(np.ones((4, 3)), np.ones(4), verbose=0)
