"""Where boxes go: none over another, arrows downward, in any graph."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ottla.drawing.layout import place

NODES = "abcdefgh"
GAP = 10.0

graphs = st.tuples(
    st.lists(st.floats(20, 200), min_size=len(NODES), max_size=len(NODES)).map(
        lambda widths: dict(zip(NODES, widths, strict=True))
    ),
    st.lists(
        st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)).filter(lambda arrow: arrow[0] != arrow[1]),
        unique=True,
    ),
)


@given(graphs)
def test_no_box_is_over_another_and_all_are_in_the_picture(
    graph: tuple[dict[str, float], list[tuple[str, str]]],
) -> None:
    widths, arrows = graph
    placed = place(widths, arrows, gap=GAP)
    for row in set(placed.rows.values()):
        inside = sorted((placed.across[node], widths[node]) for node, at in placed.rows.items() if at == row)
        for (x0, width0), (x1, width1) in pairwise(inside):
            assert x1 - width1 / 2 - (x0 + width0 / 2) > GAP - 0.01
    for node, width in widths.items():
        assert placed.across[node] - width / 2 > -0.01
        assert placed.across[node] + width / 2 < placed.width + 0.01


@given(graphs)
def test_arrows_point_down_but_for_those_that_close_a_circle(
    graph: tuple[dict[str, float], list[tuple[str, str]]],
) -> None:
    widths, arrows = graph
    placed = place(widths, arrows, gap=GAP)
    up = [(start, end) for start, end in arrows if placed.rows[start] >= placed.rows[end]]
    for start, end in arrows:
        assert len(placed.bends[start, end]) == abs(placed.rows[start] - placed.rows[end]) - 1
    for start, end in up:
        assert _reaches(end, start, arrows)


def _reaches(start: str, end: str, arrows: list[tuple[str, str]]) -> bool:
    reached, pending = {start}, [start]
    while pending:
        node = pending.pop()
        fresh = {after for before, after in arrows if before == node} - reached
        reached |= fresh
        pending += fresh
    return end in reached


def test_a_chain_is_a_straight_column() -> None:
    placed = place({"a": 50, "b": 80, "c": 20}, [("a", "b"), ("b", "c")], gap=GAP)
    assert (placed.rows, placed.width) == ({"a": 0, "b": 1, "c": 2}, 80)
    assert list(placed.across.values()) == pytest.approx([40, 40, 40], abs=0.1)


def test_nothing_has_no_width() -> None:
    assert place({}, [], gap=GAP).width == 0
