"""Records that a worker cannot read any more: deleted by retention or by hand before they were read, or lost by a
broker that had shown them already.

A Kafka client that is asked for an offset which is not there goes to an end of the partition and says nothing
(`auto.offset.reset`). Here it tells, the worker says what is missing, counts it, and reads on where there is something,
or stops, as the app's `on_lost_records` says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping

from ottla.cluster.records import control_topic
from ottla.config import AppConfig
from ottla.errors import RecordsLost
from ottla.transport.contract import OffsetRange, TopicPartition, Transport
from ottla.transport.errors import TransportError
from ottla.worker.metrics import WorkerMetrics
from ottla.worker.topic_watch import TopicWatch

log = logging.getLogger("ottla.worker")


class LostRecords:
    """Says where reading goes on. `watch` knows which topics are not those that were read before, but others of the
    same name.
    """

    def __init__(
        self,
        config: AppConfig,
        transport: Transport,
        metrics: WorkerMetrics,
        watch: Callable[[], TopicWatch | None],
    ) -> None:
        self._control = TopicPartition(control_topic(config.app_id).name, 0)
        self._fail = config.on_lost_records == "fail"
        self._transport = transport
        self._metrics = metrics
        self._watch = watch
        # The offsets that polls found missing, until it is known where to read on.
        self._missing: dict[TopicPartition, int] = {}

    async def starts(self, committed: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Where those inputs are to be read from that have nothing at their committed offset.

        Raises `RecordsLost`, and `TransportError`.
        """
        ranges = await self._transport.offset_ranges(committed)
        found = {where: self._start(where, offset, ranges[where]) for where, offset in sorted(committed.items())}
        return {where: start for where, start in found.items() if start is not None}

    async def positions(
        self,
        missing: Mapping[TopicPartition, int],
        inputs: Collection[TopicPartition],
        committed: Mapping[TopicPartition, int],
    ) -> dict[TopicPartition, int]:
        """Where the partitions go on of which this poll or one before has told that they have not what comes next.

        `inputs` are those that the worker's tasks read, as far as is `committed`. Raises `RecordsLost`, and
        `TopologyError` for a topic that is another by now.
        """
        if not (missing or self._missing):
            return {}
        read = {self._control, *inputs}
        self._missing = {where: offset for where, offset in {**self._missing, **missing}.items() if where in read}
        try:
            if (watch := self._watch()) is not None:
                await watch.confirm({where.topic for where in self._missing})
            ranges = await self._transport.offset_ranges(self._missing)
        except TransportError as error:
            log.info("where reading goes on is not known just now: %s", error)
            return {}
        asked, self._missing = self._missing, {}
        positions = {}
        for where, offset in sorted(asked.items()):
            there = ranges[where]
            if where == self._control or (offset == 0 and where not in committed):
                positions[where] = there.start  # What is there is the beginning: nothing was to be read before it.
            else:
                start = self._start(where, offset, there)
                positions[where] = offset if start is None else start
        return positions

    def _start(self, where: TopicPartition, offset: int, there: OffsetRange) -> int | None:
        """Where to go on if the offset is not there, having said what is missing.

        What was read before the end of a partition is processed: it is not to be read once more where that end was.
        """
        if there.start <= offset <= there.end:
            return None
        if offset < there.start:
            start = there.start
            self._metrics.count_lost(where, start - offset)
            what = (
                f"{where.topic}[{where.partition}]: the records from offset {offset} up to {start - 1} were deleted "
                "before they were read"
            )
        else:
            watch = self._watch()
            is_another = watch is not None and where.topic in watch.made_anew
            start = there.start if is_another else there.end
            what = (
                f"{where.topic}[{where.partition}]: it was read up to offset {offset} and now ends at {there.end}, so "
                "its broker has lost records that were read"
            )
        if self._fail:
            raise RecordsLost(
                f"{what}; the app is told to stop then (on_lost_records): set the offsets of its group, or start a "
                f'worker with on_lost_records="continue", which reads on at {start}'
            )
        log.warning("%s; reading goes on at %d", what, start)
        return start
