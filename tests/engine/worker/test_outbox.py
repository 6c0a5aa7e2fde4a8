"""The outbox: what is taken, what comes back, what is dropped, and who waits."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from ottla.errors import RecordRefused
from ottla.transport.contract import OutputRecord
from ottla.transport.errors import TransportError
from ottla.worker import outbox as outbox_module
from ottla.worker.outbox import Outbox


def records(*values: int) -> list[OutputRecord]:
    return [OutputRecord("out", None, b"%d" % value, 0) for value in values]


def values(taken: list[OutputRecord]) -> list[int]:
    return [int(record.value or b"") for record in taken]


@pytest.fixture
def play() -> Callable[[Callable[[Outbox], Coroutine[Any, Any, None]]], None]:
    async def run(scenario: Callable[[Outbox], Coroutine[Any, Any, None]]) -> None:
        await scenario(Outbox(lambda: 7, None, lambda _: None, partition_counts=None))  # type: ignore[arg-type]

    return lambda scenario: asyncio.run(run(scenario))


def test_what_an_aborted_commit_took_is_taken_again_in_its_order(play: Any) -> None:
    async def scenario(box: Outbox) -> None:
        await box.send(records(1))
        box.put(records(2, 3))
        assert values(box.take()) == [1, 2, 3]
        await box.send(records(4))
        box.aborted()
        assert values(box.take()) == [1, 2, 3, 4]
        box.committed()
        assert not box.has_waiting
        assert box.take() == []

    play(scenario)


def test_what_is_not_ours_any_more_is_dropped_whenever_it_is_taken(play: Any) -> None:
    ours = True

    async def scenario(box: Outbox) -> None:
        nonlocal ours
        box.put(records(1), lambda: ours)
        assert values(box.take()) == [1]
        box.aborted()
        ours = False
        box.put(records(2))
        assert values(box.take()) == [2]

    play(scenario)


def test_senders_wait_while_too_much_is_uncommitted(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "_MOST_RECORDS", 3)

    async def scenario(box: Outbox) -> None:
        await box.send(records(1, 2, 3))
        waiting = asyncio.create_task(box.send(records(4)))
        await asyncio.sleep(0)
        assert values(box.take()) == [1, 2, 3]
        await asyncio.sleep(0)
        assert not waiting.done(), "what is in flight is not committed"
        box.committed()
        await waiting
        assert values(box.take()) == [4]

    play(scenario)


def test_who_waits_or_comes_when_the_worker_has_ended_is_told_and_what_is_lost_is_logged(
    play: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox_module, "_MOST_RECORDS", 2)

    async def scenario(box: Outbox) -> None:
        await box.send(records(1))
        box.take()
        box.put(records(2))
        box.put(records(3), lambda: True)
        waiting = asyncio.create_task(box.send(records(4)))
        await asyncio.sleep(0)
        box.close()
        with pytest.raises(TransportError, match="the worker has ended"):
            await waiting
        with pytest.raises(TransportError, match="the worker has ended"):
            await box.send(records(5))

    play(scenario)
    assert caplog.messages == ["2 records that were sent outside of agents and steps were never committed"]


def test_who_sends_what_cannot_be_written_is_told_and_what_turns_out_so_later_is_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused = {b"1"}

    def check(record: OutputRecord) -> None:
        if record.value in refused:
            raise RecordRefused(f"{record.value!r} is refused")

    async def scenario() -> None:
        box = Outbox(lambda: 7, None, check, partition_counts=None)  # type: ignore[arg-type]
        with pytest.raises(RecordRefused, match="b'1' is refused"):
            await box.send(records(0, 1))
        await box.send(records(2, 3))
        await box.send(records(4))
        assert values(box.take()) == [2, 3, 4]
        # Given a broker that has refused one of them, what was sent together is dropped together
        refused.add(b"3")
        box.aborted()
        assert values(box.take()) == [4]

    asyncio.run(scenario())
    assert caplog.messages == ["what was sent outside of agents and steps is dropped: b'3' is refused"]
