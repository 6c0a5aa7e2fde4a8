"""A worker that is stopped while it begins ends within its bound, whatever it waits for; and a process that does not
end is ended.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

import ottla
from ottla.state.memory import MemoryStores
from ottla.transport.memory import MemoryTransport
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
