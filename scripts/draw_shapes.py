"""Draws the images of examples/shapes: circles, squares and triangles, by NumPy.

    python scripts/draw_shapes.py

They differ in size, place, turn and colours; pictures differ in size, too, and stretch their shape.
The same images come out each time. Pillow writes the files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fastnn.preprocessing.image import save_img

FOLDER = Path(__file__).parents[1] / "examples" / "shapes"
CORNERS = {"circle": 0, "square": 4, "triangle": 3}
EACH = 16  # images of a class
INNER = 0.85  # the size of the hole in an outline
SMOOTH = 3  # samples of a pixel along each axis


def inside(corners: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where points lie in a shape whose corners are at distance 1 from the origin."""
    if corners == 0:
        return x * x + y * y < 0.8
    angles = 2 * np.pi * np.arange(corners) / corners
    # The sides are at distance cos(pi / corners) from the middle.
    distance = np.max([x * np.sin(a) + y * np.cos(a) for a in angles], axis=0)
    return distance < np.cos(np.pi / corners)


def draw(corners: int, rng: np.random.Generator) -> np.ndarray:
    """A picture (height, width, 3) of 0 to 255."""
    height, width = rng.integers(80, 129, 2)
    rows, columns = ((np.arange(n * SMOOTH) + 0.5) / (n * SMOOTH) * 2 - 1 for n in (height, width))
    size, turn = rng.uniform(0.7, 0.85), rng.uniform(-0.2, 0.2)
    shift = rng.uniform(-0.08, 0.08, 2)
    x, y = np.meshgrid(columns - shift[0], rows - shift[1])
    x, y = (
        (np.cos(turn) * x - np.sin(turn) * y) / size,
        (np.sin(turn) * x + np.cos(turn) * y) / size,
    )
    covered = inside(corners, x, y) & ~inside(corners, x / INNER, y / INNER)
    share = covered.reshape(height, SMOOTH, width, SMOOTH).mean(axis=(1, 3))[..., None]
    paper, ink = rng.uniform(0, 12, 3), rng.uniform(90, 255, 3)
    return np.round(paper + share * (ink - paper))


def main() -> None:
    rng = np.random.default_rng(7)
    for name, corners in CORNERS.items():
        (FOLDER / name).mkdir(parents=True, exist_ok=True)
        for i in range(EACH):
            save_img(FOLDER / name / f"{i:02d}.png", draw(corners, rng), scale=False, optimize=True)
    print(f"{EACH * len(CORNERS)} images in {FOLDER}")


if __name__ == "__main__":
    main()
