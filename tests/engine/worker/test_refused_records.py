"""Records that a broker refuses for what they are: their events become dead letters, the others go on."""

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla.deadletters.letters import DeadLetter, read_letter
from ottla.task.refusals import Refusals
from ottla.testing import run_to_end
from ottla.transport.contract import Message, OutputRecord, TopicLimits, TopicPartition, TopicSpec, Transport
from ottla.transport.kafka import KafkaTransport
from ottla.transport.kafka_settings import KafkaSettings

KAFKA = os.environ.get("OTTLA_KAFKA_BOOTSTRAP")

HOUR_MS = 3_600_000
SOON = {"message.timestamp.after.max.ms": str(HOUR_MS)}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ottla.worker.recovery._FIRST_BACKOFF_S", 0.0001)


def copying_app(app_id: str = "copies", **options: Any) -> ottla.App:
    """Copies numbers by an operator, and by an agent that sends to a second topic and counts."""
    app = ottla.App(app_id, commit_interval=timedelta(milliseconds=10), **options)
    numbers = app.topic("numbers", value=int, partitions=1)
    sent = app.topic("sent", value=int, partitions=1)
    counts = app.Table("counts", key=str, default=int)
    app.stream(numbers).to(app.topic("copied", value=int, partitions=1, config=SOON))

    @app.agent(numbers)
    async def send(numbers: ottla.Stream[int]) -> None:
        async for number in numbers:
            counts["all"] += 1
            await sent.send(value=number, key="k")

    return app


def letters(cluster: Any) -> list[DeadLetter]:
    read = [read_letter(message) for message in cluster.broker.messages("copies-dead-letter")]
    return [letter for letter in read if letter is not None]


def send(cluster: Any, *hours_ahead: float) -> int:
    """Writes the numbers 0, 1, 2... with times so far ahead. Returns the time now."""
    now_ms = int(time.time() * 1000)
    cluster.broker.create_topic(TopicSpec("numbers", 1))
    cluster.broker.append(
        OutputRecord("numbers", None, b"%d" % number, now_ms + int(hours * HOUR_MS))
        for number, hours in enumerate(hours_ahead)
    )
    return now_ms


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_an_event_that_is_too_far_ahead_for_a_topic_is_a_dead_letter(play: Callable[..., None], guarantee: str) -> None:
    async def scenario(cluster: Any) -> None:
        now_ms = send(cluster, 0, 30, 0, 2)
        await cluster.run_to_end(copying_app(processing_guarantee=guarantee))
        assert cluster.values("copied") == ["0", "2"]
        if guarantee == "exactly_once":
            assert cluster.values("sent") == ["0", "1", "2", "3"]
        found = letters(cluster)
        assert [(each.kind, each.step, each.value) for each in found] == [
            ("production", "topic.numbers.to.copied", b"1"),
            ("production", "topic.numbers.to.copied", b"3"),
        ]
        assert [each.timestamp_ms - now_ms for each in found] == [30 * HOUR_MS, 2 * HOUR_MS]
        assert found[0].type == "RecordRefused"
        assert "topic 'copied' refuses a record whose time is" in found[0].reason

    play(scenario)


def test_what_an_agent_sends_too_far_ahead_is_taken_back_with_all_that_its_event_did(play: Callable[..., None]) -> None:
    async def scenario(cluster: Any) -> None:
        cluster.broker.create_topic(TopicSpec("sent", 1, SOON))
        send(cluster, 0, 30, 0)
        await cluster.run_to_end(copying_app())
        assert cluster.values("sent") == ["0", "2"]
        assert cluster.state("copies-counts-changelog") == {"all": 2}
        assert sorted(each.step for each in letters(cluster)) == ["send", "topic.numbers.to.copied"]

    play(scenario)


def test_the_policy_of_production_errors_is_asked(play: Callable[..., None]) -> None:
    told: list[ottla.Failure] = []

    def decide(failure: ottla.Failure) -> ottla.Decision:
        told.append(failure)
        return "skip"

    async def scenario(cluster: Any) -> None:
        send(cluster, 30, 0)
        await cluster.run_to_end(copying_app(on_production_error=decide))
        assert cluster.values("copied") == ["1"]
        assert letters(cluster) == []
        assert {(each.kind, each.event.value) for each in told} == {("production", 0)}

        send(cluster, 30)
        with pytest.raises(ottla.ProcessingFailed, match="refuses a record whose time is 108000 s ahead of the clock"):
            await cluster.run_to_end(copying_app(on_production_error="fail"))

    play(scenario)


def test_a_letter_has_a_time_that_its_topic_takes(play: Callable[..., None]) -> None:
    async def scenario(cluster: Any) -> None:
        cluster.broker.create_topic(TopicSpec("copies-dead-letter", 1, SOON))
        now_ms = send(cluster, 30, 0)
        await cluster.run_to_end(copying_app())
        [message] = cluster.broker.messages("copies-dead-letter")
        assert abs(message.timestamp()[1] - now_ms) < HOUR_MS
        [letter] = letters(cluster)
        assert letter.timestamp_ms == now_ms + 30 * HOUR_MS
        assert letter.headers == []

    play(scenario)


def test_clocks_that_differ_cost_nothing_but_a_few_minutes(play: Callable[..., None]) -> None:
    async def scenario(cluster: Any) -> None:
        send(cluster, 0, 1.01, 0)
        await cluster.run_to_end(copying_app(), clock=lambda: time.time() + 120)
        assert cluster.values("copied") == ["0", "2"]
        assert [each.value for each in letters(cluster)] == [b"1"]

    play(scenario)


def test_a_topic_that_is_chosen_event_by_event_may_refuse_too(play: Callable[..., None]) -> None:
    app = ottla.App("copies")
    app.stream(app.topic("numbers", value=int, partitions=1)).to(lambda event: f"chosen-{event.value % 2}")

    async def scenario(cluster: Any) -> None:
        cluster.broker.create_topic(TopicSpec("chosen-0", 1))
        cluster.broker.create_topic(TopicSpec("chosen-1", 1, SOON))
        send(cluster, 30, 30, 0, 0)
        await cluster.run_to_end(app)
        assert (cluster.values("chosen-0"), cluster.values("chosen-1")) == (["0", "2"], ["3"])
        assert [each.value for each in letters(cluster)] == [b"1"]

    play(scenario)


def test_a_record_without_a_key_for_a_compacted_topic_is_a_dead_letter(play: Callable[..., None]) -> None:
    async def scenario(cluster: Any) -> None:
        cluster.broker.create_topic(TopicSpec("copied", 1, {"cleanup.policy": "compact"}))
        cluster.broker.create_topic(TopicSpec("numbers", 1))
        cluster.send("numbers", ("k", "1"))
        send(cluster, 0)
        await cluster.run_to_end(copying_app())
        assert cluster.values("copied") == ["1"]
        assert [each.reason for each in letters(cluster)] == [
            "RecordRefused: topic 'copied' is compacted, and refuses a record without a key"
        ]

    play(scenario)


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_what_is_larger_than_its_topic_takes_is_a_dead_letter_and_so_is_state(
    play: Callable[..., None], guarantee: str
) -> None:
    app = ottla.App("copies", commit_interval=timedelta(milliseconds=10), processing_guarantee=guarantee)
    sizes = app.topic("sizes", key=str, value=int, partitions=1)
    texts = app.Table("texts", key=str, value=str)
    out = app.topic("texts", key=str, value=str)
    app.stream(sizes).map(lambda size: "x" * size).to(out)

    @app.agent(sizes)
    async def keep(stream: ottla.Stream[int]) -> None:
        async for key, size in stream.items():
            texts[key] = "y" * size

    async def scenario(cluster: Any) -> None:
        for topic, size in (("texts", 1_000), ("copies-texts-changelog", 2_000), ("copies-dead-letter", 900)):
            config = {"max.message.bytes": str(size), "cleanup.policy": "delete"}
            cluster.broker.create_topic(TopicSpec(topic, 1, config))
        cluster.broker.create_topic(TopicSpec("sizes", 1))
        cluster.send("sizes", ("a", "10"), ("b", "1500"), ("c", "20"), ("d", "3000"), ("e", "30"))
        await cluster.run_to_end(app)
        assert {len(text) for text in cluster.values("texts")} == {10, 20, 30}
        kept = {key: len(text) for key, text in cluster.latest("copies-texts-changelog").items() if text}
        assert kept == {"a": 10, "b": 1_500, "c": 20, "e": 30}
        found = {(each.step, each.key, each.value, each.reason) for each in letters(cluster)}
        too_large = ("topic.sizes.map.to.texts", b"b", b"1500")
        # Each step that fails on an event has its letter
        assert {each[:3] for each in found} == {too_large, (too_large[0], b"d", b"3000"), ("keep", b"d", b"3000")}
        assert len(letters(cluster)) == 3 or guarantee == "at_least_once"
        reasons = {each[:3]: each[3] for each in found}
        assert "topic 'texts' refuses a record of 1501 bytes: raise its max.message.bytes" in reasons[too_large]

    play(scenario)


def test_a_timer_that_sends_what_is_refused_is_logged_and_the_others_go_on(
    play: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    app = ottla.App("copies", commit_interval=timedelta(milliseconds=5), broker_options={"message.max.bytes": 1_000})
    out = app.topic("copied", value=str, partitions=1, config=SOON)
    app.stream(out)
    sent = iter(range(10**9))

    @app.timer(timedelta(milliseconds=10))
    async def send() -> None:
        number = next(sent)
        ahead_ms = 30 * HOUR_MS if number == 1 else 0
        await out.send(value="x" * 2_000 if number == 3 else str(number), timestamp=int(time.time() * 1000) + ahead_ms)

    async def scenario(cluster: Any) -> None:
        async with cluster.running(app):
            while "6" not in cluster.values("copied"):  # noqa: ASYNC110 - what is waited for is no event of ours
                await asyncio.sleep(0.005)
        assert cluster.values("copied")[:5] == ["0", "2", "4", "5", "6"]

    play(scenario)
    assert any("outside of agents and steps is dropped: topic 'copied' refuses" in each for each in caplog.messages)
    assert any(each.startswith("send failed; what it sent is dropped") for each in caplog.messages)


def test_what_a_topic_refuses_is_learnt_anew_after_a_while() -> None:
    refusals = Refusals()
    refusals.learn({"out": TopicLimits(HOUR_MS, HOUR_MS, needs_key=False, max_bytes=1_000)}, 1_000_000_000)
    assert refusals.concern("out", 1_000_059_999)
    assert not refusals.takes_time("out", 1_000_059_999 + HOUR_MS + 1, 1_000_059_999)
    assert not refusals.takes_time("out", 1_000_059_999 - HOUR_MS - 1, 1_000_059_999)
    assert refusals.takes_time("elsewhere", 0, 1_000_059_999)
    assert not refusals.concern("out", 1_000_060_000)
    assert refusals.takes_time("out", 0, 1_000_060_000)


@pytest.fixture(params=["ottla", *(["kafka"] if KAFKA else [])])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "kafka":
        assert KAFKA is not None
        yield KAFKA
    else:
        yield request.getfixturevalue("ottla_broker").removeprefix("kafka://")


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_broker_that_refuses_a_time_keeps_no_event_from_being_processed(address: str, guarantee: str) -> None:
    # Given an app on a broker, whose topics take no record that is an hour ahead of its clock
    suffix = uuid.uuid4().hex[:8]
    app = ottla.App(f"ahead-{suffix}", commit_interval=timedelta(milliseconds=50), processing_guarantee=guarantee)
    numbers = app.topic(f"numbers-{suffix}", value=int, partitions=2)
    copied = app.topic(f"copied-{suffix}", value=int, partitions=2)
    seen = app.Table("seen", key=str, default=int)

    @app.agent(numbers, sink=[copied])
    async def copy(numbers: ottla.Stream[int]) -> AsyncIterator[int]:
        async for key, number in numbers.items():
            seen[key] += 1
            yield number

    # When among 2,000 events some are further ahead
    now_ms = int(time.time() * 1000)
    ahead = {500, 501, 1400}
    records = [
        OutputRecord(numbers.name, b"%d" % (number % 10), b"%d" % number, now_ms + (number in ahead) * 30 * HOUR_MS)
        for number in range(2_000)
    ]
    asyncio.run(_write(address, numbers.name, records))
    run_to_end(app, f"kafka://{address}")
    # Then those are dead letters, and all others were copied and counted
    found = asyncio.run(_read(address, copied.name, app.config.dead_letter_topic))
    values = sorted(int(message.value() or b"") for message in found[copied.name])
    expected = sorted(set(range(2_000)) - ahead)
    assert (values if guarantee == "exactly_once" else sorted(set(values))) == expected
    read = [read_letter(message) for message in found[app.config.dead_letter_topic]]
    assert {int(letter.value or b"") for letter in read if letter is not None} == ahead
    assert {letter.type for letter in read if letter is not None} == {"RecordRefused"}


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_topic_that_takes_small_batches_is_written_in_small_batches(address: str, guarantee: str) -> None:
    suffix = uuid.uuid4().hex[:8]
    app = ottla.App(f"small-{suffix}", commit_interval=timedelta(milliseconds=50), processing_guarantee=guarantee)
    numbers = app.topic(f"numbers-{suffix}", value=int, partitions=2)
    texts = app.topic(f"texts-{suffix}", value=str, partitions=2, config={"max.message.bytes": "20000"})
    app.stream(numbers).map(lambda number: f"{number:0100}" + "x" * (number % 500 == 7) * 30_000).to(texts)
    now_ms = int(time.time() * 1000)
    records = [OutputRecord(numbers.name, b"%d" % (each % 10), b"%d" % each, now_ms) for each in range(2_000)]
    asyncio.run(_write(address, numbers.name, records))
    run_to_end(app, f"kafka://{address}")
    found = asyncio.run(_read(address, texts.name, app.config.dead_letter_topic))
    values = {int(message.value() or b"") for message in found[texts.name]}
    too_large = {7, 507, 1007, 1507}
    assert values == set(range(2_000)) - too_large
    read = [read_letter(message) for message in found[app.config.dead_letter_topic]]
    assert {(int(each.value or b""), each.type) for each in read if each is not None} == {
        (number, "RecordTooLarge") for number in too_large
    }
    if guarantee == "exactly_once":
        assert len(found[texts.name]) == len(values)


@asynccontextmanager
async def _connected(address: str) -> AsyncIterator[Transport]:
    transport = KafkaTransport(KafkaSettings(address, f"test-{uuid.uuid4().hex}", "w0"))
    try:
        await transport.start()
        yield transport
    finally:
        await transport.stop()


async def _write(address: str, topic: str, records: list[OutputRecord]) -> None:
    async with _connected(address) as transport:
        await transport.create_topics([TopicSpec(topic, 2, {"message.timestamp.after.max.ms": str(100 * HOUR_MS)})])
        await transport.produce(records)
        await transport.commit({})


async def _read(address: str, *topics: str) -> dict[str, list[Message]]:
    async with _connected(address) as transport:
        counts = await transport.partition_counts(topics)
        partitions = [TopicPartition(topic, number) for topic in topics for number in range(counts[topic])]
        found: dict[str, list[Message]] = {topic: [] for topic in topics}
        async for batches in transport.read(await transport.offset_ranges(partitions)):
            for where, messages in batches.items():
                found[where.topic] += messages
        return found
