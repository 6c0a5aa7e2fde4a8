"""What a worker's code outside tasks has sent: it joins the worker's commits."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ottla.agents.replies import Replies
from ottla.errors import EncodeError
from ottla.task.processor import PartitionCounts
from ottla.transport.contract import OutputRecord
from ottla.transport.errors import TransportError

log = logging.getLogger("ottla.worker")

_MOST_RECORDS = 10_000


@dataclass(frozen=True, slots=True)
class _Bundle:
    """Records that commit together, if `still_ours` says so when they are taken."""

    records: Sequence[OutputRecord]
    still_ours: Callable[[], bool] | None


class Outbox:
    """An `Outlet` whose records are produced by the worker, until a commit covers them.

        send, put ──> waiting ──take()──> in flight ──committed()──> gone
                         ^─────────────aborted()──────────┘

    An aborted commit takes nothing away: its records wait again, in their order, for the next one. `send` waits while
    so many records are uncommitted that a broker which is away would fill the memory, and raises `TransportError` once
    the worker has ended. `check_record` raises for a
    record that cannot be written: whoever sends it is told. If that is known only when the broker has refused it, its
    bundle is dropped, and logged.
    """

    def __init__(
        self,
        now_ms: Callable[[], int],
        replies: Replies,
        check_record: Callable[[OutputRecord], None],
        partition_counts: PartitionCounts,
    ) -> None:
        self._now_ms = now_ms
        self._partition_counts = partition_counts
        self._check_record = check_record
        self._replies = replies
        self._waiting: deque[_Bundle] = deque()
        self._in_flight: list[_Bundle] = []
        self._uncommitted = 0
        self._room = asyncio.Event()
        self._room.set()
        self._is_closed = False

    def now_ms(self) -> int:
        return self._now_ms()

    def check(self, records: Iterable[OutputRecord]) -> None:
        for record in records:
            self._check_record(record)

    async def partition_counts(self, topics: Collection[str]) -> Mapping[str, int]:
        return await self._partition_counts(topics)

    async def send(self, records: Sequence[OutputRecord]) -> None:
        self.check(records)
        await self._room.wait()
        if self._is_closed:
            raise TransportError("the worker has ended: what is sent now would be written by nobody")
        self.put(records)

    async def request(self, records: Sequence[OutputRecord]) -> None:
        await self.send(records)

    async def replies(self) -> Replies:
        return self._replies

    def put(self, records: Sequence[OutputRecord], still_ours: Callable[[], bool] | None = None) -> None:
        """Adds records that commit together, without waiting.

        `still_ours` is called whenever they are taken. It may write state that commits with them; when it returns
        False, they are dropped.
        """
        self._waiting.append(_Bundle(records, still_ours))
        self._uncommitted += len(records)
        if self._uncommitted >= _MOST_RECORDS:
            self._room.clear()

    def take(self) -> list[OutputRecord]:
        """What is to be produced now, for the next commit."""
        taken: list[OutputRecord] = []
        while self._waiting:
            bundle = self._waiting.popleft()
            try:
                self.check(bundle.records)
            except EncodeError as error:
                log.error("what was sent outside of agents and steps is dropped: %s", error)
                self._uncommitted -= len(bundle.records)
                continue
            if bundle.still_ours is None or bundle.still_ours():
                self._in_flight.append(bundle)
                taken += bundle.records
            else:
                self._uncommitted -= len(bundle.records)
        return taken

    @property
    def has_waiting(self) -> bool:
        return bool(self._waiting)

    def committed(self) -> None:
        """The commit with all that was taken is done."""
        self._uncommitted -= sum(len(bundle.records) for bundle in self._in_flight)
        self._in_flight.clear()
        if self._uncommitted < _MOST_RECORDS:
            self._room.set()

    def close(self) -> None:
        """Nothing is produced any more. Whoever waits for room is told, and what was sent and is lost is logged: what
        goes with a note is not, since whoever leads next makes it anew."""
        self._is_closed = True
        self._room.set()
        lost = sum(len(each.records) for each in (*self._in_flight, *self._waiting) if each.still_ours is None)
        if lost:
            log.warning("%d records that were sent outside of agents and steps were never committed", lost)

    def aborted(self) -> None:
        """What was taken was not committed."""
        self._waiting.extendleft(reversed(self._in_flight))
        self._in_flight.clear()
