"""Topologies drawn at random, record by record beside Kafka Streams: what they emit, and what is in their tables."""

from hypothesis import given, settings
from hypothesis import strategies as st

from .generated import Topology, cases
from .programs import Program
from .topologies import EXAMPLES, Record, of_kafka_streams, of_ottla, without_numbers

MORE = settings(EXAMPLES, max_examples=3 * EXAMPLES.max_examples)


@MORE
@given(case=cases(), crashes=st.sets(st.integers(0, 29), max_size=2))
def test_any_topology(streams: Program, case: tuple[Topology, list[Record]], crashes: set[int]) -> None:
    """With crashes here, of which nothing is to be seen: what was not committed is done again, on restored state.
    Without them it is counted, too, how many events were dropped, but for global tables, which are no task's."""
    (steps, tables, numbered), script = case
    counted = not crashes and not any(step["step"] == "global_table" for step in steps)
    ours = of_ottla(steps, script, crashes=crashes, tables=tables, dropped=counted)
    theirs = of_kafka_streams(streams, steps, script, tables=tables, dropped=counted)
    assert ours == theirs if numbered else without_numbers(ours) == without_numbers(theirs)
