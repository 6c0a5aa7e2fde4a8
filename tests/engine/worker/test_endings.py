"""Which sub-topologies must end before the end of a topic is known."""

import pytest

from ottla.topology.topology import Step, Subtopology
from ottla.worker.endings import writers


def part(index: int, reads: str, writes: str = "") -> Subtopology:
    def step(name: str, **topics: str) -> Step:
        return Step(name, "step", lambda _: None, **topics)  # type: ignore[arg-type, return-value]

    sources = [step(f"{index}.read.{topic}", source=topic) for topic in reads.split()]
    return Subtopology(index, (*sources, *(step(f"{index}.write.{topic}", sink=topic) for topic in writes.split())))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([part(0, "in", "out")], {"in": set()}),
        ([part(0, "in", "mid"), part(1, "mid", "out")], {"in": set(), "mid": {0}}),
        ([part(0, "a", "mid"), part(1, "b", "mid"), part(2, "mid b")], {"a": set(), "b": set(), "mid": {0, 1}}),
        # What feeds itself, or goes in a circle, does not wait for itself.
        ([part(0, "in", "in")], {"in": set()}),
        ([part(0, "in back", "mid"), part(1, "mid", "back")], {"in": set(), "back": set(), "mid": set()}),
        (
            [part(0, "in", "a"), part(1, "a b", "b"), part(2, "b", "c"), part(3, "c")],
            {"in": set(), "a": {0}, "b": {1}, "c": {2}},
        ),
    ],
)
def test_a_topic_ends_after_those_that_write_it(parts: list[Subtopology], expected: dict[str, set[int]]) -> None:
    assert writers(parts) == expected
