"""State that cannot be written: the event that made it so is rejected, and the worker goes on."""

import logging
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla.deadletters.letters import read_letter
from ottla.transport.contract import TopicSpec

Play = Callable[[Callable[..., Any]], None]


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
        # What came before it is committed, and nothing else
        assert cluster.values("lengths")[-1] == str(50 * 9)
        assert len(cluster.values("lengths")) == 50

    play(scenario)


def test_state_that_no_event_made_ends_the_worker_with_what_to_do(play: Play) -> None:
    app = texts_app()
    marks = app.Table("marks", key=str, value=str)
    marked = app.topic("marked", key=str, value=str, partitions=3)

    @app.agent(marked)
    async def mark(stream: ottla.Stream[str]) -> None:
        async for key, text in stream.items():
            marks[key] = text

    @app.punctuate(marked, every=0.001, time="wall", uses=[marks])
    def grow() -> None:
        marks["all"] = "x" * 2_000

    async def scenario(cluster: Any) -> None:
        given_sizes(cluster, ("k", "1"))
        with pytest.raises(ottla.RecordTooLarge, match="'marks' holds a value that cannot be stored: under 'all'"):
            await cluster.worker(app).run()
        assert cluster.values("texts-dead-letter") == []

    play(scenario)
