"""Connectors that are told to stop in the middle of a commit: it ends, or nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ottla_connectors.contract import Batch, Row
from ottla_connectors.errors import BrokerUnavailable
from ottla_connectors.runtime import kafka_output, stopping
from ottla_connectors.runtime.kafka_output import KafkaOutput
from ottla_connectors.runtime.sink_runner import SinkRunner
from ottla_connectors.runtime.stopping import see_through
from ottla_connectors.testing import MemoryBroker, MemoryInput, MemorySink, MemorySinkConfig, MemoryTable

from ..withholding import END_TXN, WithholdingProxy, broker_behind_proxy


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WithholdingProxy]:
    with broker_behind_proxy(tmp_path_factory.mktemp("broker")) as proxy:
        yield proxy


@pytest.fixture
def spec_file(tmp_path: Path, proxy: WithholdingProxy, request: pytest.FixtureRequest) -> Path:
    path, rows = tmp_path / "spec.toml", tmp_path / "a.csv"
    rows.write_text("id\n1\n2\n3\n")
    path.write_text(f"""
        broker = "kafka://{proxy.address}"
        [[source]]
        name = "{request.node.name}"
        plugin = "file"
        topic = "{request.node.name}"
        config = {{ path = "{rows}", batch_rows = 2 }}
    """)
    return path


def ottla_connect(spec_file: Path, before: str = "") -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        f"{before}\nfrom ottla_connectors.commands import app; app()",
        "run",
        str(spec_file),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_commit_that_is_under_way_when_a_source_is_stopped_ends_and_counts(
    proxy: WithholdingProxy, spec_file: Path
) -> None:
    with proxy.withholding(END_TXN) as withheld, ottla_connect(spec_file) as running:
        assert withheld.wait(100)
        for _ in range(3):
            running.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(0.3)
        proxy.deliver()
        output, errors = running.communicate(timeout=100)
    assert (running.returncode, output.strip().split(": ")[1]) == (0, "2 rows, 0 malformed"), errors

    with ottla_connect(spec_file) as again:
        output, errors = again.communicate(timeout=100)
    assert (again.returncode, output.strip().split(": ")[1]) == (0, "1 rows, 0 malformed"), errors


def test_a_commit_that_does_not_end_holds_up_no_stop(proxy: WithholdingProxy, spec_file: Path) -> None:
    impatient = """
from ottla_connectors.runtime import stopping
stopping.CLOSE_WITHIN_S = stopping.STOP_WITHIN_S = 0.2
"""
    with proxy.withholding(END_TXN) as withheld, ottla_connect(spec_file, impatient) as running:
        assert withheld.wait(100)
        running.send_signal(signal.SIGTERM)
        _, errors = running.communicate(timeout=20)  # the commit itself is tried for a minute
    assert running.returncode == 0
    assert "no answer within 0.2 s; its client is left as it is" in errors


def test_a_commit_without_an_answer_is_not_aborted_and_the_next_task_knows_what_became_of_it(
    proxy: WithholdingProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried for 0.2 s again and again; when the broker has answered, the clock says that it is too late."""
    monkeypatch.setattr(kafka_output, "_COMMIT_TIMEOUT_S", 0.2)

    def output() -> KafkaOutput:
        return KafkaOutput(proxy.address, "doubtful", {}, "doubtful", partitions=1)

    async def two_tasks() -> None:
        first, second = output(), output()
        assert await first.open() is None
        with proxy.withholding(END_TXN) as withheld:
            clock = SimpleNamespace(monotonic=lambda: 100.0 if withheld.is_set() else 0.0)
            monkeypatch.setattr(kafka_output, "time", clock)
            with pytest.raises(BrokerUnavailable, match="Timed out"):
                await first.write(Batch([Row(None, 1)], [], {"id": 1}))
        await first.close()
        assert await second.open() == {"id": 1}
        await second.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(two_tasks())
    assert caplog.messages == []


def cancelled_often(step: Callable[[asyncio.Event], Coroutine[Any, Any, str]]) -> list[str]:
    """What a task notes that sees a step through, and is cancelled three times while it is at it."""
    noted: list[str] = []

    async def scenario() -> None:
        go_on = asyncio.Event()

        async def work() -> None:
            try:
                noted.append(await see_through(step(go_on)))
                noted.append("next")
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                noted.append("cancelled")
                raise
            except ValueError as error:
                noted.append(str(error))

        working = asyncio.create_task(work())
        for _ in range(3):
            await asyncio.sleep(0)
            working.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait([working])

    asyncio.run(scenario())
    return noted


def test_a_task_that_is_cancelled_ends_its_step_and_is_cancelled_where_it_next_waits() -> None:
    async def step(go_on: asyncio.Event) -> str:
        await go_on.wait()
        return "written"

    assert cancelled_often(step) == ["written", "next", "cancelled"]


def test_what_a_step_raises_is_raised_to_a_cancelled_task_too() -> None:
    async def step(go_on: asyncio.Event) -> str:
        await go_on.wait()
        raise ValueError("refused")

    assert cancelled_often(step) == ["refused"]


def test_a_step_that_does_not_end_is_cancelled_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "STOP_WITHIN_S", 0.05)
    steps = []

    async def step(_: asyncio.Event) -> str:
        try:
            await asyncio.sleep(100)
        finally:
            steps.append("cancelled")
        return "written"

    assert cancelled_often(step) == ["cancelled"]
    assert steps == ["cancelled"]


def test_a_write_that_is_under_way_when_a_sink_is_stopped_ends_and_the_group_follows_it() -> None:
    broker, table = MemoryBroker(records={"in": [Row(None, 1), Row(None, 2)]}), MemoryTable()
    sunk: list[int] = []

    class Slow(MemorySink):
        async def write(self, *arguments: object) -> None:
            stopping.set()
            await asyncio.sleep(0.05)
            await super().write(*arguments)  # type: ignore[arg-type]

        async def close(self) -> None:
            table.rows.append(Row(None, "closed"))

    async def told(written: object) -> None:
        sunk.append(getattr(written, "rows", 0))

    async def scenario() -> None:
        runner = SinkRunner(
            Slow("out", MemorySinkConfig(table)), MemoryInput(broker, ["in"]), clock=lambda: 0.0, on_sunk=told
        )
        running = asyncio.create_task(runner.run(until_end=False))
        await stopping.wait()
        for _ in range(3):
            running.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await running

    stopping = asyncio.Event()
    asyncio.run(scenario())
    assert [row.value for row in table.rows] == [1, 2, "closed"]
    assert list(broker.group_offsets.values()) == [2]
    assert sunk == [2]
