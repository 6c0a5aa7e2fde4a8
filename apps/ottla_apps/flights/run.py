"""The whole path once: files -> topics -> worker -> topics -> SQLite, with the worker killed on the way if wanted.

Without kills the stages follow one another. With kills, the source stays one eighth of the input ahead of the point
at which the worker is to die, so that it cannot be done before: each life is cut off in the middle of events and
transactions.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ottla_apps.flights import app, connectors, results
from ottla_apps.flights.worker import GroupProgress, Worker, WorkerFailed
from ottla_connectors.runtime.source_runner import Written
from ottla_connectors.runtime.tasks import run_sink, run_source
from ottla_connectors.spec import SinkSpec

BATCHES = 24
_LOOK_EVERY_S = 0.05
_STALLED_AFTER_S = 60.0


class Stage(Enum):
    """What is going on; the value is its heading."""

    READ = "reading the file"
    PROCESS = "processing events"
    WRITE = "writing to SQLite"


Show = Callable[[Stage, float], None]
"""Called with how much of a stage is done, from 0 to 1."""


@dataclass(frozen=True)
class Job:
    """What to run where. `bootstrap_servers` and `broker` name the same broker, for clients and for the worker."""

    broker: str
    bootstrap_servers: str
    rows: Path
    state_dir: Path
    out: Path
    kills: int = 0


@dataclass(frozen=True)
class Outcome:
    """What came of it: this run's figures, and the rows that are in the database."""

    read: int
    malformed: int
    processed: int
    windows: int
    rows: int
    seconds: float

    @property
    def events_per_second(self) -> float:
        """Events processed, over the time of the whole path, start of processes included."""
        return self.processed / self.seconds


class Gate:
    """Counts what the source has read, and holds it when that is as much as it may for now."""

    def __init__(self) -> None:
        self.read = 0
        self.malformed = 0
        self._limit = 0
        self._moved = asyncio.Condition()

    async def pass_on(self, batch: Written) -> None:
        """Counts a batch; returns when the next one may be read."""
        self.read += batch.rows
        self.malformed += batch.malformed
        async with self._moved:
            self._moved.notify_all()
            await self._moved.wait_for(lambda: self.read + self.malformed < self._limit)

    async def open_until(self, rows: int) -> None:
        """Lets the source read on until it has so many rows."""
        async with self._moved:
            self._limit = rows
            self._moved.notify_all()

    async def next_batch(self) -> None:
        """Returns when another batch has been read."""
        seen = self.read + self.malformed
        async with self._moved:
            await self._moved.wait_for(lambda: self.read + self.malformed > seen)


class FlightsRun:
    """One run of the job. Raises SourceError where its rows cannot be read."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._show: Show = lambda _stage, _done: None
        self._gate = Gate()
        self._total = connectors.count_rows(job.rows)
        self._progress = GroupProgress(job.bootstrap_servers, app.app.id, app.flights.name)

    async def run(self, show: Show) -> Outcome:
        """Runs once, and calls `show` as it goes on.

        Raises ConnectorError of a source or sink, WorkerFailed when the worker ends too early or stalls.
        """
        self._show = show
        job, gate = self._job, self._gate
        began = time.monotonic()
        before = results.totals(job.out)
        reading = asyncio.create_task(self._read())
        try:
            # Whole before the worker starts: an hour that closes while its airline is not there yet has no report.
            await run_source(connectors.airlines_source(), job.bootstrap_servers)
            await self._process(reading)
        finally:
            reading.cancel()
            # The source ends its transaction before the broker may be stopped.
            await asyncio.gather(reading, return_exceptions=True)
        await self._write()
        after = results.totals(job.out)
        return Outcome(
            read=gate.read,
            malformed=gate.malformed,
            processed=after.flights - before.flights,
            windows=after.windows - before.windows,
            rows=after.rows,
            seconds=time.monotonic() - began,
        )

    async def _read(self) -> None:
        async def on_written(batch: Written) -> None:
            self._show(Stage.READ, (self._gate.read + batch.rows) / self._total)
            await self._gate.pass_on(batch)

        source = connectors.flights_source(self._job.rows, batch_rows=max(1, self._total // BATCHES))
        await run_source(source, self._job.bootstrap_servers, on_written=on_written)
        self._show(Stage.READ, 1.0)

    async def _process(self, reading: asyncio.Task[None]) -> None:
        """One life of the worker for each kill, and the last one to the end of the input."""
        job, gate, total = self._job, self._gate, self._total
        lives = job.kills + 1
        ahead = total // 8 + 1
        for life in range(1, lives):
            point = total * life // lives
            await gate.open_until(point + ahead)
            with Worker(job.broker, job.state_dir, until_end=False) as worker:
                await self._watch(worker, reading, point)
                # More input comes in, and in the middle of it the worker dies.
                more = asyncio.create_task(gate.next_batch())
                await gate.open_until(total * (life + 1) // lives + ahead)
                await asyncio.wait({more, reading}, return_when=asyncio.FIRST_COMPLETED)
                worker.kill()
                more.cancel()
        await gate.open_until(sys.maxsize)
        await reading
        with Worker(job.broker, job.state_dir, until_end=True) as worker:
            await self._watch(worker, reading, None)
        self._show(Stage.PROCESS, 1.0)

    async def _watch(self, worker: Worker, reading: asyncio.Task[None], point: int | None) -> None:
        """Returns when so many events are processed, or when the worker has finished."""
        most, moved_at = -1.0, time.monotonic()
        while not worker.has_finished():
            processed = await self._progress.fraction() * self._gate.read
            if point is not None and processed >= point:
                return
            if reading.done():
                await reading  # raises what stopped it
            self._show(Stage.PROCESS, processed / self._total)
            if processed > most:
                most, moved_at = processed, time.monotonic()
            elif time.monotonic() - moved_at > _STALLED_AFTER_S:
                raise WorkerFailed(f"the worker has not moved for {_STALLED_AFTER_S:.0f} s")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _write(self) -> None:
        sinks = connectors.sinks(self._job.out)
        done = dict.fromkeys((sink.name for sink in sinks), False)

        async def write(sink: SinkSpec) -> None:
            await run_sink(sink, self._job.bootstrap_servers, until_end=True)
            done[sink.name] = True
            self._show(Stage.WRITE, sum(done.values()) / len(done))

        await asyncio.gather(*(write(sink) for sink in sinks))
