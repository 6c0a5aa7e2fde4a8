"""A worker as a member of its app's group: it follows the control topic, says what it has, and leads if it is elected.

How exactly one worker at a time may commit for a task, whatever is killed, cut off or late:

1. A `membership` counts only when the control topic was read to where it ended after the group's generation began
   (`verify`). Every commit names that membership, and the group refuses one of a past generation (KIP-447).
2. The leader publishes an assignment in a transaction that names its membership as well, after it asked who the group's
   members are. So an assignment that counts was written in the leader's generation, and whoever joins later reads it.
3. A task is given to another only when its last holder said that it let go, or is no member any more (`view.py`). What
   a dead holder left open is aborted first, by taking over its transactional id, so that nobody waits for its timeout.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from ottla.cluster.placement import Copying
from ottla.cluster.records import Report, assignment_record, report_record, topics_record
from ottla.cluster.view import ClusterView, next_assignment
from ottla.topology.topology import TaskId
from ottla.transport.contract import Membership, OffsetRange, OutputRecord, Polled, TopicPartition, Transport
from ottla.transport.errors import DeliveryError, TransactionAbortedError

log = logging.getLogger("ottla.worker")

_RETRY_AFTER_S = 0.2

Changelogs = Mapping[TaskId, Sequence[TopicPartition]]


class Member:
    """One worker's part. `tasks` are all tasks of the app, `changelogs` those of each stateful one.

    `tags` say where it is. `offsets` says at which sum of changelog offsets each task's state is that this worker has
    on disk, `topic_ids` which topics there are, as far as that is known.
    """

    def __init__(
        self,
        transport: Transport,
        control: TopicPartition,
        tasks: Sequence[TaskId],
        changelogs: Changelogs,
        *,
        copying: Copying,
        address: str | None,
        tags: Mapping[str, str],
        offsets: Callable[[], dict[TaskId, int]],
        topic_ids: Callable[[], Mapping[str, str]],
        now_ms: Callable[[], int],
    ) -> None:
        self.id = transport.worker_id
        self.view = ClusterView()
        self.membership: Membership | None = None
        """What commits are to name; None while it is not known to count."""
        self.grants: Mapping[TaskId, int] = {}
        """The tasks to run, each with the number of the assignment that gave it.

        One that this app does not have, since it was changed, is left to the next assignment, by a leader of the
        changed app.
        """
        self.copies: frozenset[TaskId] = frozenset()
        """The tasks of whose state to keep a copy."""
        self._transport = transport
        self._control = control
        self._tasks = tasks
        self._changelogs = changelogs
        self._copying = copying
        self._address = address
        self._tags = dict(tags)
        self._offsets = offsets
        self._topic_ids = topic_ids
        self._noted: Mapping[str, str] = {}
        self._now_ms = now_ms
        self._following = False
        self._unverified: Membership | None = None
        self._end: int | None = None
        self._leading = False
        self._undecided = False
        self._published = 0
        self._introduced = False
        self._acted_on = 0
        self._reported = Report()
        self._warm: frozenset[TaskId] = frozenset()
        self._warm_names: list[str] = []
        self._speak_at = 0.0

    # -- what the transport brings

    def joined(self, partitions: Collection[TopicPartition], membership: Membership) -> None:
        self.membership, self._end = None, None
        # Who leads in one generation must not speak with the membership of the next, in which another may lead.
        self._unverified = membership
        self._leading = self._control in partitions
        self._undecided = True
        if not self._following:
            self._following = True
            self._transport.start_reading({self._control: self.view.position})

    def lost(self) -> None:
        self.membership, self._unverified = None, None
        self._leading, self._introduced = False, False

    def cut_off(self) -> None:
        """As `lost`, and nothing is read any more until the worker has joined anew."""
        self.lost()
        self._following = False

    def begin_anew(self) -> None:
        """What this worker said may be forgotten: it introduces itself again, with the membership that it has, or with
        the next one if that was lost or is over."""
        self.membership, self._end = None, None
        self._introduced, self._undecided = False, True

    def take(self, polled: Polled) -> None:
        if messages := polled.messages.get(self._control):
            self.view.take(messages)
            # Here, since each turn of the worker asks, and an app may have many tasks.
            granted, known = self.view.granted_to(self.id), set(self._tasks)
            self.grants = {task: since for task, since in granted.items() if task in known}
            self.copies = frozenset(self.view.copied_by(self.id).intersection(self._changelogs))
            self._undecided = True
            if self._introduced and self.id not in self.view.reports:
                self._introduced = False
        if (end := polled.ends.get(self._control)) is not None:
            self.view.position = max(self.view.position, end)

    async def verify(self) -> bool:
        """Whether the membership counts: the control topic was read to where it ended when the membership had begun."""
        if self.membership is not None:
            return True
        if self._unverified is None:
            return False
        end = self._end
        if end is None:
            end = self._end = (await self._transport.offset_ranges([self._control]))[self._control].end
        if self.view.position >= end:
            self.membership = self._unverified
        return self.view.position >= end

    async def may_commit(self) -> bool:
        """Whether a commit now would be that of a member: no newer generation began as far as this worker knows."""
        if self.membership is not None and await self._transport.membership() != self.membership:
            self.membership = None
        return self.membership is not None

    # -- what follows for the worker

    @property
    def is_placed(self) -> bool:
        """Whether the assignment was made with this worker in mind, and no task is on its way."""
        return self.id in self.view.assignment.workers and not self.view.assignment.releasing

    def asked_back(self) -> set[TaskId]:
        return self.view.asked_back_from(self.id)

    def acted(self, warm: frozenset[TaskId]) -> None:
        """The worker runs what it was given and let go of the rest; the state of `warm` is kept up."""
        self._acted_on = self.view.assignment.number
        if warm != self._warm:
            self._warm, self._warm_names = warm, sorted(map(str, warm))

    # -- speaking

    @property
    def has_news(self) -> bool:
        """Whether `speak` should be called: nothing else may be uncommitted then."""
        if self.membership is None or time.monotonic() < self._speak_at:
            return False
        return self._must_report() or self._must_decide()

    def _must_report(self) -> bool:
        asked = [grant.since for grant in self.view.assignment.releasing.values() if grant.worker == self.id]
        return (
            not self._introduced
            or any(self._reported.seen < since <= self._acted_on for since in asked)
            or self._reported.warm != self._warm_names
        )

    def _must_decide(self) -> bool:
        # What was published last is the ground of what follows, so it must have been read back.
        undecided = self._undecided or self._topic_ids() is not self._noted
        return self._leading and undecided and self.view.assignment.number >= self._published

    async def speak(self) -> None:
        """Commits a report if there is something to report, and as the leader an assignment if there should be another.

        What is refused because the group went on is said anew later.
        """
        try:
            if self._must_report():
                await self._report()
            elif self._must_decide():
                await self._decide()
        except (TransactionAbortedError, DeliveryError) as error:
            log.info("the group went on meanwhile: %s", error)
            await self._transport.abort()
            self._speak_at = time.monotonic() + _RETRY_AFTER_S

    async def leave(self) -> None:
        """Takes the report back: this worker holds nothing any more, and need not be fenced."""
        if self._introduced:
            await self._transport.produce([report_record(self._control, self.id, None, self._now_ms())])
            await self._transport.commit({})

    async def _report(self) -> None:
        report = Report(
            seen=self._acted_on,
            address=self._address,
            offsets={str(task): offset for task, offset in self._offsets().items()},
            warm=self._warm_names,
            tags=self._tags,
        )
        await self._publish([report_record(self._control, self.id, report, self._now_ms())], self.membership)
        self._reported, self._introduced = report, True

    async def _decide(self) -> None:
        # In this order: whoever joins after the members were listed makes a generation that refuses what follows.
        membership = self.membership
        live = await self._transport.members()
        following = next_assignment(self.view, live, self._tasks, await self._changelog_ranges(), self._copying)
        gone = self.view.reports.keys() - live
        ids = self._topic_ids()
        topics = {**self.view.topics, **ids}
        if following is None and not gone and topics == self.view.topics:
            self._undecided, self._noted = False, ids
            return
        for worker in gone:
            log.info("worker %s is gone", worker)
            await self._transport.fence(worker)
        records = [report_record(self._control, worker, None, self._now_ms()) for worker in gone]
        if following is not None:
            records.append(assignment_record(self._control, following, self._now_ms()))
        if topics != self.view.topics:
            records.append(topics_record(self._control, topics, self._now_ms()))
        await self._publish(records, membership)
        self._published = 0 if following is None else following.number
        self._undecided, self._noted = False, ids

    async def _publish(self, records: list[OutputRecord], membership: Membership | None) -> None:
        """The offset is there for the group to check the membership. It lies behind the records and their marker, so
        that it does not look like lag."""
        await self._transport.produce(records)
        await self._transport.commit({self._control: self.view.position + len(records) + 1}, membership)

    async def _changelog_ranges(self) -> dict[TaskId, OffsetRange]:
        partitions = [where for found in self._changelogs.values() for where in found]
        ranges = await self._transport.offset_ranges(partitions)
        return {
            task: OffsetRange(sum(ranges[where].start for where in found), sum(ranges[where].end for where in found))
            for task, found in self._changelogs.items()
        }
