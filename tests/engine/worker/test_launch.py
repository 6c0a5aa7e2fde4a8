"""How signals end a worker."""

import asyncio
import os
import signal
from typing import Any

import pytest

import ottla
from ottla.worker import launch
from ottla.worker.worker import WorkerSummary


class BusyWorker:
    """Says when it was told to stop, and stops when it is let."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.let = asyncio.Event()

    def stop(self) -> None:
        self.told.set()

    async def run(self) -> WorkerSummary:
        await self.let.wait()
        return WorkerSummary(1, 1.0)


async def signalled(worker: Any) -> "asyncio.Task[WorkerSummary]":
    """The run of a worker that was told to stop."""
    run = asyncio.create_task(launch._run_until_signalled(worker))
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGINT)
    await worker.told.wait()
    return run


def test_one_signal_that_comes_twice_lets_the_worker_finish() -> None:
    async def scenario() -> None:
        worker = BusyWorker()
        run = await signalled(worker)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.01)
        worker.let.set()
        assert (await run).events == 1

    asyncio.run(scenario())


def test_a_second_signal_ends_it_at_once_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_SAME_SIGNAL_S", 0.0)

    async def scenario() -> None:
        run = await signalled(BusyWorker())
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(ottla.OttlaError, match="second signal"):
            await run

    asyncio.run(scenario())
