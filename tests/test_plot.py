"""Pictures of models: the boxes and arrows of the SVG, which is read as XML, and where they run."""

from __future__ import annotations

import io
import itertools
import re
import sys
import xml.etree.ElementTree as ET

import networks
import numpy as np
import pytest

import fastnn
from fastnn import layers
from fastnn.pictures.layout import Size, lay_out

SVG = "{http://www.w3.org/2000/svg}"


# -- models ----------------------------------------------------------------------------------------


def chain():
    return fastnn.Sequential(
        [fastnn.Input((20,)), layers.Dense(64, "relu"), layers.Dropout(0.5), layers.Dense(3)]
    )


def skip():
    inputs = fastnn.Input((20,), name="features")
    h = layers.Dense(64, "relu")(inputs)
    for _ in range(2):
        h = layers.Add()([h, layers.Dense(64)(layers.LayerNormalization()(h))])
    return fastnn.Model(inputs, layers.Dense(3)(layers.Concatenate()([h, inputs])))


def diamond():
    inputs = fastnn.Input((8,))
    parts = [
        layers.Dense(16, name=name)(inputs) for name in ("left", "a_rather_long_name", "right")
    ]
    return fastnn.Model(inputs, layers.Dense(1)(layers.Concatenate()(parts)))


def shared():
    a, b = fastnn.Input((8,), name="a"), fastnn.Input((8,), name="b")
    tower = layers.Dense(16, "relu", name="tower")
    return fastnn.Model([a, b], layers.Dense(1)(layers.Subtract()([tower(a), tower(b)])))


def two_inputs():
    a, b = fastnn.Input((8,)), fastnn.Input((4,))
    h = layers.Dense(16)(layers.Dense(16)(a))
    return fastnn.Model({"wide": a, "deep": b}, layers.Dense(1)(layers.Concatenate()([h, b])))


def twice():
    inputs = fastnn.Input((8,))
    h = layers.Dense(8)(inputs)
    return fastnn.Model(inputs, layers.Multiply()([h, h]))


class Traced(fastnn.Model):
    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(8, "relu")
        self.back = layers.Dense(4)
        self.head = layers.Dense(3)

    def call(self, inputs):
        return self.head(inputs + self.back(self.hidden(inputs)))


def traced():
    model = Traced()
    model.build((None, 4))
    return model


# Arrows by the names of layers.
EDGES = {
    chain: ["input_layer dense", "dense dropout", "dropout dense_1"],
    skip: [
        *("features dense", "dense layer_normalization", "layer_normalization dense_1"),
        *("dense add", "dense_1 add", "add layer_normalization_1"),
        *("layer_normalization_1 dense_2", "add add_1", "dense_2 add_1"),
        *("add_1 concatenate", "features concatenate", "concatenate dense_3"),
    ],
    diamond: [
        *("input_layer left", "input_layer a_rather_long_name", "input_layer right"),
        *("left concatenate", "a_rather_long_name concatenate", "right concatenate"),
        "concatenate dense",
    ],
    shared: ["a tower", "b tower", "tower subtract", "tower subtract", "subtract dense"],
    two_inputs: [
        *("wide dense", "dense dense_1", "dense_1 concatenate", "deep concatenate"),
        "concatenate dense_2",
    ],
    twice: ["input_layer dense", "dense multiply", "dense multiply"],
    traced: ["input dense", "dense dense_1", "input add", "dense_1 add", "add dense_2"],
}
MODELS = pytest.mark.parametrize("make", EDGES, ids=lambda make: make.__name__)
DIRECTIONS = pytest.mark.parametrize("rankdir", ["TB", "LR"])


# -- reading a picture -----------------------------------------------------------------------------


def boxes(root):
    """The lines of text of each box, and its rectangle (left, top, right, bottom)."""
    found = {}
    for group in root.iter(f"{SVG}g"):
        rect = group.find(f"{SVG}rect")
        x, y, width, height = (float(rect.get(n)) for n in ("x", "y", "width", "height"))
        lines = [text.text for text in group.iter(f"{SVG}text")]
        found[int(group.get("data-box"))] = lines, (x, y, x + width, y + height)
    return found


def arrows(root):
    """(from, to, points along the way), with curves as many points."""
    for path in root.iter(f"{SVG}path"):
        if path.get("class") != "edge":
            continue
        points = []
        for kind, text in re.findall(r"([MLC])([^MLC]*)", path.get("d")):
            numbers = np.array(re.findall(r"[-\d.e]+", text), float).reshape(-1, 2)
            if kind == "C":
                controls = np.array([points[-1], *numbers])
                for t in np.linspace(0, 1, 41)[1:]:
                    weights = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3]
                    points.append(weights @ controls)
            elif kind == "L":
                points += list(np.linspace(points[-1], numbers[0], 21)[1:])
            else:
                points.append(numbers[0])
        yield int(path.get("data-from")), int(path.get("data-to")), np.array(points)


def check_geometry(root):
    """No boxes overlap, arrows begin and end at their boxes, and no arrow runs through a box."""
    found = boxes(root)
    for (_, a), (_, b) in itertools.combinations(found.values(), 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (a, b)
    ends = set()
    for start, end, points in arrows(root):
        for number, point in ((start, points[0]), (end, points[-1])):
            left, top, right, bottom = found[number][1]
            on_edge = (
                np.isclose([point[0] - left, point[0] - right], 0).any()
                or np.isclose([point[1] - top, point[1] - bottom], 0).any()
            )
            assert on_edge
            assert left - 0.01 <= point[0] <= right + 0.01
            assert top - 0.01 <= point[1] <= bottom + 0.01
        assert tuple(points[-1]) not in ends, "two arrows end at one point"
        ends.add(tuple(points[-1]))
        for left, top, right, bottom in (rect for _, rect in found.values()):
            inside = (points[:, 0] > left + 0.01) & (points[:, 0] < right - 0.01)
            inside &= (points[:, 1] > top + 0.01) & (points[:, 1] < bottom - 0.01)
            assert not inside.any(), (start, end)


@DIRECTIONS
@MODELS
def test_boxes_and_arrows(make, rankdir):
    model = make()
    root = ET.fromstring(model.plot(rankdir=rankdir))
    found = boxes(root)
    names = [lines[0] for lines, _ in found.values()]
    assert sorted(f"{names[a]} {names[b]}" for a, b, _ in arrows(root)) == sorted(EDGES[make])
    check_geometry(root)
    x, y, width, height = (float(n) for n in root.get("viewBox").split())
    for _, (left, top, right, bottom) in found.values():
        assert x <= left < right <= x + width
        assert y <= top < bottom <= y + height
    for a, b, _ in arrows(root):  # in the direction of the ranks
        first, second = found[a][1], found[b][1]
        assert first[3] < second[1] if rankdir == "TB" else first[2] < second[0]


def test_lines_of_a_box():
    found = [lines for lines, _ in boxes(ET.fromstring(shared().plot())).values()]
    assert found[0] == ["a", "InputLayer", "(None, 8)"]
    tower = ["tower", "Dense, relu", "(None, 16)"]
    assert [*tower, "144 parameters, call 1 of 2"] in found
    assert [*tower, "the same parameters, call 2 of 2"] in found
    assert ["dense", "Dense", "(None, 1)", "17 parameters"] in found
    plain = shared().plot(
        show_shapes=False,
        show_layer_names=False,
        show_parameters=False,
        show_layer_activations=False,
    )
    found = [lines for lines, _ in boxes(ET.fromstring(plain)).values()]
    assert found[0] == ["InputLayer"]
    assert ["Dense", "call 2 of 2"] in found
    frozen = chain()
    frozen.layers[0].trainable = False
    found = [
        lines
        for lines, _ in boxes(
            ET.fromstring(frozen.plot(show_trainable=True, show_dtype=True))
        ).values()
    ]
    assert found[1] == [
        *("dense", "Dense, relu", "(None, 64)", "float32", "1,344 parameters", "not trainable"),
    ]


def test_text_stays_in_its_box():
    """By the widths of the widest common font of the list."""
    fonts = pytest.importorskip("matplotlib.font_manager", reason="matplotlib is not installed")
    paths = pytest.importorskip("matplotlib.textpath")
    for lines, (left, _, right, _) in boxes(ET.fromstring(diamond().plot())).values():
        for i, line in enumerate(lines):
            font = fonts.FontProperties(family="DejaVu Sans", weight="bold" if i == 0 else "normal")
            width = paths.TextPath((0, 0), line, size=13, prop=font).get_extents().width
            assert width < right - left


@pytest.mark.parametrize("seed", range(25))
@DIRECTIONS
def test_random_graphs(seed, rankdir):
    """Any graph: no overlaps, and no arrow through a box."""
    rng = np.random.default_rng(seed)
    tensors = [fastnn.Input((4,)) for _ in range(rng.integers(1, 4))]
    inputs = list(tensors)
    for i in range(rng.integers(1, 25)):
        chosen = [tensors[j] for j in rng.integers(0, len(tensors), rng.integers(1, 4))]
        name = "x" * int(rng.integers(1, 30)) + str(i)
        layer = layers.Dense(4, name=name) if len(chosen) == 1 else layers.Average(name=name)
        tensors.append(layer(chosen[0] if len(chosen) == 1 else chosen))
    model = fastnn.Model(inputs, layers.Add()(tensors[len(inputs) :] + inputs))
    check_geometry(ET.fromstring(model.plot(rankdir=rankdir)))


def test_layouts_of_their_own():
    """One box, boxes without arrows, and boxes of very different sizes in one rank."""
    one = lay_out([Size(10, 20)], [])
    assert one.corners == [(0, 0)]
    assert one.size == (10, 20)
    apart = lay_out([Size(10, 20)] * 3, [])
    assert len({x for x, _ in apart.corners}) == 3
    layout = lay_out(
        [Size(10, 10), Size(500, 10), Size(10, 300), Size(10, 10)], [(0, 1), (0, 2), (1, 3), (2, 3)]
    )
    tall, low = layout.corners[2], layout.corners[1]
    assert low[1] > tall[1]  # in the middle of its rank
    assert layout.corners[3][1] > tall[1] + 300


# -- names, files, models without a graph ------------------------------------------------------------


def test_names_are_escaped():
    """Whatever a name holds, the picture is XML, and the name is read back."""
    names = ['a<b & "c">', "größe", "層", "]]>", "x\x00\x1by"]
    for name in names:
        model = fastnn.Sequential([layers.Dense(3, name=name, input_shape=(4,))], name=name)
        text = model.plot()
        root = ET.fromstring(text.encode())
        shown = re.sub(r"[\x00-\x1f]", "\N{REPLACEMENT CHARACTER}", name)
        assert [lines for lines, _ in boxes(root).values()][1][0] == shown
        assert root.find(f"{SVG}title").text == shown


def test_the_same_model_gives_the_same_picture():
    assert skip().plot() == skip().plot()
    model = skip()
    assert model.plot() == fastnn.Model.plot(model) == str(model.plot())


def test_pictures_in_notebooks():
    shown = chain().plot()
    assert isinstance(shown, str)
    assert shown._repr_svg_() == shown
    assert repr(shown).startswith("<Picture of ")
    assert shown.startswith("<svg ")


@pytest.mark.parametrize(
    ("suffix", "begin"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<svg")]
)
@DIRECTIONS
def test_files(suffix, begin, rankdir, tmp_path):
    if suffix != ".svg":
        pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    path = tmp_path / f"model{suffix}"
    shown = skip().plot(path, rankdir=rankdir, dpi=50)
    assert path.read_bytes().startswith(begin)
    assert shown == skip().plot(rankdir=rankdir)
    if suffix == ".svg":
        assert path.read_text(encoding="utf-8") == shown


def test_a_png_shows_what_the_svg_shows():
    """Boxes are where the SVG has them: dark edges around pale insides."""
    image = pytest.importorskip("matplotlib.image", reason="matplotlib is not installed")
    file = io.BytesIO()
    shown = shared().plot(file, dpi=96)
    file.seek(0)
    pixels = image.imread(file)[..., :3].mean(axis=2)
    root = ET.fromstring(shown)
    x, y, width, height = (float(n) for n in root.get("viewBox").split())
    assert pixels.shape == pytest.approx((height, width), abs=1)
    for _, (left, top, right, _) in boxes(root).values():
        middle, edge = round((left + right) / 2 - x), round(top - y)
        assert pixels[edge - 2 : edge + 3, middle + 15].min() < 0.6
        assert pixels[edge + 4, middle + 15] == pytest.approx(0.95, abs=0.03)


def test_svg_needs_no_matplotlib(monkeypatch, tmp_path):
    for name in {"matplotlib", *(n for n in sys.modules if n.startswith("matplotlib."))}:
        monkeypatch.setitem(sys.modules, name, None)
    chain().plot(tmp_path / "model.svg")
    with pytest.raises(ImportError, match=r"plot needs matplotlib: .*'\.\[plot\]'"):
        chain().plot(tmp_path / "model.png")
    assert not (tmp_path / "model.png").exists()


def test_models_that_are_not_built():
    """A chain is drawn without what is not known; a `call` has no graph before it is traced."""
    waiting = fastnn.Sequential([layers.Dense(4, "relu"), layers.Dense(2)])
    found = [lines for lines, _ in boxes(ET.fromstring(waiting.plot())).values()]
    assert found == [
        ["input", "InputLayer", "shape not known yet"],
        ["dense", "Dense, relu", "shape not known yet", "parameters not known yet"],
        ["dense_1", "Dense", "shape not known yet", "parameters not known yet"],
    ]
    with pytest.raises(RuntimeError, match="plot: the model has no graph of layers yet; build it"):
        Traced().plot()
    with pytest.raises(ValueError, match="plot: the model has no layers"):
        fastnn.Sequential().plot()


def test_wrong_use(tmp_path):
    model = chain()
    for path in ("model", "model.doc"):
        with pytest.raises(ValueError, match=rf"path: the suffix decides .*\.svg, .*got '{path}'"):
            model.plot(path)
    with pytest.raises(ValueError, match="rankdir: unknown name 'BT'"):
        model.plot(rankdir="BT")
    with pytest.raises(TypeError, match="show_shapes: expected True or False, got 1"):
        model.plot(show_shapes=1)
    with pytest.raises(ValueError, match="dpi: expected a finite number of at least 1, got 0"):
        model.plot(tmp_path / "a.svg", dpi=0)
    with pytest.raises(TypeError, match="did you mean 'show_shapes'"):
        model.plot(show_shape=True)
    with pytest.raises(TypeError, match="model: expected a model, got 3"):
        fastnn.utils.plot_model(3)


def test_plot_model_as_in_keras(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = chain()
    shown = fastnn.keras.utils.plot_model(model, to_file="model.svg", show_shapes=True)
    assert (tmp_path / "model.svg").read_text() == shown
    found = [lines for lines, _ in boxes(ET.fromstring(shown)).values()]
    assert found[1] == ["Dense", "(None, 64)"]
    shown = fastnn.utils.plot_model(
        model, "model.svg", show_layer_names=True, show_parameters=True, rankdir="LR", dpi=96
    )
    assert ["dense", "Dense", "1,344 parameters"] in [
        lines for lines, _ in boxes(ET.fromstring(shown)).values()
    ]
    assert fastnn.utils.plot_model(model, to_file=None).startswith("<svg")
    outer = fastnn.Sequential([fastnn.Input((20,)), model, layers.Dense(1)])
    drawn = {
        expand: len(
            boxes(ET.fromstring(fastnn.utils.plot_model(outer, None, expand_nested=expand)))
        )
        for expand in (False, True)
    }
    assert drawn == {False: 3, True: 5}
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    fastnn.utils.plot_model(model, show_shapes=True)
    assert (tmp_path / "model.png").read_bytes().startswith(b"\x89PNG")


def test_copies_know_the_names_of_inputs():
    import copy
    import pickle

    model = two_inputs()
    assert copy.copy(model).plot() == model.plot()
    assert pickle.loads(pickle.dumps(model)).plot() == model.plot()


# -- summary ---------------------------------------------------------------------------------------


def summary(model, **options):
    lines = []
    model.summary(print_fn=lines.append, **options)
    return lines


def connections(model):
    """What each line of the table says a layer is connected to, by the layer's name."""
    found, name = {}, ""
    lines = summary(model)
    place = lines[2].index("Connected to")
    for line in lines[4:-2]:
        name = line.split(" (")[0] if line[0] != " " else name
        found.setdefault(name, []).append(line[place:])
    return found


def test_summary_says_what_is_connected():
    assert connections(skip()) == {
        "features": ["-"],
        "dense": ["features[0][0]"],
        "layer_normalization": ["dense[0][0]"],
        "dense_1": ["layer_normalization[0][0]"],
        "add": ["dense[0][0]", "dense_1[0][0]"],
        "layer_normalization_1": ["add[0][0]"],
        "dense_2": ["layer_normalization_1[0][0]"],
        "add_1": ["add[0][0]", "dense_2[0][0]"],
        "concatenate": ["add_1[0][0]", "features[0][0]"],
        "dense_3": ["concatenate[0][0]"],
    }
    assert connections(shared()) == {
        "a": ["-"],
        "b": ["-"],
        "tower": ["a[0][0]", "b[0][0]"],
        "subtract": ["tower[0][0]", "tower[1][0]"],
        "dense": ["subtract[0][0]"],
    }
    assert connections(traced())["add"] == ["input[0][0]", "dense_1[0][0]"]
    assert connections(twice())["multiply"] == ["dense[0][0]", "dense[0][0]"]
    assert connections(two_inputs())["concatenate"] == ["dense_1[0][0]", "deep[0][0]"]


def test_summary_counts_a_shared_layer_once():
    lines = summary(shared())
    (tower,) = [line for line in lines if line.startswith("tower")]
    assert "(None, 16)" in tower
    assert " 144 " in tower
    assert lines[-1] == "Parameters: 161 (161 trainable, 0 not)"
    rules = [line for line in lines if set(line) == {"-"}]
    assert {len(line) for line in rules} == {max(len(line) for line in lines[2:-1])}


def test_summary_of_a_chain_has_no_such_column():
    for model in (chain(), networks.sequential((4, 5, 3), ("relu", "linear"))):
        lines = summary(model)
        assert lines[2].split() == ["Layer", "(type)", "Output", "shape", "Parameters"]
        assert not any("InputLayer" in line for line in lines)
    inputs = fastnn.Input((4,))
    line = fastnn.Model(inputs, layers.Dense(2)(layers.Dense(3)(inputs)))
    assert "Connected to" not in "".join(summary(line))


def test_summary_as_wide_as_asked():
    lines = summary(shared(), line_length=120)
    assert len(lines[3]) == 120
    assert "Connected to" in lines[2]


def test_summary_before_the_graph_is_known():
    lines = summary(Traced())
    assert "Connected to" not in lines[2]
    assert lines[-1].startswith("Parameters: not known until the model is built (by Input(")
