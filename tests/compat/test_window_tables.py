"""What windows as tables emit, record by record, beside Kafka Streams."""

from hypothesis import given
from hypothesis import strategies as st

from .programs import Program
from .scripts import BOTH, EVEN, HOW, VALUES, numbered, records, told, without_pauses
from .topologies import EXAMPLES, Emitted, Record, Step, of_kafka_streams, of_ottla, without_numbers


def windowed(name: str, of: str, window: str, *, emit: str = "update", grace: int = 6) -> Step:
    how = {"window": window, "emit": emit, "size": 9, "grace": grace, "advance": 4}
    return {"step": "window_table", "name": name, "of": of, **how}


def window_told(of: str, topic: str = "out") -> list[Step]:
    return [
        {"step": "window_stream", "name": f"{of}-told", "of": of},
        {"step": "to", "of": f"{of}-told", "topic": topic},
    ]


def of_results(emitted: Emitted) -> Emitted:
    """Without the deletions of what was never told, of results by window."""
    told: set[str] = set()
    kept: Emitted = []
    for made in emitted:
        kept.append([])
        for each in made:
            window, _, value = (each.value or "").partition("=")
            if value != "null" or window in told:
                kept[-1].append(each)
            (told.discard if value == "null" else told.add)(window)
    return kept


WINDOWS = st.sampled_from(["hopping", "sliding", "session"])


class TestWindowTables:
    @EXAMPLES
    @given(
        script=records(["left"], values=st.just("v"), times=EVEN),
        window=WINDOWS,
        emit=st.sampled_from(["update", "close"]),
    )
    def test_followed_and_filtered(self, streams: Program, script: list[Record], window: str, emit: str) -> None:
        steps = [
            BOTH[0],
            windowed("w", "l", window, emit=emit),
            {"step": "window_filter", "name": "f", "of": "w", "least": "2"},
            *window_told("w", "all"),
            *window_told("f"),
        ]
        if window == "session":
            script = without_pauses(script, 8)
        ours, theirs = of_ottla(steps, script), of_kafka_streams(streams, steps, script)
        assert without_numbers(ours) == without_numbers(theirs)

    @EXAMPLES
    @given(script=records(["left", "right"], values=st.just("v"), times=EVEN), window=WINDOWS, how=HOW)
    def test_joined_by_key_and_window(self, streams: Program, script: list[Record], window: str, how: str) -> None:
        steps = [
            *BOTH,
            windowed("v", "l", window),
            windowed("w", "r", window),
            {"step": "window_join", "name": "j", "of": "v", "with": "w", "how": how},
            *window_told("j"),
        ]
        if window == "session":
            script = without_pauses(script, 8)
        ours, theirs = of_ottla(steps, script), of_kafka_streams(streams, steps, script)
        assert without_numbers(ours) == without_numbers(theirs)

    @EXAMPLES
    @given(script=records(["left"], values=st.just("v"), times=EVEN))
    def test_grouped_by_window(self, streams: Program, script: list[Record]) -> None:
        """Kafka Streams takes the initial count, 0, out of a group before it puts the first one in."""
        steps = [BOTH[0], windowed("w", "l", "hopping"), {"step": "window_group", "name": "g", "of": "w"}, *told("g")]
        emitted = of_kafka_streams(streams, steps, script)
        theirs = [[each._replace(value=(each.value or "").replace("-0", "")) for each in made] for made in emitted]
        assert of_ottla(steps, script) == [[each for each in made if each.value] for made in theirs]

    @EXAMPLES
    @given(
        script=st.lists(
            st.one_of(
                st.builds(Record, st.just("left"), st.sampled_from("ab"), st.just("v"), EVEN),
                st.builds(Record, st.just("right"), st.sampled_from("123"), VALUES, EVEN),
            ),
            max_size=25,
        ).map(numbered),
        how=st.sampled_from(["inner", "left"]),
    )
    def test_joined_by_a_foreign_key(self, streams: Program, script: list[Record], how: str) -> None:
        """Each window meets the row for the count that it has. Kafka Streams takes it to have named that for 0 before,
        and so deletes a result that there never was."""
        steps = [
            BOTH[0],
            {"step": "table", "name": "r", "topic": "right"},
            windowed("w", "l", "hopping"),
            {"step": "window_foreign_key_join", "name": "j", "of": "w", "with": "r", "how": how},
            *window_told("j"),
        ]
        assert of_results(of_ottla(steps, script)) == of_results(of_kafka_streams(streams, steps, script))

    @EXAMPLES
    @given(script=records(["left"], values=st.just("v"), times=EVEN), within=st.sampled_from([0, 5, 12]))
    def test_suppressed(self, streams: Program, script: list[Record], within: int) -> None:
        steps = [
            BOTH[0],
            windowed("w", "l", "hopping"),
            {"step": "window_suppress", "name": "s", "of": "w", "within": within},
            *window_told("s"),
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)
