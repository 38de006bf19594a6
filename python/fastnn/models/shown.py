"""Shown: a model with a picture of its graph. What the graph is, for pictures and tables, is in `drawn`."""

from __future__ import annotations

from typing import Any, Literal

from fastnn.models.drawn import Part, boxes_of, parts_of, parts_of_steps
from fastnn.models.symbolic import Symbolic
from fastnn.pictures.graph import DIRECTIONS, Picture, picture, save
from fastnn.words import choose, flag, keywords, number


class Shown(Symbolic):
    """A model that can be drawn."""

    _input_labels: tuple[str, ...] = ()  # names of inputs; there may be fewer than inputs

    @keywords()
    def plot(
        self,
        path: Any = None,
        *,
        show_shapes: bool = True,
        show_layer_names: bool = True,
        show_parameters: bool = True,
        show_layer_activations: bool = True,
        show_dtype: bool = False,
        show_trainable: bool = False,
        rankdir: Literal["TB", "LR"] = "TB",
        expand_nested: bool = False,
        dpi: float = 200,
    ) -> Picture:
        """A picture of the graph: a box for each input and each call of a layer, and arrows.

            >>> import fastnn
            >>> model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(4,), name="head")])
            >>> picture = model.plot()
            >>> picture[:4], "15 parameters" in picture
            ('<svg', True)

        SVG needs nothing; other formats need matplotlib (the extra `plot`).

        Args:
            path: a file to write, whose suffix decides the format (.svg, .png, .pdf and others);
                None: no file.
            show_shapes, show_layer_names, show_parameters, show_layer_activations, show_dtype,
                show_trainable: which lines a box has beside the class of its layer.
            rankdir: "TB", from top to bottom, or "LR", from left to right.
            expand_nested: whether a model in the model is drawn as its layers, and not as one box.
            dpi: dots of an inch, of pictures that are made of dots.

        Returns:
            The picture as text in SVG, which notebooks show.

        Raises:
            RuntimeError: the model has no graph: it has a `call`, and is not built yet, or does more
                than call layers.
            ImportError: the format needs matplotlib, which is not installed.
            ValueError: the suffix is of no format, the model has no layers, or rankdir is unknown.
        """
        choose("rankdir", rankdir, DIRECTIONS)
        flags = {
            "shapes": flag("show_shapes", show_shapes),
            "names": flag("show_layer_names", show_layer_names),
            "parameters": flag("show_parameters", show_parameters),
            "activations": flag("show_layer_activations", show_layer_activations),
            "dtype": flag("show_dtype", show_dtype),
            "trainable": flag("show_trainable", show_trainable),
        }
        parts = self._parts(flag("expand_nested", expand_nested))
        if not parts:
            if not self.layers:
                raise ValueError("plot: the model has no layers")
            if self.weights:
                raise RuntimeError(
                    "plot: the model cannot be drawn: its `call` is no graph of layers"
                )
            raise RuntimeError(
                "plot: the model has no graph of layers yet; build it first, by a call or by "
                "model.build(input_shape)"
            )
        boxes = boxes_of(parts, **flags)
        if path is None:
            return picture(boxes, self.name, rankdir)
        return save(boxes, self.name, path, rankdir, number("dpi", dpi, 1))

    def _parts(self, expanded: bool) -> list[Part]:
        """Inputs and calls of the graph; none where there is no graph.

        `expanded`: whether the layers of a model in the model take its place.
        """
        state = self._state.now
        names = {id(part): name for name, part in self.named_parts()}
        if self._steps is not None:
            return parts_of_steps(self._steps, self._input_labels, names, self.dtype)
        if not state.calls:
            return []
        return parts_of(state, self._input_labels, names, self.dtype, expanded)
