"""A worker that is stopped ends within its bound, whatever it waits for, with nothing left behind; and a process that
does not end is ended.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import ottla
from ottla.state.memory import MemoryStores
from ottla.transport.contract import OutputRecord, TopicPartition
from ottla.transport.errors import (
    DeliveryError,
    FatalTransportError,
    MemberFencedError,
    ProducerFencedError,
    TransactionAbortedError,
    TransportError,
)
from ottla.transport.memory import MemoryTransport
from ottla.worker import embedded, workload
from ottla.worker import worker as worker_module
from ottla.worker.worker import Worker

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]
Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]

ASKED_WHILE_BEGINNING = ["start", "partition_counts", "create_topics", "offset_ranges", "read", "subscribe", "poll"]


def app_with_state() -> ottla.App:
    app = ottla.App("beginning")
    counts = app.Table("counts", key=str, default=int)
    prices = app.GlobalTable("prices", source=app.topic("prices", key=str, value=int, partitions=1))

    @app.agent(app.topic("words", key=str, value=str, partitions=1))
    async def count(words: ottla.Stream[str]) -> None:
        async for word in words:
            counts[word] += prices.get(word, 0)

    return app


@pytest.mark.parametrize("asked", ASKED_WHILE_BEGINNING)
def test_a_worker_is_stopped_while_a_broker_does_not_answer(
    play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setattr(worker_module, "_FINISH_TIMEOUT_S", 0.1)
    hanging = False

    async def hang(*_: Any, **__: Any) -> Any:
        nonlocal hanging
        hanging = True
        await asyncio.get_running_loop().create_future()

    async def hang_reading(*_: Any) -> AsyncIterator[Any]:
        await hang()
        yield {}

    async def scenario(cluster: Any) -> None:
        app = app_with_state()
        await cluster.run_to_end(app)
        cluster.broker.groups.clear()
        transport = MemoryTransport(cluster.broker, app.id, "w0")
        monkeypatch.setattr(transport, asked, hang_reading if asked == "read" else hang)
        worker = Worker(app.topology, app.config, transport, MemoryStores())
        run = asyncio.create_task(worker.run())
        await eventually(lambda: hanging)
        worker.stop()
        assert (await asyncio.wait_for(run, 20)).events == 0

    play(scenario)


def test_a_worker_that_was_stopped_before_it_began_does_not_wait_either(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "_FINISH_TIMEOUT_S", 0.1)

    async def hang(*_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    async def scenario(cluster: Any) -> None:
        monkeypatch.setattr(MemoryTransport, "start", hang)
        worker = cluster.worker(app_with_state())
        worker.stop()
        await asyncio.wait_for(worker.run(), 20)

    play(scenario)


class Counting:
    """An app with jobs whose worker counts; its agent does `at_end` when it is ended."""

    def __init__(self, at_end: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        self.app = app = ottla.App("counting", commit_interval=timedelta(milliseconds=5), on_error="fail")
        self.stopped = 0
        counted = app.topic("counted", key=str, value=int, partitions=1)
        counts = app.Table("counts", key=str, default=int)

        @app.agent(app.topic("words", key=str, value=str, partitions=1), sink=[counted])
        async def count(words: ottla.Stream[str]) -> AsyncIterator[int]:
            try:
                async for word in words:
                    if word == "bad":
                        raise ValueError("a bad word")
                    counts[word] += 1
                    yield counts[word]
            finally:
                if at_end is not None:
                    await at_end()

        @app.timer(0.005)
        async def tick() -> None:
            await asyncio.sleep(0.001)

        @app.task
        async def last() -> None:
            await asyncio.get_running_loop().create_future()

        @app.on_stop
        async def stop() -> None:
            self.stopped += 1

    async def at_work(self, cluster: Any, eventually: Eventually) -> tuple[Worker, asyncio.Task[Any]]:
        """Its worker, which has counted a word."""
        worker = cluster.worker(self.app)
        run = asyncio.create_task(worker.run())
        await eventually(lambda: "words" in cluster.broker.topics)
        cluster.send("words", ("a", "a"))
        await eventually(lambda: cluster.values("counted") == ["1"])
        return worker, run


@pytest.mark.parametrize("way", ["stopped", "failed", "fenced", "cancelled"])
def test_whichever_way_a_worker_ends_it_leaves_nothing_running(play: Play, eventually: Eventually, way: str) -> None:
    async def scenario(cluster: Any) -> None:
        before = asyncio.all_tasks()
        counting = Counting()
        worker, run = await counting.at_work(cluster, eventually)
        if way == "stopped":
            worker.stop()
            await run
        elif way == "failed":
            cluster.send("words", ("a", "bad"))
            with pytest.raises(ottla.ProcessingFailed, match="a bad word"):
                await run
        elif way == "fenced":

            async def commit(*_: Any) -> Any:
                raise FatalTransportError("not authorised")

            worker._transport.commit = commit  # type: ignore[assignment, method-assign]
            cluster.send("words", ("b", "b"))
            with pytest.raises(FatalTransportError, match="not authorised"):
                await run
        else:
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
        assert asyncio.all_tasks() == before
        assert counting.stopped == 1
        assert cluster.members("counting") == set()

    play(scenario)


@pytest.mark.parametrize("error", [TransactionAbortedError, DeliveryError, ProducerFencedError, MemberFencedError])
@pytest.mark.parametrize("call", ["produce", "commit", "membership"])
def test_a_last_commit_that_fails_is_said_and_its_events_are_processed_again(
    play: Play, eventually: Eventually, caplog: pytest.LogCaptureFixture, call: str, error: type[TransportError]
) -> None:
    async def fail(*_: Any) -> Any:
        raise error("it was cut off")

    async def scenario(cluster: Any) -> None:
        worker, run = await Counting().at_work(cluster, eventually)

        async def send(*_: Any) -> None:
            setattr(worker._transport, call, fail)
            await worker.outlet.send([OutputRecord("counted", b"a", b"7", 7)])

        worker._services._jobs.on_stop.append(send)
        worker.stop()
        await run
        assert cluster.values("counted") == ["1"]

    play(scenario)
    assert "the last commit failed, its events will be processed again: it was cut off" in caplog.messages


def test_what_an_agent_raises_when_it_is_ended_is_logged_and_ends_nothing_else(
    play: Play, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise RuntimeError("the connection is gone")

    async def scenario(cluster: Any) -> None:
        worker, run = await Counting(fail).at_work(cluster, eventually)
        worker.stop()
        await run
        assert cluster.members("counting") == set()
        assert cluster.offsets("counting")[TopicPartition("words", 0)] == 1

    play(scenario)
    assert caplog.messages == ["agent 'count' failed while it was ended; nothing of an event depends on it"]
    assert "the connection is gone" in caplog.text


def test_an_agent_that_does_not_end_is_left_to_itself(
    play: Play, eventually: Eventually, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workload, "_ENDED_WITHIN_S", 0.05)

    async def scenario(cluster: Any) -> None:
        waits = asyncio.get_running_loop().create_future()

        async def wait() -> None:
            await asyncio.shield(waits)

        worker, run = await Counting(wait).at_work(cluster, eventually)
        worker.stop()
        await run
        assert cluster.members("counting") == set()

    play(scenario)
    assert caplog.messages == [
        "an agent of task 0_0 did not end within 0.05 s after it was told to, at the event at words[0] offset 0; "
        "the worker goes on without it"
    ]


def asking_app(seen: list[str]) -> ottla.App:
    """An agent asks another in the middle of each event that it has seen."""
    app = ottla.App("asking", commit_interval=timedelta(milliseconds=5), processing_guarantee="at_least_once")
    done = app.topic("done", key=str, value=str, partitions=1)

    @app.agent(app.topic("answered", key=str, value=str, partitions=1))
    async def answer(words: ottla.Stream[str]) -> AsyncIterator[str]:
        async for word in words:
            await asyncio.sleep(0.01)
            yield word.upper()

    @app.agent(app.topic("asked", key=str, value=str, partitions=1), sink=[done])
    async def ask(words: ottla.Stream[str]) -> AsyncIterator[str | None]:
        async for word in words:
            seen.append(word)
            yield await answer.ask(word, key=word)

    return app


def is_at_work(worker: Worker) -> bool:
    return worker.insight is not None and len(worker._workload.tasks) == 2


@pytest.mark.parametrize("asked", [False, True], ids=["before it has asked", "while it waits"])
def test_an_agent_gets_the_answers_that_it_waits_for_before_its_worker_stops(
    play: Play, eventually: Eventually, asked: bool
) -> None:
    async def scenario(cluster: Any) -> None:
        seen: list[str] = []
        worker = cluster.worker(asking_app(seen))
        run = asyncio.create_task(worker.run())
        await eventually(lambda: is_at_work(worker))
        cluster.send("asked", ("k", "a"), ("k", "b"), ("k", "c"))
        await eventually(lambda: bool(cluster.values("answered") if asked else seen))
        worker.stop()
        await asyncio.wait_for(run, 5)
        assert cluster.values("done") == ["A", "B", "C"]
        assert cluster.offsets("asking")[TopicPartition("asked", 0)] == 3

    play(scenario)


def test_an_agent_gets_the_answers_that_it_waits_for_before_its_task_goes_to_another_worker(
    play: Play, eventually: Eventually
) -> None:
    async def scenario(cluster: Any) -> None:
        app = asking_app([])
        async with cluster.running(app, "w1") as first:
            await eventually(lambda: is_at_work(first))
            cluster.send("asked", *[("k", word) for word in "abcdefghij"])
            await eventually(lambda: bool(cluster.values("answered")))
            # The one that leads, so that the other is asked for a task while it is at its batch
            async with asyncio.timeout(5), cluster.running(app, "w0") as second:
                await eventually(lambda: len(second._workload.tasks) == 1)
                await eventually(lambda: len(cluster.values("done")) >= 10)
        assert cluster.values("done") == list("ABCDEFGHIJ")

    play(scenario)


def test_an_embedded_broker_that_is_starting_when_a_signal_comes_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def interrupted(child: subprocess.Popen[bytes], _: Path) -> str:
        started.append(child)
        raise SystemExit(143)

    monkeypatch.setattr(embedded, "_own_or_running", interrupted)
    with pytest.raises(SystemExit), embedded.serving(f"embedded://{tmp_path}"):
        pass
    assert [child.returncode is None for child in started] == [False]


FROZEN = """
import ctypes, signal, sys
from ottla.worker import deadline

deadline.STOPPED_WITHIN_S = 0.5
with deadline.stopping_deadline() as told_to_stop:
    told_to_stop()
    # A call that does not return, with the interpreter's lock
    ctypes.PyDLL(None).pause()
"""


def test_a_process_that_does_not_stop_is_ended_and_says_where_it_was() -> None:
    done = subprocess.run([sys.executable, "-c", FROZEN], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert "most recent call first" in done.stderr
    assert "line 9 in <module>" in done.stderr
