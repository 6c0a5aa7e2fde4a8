"""Coroutines that become tasks only when they wait."""

import asyncio
import inspect

import pytest

from ottla_broker.eager import run_to_first_wait


async def finishes() -> str:
    return "done"


async def fails() -> str:
    raise ValueError("at once")


async def waits_for(*futures: "asyncio.Future[str]") -> list[str]:
    return [await future for future in futures]


def test_a_coroutine_that_does_not_wait_is_finished_without_a_task() -> None:
    async def main() -> None:
        assert run_to_first_wait(finishes()) == (None, "done")

    asyncio.run(main())


def test_what_it_raises_at_once_is_raised_here() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="at once"):
            run_to_first_wait(fails())

    asyncio.run(main())


def test_a_coroutine_that_waits_goes_on_as_a_task() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()
        task, result = run_to_first_wait(waits_for(first, second))
        assert task is not None
        assert inspect.iscoroutine(task.get_coro())  # Python 3.12 and later make no task of anything else.
        assert result is None
        loop.call_later(0.001, first.set_result, "one")
        loop.call_later(0.002, second.set_result, "two")
        assert await task == ["one", "two"]

    asyncio.run(main())


def test_a_bare_yield_to_the_loop_is_a_wait() -> None:
    async def yields() -> str:
        await asyncio.sleep(0)
        return "done"

    async def main() -> None:
        task, _ = run_to_first_wait(yields())
        assert task is not None
        assert await task == "done"

    asyncio.run(main())


def test_an_exception_of_what_it_waits_for_arrives_inside() -> None:
    async def catches(future: "asyncio.Future[str]") -> str:
        try:
            return await future
        except ValueError as error:
            return f"caught {error}"

    async def main() -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task, _ = run_to_first_wait(catches(future))
        future.set_exception(ValueError("it"))
        assert task is not None
        assert await task == "caught it"

    asyncio.run(main())


def test_cancellation_reaches_the_coroutine() -> None:
    cleaned_up: list[bool] = []

    async def cleans_up(future: "asyncio.Future[str]") -> str:
        try:
            return await future
        finally:
            cleaned_up.append(True)

    async def main() -> None:
        task, _ = run_to_first_wait(cleans_up(asyncio.get_running_loop().create_future()))
        assert task is not None
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cleaned_up == [True]

    asyncio.run(main())


def test_a_task_cancelled_before_it_runs_still_cleans_up() -> None:
    cleaned_up: list[bool] = []

    async def cleans_up(future: "asyncio.Future[str]") -> str:
        try:
            return await future
        finally:
            cleaned_up.append(True)

    async def main() -> None:
        task, _ = run_to_first_wait(cleans_up(asyncio.get_running_loop().create_future()))
        assert task is not None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert cleaned_up == [True]
