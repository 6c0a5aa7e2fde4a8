"""Where the boxes of a diagram go: in rows from top to bottom, arrows pointing down, with few of them crossing.

The method of Sugiyama, Tagawa and Toda (1981): arrows that close a circle are turned round, every box is put in the row
below all that lead to it, arrows over several rows get a bend in each, and rows are ordered by where their neighbours
are. A topology has tens of boxes, so the simplest form of each step is enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Node = str
Arrow = tuple[Node, Node]

_SWEEPS = 12
_BEND_WIDTH = 8.0


@dataclass(frozen=True, slots=True)
class Placed:
    """The centre of each node across and its row, and for each arrow the places it goes through in the rows between.

    Arrows are as they were given, those that were turned round too.
    """

    across: Mapping[Node, float]
    rows: Mapping[Node, int]
    bends: Mapping[Arrow, tuple[float, ...]]
    width: float


def place(widths: Mapping[Node, float], arrows: Sequence[Arrow], *, gap: float) -> Placed:
    """Places nodes of these widths, at least `gap` apart from their neighbours in a row."""
    closing = _closing(widths, arrows)
    downward = {(start, end): (end, start) if (start, end) in closing else (start, end) for start, end in arrows}
    rows = _rows(widths, downward.values())
    sizes = dict(widths)
    chains: dict[Arrow, list[Node]] = {}
    for number, (arrow, (start, end)) in enumerate(downward.items()):
        bends = [f"\0{number}.{row}" for row in range(rows[start] + 1, rows[end])]
        for row, bend in enumerate(bends, rows[start] + 1):
            rows[bend], sizes[bend] = row, _BEND_WIDTH
        chains[arrow] = [start, *bends, end]
    layers: list[list[Node]] = [[] for _ in range(max(rows.values(), default=-1) + 1)]
    for node, row in rows.items():
        layers[row].append(node)
    neighbours: dict[Node, list[Node]] = {node: [] for node in rows}
    for chain in chains.values():
        for upper, lower in pairwise(chain):
            neighbours[upper].append(lower)
            neighbours[lower].append(upper)
    across = _across(layers, neighbours, sizes, gap)
    left = min((across[node] - size / 2 for node, size in sizes.items()), default=0.0)
    across = {node: x - left for node, x in across.items()}
    return Placed(
        {node: across[node] for node in widths},
        {node: rows[node] for node in widths},
        {
            arrow: tuple(across[node] for node in (chain[1:-1] if downward[arrow] == arrow else chain[-2:0:-1]))
            for arrow, chain in chains.items()
        },
        max((across[node] + size / 2 for node, size in sizes.items()), default=0.0),
    )


def _closing(nodes: Iterable[Node], arrows: Sequence[Arrow]) -> set[Arrow]:
    """The arrows that lead back to where a walk from the first nodes on came from."""
    following: dict[Node, list[Node]] = {node: [] for node in nodes}
    for start, end in arrows:
        following[start].append(end)
    closing: set[Arrow] = set()
    done: set[Node] = set()
    for first in following:
        walk = [(first, iter(following[first]))] if first not in done else []
        path = {first}
        while walk:
            node, rest = walk[-1]
            for end in rest:
                if end in path:
                    closing.add((node, end))
                elif end not in done:
                    walk.append((end, iter(following[end])))
                    path.add(end)
                    break
            else:
                walk.pop()
                path.discard(node)
                done.add(node)
    return closing


def _rows(nodes: Iterable[Node], arrows: Iterable[Arrow]) -> dict[Node, int]:
    """Each node's row: below all that lead to it. An arrow from a node to itself does not count."""
    before: dict[Node, list[Node]] = {node: [] for node in nodes}
    for start, end in arrows:
        if start != end:
            before[end].append(start)
    rows: dict[Node, int] = {}
    pending = list(before)
    while pending:
        node = pending[-1]
        waits = [each for each in before[node] if each not in rows]
        if waits:
            pending += waits
            continue
        pending.pop()
        rows[node] = max((rows[each] + 1 for each in before[node]), default=0)
    return {node: rows[node] for node in before}


def _across(
    layers: list[list[Node]], neighbours: Mapping[Node, list[Node]], sizes: Mapping[Node, float], gap: float
) -> dict[Node, float]:
    """Orders each row by the middle of its neighbours, sweep by sweep; puts its nodes as near to that as they fit."""
    across: dict[Node, float] = {}
    for layer in layers:
        x = 0.0
        for node in layer:
            across[node] = x + sizes[node] / 2
            x += sizes[node] + gap
    for sweep in range(_SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = {
                node: sum(across[each] for each in neighbours[node]) / len(neighbours[node])
                if neighbours[node]
                else across[node]
                for node in layer
            }
            layer.sort(key=wanted.__getitem__)
            across |= _fitted(layer, wanted, sizes, gap)
    return across


def _fitted(
    layer: Sequence[Node], wanted: Mapping[Node, float], sizes: Mapping[Node, float], gap: float
) -> dict[Node, float]:
    """Places in this order without overlap: the mean of pushing to the right only and pushing to the left only."""
    rightward: dict[Node, float] = {}
    edge = float("-inf")
    for node in layer:
        rightward[node] = max(wanted[node], edge + sizes[node] / 2)
        edge = rightward[node] + sizes[node] / 2 + gap
    leftward: dict[Node, float] = {}
    edge = float("inf")
    for node in reversed(layer):
        leftward[node] = min(wanted[node], edge - sizes[node] / 2)
        edge = leftward[node] - sizes[node] / 2 - gap
    return {node: (rightward[node] + leftward[node]) / 2 for node in layer}
