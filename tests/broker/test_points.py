"""The 47 points of the protocol that home-made brokers get wrong have tests that carry their numbers."""

import re
from pathlib import Path

POINTS = 47


def test_every_point_has_a_test_named_for_it() -> None:
    found: set[int] = set()
    for path in Path(__file__).parent.rglob("test_*.py"):
        found.update(map(int, re.findall(r"^def test_(\d+)_", path.read_text(), re.MULTILINE)))
    assert found == set(range(1, POINTS + 1))
