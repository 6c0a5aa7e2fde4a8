"""What a broker asks the controller for: topics, partitions, settings, its own registration, producer ids.

Each method is one decision (`topics`, `configs`, `registration` decide, purely) that goes through the metadata log, and
returns when its effects are durable and visible on this node. One node is its own controller; where there are more,
this is where requests are passed on to the active one.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ottla_broker.cluster import configs, elections, features, registration, topics
from ottla_broker.cluster.configs import Alteration
from ottla_broker.cluster.elections import ElectionType
from ottla_broker.cluster.features import FeatureUpdate
from ottla_broker.cluster.image import ClusterImage, ResourceType, TopicState
from ottla_broker.cluster.metadata_log import LEADER_EPOCH, Decision, MetadataLog
from ottla_broker.cluster.records import MetadataRecord
from ottla_broker.cluster.registration import Registration
from ottla_broker.cluster.topics import CreatedTopic, NewTopic, TopicDefaults
from ottla_broker.config import BrokerConfig
from ottla_wire.errors import ErrorCode, KafkaError

# By the numbers that offsets.topic.compression.codec has for them.
_OFFSETS_COMPRESSION = ("producer", "gzip", "snappy", "lz4", "zstd")


class Quorum(NamedTuple):
    """The nodes that keep the metadata log; with one of them, what is written is replicated."""

    leader_id: int
    leader_epoch: int
    voters: tuple[int, ...]
    end_offset: int


class Controller:
    """The controller as the handlers of one broker see it; `config` has the settings in force."""

    def __init__(
        self, metadata: MetadataLog, config: BrokerConfig, new_id: Callable[[], uuid.UUID] = uuid.uuid4
    ) -> None:
        self._metadata = metadata
        self.config = config
        self._new_id = new_id

    @property
    def _image(self) -> ClusterImage:
        return self._metadata.image

    @property
    def _defaults(self) -> TopicDefaults:
        return TopicDefaults(
            partitions=self.config.num_partitions,
            replication_factor=self.config.default_replication_factor,
            config=self.config.log_defaults,
        )

    async def register(self, broker: Registration) -> None:
        """Make this node a member of the cluster."""
        await self._metadata.submit(lambda: (registration.register_broker(self._image, broker), None))

    async def allocate_producer_ids(self) -> range:
        """A block of producer ids that no other broker will ever hand out."""
        node_id = self.config.node_id
        return await self._metadata.submit(lambda: registration.allocate_producer_ids(self._image, node_id))

    async def create_topics(
        self, wanted: Sequence[NewTopic], *, validate_only: bool = False
    ) -> list[CreatedTopic | KafkaError]:
        """Create topics with different names; what became of each, in order."""

        def decide() -> Decision[list[CreatedTopic | KafkaError]]:
            records: list[MetadataRecord] = []
            outcome: list[CreatedTopic | KafkaError] = []
            room = topics.MAX_PARTITIONS_PER_REQUEST
            defaults = self._defaults
            for new in wanted:
                try:
                    created_by, created = topics.create_topic(self._image, new, defaults, self._topic_id())
                    room -= created.partitions
                    if room < 0:
                        raise KafkaError(
                            ErrorCode.POLICY_VIOLATION, "Excessively large number of partitions per request."
                        )
                except KafkaError as error:
                    outcome.append(error)
                else:
                    records += created_by
                    outcome.append(created)
            return ([] if validate_only else records), outcome

        return await self._metadata.submit(decide)

    async def ensure_topics(self, names: Iterable[str]) -> None:
        """Create the topics that do not exist, internal ones with their own settings, others with the defaults.

        Says nothing about those that cannot be created: whoever looks for them afterwards finds nothing.
        """
        missing = [name for name in names if name not in self._image.topics]
        if missing:
            await self.create_topics([self._internal_topic(name) or NewTopic(name) for name in missing])

    async def delete_topics(self, doomed: Sequence[TopicState]) -> list[KafkaError | None]:
        """Delete topics; None for each that is gone."""

        def decide() -> Decision[list[KafkaError | None]]:
            records: list[MetadataRecord] = []
            outcome: list[KafkaError | None] = []
            for topic in doomed:
                if topic.id not in self._image.topics_by_id:
                    outcome.append(KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))
                else:
                    records += topics.delete_topic(topic)
                    outcome.append(None)
            return records, outcome

        return await self._metadata.submit(decide)

    async def create_partitions(
        self, topic: str, count: int, assignments: Sequence[Sequence[int]] | None, *, validate_only: bool
    ) -> None:
        """Raise a topic's number of partitions to `count`. Raises KafkaError."""

        def decide() -> Decision[None]:
            state = self._image.topics.get(topic)
            if state is None:
                raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            records = topics.create_partitions(self._image, state, count, assignments)
            return ([] if validate_only else records), None

        await self._metadata.submit(decide)

    async def alter_config(
        self, kind: ResourceType, name: str, alterations: Sequence[Alteration], *, validate_only: bool
    ) -> None:
        """Change some settings of a topic or group. Raises KafkaError."""

        def decide() -> Decision[None]:
            records = configs.alter(self._image, kind, name, alterations, self.config)
            return ([] if validate_only else records), None

        await self._metadata.submit(decide)

    async def elect_leaders(self, wanted: Sequence[tuple[str, int]], kind: ElectionType) -> list[KafkaError | None]:
        """Have partitions led by whom they should be led; None for each that has a new leader."""

        def decide() -> Decision[list[KafkaError | None]]:
            records: list[MetadataRecord] = []
            outcome: list[KafkaError | None] = []
            for topic, index in wanted:
                try:
                    records.append(elections.elect_leader(self._image, topic, index, kind))
                    outcome.append(None)
                except KafkaError as error:
                    outcome.append(error)
            return records, outcome

        return await self._metadata.submit(decide)

    async def update_features(self, updates: Sequence[FeatureUpdate], *, validate_only: bool) -> None:
        """Bring features to other levels, all or none. Raises KafkaError."""

        def decide() -> Decision[None]:
            records = features.update_features(self._image, updates)
            return ([] if validate_only else records), None

        await self._metadata.submit(decide)

    async def unregister(self, broker_id: int) -> None:
        """Take a broker that is gone out of the cluster. Raises KafkaError."""
        await self._metadata.submit(lambda: (registration.unregister_broker(self._image, broker_id), None))

    def quorum(self) -> Quorum:
        """Who holds the metadata log, and how far."""
        return Quorum(
            leader_id=self.config.node_id,
            leader_epoch=LEADER_EPOCH,
            voters=(self.config.node_id,),
            end_offset=self._metadata.end_offset,
        )

    def _topic_id(self) -> uuid.UUID:
        """A random id that clients can tell from the reserved ones (`Uuid.RESERVED`)."""
        while True:
            candidate = self._new_id()
            if candidate.int > 1 and candidate not in self._image.topics_by_id:
                return candidate

    def _internal_topic(self, name: str) -> NewTopic | None:
        """How a topic that belongs to the brokers themselves is created; on a small cluster with fewer replicas."""
        config, brokers = self.config, len(self._image.live_brokers)
        if name == topics.CONSUMER_OFFSETS:
            return NewTopic(
                name,
                partitions=config.offsets_topic_num_partitions,
                replication_factor=min(config.offsets_topic_replication_factor, brokers),
                config={
                    "cleanup.policy": "compact",
                    "compression.type": _OFFSETS_COMPRESSION[config.offsets_topic_compression_codec],
                    "segment.bytes": str(config.offsets_topic_segment_bytes),
                },
            )
        if name == topics.TRANSACTION_STATE:
            factor = min(config.transaction_state_log_replication_factor, brokers)
            return NewTopic(
                name,
                partitions=config.transaction_state_log_num_partitions,
                replication_factor=factor,
                config={
                    "cleanup.policy": "compact",
                    "compression.type": "uncompressed",
                    "min.insync.replicas": str(min(config.transaction_state_log_min_isr, factor)),
                    "segment.bytes": str(config.transaction_state_log_segment_bytes),
                },
            )
        return None
