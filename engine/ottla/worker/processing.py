"""Letting a worker's tasks process what they were given, and producing what they made of it.

Processing goes on while a commit is under way, as long as the next one may wait: not when a cache is full, nor when
much output is held back until then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ottla.serdes.requests import deferring_requests
from ottla.transport.contract import Membership, OutputRecord, Transport
from ottla.worker.assignment import AssignedTask
from ottla.worker.commits import Commits
from ottla.worker.metrics import WorkerMetrics
from ottla.worker.outbox import Outbox
from ottla.worker.pace import Pace
from ottla.worker.questions import Questions
from ottla.worker.workload import Workload

TICK_S = 0.1
"""How often tasks that look at the clock are told the time, and the outbox is looked into, when no events come."""
_MOST_HELD = 10_000
_FEW_RECORDS = 500
"""Who makes so few at once has time: they need not wait for more to be sent with them."""


class Processing:
    """Each task is at one batch at a time; one that awaits lets the others go on. `events` counts what is done."""

    def __init__(
        self,
        workload: Workload,
        commits: Commits,
        outbox: Outbox,
        questions: Questions,
        transport: Transport,
        metrics: WorkerMetrics,
        pace: Pace,
        now_ms: Callable[[], int],
    ) -> None:
        self.events = 0
        self.finishing = False
        """Whether no batch is to begin any more, but where an agent waits for it in the middle of its own."""
        self._workload = workload
        self._commits = commits
        self._outbox = outbox
        self._questions = questions
        self._transport = transport
        self._metrics = metrics
        self._pace = pace
        self._now_ms = now_ms
        # What was made, and is to be produced when the commits let it.
        self._made: list[OutputRecord] = []

    @property
    def may_start(self) -> bool:
        """Whether more may be processed, and nothing must be committed before."""
        if self.finishing:
            return False
        if self._commits.is_under_way:
            return not self._commits.is_full and len(self._made) < _MOST_HELD
        return not self._commits.is_due

    def start(self) -> None:
        """Lets those tasks process that have something new, or are to be told the time; where they may not start, only
        those that an agent waits for in the middle of an event."""
        asked = None if self.may_start else self._questions.wanted
        if asked is not None and not asked:
            return
        now = time.monotonic()
        for task in self._workload.tasks.values():
            if asked is not None and asked.isdisjoint(task.inputs):
                continue
            ticks = task.task.timed and now >= task.tick_at
            wakes = task.idling.wakes_at is not None and now >= task.idling.wakes_at
            due = (ticks or wakes) and not (task.ended or task.at_rest)
            if task.running is None and (task.has_work or due):
                task.changed = False
                task.tick_at = now + TICK_S
                task.began_at = now
                task.running = asyncio.create_task(self._work(task))

    async def _work(self, task: AssignedTask) -> int:
        with deferring_requests():
            await task.task.advance(self._now_ms(), time.monotonic_ns() // 1_000_000)
            passing = task.idling.may_pass(task.task, task.caught_up, time.monotonic())
            events = await task.task.process(passing)
            while (now_passing := task.idling.may_pass(task.task, task.caught_up, time.monotonic())) != passing:
                passing = now_passing
                events += await task.task.process(passing)
            return events

    async def collect(self, timeout_s: float) -> None:
        """Waits a while for the tasks that are processing, and produces what the finished ones made.

        Raises what processing raised.
        """
        running = {task.running: task for task in self._workload.tasks.values() if task.running is not None}
        if not running:
            return
        began = time.perf_counter()
        done, _ = await asyncio.wait(running, timeout=timeout_s)
        events = 0
        for finished in done:
            task = running[finished]
            task.running = None
            task.settle()
            events += finished.result()
            self.take(task)
            if task.task.is_held:
                self._commits.note(at_once=True)
                task.changed = True
            if task.has_changes:
                self._commits.note()
        if events:
            self.events += events
            self._metrics.events.inc(events)
            self._commits.note()
        await self.produce()
        if len(done) == len(running):
            self._pace.finished(events, time.perf_counter() - began)
        elif not done:
            self._pace.unfinished()

    def take(self, task: AssignedTask) -> None:
        """Takes what a task made, to be produced."""
        if records := task.task.drain():
            self._made += records
            self._commits.note(wrote=True)

    async def produce(self) -> None:
        """Produces what tasks made, and what timers and other code outside of them sent, unless a commit holds it."""
        if self._commits.holds_output:
            return
        records, self._made = self._made, []
        # What is sent commits as a whole. While a commit is under way it would be taken for a part of that one.
        if self._outbox.has_waiting and not self._commits.is_under_way:
            records += self._outbox.take()
            # Even without records: what is sent may have written state that is to be committed.
            self._commits.note(wrote=True)
        if records:
            await self._transport.produce(records)
            self._metrics.produced.inc(len(records))
            if len(records) <= _FEW_RECORDS:
                self._transport.push()

    async def begin_commit(self, membership: Membership | None) -> None:
        """Begins a commit of all that was done. No task may be busy, and no commit under way.

        What the events led to must be on its way before it may be said that they were processed.
        """
        await self.produce()
        self._commits.begin(membership)

    async def settle(self, membership: Membership | None) -> None:
        """Commits all that was done, and waits for it. No task may be busy."""
        await self._commits.wait()
        await self.begin_commit(membership)
        await self._commits.wait()

    def forget(self) -> None:
        """What was done since the last commit was undone."""
        self._made.clear()
