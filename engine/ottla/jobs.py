"""What an app runs besides its streams: timers, cron jobs, background tasks, and what its start and end call for.

These are the declarations, and when each is due. A worker runs them (`worker/services.py`), `app.test()` does by its
own clock.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Literal, overload

from croniter import croniter

from ottla.errors import ConfigError, DuplicateName, TopologyError
from ottla.naming import name_of
from ottla.state.changelog import StateProgress
from ottla.time import Duration, duration_ms
from ottla.transport.contract import TopicPartition

if TYPE_CHECKING:
    from ottla.agents.channels import ChannelAgent

JobFunction = Callable[..., Awaitable[Any] | Any]
"""A function, async or not, of nothing or of the app."""

PartitionsFunction = Callable[[frozenset[TopicPartition]], Any]
"""A function, async or not, of the partitions that tasks read."""

WorkerState = Literal["starting", "joining", "restoring", "running", "stopping"]
"""What a worker is about: see `on_state`."""

RestoreFunction = Callable[[StateProgress], Any]
StateFunction = Callable[[WorkerState, WorkerState], Any]
"""Functions, async or not, of what `on_restore` and `on_state` tell."""

CrashDecision = Literal["restart", "stop"]
CrashFunction = Callable[[Exception], CrashDecision]
"""What becomes of a worker that cannot go on, and a function that decides it."""

Missed = Literal["run", "skip"]


@dataclass(frozen=True, slots=True)
class Timer:
    """Runs every `interval_ms`, for the first time an interval after its worker is ready."""

    name: str
    call: Callable[[], Any]
    interval_ms: int
    on_leader: bool

    def first_due(self, now_ms: int) -> int:
        return now_ms + self.interval_ms

    def next_due(self, due_ms: int, now_ms: int) -> int:
        """On the beat of the first run, whatever the runs took; beats that are over already are left out."""
        return due_ms + self.interval_ms * max((now_ms - due_ms) // self.interval_ms + 1, 1)


@dataclass(frozen=True, slots=True)
class CronJob:
    """Runs whenever the clock of a time zone shows what the expression says, in croniter's notation.

    Where clocks are set back, a time of day that comes twice is meant once, the first time: so crond has it. Jobs of
    every so many minutes or hours (`*/30 * * * *`) go on through both hours. One that is left out where clocks are set
    forward comes when they have been.

    `missed` says what becomes of times that passed while there was no leader: all of them together are one late run, or
    none.
    """

    name: str
    call: Callable[[], Any]
    expression: str
    timezone: tzinfo
    on_leader: bool
    missed: Missed

    def first_due(self, now_ms: int) -> int:
        """The next such time after this one."""
        times = croniter(self.expression, datetime.fromtimestamp(now_ms / 1000, self.timezone))
        found: datetime = times.get_next(datetime)
        while found.fold and self._names_times_of_day:
            found = times.get_next(datetime)
        return round(found.timestamp() * 1000)

    @property
    def _names_times_of_day(self) -> bool:
        if any(field.startswith("*") for field in self.expression.split()[:2]):
            return False
        # "@hourly" has no fields of its own.
        expanded, _ = croniter.expand(self.expression)
        return ["*"] not in expanded[:2]

    def next_due(self, due_ms: int, now_ms: int) -> int:
        """Times that passed during a run are left out: a job never runs beside itself."""
        return self.first_due(max(due_ms, now_ms))


@dataclass(frozen=True, slots=True)
class Background:
    """Runs from the moment its worker is ready, as long as it likes."""

    name: str
    call: Callable[[], Any]
    on_leader: bool


@dataclass(slots=True)
class Jobs:
    """All that an app declares of them. Names are unique, since they are what a leader's notes go by."""

    timers: dict[str, Timer] = field(default_factory=dict)
    cron: dict[str, CronJob] = field(default_factory=dict)
    background: dict[str, Background] = field(default_factory=dict)
    on_start: list[Callable[[], Any]] = field(default_factory=list)
    on_stop: list[Callable[[], Any]] = field(default_factory=list)
    on_assigned: list[PartitionsFunction] = field(default_factory=list)
    on_revoked: list[PartitionsFunction] = field(default_factory=list)
    on_restore: list[RestoreFunction] = field(default_factory=list)
    on_state: list[StateFunction] = field(default_factory=list)
    on_crash: CrashFunction | None = None
    channel_agents: list[ChannelAgent[Any, Any]] = field(default_factory=list)

    def add_channel_agent(self, agent: ChannelAgent[Any, Any], concurrency: int) -> None:
        """Adds the instances of an agent over a channel, which are background tasks. Raises `DuplicateName`."""
        for number in range(1, concurrency + 1):
            name = self.claim(agent.name if number == 1 else f"{agent.name}-{number}")
            self.background[name] = Background(name, agent.run, on_leader=False)
            self.channel_agents.append(agent)

    @property
    def scheduled(self) -> list[Timer | CronJob]:
        return [*self.timers.values(), *self.cron.values()]

    def __bool__(self) -> bool:
        told = self.on_assigned or self.on_revoked or self.on_restore or self.on_state
        return bool(self.timers or self.cron or self.background or self.on_start or self.on_stop or told)

    def claim(self, name: str) -> str:
        """The name, if no job has it yet. Raises `DuplicateName`."""
        if name in self.timers or name in self.cron or name in self.background:
            raise DuplicateName(f"there are two timers, cron jobs or tasks named {name!r}; give one of them name=")
        return name


class DeclaresJobs:
    """The part of an `App` by which its jobs are declared: mixed into it."""

    def __init__(self, lead: Callable[[], None]) -> None:
        self.jobs = Jobs()
        self._lead = lead

    def timer(
        self, interval: Duration, *, on_leader: bool = False, name: str | None = None
    ) -> Callable[[JobFunction], JobFunction]:
        """Declares the function below as one that every worker calls every `interval`, or with `on_leader` only one.

        It may be async, and takes nothing or the app. The first call comes an interval after the worker is ready; a
        call that takes longer than an interval leaves out those that it misses. What a call sends commits together when
        it has returned. One that raises has sent nothing: it is logged, or with `on_error="fail"` stops the worker.
        """
        interval_ms = duration_ms(interval, "timer(interval)")
        if interval_ms < 1:
            raise ConfigError("timer(interval) must be at least a millisecond")

        def declare(function: JobFunction) -> JobFunction:
            label = self.jobs.claim(name_of("a timer", function, name))
            self.jobs.timers[label] = Timer(label, bound(function, self, "timer"), interval_ms, on_leader)
            self._lead_if(on_leader)
            return function

        return declare

    def crontab(
        self,
        expression: str,
        *,
        timezone: tzinfo | None = None,
        on_leader: bool = True,
        missed: Missed = "run",
        name: str | None = None,
    ) -> Callable[[JobFunction], JobFunction]:
        """Declares the function below as one that is called at the times of a cron expression, on one worker.

        The times are those of `timezone`, UTC by default, and the expression is croniter's. A call never begins while
        the one before goes on. Times that passed while no worker ran are made up for by one call, or with
        `missed="skip"` by none. What a call sends commits together with the note that the time was dealt with, so that
        each time is dealt with once, whatever crashes. With `on_leader=False` every worker calls it, and nothing is
        noted.
        """
        checked, zone = checked_cron(expression, timezone)
        if missed not in ("run", "skip"):
            raise ConfigError(f'crontab(missed={missed!r}) is unknown; it is "run" or "skip"')

        def declare(function: JobFunction) -> JobFunction:
            label = self.jobs.claim(name_of("a cron job", function, name))
            self.jobs.cron[label] = CronJob(label, bound(function, self, "cron job"), checked, zone, on_leader, missed)
            self._lead_if(on_leader)
            return function

        return declare

    @overload
    def task(self, function: JobFunction) -> JobFunction: ...
    @overload
    def task(self, *, on_leader: bool = False, name: str | None = None) -> Callable[[JobFunction], JobFunction]: ...
    def task(
        self, function: JobFunction | None = None, *, on_leader: bool = False, name: str | None = None
    ) -> JobFunction | Callable[[JobFunction], JobFunction]:
        """Declares the function below as one that every worker calls when it is ready, or with `on_leader` only one.

        It may go on as long as the worker does, and is cancelled when that stops. What it sends commits soon after. If
        it raises, the worker stops.
        """

        def declare(function: JobFunction) -> JobFunction:
            label = self.jobs.claim(name_of("a task", function, name))
            self.jobs.background[label] = Background(label, bound(function, self, "task"), on_leader)
            self._lead_if(on_leader)
            return function

        return declare if function is None else declare(function)

    def on_start(self, function: JobFunction) -> JobFunction:
        """Declares the function below as one that a worker calls before it reads its first event, and waits for."""
        self.jobs.on_start.append(bound(function, self, "on_start"))
        return function

    def on_stop(self, function: JobFunction) -> JobFunction:
        """Declares the function below as one that a worker calls before its last commit, which has what it sends."""
        self.jobs.on_stop.append(bound(function, self, "on_stop"))
        return function

    def on_assigned(self, function: PartitionsFunction) -> PartitionsFunction:
        """Declares the function below as one that a worker calls when it has begun with tasks, their state restored.

        It is given the partitions that those read. Nothing waits for it; what it sends commits soon after.
        """
        self.jobs.on_assigned.append(function)
        return function

    def on_revoked(self, function: PartitionsFunction) -> PartitionsFunction:
        """Declares the function below as one that a worker calls when it has let go of tasks, after their last commit.

        It is given the partitions that those read. Calls come in the order of what happened, one after another. At the
        end of a worker it sends nothing any more.
        """
        self.jobs.on_revoked.append(function)
        return function

    def on_restore(self, function: RestoreFunction) -> RestoreFunction:
        """Declares the function below as one that a worker calls as it reads state from changelogs: for tasks that it
        takes over, and for the copies that it keeps.

        It is given a `StateProgress`. Nothing waits for it; calls come one after another.
        """
        self.jobs.on_restore.append(function)
        return function

    def on_state(self, function: StateFunction) -> StateFunction:
        """Declares the function below as one that a worker calls when its state has changed, with the new and the old
        one: "starting", "joining" the group, "restoring" state of tasks that it takes over, "running", "stopping".

        Nothing waits for it; calls come one after another.
        """
        self.jobs.on_state.append(function)
        return function

    def on_crash(self, function: CrashFunction) -> CrashFunction:
        """Declares the function below as the one that decides what becomes of a worker that cannot go on.

        It is given the error that ended it and returns "restart", for another worker to begin in the same process, or
        "stop", which is what happens without it: the process ends with the error. Restarts follow one another more
        and more slowly, up to 30 s apart, as long as none lasts a minute. Raises `DuplicateName` if there is one.
        """
        if self.jobs.on_crash is not None:
            raise DuplicateName("there are two functions for on_crash; one decides")
        self.jobs.on_crash = function
        return function

    def _lead_if(self, on_leader: bool) -> None:
        if on_leader:
            self._lead()


def bound(function: JobFunction, app: object, what: str) -> Callable[[], Any]:
    """The function as one of no arguments; one that takes an argument gets the app. Raises `TopologyError`."""
    if not callable(function):
        raise TopologyError(f"{what} takes a function, not {function!r}")
    needed = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    if len(needed) > 1:
        own = getattr(function, "__name__", function)
        raise TopologyError(f"{what} {own!r} must take nothing or the app, not {len(needed)} arguments")
    return (lambda: function(app)) if needed else function


def checked_cron(expression: str, timezone: tzinfo | None) -> tuple[str, tzinfo]:
    """The expression, if croniter understands it, and the time zone, UTC for none. Raises `ConfigError`."""
    if not croniter.is_valid(expression):
        raise ConfigError(
            f"crontab({expression!r}) is not understood; it is five fields, minute hour day month weekday, "
            'such as "*/15 8-17 * * mon-fri"'
        )
    if timezone is not None and not isinstance(timezone, tzinfo):
        raise ConfigError(f'crontab(timezone={timezone!r}) must be a tzinfo, such as zoneinfo.ZoneInfo("Europe/Paris")')
    return expression, timezone or UTC


class Driven:
    """The timers and cron jobs of an app by a clock that only moves when told, on the only worker there is."""

    def __init__(self, jobs: Jobs, now_ms: int) -> None:
        self._due = {job.name: (job, job.first_due(now_ms)) for job in jobs.scheduled}

    def take(self, now_ms: int) -> list[Timer | CronJob]:
        """The jobs that are due, in the order of their times, each once however long the step of the clock was."""
        due = sorted((due_ms, name) for name, (_, due_ms) in self._due.items() if due_ms <= now_ms)
        jobs = []
        for due_ms, name in due:
            job = self._due[name][0]
            self._due[name] = job, job.next_due(due_ms, now_ms)
            jobs.append(job)
        return jobs


async def call(function: Callable[[], Any]) -> Any:
    """Calls a function that may be async, and returns what it returns."""
    result = function()
    return await result if inspect.isawaitable(result) else result
