"""How signals end a worker."""

import asyncio
import os
import signal
import uuid
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest

import ottla
from ottla.jobs import CrashDecision
from ottla.worker import launch, signals
from ottla.worker.worker import WorkerSummary

from ...ports import free_ports

KAFKA = os.environ.get("OTTLA_KAFKA_BOOTSTRAP")


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
    run = asyncio.create_task(launch._run_until_signalled(worker, lambda: None))
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGINT)
    await worker.told.wait()
    return run


def test_one_signal_that_comes_twice_lets_the_worker_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "SAME_SIGNAL_S", 60.0)

    async def scenario() -> None:
        worker = BusyWorker()
        run = await signalled(worker)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.01)
        worker.let.set()
        assert (await run).events == 1

    asyncio.run(scenario())


def test_a_second_signal_ends_it_at_once_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "SAME_SIGNAL_S", 0.0)

    async def scenario() -> None:
        run = await signalled(BusyWorker())
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(ottla.OttlaError, match="second signal"):
            await run

    asyncio.run(scenario())


def test_a_second_signal_ends_a_worker_whose_event_loop_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "SAME_SIGNAL_S", 0.0)
    told: list[float] = []

    class Holding:
        async def run(self) -> None:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
            while True:
                pass

    async def scenario() -> None:
        with pytest.raises(ottla.OttlaError, match="second signal"):
            await launch._run_until_signalled(Holding(), lambda: told.append(0.0))  # type: ignore[arg-type]

    asyncio.run(scenario())
    assert told == [0.0], "its process is to end within the bound"


@pytest.fixture(params=["ottla", *(["kafka"] if KAFKA else [])])
def broker(request: pytest.FixtureRequest) -> str:
    return f"kafka://{KAFKA}" if request.param == "kafka" else str(request.getfixturevalue("ottla_broker"))


class Failing:
    """An app whose agent fails on its first events, so that its workers end."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.app = ottla.App(f"failing-{uuid.uuid4().hex[:8]}", on_error="fail")
        self.numbers = self.app.topic(f"{self.app.id}-numbers", value=int, partitions=1)
        self.seen: list[int] = []

        @self.app.agent(self.numbers)
        async def take(numbers: ottla.Stream[int]) -> None:
            async for number in numbers:
                if self.failures:
                    self.failures -= 1
                    raise ValueError("not yet")
                self.seen.append(number)

    def run(self, broker: str, directory: Path, web: str | None = None) -> None:
        async def send() -> None:
            async with self.app.client():
                await self.numbers.send(key="k", value=1)

        def run() -> None:
            launch.run_worker(self.app.topology, self.app.config, until_end=True, jobs=self.app.jobs, served=self.app)

        self.app.config = replace(self.app.config, broker=broker, state_dir=directory, store="memory", web=web)
        run()
        asyncio.run(send())
        run()


def test_a_worker_that_crashed_begins_anew_where_the_app_says_so(broker: str, tmp_path: Path) -> None:
    failing = Failing(2)
    errors: list[str] = []

    @failing.app.on_crash
    def decide(error: Exception) -> CrashDecision:
        errors.append(type(error).__name__)
        return "restart"

    failing.run(broker, tmp_path)
    assert (failing.seen, errors) == ([1], ["ProcessingFailed", "ProcessingFailed"])


def test_a_worker_that_begins_anew_is_served_where_it_was(broker: str, tmp_path: Path) -> None:
    failing = Failing(1)
    errors: list[str] = []
    [port] = free_ports(1)
    answers: list[int] = []

    def ask() -> int:
        with urlopen(f"http://127.0.0.1:{port}/health/live", timeout=30) as answer:
            status: int = answer.status
            return status

    @failing.app.agent(failing.numbers)
    async def look(numbers: ottla.Stream[int]) -> None:
        async for _ in numbers:
            status = await asyncio.to_thread(ask)
            answers.append(status)

    @failing.app.on_crash
    def decide(error: Exception) -> CrashDecision:
        errors.append(f"{type(error).__name__}: {error}")
        return "restart" if len(errors) == 1 else "stop"

    failing.run(broker, tmp_path, web=f"127.0.0.1:{port}")
    assert (failing.seen, len(errors), set(answers)) == ([1], 1, {200})


def test_a_worker_that_crashed_ends_where_the_app_says_nothing_else(broker: str, tmp_path: Path) -> None:
    with pytest.raises(ottla.ProcessingFailed, match="not yet"):
        Failing(1).run(broker, tmp_path)


@pytest.mark.parametrize(
    ("decide", "message"), [(lambda _: "stop", "not yet"), (lambda _: "wait", "'wait'"), (lambda _: 1 // 0, "on_crash")]
)
def test_other_decisions_end_it(decide: Any, message: str) -> None:
    with pytest.raises(ottla.ProcessingFailed, match=message):
        launch.Crashes(decide).decide(ottla.ProcessingFailed("not yet"))


def test_restarts_follow_more_and_more_slowly_unless_one_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    now = [0.0]
    monkeypatch.setattr(launch, "time", SimpleNamespace(sleep=waits.append, monotonic=lambda: now[0]))
    crashes = launch.Crashes(lambda _: "restart")
    for lasted in (0, 0, 0, 61, 0):
        crashes.began()
        now[0] += lasted
        crashes.decide(ValueError("again"))
        crashes.wait()
    assert waits == [0.1, 0.2, 0.4, 0.1, 0.2]
