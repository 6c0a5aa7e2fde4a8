"""Joins batch by batch emit what they emit event by event: what meets in a step sees nothing of later events."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla

MS = 0.001


def pair(left: str | None, right: str | None) -> str:
    return f"({left}{right})"


def letter(value: str) -> str:
    return value[:1]


class Inputs:
    """Three topics of text, as streams and as tables."""

    def __init__(self, app: ottla.App) -> None:
        self.app = app
        self.topics = [app.topic(name, key=str, value=str) for name in ("one", "two", "three")]

    def stream(self, number: int) -> Any:
        return self.app.stream(self.topics[number])

    def table(self, number: int) -> Any:
        return self.app.Table(f"table-{number}", source=self.topics[number])


def streams(inputs: Inputs) -> Any:
    return inputs.stream(0).outer_join(inputs.stream(1), pair, within=10 * MS)


def streams_joined_again(inputs: Inputs) -> Any:
    first = inputs.stream(0).left_join(inputs.stream(1), pair, within=10 * MS, type=str)
    return first.outer_join(inputs.stream(0), pair, within=10 * MS)


def tables(inputs: Inputs) -> Any:
    return inputs.table(0).outer_join(inputs.table(1), pair).to_stream()


def tables_joined_again(inputs: Inputs) -> Any:
    one, two = inputs.table(0), inputs.table(1)
    return one.join(two, pair, type=str).outer_join(one.filter(lambda value: "x" in value), pair).to_stream()


def a_view_and_its_table(inputs: Inputs) -> Any:
    one = inputs.table(0)
    return one.to_stream().join(one.map_values(letter), pair)


def a_stream_and_a_join_of_its_table(inputs: Inputs) -> Any:
    one, two = inputs.table(0), inputs.table(1)
    return one.left_join(two, pair, type=str).to_stream().left_join(two, pair)


def a_table_made_of_a_join(inputs: Inputs) -> Any:
    joined = inputs.stream(0).join(inputs.stream(1), pair, within=10 * MS, type=str).to_table("joined")
    return joined.outer_join(inputs.table(2), pair).to_stream()


def a_kept_join_and_its_parts(inputs: Inputs) -> Any:
    one = inputs.table(0)
    kept = one.join(inputs.table(1), pair, type=str).to_table("kept")
    return kept.left_join(one, pair).to_stream()


TOPOLOGIES = [
    streams,
    streams_joined_again,
    tables,
    tables_joined_again,
    a_view_and_its_table,
    a_stream_and_a_join_of_its_table,
    a_table_made_of_a_join,
    a_kept_join_and_its_parts,
]

SCRIPT = st.lists(
    st.tuples(st.sampled_from([0, 1, 2]), st.sampled_from("ab"), st.sampled_from(["x", "y", "z", None])), max_size=20
)


@pytest.mark.parametrize("topology", TOPOLOGIES)
@settings(max_examples=15)
@given(script=SCRIPT)
def test_a_batch_is_as_its_events(topology: Callable[[Inputs], Any], script: list[tuple[int, str, str | None]]) -> None:
    def run(*, at_once: bool) -> list[tuple[Any, Any, int]]:
        app = ottla.App("shop")
        inputs = Inputs(app)
        topology(inputs).to(app.topic("out", key=str, value=str))
        declared = app.topology.input_topics
        with app.test() as driver:
            for number, (topic, key, value) in enumerate(script):
                # Times tell the order between topics.
                if inputs.topics[topic].name in declared:
                    driver.send(inputs.topics[topic], key=key, value=value, timestamp=3 * number)
                if not at_once:
                    driver.run()
            return [(event.key, event.value, event.timestamp) for event in driver.read("out")]

    assert run(at_once=True) == run(at_once=False)
