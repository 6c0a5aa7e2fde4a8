"""The thread that makes blocking calls for the event loop."""

import asyncio
import threading

import pytest

from ottla.transport.calls import CallThread


def test_calls_are_made_in_order_on_one_thread_and_their_results_come_back() -> None:
    async def scenario() -> None:
        calls = CallThread("calls")
        made: list[tuple[int, str]] = []

        def call(number: int) -> int:
            made.append((number, threading.current_thread().name))
            return number * 2

        assert await asyncio.gather(*(calls.run(call, number) for number in range(5))) == [0, 2, 4, 6, 8]
        assert made == [(number, "calls") for number in range(5)]
        await calls.stop()

    asyncio.run(scenario())


def test_what_a_call_raises_is_raised_where_it_is_awaited() -> None:
    async def scenario() -> None:
        calls = CallThread("calls")
        with pytest.raises(ZeroDivisionError):
            await calls.run(lambda: 1 // 0)
        assert await calls.run(lambda: "still there") == "still there"
        await calls.stop()

    asyncio.run(scenario())


def test_a_call_that_waits_for_the_loop_lets_the_loop_make_calls() -> None:
    async def scenario() -> None:
        calls = CallThread("calls")
        loop = asyncio.get_running_loop()

        async def on_loop() -> str:
            return await calls.run(lambda: "made while waiting") + ", twice " + await calls.run(lambda: "over")

        waited = await asyncio.wait_for(calls.run(lambda: calls.wait_for(on_loop(), loop)), 100)
        assert waited == "made while waiting, twice over"
        assert await calls.run(lambda: "afterwards") == "afterwards"
        await calls.stop()

    asyncio.run(scenario())


def test_stopping_ends_the_thread_after_the_calls_handed_over() -> None:
    async def scenario() -> None:
        calls = CallThread("stopping calls")
        made: list[str] = []
        calls.hand_over(lambda: made.append("made"))
        await calls.stop()
        assert made == ["made"]
        assert "stopping calls" not in {thread.name for thread in threading.enumerate()}

    asyncio.run(scenario())


def test_a_call_that_nobody_waits_for_before_its_turn_is_not_made() -> None:
    async def scenario() -> None:
        calls = CallThread("calls")
        made: list[str] = []
        free = threading.Event()
        first = asyncio.create_task(calls.run(free.wait, 10))
        second = asyncio.create_task(calls.run(made.append, "second"))
        await asyncio.sleep(0)  # both are handed over
        first.cancel()
        second.cancel()
        free.set()
        assert await calls.run(lambda: "goes on") == "goes on"
        assert made == []
        await calls.stop()

    asyncio.run(scenario())


def test_a_call_that_ends_after_its_loop_does_no_harm() -> None:
    free = threading.Event()
    calls: list[CallThread] = []

    async def scenario() -> None:
        calls.append(CallThread("calls"))
        running = asyncio.create_task(calls[0].run(free.wait, 10))
        await asyncio.sleep(0)
        running.cancel()

    asyncio.run(scenario())
    free.set()

    async def later() -> None:
        assert await calls[0].run(lambda: "still there") == "still there"
        await calls[0].stop()

    asyncio.run(later())
