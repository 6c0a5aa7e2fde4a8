"""The broker: what every handler gets, and the few operations that all of them share.

`Broker` owns no logic of its own. It holds the parts (metadata, logs, coordinators, parked requests), finds partitions
for handlers and appends to them: the one place where an append advances the high watermark and wakes who waits for it.
`node` builds it, starts it and stops it.
"""

import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ottla_broker.cluster.controller import Controller
from ottla_broker.cluster.image import BrokerState, ClusterImage, PartitionState
from ottla_broker.cluster.records import BrokerEndpoint
from ottla_broker.cluster.topics import CONSUMER_OFFSETS, TRANSACTION_STATE
from ottla_broker.config import BrokerConfig
from ottla_broker.error_counts import ErrorCounts
from ottla_broker.fetch_sessions import FetchSessions
from ottla_broker.laborious import LaboriousProduces
from ottla_broker.log.config import LogConfig
from ottla_broker.log.manager import LogManager
from ottla_broker.log.partition import Appended, Origin, PartitionLog
from ottla_broker.topic_listings import TopicListings
from ottla_broker.waits import Waits
from ottla_wire.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from ottla_broker.coordinator.groups import GroupCoordinator
    from ottla_broker.coordinator.transactions import TransactionCoordinator

__all__ = ["CONSUMER_OFFSETS", "NO_EPOCH", "TRANSACTION_STATE", "Broker"]

NO_EPOCH = -1


class Broker:
    """One node, from the handlers' point of view.

    `clock` gives epoch milliseconds and may be set at any time; `steady_clock` gives milliseconds since no matter when,
    which only pass: for how long something takes or may take.
    """

    groups: "GroupCoordinator"
    transactions: "TransactionCoordinator"

    def __init__(
        self,
        config: BrokerConfig,
        cluster_id: str,
        image: ClusterImage,
        controller: Controller,
        logs: LogManager,
        clock: Callable[[], int],
        steady_clock: Callable[[], int],
    ) -> None:
        self.config = config
        self.node_id = config.node_id
        self.cluster_id = cluster_id
        self.image = image
        self.controller = controller
        self.logs = logs
        self.clock = clock
        self.steady_clock = steady_clock
        self.waits = Waits()
        self.laborious = LaboriousProduces()
        self.fetch_sessions = FetchSessions(config.max_incremental_fetch_session_cache_slots)
        self.topic_listings = TopicListings()
        self.random = random.Random()
        self.errors: ErrorCounts | None = None  # counted where somebody asks for metrics
        self._alone = (config.node_id,)

    def partition(self, topic: str, index: int, *, current_leader_epoch: int = NO_EPOCH) -> PartitionLog:
        """The log of a partition that this node leads.

        `current_leader_epoch` is what the client believes, if it believes anything. Raises KafkaError
        UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, or
        KAFKA_STORAGE_ERROR for a partition that the disk has not had room for so far.
        """
        state = self.image.partition(topic, index)
        if state is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        log = self.logs.get(topic, index)
        if log is None or state.leader != self.node_id:
            if (topic, index) in self.logs.unmade:
                raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, self.logs.unmade[topic, index])
            raise KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        if current_leader_epoch != NO_EPOCH and current_leader_epoch != state.leader_epoch:
            raise KafkaError(
                ErrorCode.FENCED_LEADER_EPOCH
                if current_leader_epoch < state.leader_epoch
                else ErrorCode.UNKNOWN_LEADER_EPOCH
            )
        return log

    @property
    def log_directory(self) -> Path:
        """The data directory, as clients get to see it."""
        return self.logs.path.absolute()

    def topic_name(self, topic_id: uuid.UUID) -> str:
        """The name of a topic. Raises KafkaError UNKNOWN_TOPIC_ID."""
        topic = self.image.topics_by_id.get(topic_id)
        if topic is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID)
        return topic.name

    def append(
        self,
        log: PartitionLog,
        data: bytearray | bytes | memoryview,
        *,
        origin: Origin = Origin.CLIENT,
        vetted_for: LogConfig | None = None,
    ) -> Appended:
        """Append batches to a partition, advance its high watermark, and wake the fetches that wait for it.

        On one node a record is replicated as soon as it is appended. Raises the KafkaError that `PartitionLog.append`
        raises.
        """
        state = self.leadership(log)
        appended = log.append(
            data, leader_epoch=state.leader_epoch, now_ms=self.clock(), origin=origin, vetted_for=vetted_for
        )
        self._appended(log, state, 1, len(data))
        return appended

    def append_each(self, log: PartitionLog, sent: Sequence[memoryview]) -> list[Appended]:
        """`append` the batches of several requests at once: all, or none. Raises as `PartitionLog.append_each` does."""
        state = self.leadership(log)
        appended = log.append_each(sent, leader_epoch=state.leader_epoch, now_ms=self.clock())
        self._appended(log, state, len(sent), sum(map(len, sent)))
        return appended

    def _appended(self, log: PartitionLog, state: PartitionState, produces: int, size: int) -> None:
        if self.advance(log, state):
            self.waits.advanced(log.topic, log.index, size)
        traffic = log.traffic
        traffic.produces += produces
        traffic.bytes_in += size

    def advance(self, log: PartitionLog, state: PartitionState) -> bool:
        """Move the high watermark of a partition to what its in-sync replicas hold; whether it moved.

        It stays where it is while fewer of them are in sync than min.insync.replicas asks for: what readers have seen
        would hang on too few copies (KIP-966).
        """
        if state.isr != self._alone or not state.has_min_isr(log.config.min_insync_replicas):
            return False
        end = log.log_end_offset
        if log.high_watermark == end:
            return False
        log.update_high_watermark(end)
        return True

    def count_failure(self, topic: str, index: int, *, produce: bool) -> None:
        """Note that a partition of a Produce or Fetch was refused; those that are not here count together."""
        log = self.logs.get(topic, index)
        traffic = self.logs.retired if log is None else log.traffic
        if produce:
            traffic.failed_produces += 1
        else:
            traffic.failed_fetches += 1

    def leadership(self, log: PartitionLog) -> PartitionState:
        """Who leads the partition of a log, in which epoch. Raises KafkaError if it is being deleted."""
        state = self.image.partition(log.topic, log.index)
        if state is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        return state

    def endpoints(self, listener: str, *, with_fenced: bool = False) -> Iterator[tuple[BrokerState, BrokerEndpoint]]:
        """The live brokers, or all of them, with their address for clients of a listener."""
        for node_id in sorted(self.image.brokers) if with_fenced else self.image.live_brokers:
            node = self.image.brokers[node_id]
            endpoint = node.endpoint(listener)
            if endpoint is not None:
                yield node, endpoint

    async def ensure_internal_topic(self, topic: str) -> int:
        """Create `__consumer_offsets` or `__transaction_state` if it does not exist; its number of partitions.

        Raises KafkaError COORDINATOR_NOT_AVAILABLE if that is impossible.
        """
        await self.controller.ensure_topics([topic])
        state = self.image.topics.get(topic)
        if state is None:
            raise KafkaError(ErrorCode.COORDINATOR_NOT_AVAILABLE, f"The topic {topic} cannot be created")
        return len(state.partitions)

    async def allocate_producer_ids(self) -> range:
        """A block of producer ids that no other transaction coordinator will ever hand out."""
        return await self.controller.allocate_producer_ids()
