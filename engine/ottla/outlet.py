"""Where records go that are sent outside a task: by a timer, a cron job, a background task, a channel's agent, a
client.

Inside a task, what is sent joins the task's outputs. Outside, whoever runs the code names an `Outlet`: the worker its
`Outbox`, whose records join the worker's next commit; `app.client()` a producer of its own; `app.test()` its broker.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from ottla.errors import NotInTask
from ottla.transport.contract import OutputRecord

if TYPE_CHECKING:
    from ottla.agents.replies import Replies


class Outlet(Protocol):
    """Takes records from code that runs outside tasks."""

    def now_ms(self) -> int:
        """The time of a record that is sent without one."""
        ...

    def check(self, records: Iterable[OutputRecord]) -> None:
        """Raises `RecordTooLarge` or `RecordRefused` for one that cannot be written, as far as is known."""

    async def partition_counts(self, topics: Collection[str]) -> Mapping[str, int]:
        """How many partitions each of the topics has that exist."""
        ...

    async def send(self, records: Sequence[OutputRecord]) -> None:
        """Takes the records, in order. Waits for room; raises what `check` does, and `TransportError` when they cannot
        be delivered.
        """

    async def request(self, records: Sequence[OutputRecord]) -> None:
        """As `send`, for records whose answer is waited for: they must not wait for the end of the code that sends."""

    async def replies(self) -> Replies:
        """Where the answers to such requests arrive."""
        ...


outlet: ContextVar[Outlet] = ContextVar("ottla.outlet")
"""The outlet of the code that is running."""


_of_process: list[Outlet] = []
"""Those of workers that other programs host: for code that the program itself begins, the last one first."""


@contextmanager
def serve_process(out: Outlet) -> Iterator[None]:
    """While this lasts, code of the process that has no outlet of its own sends by this one."""
    _of_process.append(out)
    try:
        yield
    finally:
        _of_process.remove(out)


def current_outlet(what: str) -> Outlet:
    """The outlet of the code that is running. Raises `NotInTask`, naming what was tried."""
    try:
        return outlet.get()
    except LookupError:
        if _of_process:
            return _of_process[-1]
        raise NotInTask(
            f"{what} works in an agent or operator, where it joins the transaction of its task, in the app's timers, "
            "cron jobs and tasks, and under `async with app.client()`; in tests use app.test()"
        ) from None


class Collected:
    """An `Outlet` that keeps what is sent until the code that sends has done its work. Requests go on at once."""

    def __init__(self, onward: Outlet) -> None:
        self.records: list[OutputRecord] = []
        self._onward = onward

    def now_ms(self) -> int:
        return self._onward.now_ms()

    def check(self, records: Iterable[OutputRecord]) -> None:
        self._onward.check(records)

    async def partition_counts(self, topics: Collection[str]) -> Mapping[str, int]:
        return await self._onward.partition_counts(topics)

    async def send(self, records: Sequence[OutputRecord]) -> None:
        self.check(records)
        self.records += records

    async def request(self, records: Sequence[OutputRecord]) -> None:
        await self._onward.request(records)

    async def replies(self) -> Replies:
        return await self._onward.replies()
