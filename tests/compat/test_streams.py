"""What joins, tables and windows emit, record by record, beside Kafka Streams: generated events through both.

A topology is a list of steps (`topologies.py`). To compare another one, write its steps down.
"""

from collections import Counter

from hypothesis import assume, given
from hypothesis import strategies as st

from .programs import Program
from .scripts import (
    BOTH,
    EVEN,
    HOW,
    VALUES,
    deletes_at_its_own_time,
    in_time,
    numbered,
    records,
    scripts,
    told,
    without_pauses,
)
from .topologies import (
    EXAMPLES,
    Emitted,
    Record,
    Step,
    of_kafka_streams,
    of_ottla,
    without_numbers,
)

JOIN_WINDOW = {"before": 7, "after": 7, "grace": 3}
"""With odd bounds and even times no event is exactly window and grace old, where Ottla deliberately differs."""


def joined(how: str, **window: int) -> list[Step]:
    return [
        {"step": "stream", "name": "l", "topic": "left"},
        {"step": "stream", "name": "r", "topic": "right"},
        {"step": "stream_join", "name": "j", "of": "l", "with": "r", "how": how, **JOIN_WINDOW, **window},
        {"step": "to", "of": "j", "topic": "out"},
    ]


def matched(emitted: Emitted) -> Emitted:
    return [[each for each in made if "null" not in (each.value or "")] for made in emitted]


def everything(emitted: Emitted) -> Counter[Record]:
    return Counter(each for made in without_numbers(emitted) for each in made)


class TestStreamJoins:
    @EXAMPLES
    @given(script=scripts(), before=st.sampled_from([-2, 0, 7, 12]), after=st.sampled_from([5, 11]))
    def test_inner(self, streams: Program, script: list[Record], before: int, after: int) -> None:
        grace = 3 if (before + after) % 2 == 0 else 4
        steps = joined("inner", before=before, after=after, grace=grace)
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(script=scripts(), how=st.sampled_from(["left", "outer"]))
    def test_matches_of_left_and_outer(self, streams: Program, script: list[Record], how: str) -> None:
        steps = joined(how)
        assert matched(of_ottla(steps, script)) == matched(of_kafka_streams(streams, steps, script))

    @EXAMPLES
    @given(
        script=scripts(),
        how=st.sampled_from(["left", "outer"]),
        window=st.sampled_from([(7, 7, 3), (7, 7, 11), (0, 5, 2), (12, 5, 4), (5, 12, 0), (-2, 11, 4)]),
    )
    def test_unmatched_of_left_and_outer(
        self, streams: Program, script: list[Record], how: str, window: tuple[int, int, int]
    ) -> None:
        """Kafka Streams can emit them later than it could, so what is emitted when is not compared."""
        before, after, grace = window
        steps = joined(how, before=before, after=after, grace=grace)
        script = in_time(script, grace) + [Record("left", "z", "end", time) for time in (10_000, 20_000, 30_000)]
        assert everything(of_ottla(steps, script)) == everything(of_kafka_streams(streams, steps, script))


def counted(window: str, emit: str, *, size: int, grace: int, advance: int = 0) -> list[Step]:
    how = {"window": window, "emit": emit, "size": size, "grace": grace, "advance": advance}
    return [
        {"step": "stream", "name": "l", "topic": "left"},
        {"step": "count", "name": "counts", "of": "l", **how},
        {"step": "to", "of": "counts", "topic": "out"},
    ]


class TestWindows:
    @EXAMPLES
    @given(
        script=records(["left"], values=st.just("v"), times=EVEN),
        window=st.sampled_from(["hopping", "sliding", "session"]),
        emit=st.sampled_from(["update", "close"]),
        grace=st.sampled_from([0, 6]),
    )
    def test_counts(self, streams: Program, script: list[Record], window: str, emit: str, grace: int) -> None:
        steps = counted(window, emit, size=9, advance=4, grace=grace)
        if window == "session":
            script = without_pauses(script, 8)
        ours, theirs = of_ottla(steps, script), of_kafka_streams(streams, steps, script)
        if window == "session" or emit == "close":
            ours, theirs = without_numbers(ours), without_numbers(theirs)
        assert ours == theirs

    @EXAMPLES
    @given(
        script=records(["left"], values=st.just("v"), times=EVEN),
        window=st.sampled_from(["hopping", "sliding"]),
        within=st.sampled_from([0, 5, 12]),
    )
    def test_counts_that_are_told_now_and_then(
        self, streams: Program, script: list[Record], window: str, within: int
    ) -> None:
        [stream, counts, sink] = counted(window, "update", size=9, advance=4, grace=6)
        steps = [stream, {**counts, "within": within}, sink]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)


TABLES: list[Step] = [
    {"step": "table", "name": "l", "topic": "left"},
    {"step": "table", "name": "r", "topic": "right"},
]


def table_joined(how: str) -> list[Step]:
    return [*TABLES, {"step": "table_join", "name": "j", "of": "l", "with": "r", "how": how}]


def suppressed(of: str, within: int, most: int | None) -> Step:
    return {"step": "suppress", "name": "s", "of": of, "within": within} | ({} if most is None else {"most": most})


KINDS = st.sampled_from(["table", "versioned_table"])


class TestTables:
    @EXAMPLES
    @given(script=scripts(), how=HOW, kinds=st.lists(KINDS, min_size=2, max_size=2))
    def test_joins_of_tables(self, streams: Program, script: list[Record], how: str, kinds: list[str]) -> None:
        assume("versioned_table" not in kinds or not deletes_at_its_own_time(script))
        tables = [{**table, "step": kind} for table, kind in zip(TABLES, kinds, strict=True)]
        steps = [*tables, {"step": "table_join", "name": "j", "of": "l", "with": "r", "how": how}, *told("j")]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(script=scripts(), how=HOW)
    def test_views_of_tables_and_joins_of_views(self, streams: Program, script: list[Record], how: str) -> None:
        steps = [
            *TABLES,
            {"step": "filter", "name": "f", "of": "l", "least": "v13"},
            {"step": "map_values", "name": "m", "of": "r"},
            {"step": "table_join", "name": "j", "of": "f", "with": "m", "how": how},
            {"step": "filter", "name": "k", "of": "j", "least": "v3"},
            *told("f", "filtered"),
            *told("m", "mapped"),
            *told("k"),
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(script=scripts(["left", "right", "third"]), how=HOW, then=HOW)
    def test_joins_of_joins(self, streams: Program, script: list[Record], how: str, then: str) -> None:
        steps = [
            *table_joined(how),
            {"step": "table", "name": "t", "topic": "third"},
            {"step": "table_join", "name": "k", "of": "j", "with": "t", "how": then},
            *told("k"),
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(script=scripts(["left", "right", "third"]), how=st.sampled_from(["inner", "left"]))
    def test_streams_joined_with_joins(self, streams: Program, script: list[Record], how: str) -> None:
        steps = [
            *table_joined("outer"),
            {"step": "stream", "name": "t", "topic": "third"},
            {"step": "stream_table_join", "name": "k", "of": "t", "with": "j", "how": how},
            {"step": "to", "of": "k", "topic": "out"},
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(script=scripts(), how=HOW)
    def test_tables_made_of_streams(self, streams: Program, script: list[Record], how: str) -> None:
        steps = [
            {"step": "stream", "name": "s", "topic": "left"},
            {"step": "to_table", "name": "l", "of": "s"},
            TABLES[1],
            {"step": "table_join", "name": "j", "of": "l", "with": "r", "how": how},
            *told("j"),
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(script=scripts(["left"]), how=HOW)
    def test_a_table_joined_with_itself(self, streams: Program, script: list[Record], how: str) -> None:
        steps = [
            TABLES[0],
            {"step": "filter", "name": "f", "of": "l", "least": "v13"},
            {"step": "table_join", "name": "j", "of": "l", "with": "f", "how": how},
            *told("j"),
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)


FOREIGN = st.builds(
    Record,
    st.just("left"),
    st.sampled_from([*"abcabc", None]),
    st.sampled_from([None, None, "-", "x", "x", "y", "z"]),
    EVEN,
)
"""Left values name a right key by their first letter; a dash names none."""

RIGHT = st.builds(Record, st.just("right"), st.sampled_from([*"xyxyz", None]), VALUES, EVEN)


class TestStreamTableJoins:
    @EXAMPLES
    @given(
        script=scripts(),
        how=st.sampled_from(["inner", "left"]),
        table=st.sampled_from(["table", "versioned_table"]),
    )
    def test_joins(self, streams: Program, script: list[Record], how: str, table: str) -> None:
        steps = [
            {"step": table, "name": "r", "topic": "right"},
            {"step": "stream", "name": "l", "topic": "left"},
            {"step": "stream_table_join", "name": "j", "of": "l", "with": "r", "how": how},
            {"step": "to", "of": "j", "topic": "out"},
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(script=scripts(), retention=st.sampled_from([1, 4, 10]))
    def test_joins_with_a_short_past(self, streams: Program, script: list[Record], retention: int) -> None:
        steps = [
            {"step": "versioned_table", "name": "r", "topic": "right", "retention": retention},
            {"step": "stream", "name": "l", "topic": "left"},
            {"step": "stream_table_join", "name": "j", "of": "l", "with": "r", "how": "left"},
            {"step": "to", "of": "j", "topic": "out"},
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(script=scripts(), how=st.sampled_from(["inner", "left"]), grace=st.sampled_from([1, 4, 15]))
    def test_joins_with_grace(self, streams: Program, script: list[Record], how: str, grace: int) -> None:
        script = [each for each in script if each.key is not None]  # A left join fails there.
        steps = [
            {"step": "versioned_table", "name": "r", "topic": "right"},
            {"step": "stream", "name": "l", "topic": "left"},
            {"step": "stream_table_join", "name": "j", "of": "l", "with": "r", "how": how, "grace": grace},
            {"step": "to", "of": "j", "topic": "out"},
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)


class TestForeignKeys:
    @EXAMPLES
    @given(
        script=st.lists(st.one_of(FOREIGN, RIGHT), max_size=25).map(numbered),
        how=st.sampled_from(["inner", "left"]),
        kinds=st.lists(KINDS, min_size=2, max_size=2),
    )
    def test_joins(self, streams: Program, script: list[Record], how: str, kinds: list[str]) -> None:
        tables = [{**table, "step": kind} for table, kind in zip(TABLES, kinds, strict=True)]
        steps = [*tables, {"step": "foreign_key_join", "name": "j", "of": "l", "with": "r", "how": how}, *told("j")]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)


class TestGlobalTables:
    @EXAMPLES
    @given(
        script=st.lists(st.one_of(FOREIGN, RIGHT), max_size=25).map(numbered), how=st.sampled_from(["inner", "left"])
    )
    def test_joins(self, streams: Program, script: list[Record], how: str) -> None:
        steps = [
            {"step": "global_table", "name": "r", "topic": "right"},
            {"step": "stream", "name": "l", "topic": "left"},
            {"step": "global_join", "name": "j", "of": "l", "with": "r", "how": how},
            {"step": "to", "of": "j", "topic": "out"},
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)


class TestAggregates:
    @EXAMPLES
    @given(script=scripts(["left"]))
    def test_of_the_events_of_a_key(self, streams: Program, script: list[Record]) -> None:
        steps = [
            {"step": "stream", "name": "l", "topic": "left"},
            {"step": "aggregate", "name": "a", "of": "l"},
            *told("a"),
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(script=st.lists(FOREIGN, max_size=25).map(numbered))
    def test_of_the_rows_of_a_group(self, streams: Program, script: list[Record]) -> None:
        steps = [TABLES[0], {"step": "group", "name": "g", "of": "l"}, *told("g")]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)


class TestSinks:
    @EXAMPLES
    @given(script=st.lists(FOREIGN.filter(lambda each: each.value != "-"), max_size=25).map(numbered))
    def test_topics_chosen_by_event(self, streams: Program, script: list[Record]) -> None:
        steps = [
            {"step": "stream", "name": "l", "topic": "left"},
            {"step": "to_chosen", "of": "l", "topics": ["out-x", "out-y", "out-z", "out-null"]},
            {"step": "to", "of": "l", "topic": "out-x"},
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)


class TestKeys:
    @EXAMPLES
    @given(script=st.lists(FOREIGN.filter(lambda each: each.value is not None), max_size=25).map(numbered))
    def test_changed_and_repartitioned(self, streams: Program, script: list[Record]) -> None:
        steps = [
            BOTH[0],
            {"step": "select_key", "name": "k", "of": "l"},
            {"step": "to", "of": "k", "topic": "keyed"},
            {"step": "repartition", "name": "again", "of": "k"},
            {"step": "aggregate", "name": "a", "of": "again"},
            *told("a"),
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)


class TestPunctuators:
    @EXAMPLES
    @given(script=scripts(), every=st.sampled_from([1, 5, 10]))
    def test_beats_of_stream_time(self, streams: Program, script: list[Record], every: int) -> None:
        steps = [
            *BOTH,
            {"step": "merge", "name": "m", "of": "l", "with": "r"},
            {"step": "to", "of": "m", "topic": "out"},
            {"step": "punctuated", "name": "p", "of": "m", "every": every},
            {"step": "to", "of": "p", "topic": "beats"},
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)


class TestBranches:
    @EXAMPLES
    @given(script=scripts(["left"]), how=st.sampled_from(["inner", "left"]))
    def test_that_meet_again(self, streams: Program, script: list[Record], how: str) -> None:
        """Each of what one event became goes through all of them before the next."""
        steps = [
            BOTH[0],
            {"step": "flat_map", "name": "f", "of": "l"},
            {"step": "to_table", "name": "t", "of": "f"},
            {"step": "stream_table_join", "name": "j", "of": "f", "with": "t", "how": how},
            {"step": "branch", "name": "b", "of": "f", "least": "v15"},
            {"step": "to", "of": "j", "topic": "out"},
            {"step": "to", "of": "b", "topic": "out"},
            {"step": "to", "of": "b-rest", "topic": "out"},
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)


class TestSuppression:
    @EXAMPLES
    @given(script=scripts(["left"]), within=st.sampled_from([0, 5, 12]), most=st.sampled_from([None, 0, 1, 2]))
    def test_of_a_table(self, streams: Program, script: list[Record], within: int, most: int | None) -> None:
        steps = [TABLES[0], suppressed("l", within, most), *told("s")]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(script=scripts(["left"]), within=st.sampled_from([0, 5, 12]), most=st.sampled_from([None, 1]))
    def test_of_aggregates(self, streams: Program, script: list[Record], within: int, most: int | None) -> None:
        steps = [
            BOTH[0],
            {"step": "aggregate", "name": "a", "of": "l"},
            suppressed("a", within, most),
            *told("s"),
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(script=scripts(), how=HOW, within=st.sampled_from([0, 5, 12]))
    def test_joined_with_a_table(self, streams: Program, script: list[Record], how: str, within: int) -> None:
        """Without deletions on the left: Kafka Streams tells those of keys of which nothing was told."""
        script = [each for each in script if each.topic == "right" or each.value is not None]
        steps = [
            *TABLES,
            suppressed("l", within, None),
            {"step": "table_join", "name": "j", "of": "s", "with": "r", "how": how},
            *told("j"),
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)


class TestCogroups:
    @EXAMPLES
    @given(script=scripts())
    def test_two_streams_in_one_table(self, streams: Program, script: list[Record]) -> None:
        steps = [*BOTH, {"step": "cogroup", "name": "c", "of": "l", "with": "r"}, *told("c")]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(
        script=st.lists(
            st.builds(
                Record,
                st.sampled_from(["left", "left", "right"]),
                st.sampled_from("ab"),
                st.sampled_from(["v", "v", "-", None]),
                EVEN,
            ),
            max_size=25,
        ).map(numbered)
    )
    def test_aggregates_that_a_function_deletes(self, streams: Program, script: list[Record]) -> None:
        steps = [*BOTH, {"step": "cogroup", "name": "c", "of": "l", "with": "r", "forgets": True}, *told("c")]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(script=scripts(["left"]))
    def test_a_stream_twice(self, streams: Program, script: list[Record]) -> None:
        steps = [BOTH[0], {"step": "cogroup", "name": "c", "of": "l", "with": "l"}, *told("c")]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(
        script=scripts(),
        window=st.sampled_from(["hopping", "sliding", "session"]),
        grace=st.sampled_from([3, 7]),
    )
    def test_two_streams_by_window(self, streams: Program, script: list[Record], window: str, grace: int) -> None:
        """With no late events: what time it is Kafka Streams knows for each of the streams, and not for both."""
        steps = [
            *BOTH,
            {
                "step": "windowed_cogroup",
                "name": "c",
                "of": "l",
                "with": "r",
                "window": window,
                "size": 9,
                "advance": 4,
                "grace": grace,
            },
            {"step": "to", "of": "c", "topic": "out"},
        ]
        script = in_time(without_pauses(script, 8) if window == "session" else script, grace)
        ours, theirs = of_ottla(steps, script), of_kafka_streams(streams, steps, script)
        if window == "session":
            ours, theirs = without_numbers(ours), without_numbers(theirs)
        assert ours == theirs


class TestCombinations:
    @EXAMPLES
    @given(script=scripts(), how=HOW)
    def test_an_aggregate_joined_with_a_table(self, streams: Program, script: list[Record], how: str) -> None:
        steps = [
            {"step": "stream", "name": "s", "topic": "left"},
            {"step": "aggregate", "name": "a", "of": "s"},
            TABLES[1],
            {"step": "table_join", "name": "j", "of": "a", "with": "r", "how": how},
            *told("j"),
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(script=st.lists(st.one_of(FOREIGN, RIGHT), max_size=25).map(numbered), how=HOW)
    def test_the_rows_of_a_join_in_groups(self, streams: Program, script: list[Record], how: str) -> None:
        steps = [*table_joined(how), {"step": "group", "name": "g", "of": "j"}, *told("g")]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(
        script=st.lists(st.one_of(FOREIGN, RIGHT), max_size=25).map(numbered),
        how=st.sampled_from(["inner", "left"]),
        then=HOW,
    )
    def test_a_foreign_key_join_joined_again(self, streams: Program, script: list[Record], how: str, then: str) -> None:
        steps = [
            *TABLES,
            {"step": "foreign_key_join", "name": "j", "of": "l", "with": "r", "how": how},
            {"step": "filter", "name": "f", "of": "j", "least": "x13"},
            {"step": "table_join", "name": "k", "of": "f", "with": "l", "how": then},
            *told("k"),
        ]
        assert of_ottla(steps, script) == of_kafka_streams(streams, steps, script)

    @EXAMPLES
    @given(script=scripts(["left"]), how=HOW)
    def test_a_stream_joined_with_itself(self, streams: Program, script: list[Record], how: str) -> None:
        steps = [
            {"step": "stream", "name": "l", "topic": "left"},
            {"step": "stream_join", "name": "j", "of": "l", "with": "l", "how": how, **JOIN_WINDOW},
            {"step": "to", "of": "j", "topic": "out"},
        ]
        assert matched(of_ottla(steps, script)) == matched(of_kafka_streams(streams, steps, script))
