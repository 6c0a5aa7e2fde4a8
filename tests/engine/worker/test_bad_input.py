"""What users' functions and topics do to a worker: it says what is wrong, and loses nothing."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla.transport.contract import TopicSpec, TopicState
from ottla.transport.memory import MemoryTransport
from ottla.worker import topic_watch, watchdog

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]
Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]


def doubling_app(double: Callable[[int], Coroutine[Any, Any, int]], *, partitions: int | None = 1) -> ottla.App:
    """Sends on what `double` returns for each number, and keeps the last one."""
    app = ottla.App("doubling", commit_interval=timedelta(milliseconds=10))
    numbers = app.topic("numbers", key=str, value=int, partitions=partitions)
    doubled = app.topic("doubled", key=str, value=int, partitions=1)
    last = app.Table("last", key=str, default=int)

    @app.agent(numbers, sink=[doubled])
    async def agent(numbers: ottla.Stream[int]) -> AsyncIterator[int]:
        async for key, number in numbers.items():
            last[key] = await double(number)
            yield last[key]

    return app


async def at_once(number: int) -> int:
    return 2 * number


def test_a_function_that_blocks_is_named(
    play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watchdog, "BLOCKED_AFTER_S", 0.1)

    def named() -> list[str]:
        return [message for message in caplog.messages if "block (" in message]

    async def block(number: int) -> int:
        deadline = time.monotonic() + 100
        while not named() and time.monotonic() < deadline:
            time.sleep(0.01)  # noqa: ASYNC251 - this is what it is about
        return number

    async def scenario(cluster: Any) -> None:
        async with cluster.running(doubling_app(block)):
            await eventually(lambda: "numbers" in cluster.broker.topics)
            cluster.send("numbers", ("a", "1"))
            await eventually(lambda: cluster.values("doubled") == ["1"])

    with caplog.at_level(logging.WARNING, "ottla.worker"):
        play(scenario)

    assert "the event loop has been held" in named()[0]
    assert f"agent ({__file__}:" in named()[0]
    assert caplog.messages[-1] == "the event loop goes on"


def test_a_function_that_never_returns_is_named_with_its_event_and_the_event_comes_again(
    play_anywhere: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watchdog, "STUCK_AFTER_S", 0.1)
    monkeypatch.setattr("ottla.worker.worker._FINISH_TIMEOUT_S", 0.1)

    async def never(number: int) -> int:
        if number == 2:
            await asyncio.Event().wait()
        return number

    async def scenario(cluster: Any) -> None:
        async with cluster.running(doubling_app(never)):
            await eventually(lambda: "numbers" in cluster.broker.topics)
            cluster.send("numbers", ("a", "1"), ("a", "2"), ("a", "3"))
            await eventually(lambda: "has been processing" in caplog.text)
        await cluster.run_to_end(doubling_app(at_once))
        assert cluster.values("doubled") == ["2", "4", "6"]

    with caplog.at_level(logging.WARNING, "ottla.worker"):
        play_anywhere(scenario)

    assert any(
        "task 0_0 has been processing for 0 s and is at the event at numbers[0] offset 1" in message
        for message in caplog.messages
    )


def test_a_topic_that_grows_under_a_running_worker_ends_it(
    play_anywhere: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_watch, "_INTERVAL_S", 0.01)

    async def scenario(cluster: Any) -> None:
        worker = cluster.worker(doubling_app(at_once, partitions=2))
        run = asyncio.create_task(worker.run())
        await eventually(lambda: "numbers" in cluster.broker.topics)
        cluster.broker.add_partitions("numbers", 3)
        with pytest.raises(
            ottla.TopologyError,
            match=r"topic 'numbers' has grown from 2 to 3 partitions.* start the workers of 'doubling' again",
        ):
            await run

    play_anywhere(scenario)


@pytest.mark.parametrize(
    ("topic", "sentence"),
    [
        ("numbers", "topic 'numbers' does not exist any more, and nothing can be read: create it anew and start the"),
        ("doubled", "topic 'doubled' does not exist any more, and nothing can be written to it: create it anew"),
        ("doubling-last-changelog", "in which 'doubling' keeps its state, does not exist any more: 'ottla app reset'"),
    ],
)
def test_a_topic_that_is_deleted_under_a_running_worker_ends_it(
    play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, topic: str, sentence: str
) -> None:
    monkeypatch.setattr(topic_watch, "_INTERVAL_S", 0.01)
    states = MemoryTransport.topic_states

    async def without_topic(transport: MemoryTransport, topics: Iterable[str]) -> dict[str, TopicState]:
        return await states(transport, [name for name in topics if name != topic])

    async def scenario(cluster: Any) -> None:
        run = asyncio.create_task(cluster.worker(doubling_app(at_once)).run())
        await eventually(lambda: bool(cluster.warm("doubling", "w0")))
        monkeypatch.setattr(MemoryTransport, "topic_states", without_topic)
        with pytest.raises(ottla.TopologyError, match=sentence):
            await run

    play(scenario)


@pytest.mark.parametrize(
    ("topic", "sentence"),
    [
        (
            "numbers",
            "topic 'numbers' was deleted and made anew, and the offsets that are committed are",
        ),
        ("doubling-last-changelog", "was deleted and made anew, and the state of 'doubling' is not in it: 'ottla app"),
    ],
)
def test_a_topic_that_is_made_anew_under_a_running_worker_ends_it(
    play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, topic: str, sentence: str
) -> None:
    monkeypatch.setattr(topic_watch, "_INTERVAL_S", 0.01)

    async def scenario(cluster: Any) -> None:
        run = asyncio.create_task(cluster.worker(doubling_app(at_once)).run())
        await eventually(lambda: bool(cluster.warm("doubling", "w0")))
        cluster.broker.delete_topic(topic)
        cluster.broker.create_topic(TopicSpec(topic, 1))
        with pytest.raises(ottla.TopologyError, match=sentence):
            await run

    play(scenario)


def test_an_output_that_is_made_anew_is_written_on(
    play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(topic_watch, "_INTERVAL_S", 0.01)

    async def scenario(cluster: Any) -> None:
        async with cluster.running(doubling_app(at_once)):
            await eventually(lambda: bool(cluster.warm("doubling", "w0")))
            cluster.broker.delete_topic("doubled")
            cluster.broker.create_topic(TopicSpec("doubled", 1))
            await eventually(lambda: "'doubled' was deleted and made anew" in caplog.text)
            cluster.send("numbers", ("a", "1"))
            await eventually(lambda: cluster.values("doubled") == ["2"])

    with caplog.at_level(logging.WARNING, "ottla.worker"):
        play(scenario)


def test_state_that_was_made_for_another_partition_count_is_refused(play_anywhere: Play) -> None:
    async def scenario(cluster: Any) -> None:
        await cluster.run_to_end(doubling_app(at_once, partitions=2))
        cluster.broker.add_partitions("numbers", 3)
        with pytest.raises(
            ottla.TopologyError,
            match=r"'doubling-last-changelog' has 2 partitions but the app needs 3: a topic that the app reads has "
            r"another number of partitions than when its state was made.*'ottla app reset'",
        ):
            await cluster.run_to_end(doubling_app(at_once, partitions=None))

    play_anywhere(scenario)


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_a_wall_clock_that_jumps_loses_nothing(play: Play, eventually: Eventually, jump_s: float) -> None:
    async def scenario(cluster: Any) -> None:
        offset = 0.0
        async with cluster.running(doubling_app(at_once), clock=lambda: time.time() + offset):
            await eventually(lambda: "numbers" in cluster.broker.topics)
            cluster.send("numbers", ("a", "1"))
            await eventually(lambda: cluster.values("doubled") == ["2"])
            offset = jump_s
            cluster.send("numbers", ("a", "2"))
            await eventually(lambda: cluster.values("doubled") == ["2", "4"])
        assert cluster.broker.groups["doubling"].offsets

    play(scenario)


def test_an_input_that_was_made_anew_while_no_worker_ran_is_named(
    play: Play, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(cluster: Any) -> None:
        async with cluster.running(doubling_app(at_once)):
            await eventually(lambda: "numbers" in cluster.view("doubling").topics)
            cluster.send("numbers", ("a", "1"), ("a", "2"))
            await eventually(lambda: cluster.values("doubled") == ["2", "4"])
        cluster.broker.delete_topic("numbers")
        cluster.broker.groups["doubling"].offsets.clear()  # as a broker does
        cluster.broker.create_topic(TopicSpec("numbers", 1))
        cluster.send("numbers", ("a", "3"))
        old = cluster.view("doubling").topics["numbers"]
        async with cluster.running(doubling_app(at_once)):
            await eventually(lambda: cluster.values("doubled") == ["2", "4", "6"])
            await eventually(lambda: cluster.view("doubling").topics["numbers"] != old)
        assert (
            "topic 'numbers' was deleted and made anew since it was last read: it is read as a new one" in caplog.text
        )
        caplog.clear()
        await cluster.run_to_end(doubling_app(at_once))
        assert "made anew" not in caplog.text, "it is said once"

    with caplog.at_level(logging.WARNING, "ottla.worker"):
        play(scenario)


def test_a_changelog_that_was_made_anew_while_no_worker_ran_is_refused(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        async with cluster.running(doubling_app(at_once)):
            await eventually(lambda: "doubling-last-changelog" in cluster.view("doubling").topics)
        cluster.broker.delete_topic("doubling-last-changelog")
        for _ in range(2):
            with pytest.raises(
                ottla.TopologyError,
                match="'doubling-last-changelog' was deleted and made anew, and the state of 'doubling' is not in it",
            ):
                await cluster.run_to_end(doubling_app(at_once))

    play(scenario)


def test_records_that_were_deleted_before_they_were_read_are_named(
    play: Play, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(cluster: Any) -> None:
        async with cluster.running(doubling_app(at_once)):
            await eventually(lambda: "numbers" in cluster.broker.topics)
            cluster.send("numbers", ("a", "1"))
            await eventually(lambda: cluster.values("doubled") == ["2"])
        cluster.send("numbers", *[("a", str(number)) for number in (2, 3, 4)])
        cluster.broker.delete_records_before(ottla.TopicPartition("numbers", 0), 3)
        await cluster.run_to_end(doubling_app(at_once))
        assert cluster.values("doubled") == ["2", "8"]

    with caplog.at_level(logging.WARNING, "ottla.worker"):
        play(scenario)
    assert (
        "numbers[0]: the records from offset 1 up to 2 were deleted before they were read; reading goes on at 3"
        in caplog.text
    )


def test_a_topic_that_ends_before_what_was_read_of_it_is_named(
    play: Play, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(cluster: Any) -> None:
        async with cluster.running(doubling_app(at_once)):
            await eventually(lambda: "numbers" in cluster.broker.topics)
            cluster.send("numbers", ("a", "1"), ("a", "2"), ("a", "3"))
            await eventually(lambda: len(cluster.values("doubled")) == 3)
        cluster.broker.topics["numbers"][0].entries[1:] = []
        await cluster.run_to_end(doubling_app(at_once))
        assert cluster.offsets("doubling") == {ottla.TopicPartition("numbers", 0): 1}
        cluster.send("numbers", ("a", "4"))
        await cluster.run_to_end(doubling_app(at_once))
        assert cluster.values("doubled") == ["2", "4", "6", "8"], "what was processed is not processed again"

    with caplog.at_level(logging.WARNING, "ottla.worker"):
        play(scenario)
    (said,) = [message for message in caplog.messages if "now ends at" in message]
    assert said == (
        "numbers[0]: it was read up to offset 3 and now ends at 1, so its broker has lost records that were read; "
        "reading goes on at 1"
    )


def test_an_input_that_was_made_anew_is_read_from_its_beginning_even_if_its_offsets_stayed(
    play: Play, eventually: Eventually
) -> None:
    async def scenario(cluster: Any) -> None:
        async with cluster.running(doubling_app(at_once)):
            await eventually(lambda: "numbers" in cluster.view("doubling").topics)
            cluster.send("numbers", ("a", "1"), ("a", "2"))
            await eventually(lambda: cluster.values("doubled") == ["2", "4"])
        cluster.broker.delete_topic("numbers")
        cluster.broker.create_topic(TopicSpec("numbers", 1))
        cluster.send("numbers", ("a", "3"))
        await cluster.run_to_end(doubling_app(at_once))
        assert cluster.values("doubled") == ["2", "4", "6"]

    play(scenario)
