"""State that cannot be written: the event that made it so is rejected, and the worker goes on."""

import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from typing import Any, Literal

import pytest

import ottla
from ottla.deadletters.letters import read_letter
from ottla.transport.contract import TopicSpec

Play = Callable[[Callable[..., Any]], None]
Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]


def texts_app(**options: Any) -> ottla.App:
    """Keeps a growing text under each key, of which no more than 1,000 bytes can be written."""
    app = ottla.App(
        "texts", commit_interval=timedelta(milliseconds=10), broker_options={"message.max.bytes": 1_000}, **options
    )
    texts = app.Table("texts", key=str, value=str, default=str)

    @app.agent(app.topic("sizes", key=str, value=int), sink=[app.topic("lengths", key=str, value=int, partitions=1)])
    async def append(stream: ottla.Stream[int]) -> AsyncIterator[int]:
        async for key, size in stream.items():
            texts[key] += "x" * size
            yield len(texts[key])

    return app


def given_sizes(cluster: Any, *pairs: tuple[str, str], partitions: int = 3) -> None:
    cluster.broker.create_topic(TopicSpec("sizes", partitions))
    cluster.send("sizes", *pairs)


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_worker_goes_on_without_the_events_that_make_state_too_large(
    play: Play, guarantee: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Given 300 events in three partitions, of which four make a value too large
    pairs = [(f"k{number % 20}", "1") for number in range(300)]
    for place in (7, 100, 101, 299):
        pairs[place] = (pairs[place][0], "2000")

    async def scenario(cluster: Any) -> None:
        given_sizes(cluster, *pairs)
        with caplog.at_level(logging.WARNING, "ottla.worker"):
            await cluster.run_to_end(texts_app(processing_guarantee=guarantee))
        # Then those are dead letters, and the state is that of the others
        state = cluster.latest("texts-texts-changelog")
        expected = {key: sum(1 for each in pairs if each == (key, "1")) for key, _ in pairs}
        assert {key: len(value) for key, value in state.items()} == expected
        letters = [read_letter(message) for message in cluster.broker.messages("texts-dead-letter")]
        found = [(each.kind, each.step, each.type, each.value) for each in letters if each]
        assert set(found) == {("production", "append", "RecordTooLarge", b"2000")}
        if guarantee == "exactly_once":
            assert (len(found), len(cluster.values("lengths"))) == (4, 296)

    play(scenario)
    assert "going back to the last commit to find the event at fault among " in caplog.messages[0]
    assert "'texts' holds a value that cannot be stored: under 'k" in caplog.messages[0]


def test_a_worker_that_is_to_fail_does_so_at_the_very_event(play: Play) -> None:
    async def scenario(cluster: Any) -> None:
        given_sizes(cluster, *[("k", "9")] * 50, ("k", "2000"), ("k", "9"), partitions=1)
        for _ in range(2):
            with pytest.raises(ottla.ProcessingFailed, match=r"append failed on the event at sizes\[0\] offset 50"):
                await cluster.run_to_end(texts_app(on_production_error="fail"))
        # As where an agent raises: nothing of it is committed, nor of what came behind it
        assert "2450" not in cluster.values("lengths")
        assert len(cluster.values("lengths")) <= 50

    play(scenario)


def test_an_event_that_changes_a_value_in_place_leaves_nothing_behind(play: Play) -> None:
    app = ottla.App("lists", commit_interval=timedelta(milliseconds=10), broker_options={"message.max.bytes": 1_000})
    lists = app.Table("lists", key=str, value=list[int], default=list)

    @app.agent(app.topic("sizes", key=str, value=int))
    async def append(stream: ottla.Stream[int]) -> None:
        async for key, size in stream.items():
            found = lists[key]
            found.extend(range(size))
            lists[key] = found

    async def scenario(cluster: Any) -> None:
        given_sizes(cluster, *[("k", size) for size in ["1", "900", "2", "900", "900", "3"]], partitions=1)
        await cluster.run_to_end(app)
        assert cluster.state("lists-lists-changelog") == {"k": [0, 0, 1, 0, 1, 2]}
        assert len(cluster.broker.messages("lists-dead-letter")) == 3

    play(scenario)


def test_one_key_whose_every_event_is_too_much_costs_no_search_each(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = [("full", "2000") if number % 3 else (f"k{number % 20}", "1") for number in range(900)]

    async def scenario(cluster: Any) -> None:
        given_sizes(cluster, *pairs)
        with caplog.at_level(logging.DEBUG, "ottla.worker"):
            await cluster.run_to_end(texts_app())
        assert len(cluster.broker.messages("texts-dead-letter")) == 600
        assert len(cluster.values("lengths")) == 300

    play(scenario)
    # Once for each of the three tasks
    assert sum("going back" in message for message in caplog.messages) <= 3


@pytest.mark.parametrize("kind", ["function", "batch", "concurrency"])
def test_any_kind_of_agent_goes_on_without_the_event(play: Play, kind: str) -> None:
    app = ottla.App("last", commit_interval=timedelta(milliseconds=10), broker_options={"message.max.bytes": 1_000})
    last = app.Table("last", key=str, value=str)
    sizes = app.topic("sizes", key=str, value=int)

    if kind == "function":

        @app.agent(sizes, uses=[last])
        def keep(size: int) -> None:
            last["k"] = "x" * size

    elif kind == "batch":

        @app.agent(sizes, batch=True, uses=[last])
        def keep_all(sizes: ottla.Taken[int]) -> list[None]:
            for size in sizes:
                last["k"] = "x" * size
            return [None] * len(sizes)

    else:

        @app.agent(sizes, concurrency=2, uses=[last])
        async def keep_each(stream: ottla.Stream[int]) -> None:
            async for size in stream:
                last["k"] = "x" * size

    async def scenario(cluster: Any) -> None:
        given_sizes(cluster, *[("k", size) for size in ["1", "2", "3", "2000"]], partitions=1)
        await cluster.run_to_end(app)
        assert cluster.latest("last-last-changelog") == {"k": "xxx"}
        letters = [read_letter(message) for message in cluster.broker.messages("last-dead-letter")]
        assert [(each.value, each.type) for each in letters if each] == [(b"2000", "RecordTooLarge")]

    play(scenario)


def test_an_aggregate_that_grew_too_large_costs_only_the_events_that_made_it_so(play: Play) -> None:
    app = ottla.App("all", commit_interval=timedelta(milliseconds=10), broker_options={"message.max.bytes": 1_000})
    app.stream(app.topic("sizes", key=str, value=int)).aggregate("all", found=ottla.collect())

    async def scenario(cluster: Any) -> None:
        given_sizes(cluster, *[("full", "100000000")] * 220, ("k", "1"), partitions=1)
        await cluster.run_to_end(app)
        kept = 220 - len(cluster.broker.messages("all-dead-letter"))
        assert kept == 197, "so many are 1,000 bytes"

    play(scenario)


def test_a_punctuator_that_makes_state_too_large_fails_as_one_that_raises(
    play: Play, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(cluster: Any) -> None:
        given_sizes(cluster, ("k", "1"))
        async with cluster.running(growing_app(texts_app())):
            await eventually(lambda: len(cluster.broker.messages("texts-dead-letter")) > 2)
            cluster.send("sizes", ("k", "2"))
            await eventually(lambda: cluster.values("lengths") == ["1", "3"])
        letters = [read_letter(message) for message in cluster.broker.messages("texts-dead-letter")]
        assert {(each.kind, each.step, each.type, each.origin) for each in letters if each} == {
            ("production", "grow", "RecordTooLarge", None)
        }

    with caplog.at_level(logging.WARNING, "ottla.worker"):
        play(scenario)
    assert "going back to the last commit to find what is at fault: 'marks' holds a value" in caplog.text


def test_a_punctuator_that_makes_state_too_large_ends_the_worker_if_that_is_what_the_app_says(play: Play) -> None:
    async def scenario(cluster: Any) -> None:
        given_sizes(cluster, ("k", "1"))
        with pytest.raises(
            ottla.ProcessingFailed, match=r"grow failed on .*'marks' holds a value that cannot be stored: under 'all'"
        ):
            await cluster.worker(growing_app(texts_app(on_error="fail"))).run()
        assert cluster.values("texts-dead-letter") == []

    play(scenario)


def test_a_punctuator_by_stream_time_costs_no_event(play: Play) -> None:
    async def scenario(cluster: Any) -> None:
        given_sizes(cluster, *[("k", "1")] * 20, partitions=1)
        app = growing_app(texts_app(), time="stream")
        await cluster.run_to_end(app)
        assert len(cluster.values("lengths")) == 20
        letters = [read_letter(message) for message in cluster.broker.messages("texts-dead-letter")]
        assert {each.step for each in letters if each} == {"grow"}

    play(scenario)


def growing_app(app: ottla.App, time: Literal["wall", "stream"] = "wall") -> ottla.App:
    """Adds a punctuator that writes what is too large."""
    marks = app.Table("marks", key=str, value=str)

    @app.punctuate(app.topic("sizes", key=str, value=int), every=0.001, time=time, uses=[marks])
    def grow() -> None:
        marks["all"] = "x" * 2_000

    return app
