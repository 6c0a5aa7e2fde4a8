"""A worker's timers, cron jobs and background tasks, each an asyncio task of its own beside the stream tasks.

What one run of a timer or cron job sends is kept until the run has ended, and then commits together: a run that raises
has sent nothing. What a background task sends, which may never end, commits soon after it was sent.

Jobs of the leader run on the worker that holds the leader's task (`topology/graph.py`). Its store notes for each cron
job the last time that was dealt with, in the transaction that commits what the run sent; so whoever leads next knows
what was missed, and a worker that was cut off and still believes to lead cannot commit. Nor does it begin a
run: before that the group is asked whether it has this worker (`Lead`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any

from ottla.errors import ProcessingFailed
from ottla.escapes import contained, is_being_cancelled, raised_at
from ottla.jobs import Background, CronJob, Jobs, Timer, WorkerState, call
from ottla.outlet import Collected, outlet
from ottla.state.cache import StoreCache
from ottla.state.changelog import StateProgress
from ottla.transport.contract import TopicPartition
from ottla.worker.leader import Lead
from ottla.worker.outbox import Outbox

log = logging.getLogger("ottla.worker")

_LONGEST_SLEEP_S = 1.0
"""The wall clock may be set while a cron job sleeps."""
_MOST_UNTOLD = 1_000


class Services:
    """Runs the jobs of an app. `clock` gives seconds since the epoch; timers go by the monotonic clock.

    With `fail` a timer or cron job that raises stops the worker; else it is logged, and runs again when it is due.
    A background task that raises always stops it: nothing would start it again. So does what is no `Exception`.
    """

    def __init__(self, jobs: Jobs, outbox: Outbox, lead: Lead, clock: Callable[[], float], *, fail: bool) -> None:
        self._jobs = jobs
        self._outbox = outbox
        self._lead = lead
        self._clock = clock
        self._fail = fail
        self._notes: StoreCache | None = None
        # How often this worker led: what a run sent counts only in the time of leading in which it ran.
        self._term = 0
        self._running: dict[str, asyncio.Task[None]] = {}
        self._failure: ProcessingFailed | None = None
        # What is not told yet, in its order.
        self._untold: deque[tuple[str, list[Callable[[], Any]]]] = deque()
        self._telling: asyncio.Task[None] | None = None
        self._has_begun = False
        self._state: WorkerState = "starting"

    async def begin(self) -> None:
        """Runs what `on_start` registered, before the worker reads its first event."""
        for function in self._jobs.on_start:
            try:
                with contained("on_start"):
                    await self._call(function)
            except ProcessingFailed:
                raise
            except Exception as error:
                raise ProcessingFailed(
                    f"what on_start calls failed: {type(error).__name__}: {error}{raised_at(error)}"
                ) from error
        self._has_begun = True

    def ready(self, notes: StoreCache | None) -> None:
        """The worker's tasks are at work; `notes` is the store of the leader's task if this worker holds it."""
        if notes is None:
            self._end(job.name for job in (*self._jobs.scheduled, *self._jobs.background.values()) if job.on_leader)
        self._notes = notes
        for job in (*self._jobs.scheduled, *self._jobs.background.values()):
            if job.name not in self._running and (notes is not None or not job.on_leader):
                self._running[job.name] = asyncio.create_task(self._guard(job))

    def follow(self) -> None:
        """This worker leads no more: runs of the leader's jobs end here and have sent nothing."""
        self._notes = None
        self._term += 1
        self._end(job.name for job in (*self._jobs.scheduled, *self._jobs.background.values()) if job.on_leader)

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """The worker has begun with tasks that read these: tells it to whoever wants to know."""
        if partitions:
            self._tell("on_assigned", self._jobs.on_assigned, frozenset(partitions))

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """The worker has let go of tasks that read these."""
        if partitions:
            self._tell("on_revoked", self._jobs.on_revoked, frozenset(partitions))

    def restored(self, progress: StateProgress) -> None:
        """State was read from a changelog, that far. Steps in between are left out while much is not told yet."""
        if progress.phase != "advanced" or len(self._untold) < _MOST_UNTOLD:
            self._tell("on_restore", self._jobs.on_restore, progress)

    def entered(self, state: WorkerState) -> None:
        """The worker is in that state now."""
        if state != self._state:
            before, self._state = self._state, state
            self._tell("on_state", self._jobs.on_state, state, before)

    async def told(self, within_s: float) -> None:
        """Waits, within a bound, until all is told."""
        try:
            async with asyncio.timeout(within_s):
                if self._telling is not None:
                    await self._telling
        except TimeoutError:
            log.warning("what the app does when tasks go did not finish within %g s", within_s)

    def check(self) -> None:
        """Raises `ProcessingFailed` if a job failed that must not."""
        if self._failure is not None:
            raise self._failure

    async def stop(self, within_s: float) -> None:
        """Ends all jobs, and runs what `on_stop` registered if what `on_start` did was run, once, within a bound.

        What those send is part of the last commit, if there is to be one.
        """
        try:
            async with asyncio.timeout(within_s):
                await self._stop()
        except TimeoutError:
            log.warning("what the app does at its end did not finish within %g s", within_s)

    async def _stop(self) -> None:
        running = list(self._running.values())
        self._end(list(self._running))
        await asyncio.gather(*running, return_exceptions=True)
        has_begun, self._has_begun = self._has_begun, False
        for function in self._jobs.on_stop if has_begun else ():
            try:
                with contained("on_stop"):
                    await self._call(function)
            except Exception:
                log.exception("what on_stop calls failed; the worker stops without it")

    def _tell(self, occasion: str, functions: Sequence[Callable[..., Any]], *what: Any) -> None:
        if functions:
            self._untold.append((occasion, [partial(function, *what) for function in functions]))
            if self._telling is None or self._telling.done():
                self._telling = asyncio.create_task(self._tell_all())

    async def _tell_all(self) -> None:
        while self._untold:
            occasion, calls = self._untold.popleft()
            for function in calls:
                try:
                    with contained(occasion):
                        await self._call(function)
                except ProcessingFailed as failure:
                    self._failure = failure
                except Exception:
                    log.exception("what %s calls failed", occasion)

    async def _call(self, function: Callable[[], Any]) -> None:
        token = outlet.set(self._outbox)
        try:
            await call(function)
        finally:
            outlet.reset(token)

    def _end(self, names: Iterable[str]) -> None:
        for name in list(names):
            if (task := self._running.pop(name, None)) is not None:
                task.cancel()

    async def _guard(self, job: Timer | CronJob | Background) -> None:
        try:
            with contained(job.name):
                await self._life(job)
        except ProcessingFailed as failure:
            self._failure = failure
        except Exception as error:
            self._failure = ProcessingFailed(f"{job.name} failed: {type(error).__name__}: {error}{raised_at(error)}")
            self._failure.__cause__ = error

    async def _life(self, job: Timer | CronJob | Background) -> None:
        outlet.set(self._outbox)
        match job:
            case Background():
                await call(job.call)
            case Timer():
                await self._repeat(job, job.first_due(_monotonic_ms()), _monotonic_ms)
            case CronJob():
                await self._repeat(job, self._first_time(job), self._wall_ms)

    def _first_time(self, job: CronJob) -> int:
        """The time to begin with: the one that was missed since the last run, or the next."""
        now_ms = self._wall_ms()
        if self._notes is None or not job.on_leader:
            return job.first_due(now_ms)
        last: int | None = self._notes.get(job.name)
        if last is None:
            self._outbox.put([], self._noting(job, now_ms))
        return job.first_due(now_ms if last is None or job.missed == "skip" else last)

    async def _repeat(self, job: Timer | CronJob, due_ms: int, now_ms: Callable[[], int]) -> None:
        while True:
            while (remaining_ms := due_ms - now_ms()) > 0:  # noqa: ASYNC110 - the wall clock raises no event
                await asyncio.sleep(min(remaining_ms / 1000, _LONGEST_SLEEP_S))
            if job.on_leader:
                await self._lead.confirmed(job.name)
            await self._run(job, now_ms())
            due_ms = job.next_due(due_ms, now_ms())

    async def _run(self, job: Timer | CronJob, at_ms: int) -> None:
        collected = Collected(self._outbox)
        token = outlet.set(collected)
        try:
            await call(job.call)
        except (Exception, asyncio.CancelledError) as error:
            if self._fail or (isinstance(error, asyncio.CancelledError) and is_being_cancelled()):
                raise
            log.exception("%s failed; what it sent is dropped, and it runs again when it is due", job.name)
            collected.records.clear()
        finally:
            outlet.reset(token)
        if isinstance(job, CronJob) and job.on_leader:
            self._outbox.put(collected.records, self._noting(job, at_ms))
        elif collected.records:
            self._outbox.put(collected.records)

    def _noting(self, job: CronJob, at_ms: int) -> Callable[[], bool]:
        """Notes the time that was dealt with, in the transaction of what the run sent. False if this worker does not
        lead any more, or again: then whoever leads goes by the note that is there, and makes the run anew."""
        term = self._term

        def note() -> bool:
            if self._notes is None or self._term != term:
                return False
            self._notes.put(job.name, at_ms)
            return True

        return note

    def _wall_ms(self) -> int:
        return int(self._clock() * 1000)


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000
