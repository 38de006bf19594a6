"""The pictures of "How it works": an epoch, layers of the code, products, sums, lanes, chunks, ranks, columns."""

from __future__ import annotations

from drawing import BLUE, FAINT, GREEN, INK, ORANGE, PALE, Drawing


def epoch() -> Drawing:
    """An epoch as a loop in Python, and as one native call."""
    drawing = Drawing(740, 250, "An epoch as a loop in Python, and as one native call")
    parts = ("gather", "forward", "loss", "backward", "update")
    drawing.text(14, 26, "A loop in Python: each part is a call, each batch a round")
    x = 14.0
    for batch in range(3):
        for i, part in enumerate(parts):
            drawing.box(x, 40, 9, 34, ORANGE)
            drawing.box(x + 10, 40, 34, 34, PALE, stroke=INK)
            if batch == 0:
                drawing.text(x + 27, 90, part, "middle", 9)
            x += 46 + (6 if i == len(parts) - 1 else 0)
    drawing.text(x + 4, 62, "...", size=13)
    drawing.text(14, 140, "fastnn: one call for the epochs that no code looks into")
    drawing.box(14, 154, 9, 34, ORANGE)
    x = 25.0
    for batch in range(7):
        for _ in parts:
            drawing.box(x, 154, 14, 34, PALE, stroke=INK)
            x += 15
        if batch < 6:
            drawing.line([(x + 1, 148), (x + 1, 194)], BLUE, stroke_width=1)
            x += 3
    drawing.text(x + 6, 176, "...", size=13)
    drawing.box(14, 215, 12, 12, ORANGE)
    drawing.text(32, 226, "Python", size=12)
    drawing.box(104, 215, 12, 12, PALE, stroke=INK)
    drawing.text(122, 226, "native code; the GIL is released", size=12)
    return drawing


def layers() -> Drawing:
    """From words to kernels: which part knows what."""
    drawing = Drawing(700, 470, "From a model to kernels")
    drawing.labelled(20, 20, 200, ["Python", "layers, losses, names,", "shapes of arrays"])
    drawing.labelled(250, 20, 200, ["Graph", "nodes, parameters,", "what the head means"])
    drawing.labelled(480, 20, 200, ["Plan", "nodes in order, places", "in one buffer, the update"])
    drawing.arrow((220, 52), (248, 52))
    drawing.arrow((450, 52), (478, 52))
    drawing.text(235, 110, "compile", "middle", 11.5)
    drawing.text(465, 110, "lower", "middle", 11.5)
    drawing.labelled(
        250,
        150,
        430,
        ["Session: chosen by shape and device; owns", "activations, packed weights, device memory"],
    )
    drawing.arrow((580, 86), (580, 148))
    names = ("plain", "streaming", "tiled", "wide", "resident", "generic")
    told = ("any plan", "large layers", "narrow layers", "GPU", "GPU, small", "GPU")
    for i, (name, said) in enumerate(zip(names, told, strict=True)):
        x = 14 + 114 * i
        drawing.labelled(x, 240, 104, [name, said])
        drawing.arrow((x + 52, 206), (x + 52, 238))
    drawing.line([(66, 206), (636, 206)], stroke_width=1.4)
    drawing.line([(465, 198), (465, 206)], stroke_width=1.4)
    drawing.labelled(
        14, 340, 330, ["Kernels for CPUs", "baseline, AVX2, AVX-512, AMX", "compiled once for each"]
    )
    drawing.labelled(
        356, 340, 330, ["Kernels for GPUs", "a library of its own,", "opened at the first use"]
    )
    for x in (179, 521):
        drawing.arrow((x, 290), (x, 338))
    drawing.labelled(14, 422, 672, ["csrc/core: each formula once, compiled for every target"])
    return drawing


def sums() -> Drawing:
    """The law of sums: groups of rows by shape, added in order, whichever thread made them."""
    drawing = Drawing(700, 270, "The law of sums")
    drawing.text(14, 24, "512 rows of a batch, in groups that depend on their number alone")
    colours = (BLUE, ORANGE, BLUE, ORANGE)
    for i in range(4):
        x = 14 + 170 * i
        drawing.box(x, 38, 160, 36, PALE, stroke=INK)
        drawing.text(x + 80, 61, f"rows {128 * i} to {128 * i + 127}", "middle", 12)
        drawing.arrow((x + 80, 74), (x + 80, 106))
        drawing.box(x + 40, 108, 80, 30, "#ffffff", stroke=colours[i], stroke_width=2)
        drawing.text(x + 80, 128, f"sum {i}", "middle", 12)
    drawing.text(14, 166, "Colours: the threads that happened to take the groups", size=11.5)
    drawing.text(350, 216, "gradient = ((sum 0 + sum 1) + sum 2) + sum 3", "middle", 14)
    drawing.text(
        350,
        246,
        "added in the order of groups: the same bits for any number of threads",
        "middle",
        12,
    )
    return drawing


def products() -> Drawing:
    """A product's tile in registers, with bias and activation applied before it is written."""
    drawing = Drawing(700, 300, "A product with its epilogue")
    for x, width, height, name in (
        (30, 120, 150, "x: rows, inputs"),
        (190, 150, 120, "w: inputs, outputs"),
        (400, 150, 150, "y: rows, outputs"),
    ):
        drawing.box(x, 50, width, height, PALE, stroke=INK)
        drawing.text(x + width / 2, 40, name, "middle", 12)
    drawing.box(30, 90, 120, 34, BLUE, opacity=0.55)
    drawing.box(240, 50, 44, 120, BLUE, opacity=0.55)
    drawing.box(450, 90, 44, 34, ORANGE, opacity=0.8)
    drawing.text(170, 115, "x", "middle", 16)
    drawing.text(370, 115, "=", "middle", 16)
    drawing.text(572, 104, "a tile of y in", size=12)
    drawing.text(572, 120, "registers, over all k", size=12)
    drawing.labelled(30, 230, 170, ["sum over k, in order"])
    drawing.labelled(230, 230, 170, ["+ bias"])
    drawing.labelled(430, 230, 170, ["activation, then store"])
    drawing.arrow((200, 246), (228, 246))
    drawing.arrow((400, 246), (428, 246))
    return drawing


def lanes() -> Drawing:
    """Networks of one shape in the lanes of vectors."""
    drawing = Drawing(740, 262, "Networks of one shape in the lanes of vectors")
    colours = (BLUE, ORANGE, GREEN)
    drawing.text(14, 26, "One network: a layer of 3 outputs fills 3 of the 16 lanes of a vector")
    for lane in range(16):
        filled = lane < 3
        fill = BLUE if filled else "#ffffff"
        drawing.box(14 + 44 * lane, 38, 40, 30, fill, stroke=INK, opacity=0.75 if filled else 1)
        if filled:
            drawing.text(34 + 44 * lane, 58, f"w{lane}", "middle", 12, fill="#ffffff")
    drawing.text(
        14, 106, "16 networks: the same weight of each, side by side; one instruction serves all"
    )
    for row in range(3):
        y = 118 + 36 * row
        for lane in range(16):
            x = 14 + 44 * lane
            drawing.box(x, y, 40, 30, colours[lane % 3], stroke=INK, opacity=0.75)
            drawing.text(x + 20, y + 20, f"w{row}", "middle", 12, fill="#ffffff")
    for lane in range(16):
        drawing.text(34 + 44 * lane, 242, f"net {lane}", "middle", 9.5)
    return drawing


def windows() -> Drawing:
    """Chunks of files, joined to windows, of which one is read while one is trained on."""
    drawing = Drawing(740, 300, "Chunks, windows and batches")
    order = (2, 0, 5, 3, 1, 4)
    colours = (BLUE, ORANGE, GREEN)
    drawing.text(14, 26, "Files, in chunks")
    for i in range(6):
        drawing.box(206 + 86 * i, 10, 80, 26, PALE, stroke=INK)
        drawing.text(246 + 86 * i, 28, f"chunk {i}", "middle", 12)
    drawing.text(14, 82, "An epoch: a random order,")
    drawing.text(14, 98, "joined to windows")
    for place, chunk in enumerate(order):
        window = place // 2
        x = 206 + 86 * place + (0 if place % 2 == 0 else -6)
        drawing.box(x, 70, 80, 26, colours[window], stroke=INK, opacity=0.3)
        drawing.text(x + 40, 88, f"chunk {chunk}", "middle", 12)
    for window in range(3):
        drawing.text(286 + 172 * window, 114, f"window {window}", "middle", 11.5)
    begin, step = 202.0, 118.0
    for y, name, late in (
        (146.0, "One thread reads and checks", 0),
        (190.0, "Steps, drawn from a window", 1),
    ):
        drawing.text(14, y + 18, name, size=11.5)
        for window in range(3):
            x = begin + step * (window + late) + 4
            drawing.box(x, y, step - 8, 28, colours[window], stroke=INK, opacity=0.55)
            drawing.text(x + step / 2 - 4, y + 19, f"window {window}", "middle", 11.5)
    drawing.arrow((begin, 240), (700, 240))
    drawing.text(700, 258, "time", "end", 11.5)
    drawing.text(
        14,
        284,
        "Memory holds two windows. Rows left over in one begin the next, so that batches are full.",
        size=12,
    )
    return drawing


def ranks() -> Drawing:
    """Gradients of ranks, added up in their order, with a part of the sum for each rank."""
    drawing = Drawing(740, 330, "A sum over ranks")
    colours = (BLUE, ORANGE, GREEN)
    for rank in range(3):
        x = 20 + 240 * rank
        drawing.labelled(
            x, 14, 210, [f"rank {rank}", "its rows of the batch,", "its gradient, in three parts"]
        )
        for part in range(3):
            drawing.box(x + 70 * part, 104, 66, 28, colours[part], stroke=INK, opacity=0.3)
            drawing.text(x + 70 * part + 33, 123, f"g{rank}[{part}]", "middle", 12)
        drawing.arrow((x + 105, 82), (x + 105, 102))
        drawing.box(x, 204, 206, 30, colours[rank], stroke=INK, opacity=0.3)
        drawing.text(x + 103, 224, f"(g0[{rank}] + g1[{rank}]) + g2[{rank}]", "middle", 12)
        for other in range(3):
            drawing.line(
                [(20 + 240 * other + 70 * rank + 33, 134), (x + 103, 200)],
                colours[rank],
                stroke_width=1.2,
            )
        drawing.box(x, 278, 206, 30, "#ffffff", stroke=INK)
        drawing.text(x + 103, 298, "the whole sum, then the step", "middle", 12)
        for other in range(3):
            drawing.line(
                [(20 + 240 * other + 103, 236), (x + 103, 276)], colours[other], stroke_width=1.2
            )
    drawing.text(
        370, 324, "added in the order of ranks: the same bits on each, in every run", "middle", 11.5
    )
    return drawing


def columns() -> Drawing:
    """What the encoding of columns would cost as a matrix, and how a dense layer behind it does without."""
    drawing = Drawing(740, 250, "A dense layer over columns of a table")
    drawing.text(14, 26, "a row of the table", size=12)
    for y, name, value in ((40, "size", "62.5"), (78, "rooms", "gap"), (116, "colour", "red")):
        drawing.box(14, y, 70, 28, PALE, stroke=INK)
        drawing.text(49, y + 19, name, "middle", 12)
        drawing.box(84, y, 60, 28, "#ffffff", stroke=INK)
        drawing.text(114, y + 19, value, "middle", 12)
    told = (
        (40, BLUE, "0.41 times the row of w of size"),
        (78, ORANGE, "0.00 times that of rooms, + the row of its gap"),
        (116, GREEN, "+ the row of w of red; of no other colour"),
    )
    for y, colour, said in told:
        drawing.arrow((148, y + 14), (186, y + 14))
        drawing.box(190, y, 330, 28, colour, stroke=INK, opacity=0.3)
        drawing.text(355, y + 19, said, "middle", 12)
        drawing.arrow((524, y + 14), (562, 92))
    drawing.labelled(566, 68, 160, ["x w of the layer", "+ bias, activation"])
    drawing.text(
        14,
        186,
        "as a matrix: size, rooms, gap, a column for each of a thousand colours, nearly all 0",
        size=12,
    )
    for i in range(44):
        fill = {0: BLUE, 2: ORANGE, 30: GREEN}.get(i, "#ffffff")
        drawing.box(14 + 16 * i, 198, 14, 22, fill, stroke=FAINT, opacity=0.7)
    drawing.text(14, 240, "which is never made", size=12)
    return drawing
