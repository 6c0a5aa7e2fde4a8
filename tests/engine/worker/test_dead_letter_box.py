"""Dead letters, read and replayed: what is sent back is what came, and it is sent back once."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import ottla
from ottla.deadletters.box import DeadLetterBox, Replayed
from ottla.deadletters.letters import DeadLetter
from ottla.deadletters.selection import Selection, parse_number, parse_time, show_number
from ottla.transport.contract import OutputRecord, TopicPartition
from ottla.transport.errors import TransactionAbortedError
from ottla.transport.memory import MemoryTransport

EVERY = Selection()


@pytest.fixture
def repaired() -> dict[str, bool]:
    return {"repaired": False}


@pytest.fixture
def app(repaired: dict[str, bool]) -> ottla.App:
    """Fails on odd numbers until it is repaired."""
    app = ottla.App("shop")

    def check(number: int) -> int:
        if number % 2 and not repaired["repaired"]:
            raise ValueError(f"{number} is odd")
        return number

    app.stream(app.topic("numbers", value=int, partitions=3)).map(check).to(app.topic("even", value=int, partitions=1))
    return app


async def box_of(cluster: Any, topic: str = "shop-dead-letter") -> DeadLetterBox:
    transport = MemoryTransport(cluster.broker, "shop", "dead-letter-replay")
    await transport.start()
    return DeadLetterBox(transport, topic)


async def listed(box: DeadLetterBox, selection: Selection = EVERY) -> list[DeadLetter]:
    return [letter async for letter in box.letters(selection)]


async def failed(cluster: Any, app: ottla.App) -> DeadLetterBox:
    """Three failed events in a cluster: two that are odd, one that is no number."""
    cluster.broker.create_topic(app.topology.topics[0])
    cluster.broker.append(
        [
            OutputRecord("numbers", b"a", b"1", 1_000, [("trace", b"x"), ("ottla.origin.offset", b"9")], 2),
            OutputRecord("numbers", b"a", b"2", 1_001, None, 2),
            OutputRecord("numbers", None, b"3", 1_002, None, 0),
            OutputRecord("numbers", b"b", b"oops", 1_003, None, 1),
        ]
    )
    await cluster.run_to_end(app)
    return await box_of(cluster)


def test_a_letter_says_what_it_was_and_why_it_is_there(play: Callable[..., None], app: ottla.App) -> None:
    async def scenario(cluster: Any) -> None:
        letters = {letter.key: letter for letter in await listed(await failed(cluster, app))}
        odd = letters[b"a"]
        assert (odd.kind, odd.type, odd.step) == ("processing", "ValueError", "topic.numbers.map")
        assert (odd.reason, odd.origin, odd.timestamp_ms) == ("ValueError: 1 is odd", ("numbers", 2, 0), 1_000)
        assert odd.headers == [("trace", b"x"), ("ottla.origin.offset", b"9")]
        assert "in check" in odd.stack
        assert odd.failed_ms > 1_700_000_000_000
        assert (letters[b"b"].kind, letters[b"b"].stack) == ("deserialization", "")

    play(scenario)


@pytest.mark.parametrize(
    ("selection", "keys"),
    [
        (Selection(kind="processing"), [b"a", None]),
        (Selection(reason="NO JSON"), [b"b"]),
        (Selection(type="ValueError", reason="3"), [None]),
        (Selection(step="topic.numbers"), [b"b"]),
        (Selection(origin="others"), []),
        (Selection(since_ms=10**15), []),
        (Selection(until_ms=10**15, origin="numbers"), [b"a", b"b", None]),
        (Selection(numbers=frozenset({(0, 0)})), 1),
    ],
)
def test_letters_are_found_by_what_they_have_in_common(
    play: Callable[..., None], app: ottla.App, selection: Selection, keys: Any
) -> None:
    async def scenario(cluster: Any) -> None:
        found = await listed(await failed(cluster, app), selection)
        if isinstance(keys, int):
            assert len(found) == keys
        else:
            assert sorted((letter.key for letter in found), key=str) == sorted(keys, key=str)

    play(scenario)


def test_a_replay_sends_what_came_to_where_it_came_from_once(
    play: Callable[..., None], app: ottla.App, repaired: dict[str, bool]
) -> None:
    async def scenario(cluster: Any) -> None:
        # Given three dead letters, and a repaired app
        box = await failed(cluster, app)
        repaired["repaired"] = True

        # When those that are odd are replayed
        odd = Selection(kind="processing")
        rehearsed = await box.replay(odd, again=False, now_ms=5, dry_run=True)
        result = await box.replay(odd, again=False, now_ms=5)

        # Then their events are in their topic again as they were, in their partitions
        assert rehearsed.sent == result.sent == {"numbers": 2}
        again = cluster.broker.partition(TopicPartition("numbers", 2)).messages(2, 9)
        assert [(each.key(), each.value(), each.timestamp()[1], each.headers()) for each in again] == [
            (b"a", b"1", 1_000, [("trace", b"x"), ("ottla.origin.offset", b"9")])
        ]
        await cluster.run_to_end(app)
        assert sorted(cluster.values("even")) == ["1", "2", "3"]

        # And they are not replayed a second time, not by another selection either
        assert await box.replay(EVERY, again=False, now_ms=6) == Replayed({"numbers": 1}, [])
        assert await box.replay(EVERY, again=False, now_ms=7) == Replayed({}, [])
        assert len(await box.replayed()) == 3
        assert (await box.replay(EVERY, again=True, now_ms=8)).sent == {"numbers": 3}

    play(scenario)


def test_a_replay_that_is_interrupted_can_be_repeated(
    play: Callable[..., None], app: ottla.App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ottla.deadletters.box._TRANSACTION_LETTERS", 1)

    async def scenario(cluster: Any) -> None:
        box = await failed(cluster, app)
        before = len(cluster.broker.messages("numbers"))
        commits = iter([None, TransactionAbortedError("lost")])
        transport = box._transport
        commit = transport.commit

        async def failing(offsets: Any) -> Any:
            if (error := next(commits, None)) is not None:
                raise error
            return await commit(offsets)

        monkeypatch.setattr(transport, "commit", failing)
        with pytest.raises(TransactionAbortedError):
            await box.replay(EVERY, again=False, now_ms=5)
        monkeypatch.undo()
        assert len(cluster.broker.messages("numbers")) == before + 1
        assert (await (await box_of(cluster)).replay(EVERY, again=False, now_ms=5)).sent == {"numbers": 2}
        assert len(cluster.broker.messages("numbers")) == before + 3

    play(scenario)


def test_what_cannot_be_sent_back_is_named(play: Callable[..., None], app: ottla.App) -> None:
    async def scenario(cluster: Any) -> None:
        box = await failed(cluster, app)
        cluster.broker.append(
            [OutputRecord("shop-dead-letter", None, b"Windowed(...)", 0, [("ottla.error.reason", b"ValueError")])]
        )
        origin: list[tuple[str, bytes | None]] = [
            ("ottla.error.reason", b"ValueError"),
            ("ottla.letter.left_out", b"2000000"),
            ("ottla.origin.topic", b"numbers"),
            ("ottla.origin.partition", b"0"),
            ("ottla.origin.offset", b"9"),
        ]
        cluster.broker.append([OutputRecord("shop-dead-letter", None, None, 0, origin)])
        del cluster.broker.topics["numbers"]
        result = await box.replay(EVERY, again=False, now_ms=5)
        assert result.sent == {}
        assert sorted(why for _, why in result.refused) == [
            "it was made of no one message",
            "its value of 2000000 bytes was too large to be kept",
            *["topic 'numbers' does not exist any more"] * 3,
        ]

    play(scenario)


def test_a_topic_with_fewer_partitions_gets_its_events_by_key(play: Callable[..., None], app: ottla.App) -> None:
    async def scenario(cluster: Any) -> None:
        box = await failed(cluster, app)
        del cluster.broker.topics["numbers"][1:]
        await box.replay(Selection(kind="processing", reason="1 is odd"), again=False, now_ms=5)
        assert [each.value() for each in cluster.broker.messages("numbers")] == [b"3", b"1"]

    play(scenario)


def test_an_app_that_never_ran_has_no_dead_letters() -> None:
    async def look() -> None:
        from ottla.transport.memory import MemoryBroker

        transport = MemoryTransport(MemoryBroker(), "shop", "dead-letter-replay")
        await DeadLetterBox(transport, "shop-dead-letter").replayed()

    with pytest.raises(ottla.ConfigError, match="there is no topic 'shop-dead-letter'"):
        asyncio.run(look())


def test_times_and_numbers_are_read_as_people_write_them() -> None:
    assert [parse_time(text, 10**12) for text in ("90s", "2h", "1d")] == [
        10**12 - n for n in (90_000, 7_200_000, 86_400_000)
    ]
    assert parse_time("1970-01-01T00:01:00+00:00", 0) == 60_000
    assert [parse_number(text) for text in ("17", "2:17")] == [(0, 17), (2, 17)]
    assert [show_number(number) for number in ((0, 17), (2, 17))] == ["17", "2:17"]
    for parse in (lambda: parse_time("yesterday", 0), lambda: parse_number("a")):
        with pytest.raises(ottla.ConfigError, match=r"'yesterday' is no time|'a' is no letter's number"):
            parse()
