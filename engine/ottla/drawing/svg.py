"""The topology as an SVG picture that stands by itself: no script, no font, no style from elsewhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ottla.drawing.diagram import Box, diagram
from ottla.drawing.layout import Placed, place

if TYPE_CHECKING:
    from ottla.topology.topology import Topology

_CHARACTER = 7.3  # of 12 px in most sans-serif fonts, on the wide side
_LINE = 17.0
_PADDING = 14.0
_GAP = 28.0
_ROW_GAP = 46.0
_MARGIN = 16.0
_LONGEST_LINE = 48

# Attributes and no style sheet, which not every program that shows SVG reads.
_FONT = 'font-family="sans-serif" font-size="12" text-anchor="middle"'
_TEXTS = {"name": 'fill="#1c2733" font-weight="600"', "detail": 'fill="#51606f"'}
_SHAPES = {
    "step": 'fill="#eef3f8" stroke="#7b93ab"',
    "topic": 'fill="#fff6e0" stroke="#c69a3a"',
    "global table": 'fill="#eaf6ec" stroke="#6ca577"',
}
_ARROW = 'fill="none" stroke="#51606f" stroke-width="1.2" marker-end="url(#head)"'


def svg(topology: Topology) -> str:
    drawn = diagram(topology)
    texts = {name: _texts(box) for name, box in drawn.boxes.items()}
    widths = {name: max(len(line) for _, line in lines) * _CHARACTER + 2 * _PADDING for name, lines in texts.items()}
    placed = place(widths, drawn.arrows, gap=_GAP)
    heights = {name: len(lines) * _LINE + _PADDING for name, lines in texts.items()}
    tops = _tops(placed, heights)
    picture = [
        f'<rect x="0" y="0" width="{placed.width + 2 * _MARGIN:.0f}" height="{tops[-1] + _MARGIN:.0f}" fill="white"/>'
    ]
    picture += [_arrow(placed, tops, heights, start, end) for start, end in drawn.arrows]
    for name, box in drawn.boxes.items():
        picture.append(_box(box, texts[name], placed.across[name] + _MARGIN, tops[placed.rows[name]], widths[name]))
    inner = "\n".join(f"  {line}" for line in picture)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{placed.width + 2 * _MARGIN:.0f}" '
        f'height="{tops[-1] + _MARGIN:.0f}" role="img" {_FONT}>\n'
        f"  <title>Topology of {escape(topology.app_id)}</title>\n"
        '  <defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#51606f"/></marker></defs>\n'
        f"{inner}\n</svg>\n"
    )


def _texts(box: Box) -> list[tuple[str, str]]:
    """The lines in a box, each with its class."""
    lines = [("name", box.title)]
    lines += [("detail", line) for line in _wrapped(box.detail)]
    if box.kind == "step":
        lines += [("detail", f"⛁ {store}") for store in box.stores]
    return lines


def _wrapped(text: str) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + len(word) < _LONGEST_LINE:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _tops(placed: Placed, heights: dict[str, float]) -> list[float]:
    """Where each row begins, and behind the last where the picture ends."""
    tops = [_MARGIN]
    for row in range(max(placed.rows.values(), default=-1) + 1):
        tallest = max(heights[name] for name, at in placed.rows.items() if at == row)
        tops.append(tops[-1] + tallest + _ROW_GAP)
    tops[-1] -= _ROW_GAP
    return tops


def _arrow(placed: Placed, tops: list[float], heights: dict[str, float], start: str, end: str) -> str:
    down = placed.rows[end] > placed.rows[start]
    begin_y = tops[placed.rows[start]] + (heights[start] if down else 0)
    end_y = tops[placed.rows[end]] + (0 if down else heights[end])
    x, y = placed.across[start] + _MARGIN, begin_y
    path = f"M{x:.1f} {y:.1f}"
    row = placed.rows[start]
    for bend in placed.bends[start, end]:
        row += 1 if down else -1
        upper, lower = tops[row], tops[row + 1] - _ROW_GAP
        entry, leaving = (upper, lower) if down else (lower, upper)
        path += _curve(x, y, bend + _MARGIN, entry) + f" V{leaving:.1f}"
        x, y = bend + _MARGIN, leaving
    path += _curve(x, y, placed.across[end] + _MARGIN, end_y)
    return f'<path d="{path}" {_ARROW}/>'


def _curve(x0: float, y0: float, x1: float, y1: float) -> str:
    middle = (y0 + y1) / 2
    return f" C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}"


def _box(box: Box, lines: list[tuple[str, str]], centre: float, top: float, width: float) -> str:
    height = len(lines) * _LINE + _PADDING
    radius = height / 2 if box.kind == "topic" else 4
    where = "" if box.part is None else f"<title>sub-topology {box.part}</title>"
    first = top + _PADDING / 2 + 0.75 * _LINE
    texts = "".join(
        f'<text {_TEXTS[style]} x="{centre:.1f}" y="{first + number * _LINE:.1f}">{escape(line)}</text>'
        for number, (style, line) in enumerate(lines)
    )
    return (
        f'<g>{where}<rect {_SHAPES[box.kind]} x="{centre - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" rx="{radius:.0f}"/>{texts}</g>'
    )
