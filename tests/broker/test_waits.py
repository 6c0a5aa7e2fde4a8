"""Fetches that wait for records."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ottla_broker.waits import Waits


def run(scenario: Callable[[Waits], Awaitable[None]]) -> None:
    async def main() -> None:
        waits = Waits()
        await scenario(waits)
        await asyncio.sleep(0)  # A wait that is over is forgotten in the loop's next turn.
        assert len(waits) == 0, "a wait that is over leaves nothing behind"

    asyncio.run(main())


def parked(waits: Waits, *indexes: int, missing: int = 1, timeout_ms: int = 60_000) -> "asyncio.Future[None]":
    return waits.for_bytes([("t", index) for index in indexes], missing, timeout_ms)


def test_bytes_of_all_partitions_count_together() -> None:
    async def scenario(waits: Waits) -> None:
        wait = parked(waits, 0, 1, missing=10)
        waits.advanced("t", 0, 4)
        waits.advanced("t", 1, 5)
        waits.advanced("other", 0, 100)
        await asyncio.sleep(0)
        assert not wait.done()
        waits.advanced("t", 0, 1)
        await asyncio.wait_for(wait, 30)

    run(scenario)


def test_a_change_of_another_kind_wakes_at_once() -> None:
    async def scenario(waits: Waits) -> None:
        both = [parked(waits, 0, missing=10), parked(waits, 0, 1, missing=10)]
        waits.wake("t", 0)
        await asyncio.wait_for(asyncio.gather(*both), 30)

    run(scenario)


def test_a_wait_ends_in_time() -> None:
    async def scenario(waits: Waits) -> None:
        await asyncio.wait_for(parked(waits, 0, timeout_ms=5), 30)

    run(scenario)


def test_a_cancelled_wait_is_forgotten() -> None:
    async def scenario(waits: Waits) -> None:
        wait = parked(waits, 0, 1)
        wait.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wait
        waits.advanced("t", 0, 100)
        await asyncio.sleep(0)

    run(scenario)
