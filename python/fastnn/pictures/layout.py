"""Where the boxes and arrows of a graph go: by rank, so that no arrow runs through a box.

The rank of a box is the longest way to it from a box without inputs. An arrow over several ranks gets
a place of its own in the ranks between (a waypoint), as in the method of Sugiyama, Tagawa and Toda
(1981). The same graph always gives the same picture.

Here ranks go down and a rank goes from left to right; `transposed` makes them go to the right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

Point = tuple[float, float]

_GAP = 28.0  # between boxes of a rank
_BESIDE = 14.0  # between a waypoint and what stands beside it
_RANKS = 44.0  # between ranks
_ROUNDS = 8  # of ordering, and of moving
_STRAIGHT = 8.0  # the weight of a waypoint: long arrows rather than short ones are straight


class Size(NamedTuple):
    """The size of a box, in pixels."""

    width: float
    height: float


class Layout(NamedTuple):
    """Boxes by their upper left corners, and for each edge the points of its way."""

    corners: list[Point]
    routes: list[list[Point]]
    size: Size  # of the whole

    def transposed(self) -> Layout:
        """The same with both axes exchanged."""
        return Layout(
            [(y, x) for x, y in self.corners],
            [[(y, x) for x, y in route] for route in self.routes],
            Size(self.size.height, self.size.width),
        )


class _Node:
    """A box, or the waypoint of an edge, in a rank."""

    def __init__(self, size: Size, rank: int, gap: float, weight: float) -> None:
        self.size, self.rank, self.gap, self.weight = size, rank, gap, weight
        self.above: list[_Node] = []
        self.below: list[_Node] = []
        self.line: list[_Node] = []  # the waypoints of its edge
        self.place = 0  # in its rank
        self.x = 0.0  # of its middle


def lay_out(sizes: Sequence[Size], edges: Sequence[tuple[int, int]]) -> Layout:
    """The layout of boxes of these sizes.

    Args:
        sizes: of each box.
        edges: (from, to), by the numbers of boxes. Boxes stand behind those that they come from.
    """
    ranks = _ranks(len(sizes), edges)
    boxes = [_Node(size, rank, _GAP, 1.0) for size, rank in zip(sizes, ranks, strict=True)]
    rows: list[list[_Node]] = [[] for _ in range(max(ranks, default=-1) + 1)]
    for box in boxes:
        rows[box.rank].append(box)
    ways = [_way(boxes[a], boxes[b], rows) for a, b in edges]
    _order(rows)
    _move(rows)
    return _drawn(boxes, rows, ways)


def _ranks(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Longest ways from boxes without inputs, which stand right above what they lead to."""
    ranks = [0] * count
    sources = [True] * count
    for a, b in sorted(edges, key=lambda edge: edge[1]):
        ranks[b] = max(ranks[b], ranks[a] + 1)
        sources[b] = False
    below: dict[int, int] = {}
    for a, b in edges:
        below[a] = min(below.get(a, ranks[b]), ranks[b])
    return [below[i] - 1 if sources[i] and i in below else rank for i, rank in enumerate(ranks)]


def _way(start: _Node, end: _Node, rows: list[list[_Node]]) -> list[_Node]:
    """The nodes of an edge, with a waypoint in each rank between."""
    nodes = [start]
    for rank in range(start.rank + 1, end.rank):
        waypoint = _Node(Size(0.0, 0.0), rank, _BESIDE, _STRAIGHT)
        rows[rank].append(waypoint)
        nodes.append(waypoint)
    nodes.append(end)
    for node in nodes[1:-1]:
        node.line = nodes[1:-1]
    for a, b in pairwise(nodes):
        a.below.append(b)
        b.above.append(a)
    return nodes


# -- the order in each rank ------------------------------------------------------------------------


def _order(rows: list[list[_Node]]) -> None:
    """Sorts each rank by the middle of its neighbours, and keeps the order with fewest crossings."""
    best = [list(row) for row in rows]
    _number(rows)
    fewest = _crossings(rows)
    for i in range(_ROUNDS):
        downwards = i % 2 == 0
        for row in rows if downwards else reversed(rows):
            row.sort(key=lambda node: _middle(node, downwards))
            _number([row])
        now = _crossings(rows)
        if now < fewest:
            best, fewest = [list(row) for row in rows], now
    for row, kept in zip(rows, best, strict=True):
        row[:] = kept
    _number(rows)


def _number(rows: Sequence[Sequence[_Node]]) -> None:
    for row in rows:
        for i, node in enumerate(row):
            node.place = i


def _middle(node: _Node, downwards: bool) -> float:
    others = node.above if downwards else node.below
    return sum(other.place for other in others) / len(others) if others else float(node.place)


def _crossings(rows: Sequence[Sequence[_Node]]) -> int:
    """How many pairs of arrows cross between ranks."""
    count = 0
    for row in rows:
        ends = [sorted(below.place for below in node.below) for node in row]
        flat = [place for found in ends for place in found]
        count += sum(a > b for i, a in enumerate(flat) for b in flat[i + 1 :])
    return count


# -- places in each rank ---------------------------------------------------------------------------


def _move(rows: list[list[_Node]]) -> None:
    """Moves nodes under and over their neighbours, as far as their rank has space.

    In later rounds the waypoints of an edge move to one line.
    """
    for row in rows:
        _place(row, [0.0] * len(row))
    for i in range(_ROUNDS):
        downwards = i % 2 == 0
        for row in rows if downwards else reversed(rows):
            _place(row, [_mean(node.above if downwards else node.below, node.x) for node in row])
    for i in range(_ROUNDS):
        for row in rows if i % 2 == 0 else reversed(rows):
            _place(row, [_between(node) for node in row])


def _between(node: _Node) -> float:
    """Where a node is wanted between what is above and below it."""
    if node.line:
        return _mean(node.line, node.x)
    above, below = _mean(node.above, node.x), _mean(node.below, node.x)
    if not node.above or not node.below:
        return above if node.above else below
    return (above + below) / 2


def _mean(others: Sequence[_Node], otherwise: float) -> float:
    return sum(other.x for other in others) / len(others) if others else otherwise


def _place(row: Sequence[_Node], wanted: Sequence[float]) -> None:
    """Puts the nodes of a rank as near as their widths allow to where they are wanted.

    Least squares under the order: neighbours that would overlap are pooled.
    """
    offsets, offset = [], 0.0
    for i, node in enumerate(row):
        if i > 0:
            before = row[i - 1]
            offset += (before.size.width + node.size.width) / 2 + min(before.gap, node.gap)
        offsets.append(offset)
    pools: list[tuple[float, float, int]] = []  # the weighted sum, the weight, how many
    for node, target, shift in zip(row, wanted, offsets, strict=True):
        pool = (node.weight * (target - shift), node.weight, 1)
        while pools and pools[-1][0] / pools[-1][1] > pool[0] / pool[1]:
            last = pools.pop()
            pool = (last[0] + pool[0], last[1] + pool[1], last[2] + pool[2])
        pools.append(pool)
    places = [total / weight for total, weight, count in pools for _ in range(count)]
    for node, place, shift in zip(row, places, offsets, strict=True):
        node.x = place + shift


# -- lines -----------------------------------------------------------------------------------------


def _drawn(boxes: list[_Node], rows: list[list[_Node]], ways: list[list[_Node]]) -> Layout:
    tops, y = [], 0.0
    heights = [max(node.size.height for node in row) for row in rows]
    for height in heights:
        tops.append(y)
        y += height + _RANKS
    left = min((node.x - node.size.width / 2 for row in rows for node in row), default=0.0)
    for row in rows:
        for node in row:
            node.x -= left
    width = max((node.x + node.size.width / 2 for row in rows for node in row), default=0.0)

    def top(node: _Node) -> float:
        return tops[node.rank] + (heights[node.rank] - node.size.height) / 2

    starts = _ports(boxes, ways, lambda way: way[0], lambda way: way[1])
    ends = _ports(boxes, ways, lambda way: way[-1], lambda way: way[-2])
    routes = []
    for i, way in enumerate(ways):
        first, last = way[0], way[-1]
        # Beside a box that is lower than its rank, the way goes straight on to the rank's edge.
        route = [
            (starts[i], top(first) + first.size.height),
            (starts[i], tops[first.rank] + heights[first.rank]),
        ]
        for node in way[1:-1]:
            route += [(node.x, tops[node.rank]), (node.x, tops[node.rank] + heights[node.rank])]
        route += [(ends[i], tops[last.rank]), (ends[i], top(last))]
        routes.append(route)
    corners = [(box.x - box.size.width / 2, top(box)) for box in boxes]
    return Layout(corners, routes, Size(width, max(0.0, y - _RANKS)))


def _ports(
    boxes: Sequence[_Node],
    ways: Sequence[list[_Node]],
    end: Callable[[list[_Node]], _Node],
    towards: Callable[[list[_Node]], _Node],
) -> list[float]:
    """Where each way meets the box at its end: side by side, in the order of what they come from."""
    found = [0.0] * len(ways)
    of_box: dict[int, list[int]] = {}
    for i, way in enumerate(ways):
        of_box.setdefault(id(end(way)), []).append(i)
    for box in boxes:
        numbers = sorted(of_box.get(id(box), []), key=lambda i: (towards(ways[i]).x, i))
        for k, i in enumerate(numbers):
            share = (k + 1) / (len(numbers) + 1) - 0.5
            found[i] = box.x + share * min(box.size.width, 24.0 * (len(numbers) + 1))
    return found
