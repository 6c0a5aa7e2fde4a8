"""One broker node from start to stop: builds the parts of a `Broker` and a `Server` and connects them.

Start, in this order: lock the data directory, replay the metadata log, open and recover the partitions, bind the port
(so that the address is known), register with the controller, load the coordinators, accept connections. Stop, in
reverse: what was acknowledged is flushed, and the next start has nothing to recover.
"""

import asyncio
import functools
import logging
import os
import time
import uuid
from collections.abc import Collection
from contextlib import AsyncExitStack
from pathlib import Path

from ottla_broker.broker import Broker
from ottla_broker.cluster.configs import in_force
from ottla_broker.cluster.controller import Controller
from ottla_broker.cluster.image import ClusterImage, PartitionState, ResourceType
from ottla_broker.cluster.metadata_log import Changes, MetadataLog, SnapshotPolicy
from ottla_broker.cluster.records import BrokerEndpoint
from ottla_broker.cluster.registration import Registration
from ottla_broker.cluster.topics import CLUSTER_METADATA, CONSUMER_OFFSETS, TRANSACTION_STATE
from ottla_broker.config import BrokerConfig
from ottla_broker.coordinator.groups import GroupCoordinator
from ottla_broker.coordinator.transactions import TransactionCoordinator
from ottla_broker.dispatch import load_handlers
from ottla_broker.error_counts import ErrorCounts
from ottla_broker.listeners import Address, Listener
from ottla_broker.log.checkpoints import NO_TOPIC_ID
from ottla_broker.log.config import LogConfig
from ottla_broker.log.damage import check_undamaged
from ottla_broker.log.disk import Disk
from ottla_broker.log.errors import CorruptFile, LogError
from ottla_broker.log.manager import LogManager
from ottla_broker.phase import Phase
from ottla_broker.request_timings import RequestTimings
from ottla_broker.server import Server

logger = logging.getLogger(__name__)

ADDRESS_FILE = "broker.address"

# Kafka's id for the metadata topic (`Uuid.METADATA_TOPIC_ID`). Nothing in its log may ever expire,
# and a decision about thousands of partitions is one batch.
_METADATA_TOPIC_ID = uuid.UUID(int=1)
_METADATA_CONFIG = LogConfig(cleanup_policy=frozenset(), max_message_bytes=2**31 - 1)
_PLAINTEXT = 0
# So many logs are made or deleted before others get the event loop. The coordinators' topics are made in one go.
_LOGS_PER_TURN = 50
_MISSING_RETRY_S = 1.0


def clock() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


def steady_clock() -> int:
    """Milliseconds that pass whatever the time of day is set to."""
    return time.monotonic_ns() // 1_000_000


class Node:
    """A running broker; made by `start`, ended by `stop`."""

    broker: Broker
    server: Server
    listeners: list[Listener]
    admin_address: Address | None

    def __init__(self, config: BrokerConfig) -> None:
        self.config = config  # in force: dynamic settings over what it was started with
        self.phase = Phase.STARTING
        self.admin_address = None
        self._image = ClusterImage()
        self._logs = LogManager(config.data_directory, config.log_manager, clock)
        self._stops = AsyncExitStack()

    @classmethod
    async def start(cls, config: BrokerConfig) -> "Node":
        """Start a broker; it accepts connections at its `listeners` when this returns.

        Raises DataDirectoryError for a data directory that cannot be used, UnknownRecord or MalformedMessage for a
        metadata log that this version cannot read, CorruptFile for one that is damaged, InvalidSetting for a dynamic
        setting in it that does not go with those given, CannotStart for an address that cannot be listened on.
        """
        node = cls(config)
        try:
            await node._start()
        except BaseException:
            await node.stop()
            raise
        return node

    @property
    def address(self) -> Address:
        """Where the first listener listens."""
        return self.listeners[0].address

    async def stop(self) -> None:
        """Close the connections, flush the logs, release the data directory."""
        self.phase = Phase.STOPPING
        await self._stops.aclose()

    async def _start(self) -> None:
        logs, stops = self._logs, self._stops
        load_handlers()
        timings = None
        if self.config.admin_listen is not None:
            timings = RequestTimings()
            await self._start_admin(Address.parse("admin.listen", self.config.admin_listen))

        logs.open(self.config.node_id)
        stops.push_async_callback(logs.close)
        if not logs.directory.clean_shutdown:
            _check_metadata(logs.disk, self.config.data_directory)
        metadata_log = logs.create(CLUSTER_METADATA, _METADATA_TOPIC_ID, 0, _METADATA_CONFIG)
        policy = SnapshotPolicy(
            self.config.metadata_log_max_record_bytes_between_snapshots,
            self.config.metadata_log_max_snapshot_interval_ms,
        )
        metadata = MetadataLog(metadata_log, logs.flush, self._image, clock, self._publish, policy, logs.disk)
        deleted_topics = metadata.replay()
        self.config = config = in_force(self._image, self.config)
        logs.configure(config.log_manager)
        await logs.load(self._log_config)

        controller = Controller(metadata, config)
        cluster_id = logs.directory.properties.cluster_id
        self.broker = broker = Broker(config, cluster_id, self._image, controller, logs, clock, steady_clock)
        await self._reconcile(deleted_topics)
        broker.groups = GroupCoordinator(broker)
        broker.transactions = TransactionCoordinator(broker)
        broker.errors = None if timings is None else ErrorCounts()
        self.server = server = Server(broker, timings)
        stops.callback(server.unbind)
        self.listeners = [await server.bind(listener) for listener in config.bindings]

        metadata.start()
        stops.push_async_callback(metadata.stop)
        await controller.register(self._registration())
        logs.start()
        making = asyncio.get_running_loop().create_task(self._make_missing())
        stops.callback(making.cancel)
        broker.groups.start()
        stops.push_async_callback(broker.groups.stop)
        broker.transactions.start()
        stops.push_async_callback(broker.transactions.stop)

        await server.serve()
        stops.push_async_callback(server.stop)
        stops.callback(_remove_address, config.data_directory)
        _write_address(config.data_directory, self.address)
        self.phase = Phase.RUNNING

    async def _start_admin(self, address: Address) -> None:
        """Answer from now on whether this node is alive and ready, and what it has to tell."""
        # A broker that nobody asks for metrics is spared what they cost it.
        from ottla_broker import metrics
        from ottla_broker.admin_http import AdminServer

        admin = AdminServer(functools.partial(metrics.exposition, self), self.reasons_not_ready)
        self.admin_address = await admin.start(address)
        self._stops.push_async_callback(admin.stop)

    def reasons_not_ready(self) -> list[str]:
        """Why clients are not served, or not all of them; nothing if they are."""
        if self.phase is not Phase.RUNNING:
            return [f"the broker is {self.phase.name.lower()}"]
        reasons = []
        for coordinator, topic in (
            (self.broker.groups, CONSUMER_OFFSETS),
            (self.broker.transactions, TRANSACTION_STATE),
        ):
            if coordinator.loading:
                reasons.append(f"{coordinator.loading} partitions of {topic} are being loaded")
            if coordinator.unloadable:
                reasons.append(f"{coordinator.unloadable} partitions of {topic} could not be loaded")
        if failures := self._logs.failures():
            reasons.append(f"partitions that take no writes: {len(failures)} ({failures[0]})")
        free, least = self._logs.free_bytes(), self.config.log_defaults.max_message_bytes
        if free < least:
            reasons.append(f"the disk of {self.config.data_directory} has {free} bytes left, a batch may have {least}")
        return reasons

    def _registration(self) -> Registration:
        endpoints = [
            BrokerEndpoint(
                name=listener.name,
                host=self.config.advertised(listener).host,
                port=self.config.advertised(listener).port,
                security_protocol=_PLAINTEXT,
            )
            for listener in self.listeners
        ]
        return Registration(
            broker_id=self.config.node_id,
            incarnation_id=uuid.uuid4(),
            endpoints=endpoints,
            rack=self.config.broker_rack,
            clean_shutdown=self._logs.directory.clean_shutdown,
        )

    # --- what the metadata says is to exist on this node

    def _log_config(self, topic: str) -> LogConfig:
        return LogConfig.parse(self._image.config(ResourceType.TOPIC, topic), self.config.log_defaults)

    def _holds(self, partition: PartitionState) -> bool:
        return self.config.node_id in partition.replicas

    def _create_log(self, partition: PartitionState) -> None:
        """Make or open a partition's log; without room on the disk it is left to `_make_missing`."""
        config, key = self._log_config(partition.topic), (partition.topic, partition.index)
        tried_before = key in self._logs.unmade
        try:
            log = self._logs.create(partition.topic, partition.topic_id, partition.index, config)
        except (OSError, LogError):
            if not tried_before:
                logger.error("%s-%d cannot be made and will be tried again: %s", *key, self._logs.unmade[key])
            return
        if tried_before:
            logger.info("%s-%d has been made", *key)
        self.broker.advance(log, partition)

    async def _make_missing(self) -> None:
        """Make the logs that there was no room for, once there is."""
        while True:
            await asyncio.sleep(_MISSING_RETRY_S)
            for topic, index in list(self._logs.unmade):
                partition = self._image.partition(topic, index)
                if partition is not None:
                    self._create_log(partition)

    async def _reconcile(self, deleted_topics: Collection[uuid.UUID]) -> None:
        """Bring the logs on disk in line with the metadata: a crash may have come between the two.

        Only what the metadata says was deleted is.
        """
        for log in self._logs:
            if log.topic == CLUSTER_METADATA:
                continue
            topic = self._image.topics.get(log.topic)
            if topic is not None and log.topic_id == NO_TOPIC_ID:
                logger.warning("%s-%d has lost its topic id in a crash and gets it back", log.topic, log.index)
                self._logs.identify(log, topic.id)
            if log.topic_id in deleted_topics:
                logger.info("deleting %s-%d, which belongs to no topic any more", log.topic, log.index)
                await self._logs.delete(log.topic, log.index)
            elif topic is None or log.topic_id != topic.id or log.index >= len(topic.partitions):
                self._logs.set_aside(log.topic, log.index)
        for topic in self._image.topics.values():
            for partition in topic.partitions:
                if self._holds(partition):
                    self._create_log(partition)

    async def _publish(self, changes: Changes) -> None:
        """Carry out on this node what the controller has decided."""
        for number, partition in enumerate(changes.created):
            if number and number % _LOGS_PER_TURN == 0:
                await asyncio.sleep(0)
            if self._holds(partition):
                self._create_log(partition)
        for topic in changes.removed:
            for partition in topic.partitions:
                if partition.index and partition.index % _LOGS_PER_TURN == 0:
                    await asyncio.sleep(0)
                await self._logs.delete(topic.name, partition.index)
                self.broker.waits.wake(topic.name, partition.index)
            if topic.name == CONSUMER_OFFSETS:
                self.broker.groups.drop()
            elif topic.name == TRANSACTION_STATE:
                self.broker.transactions.drop()
            self.broker.groups.forget_topic(topic.name)
        if changes.brokers_configured:
            self.config = in_force(self._image, self.config)
            self.broker.config = self.broker.controller.config = self.config
            self._logs.configure(self.config.log_manager)
        for topic_name in self._image.topics if changes.brokers_configured else changes.configured_topics:
            self._configure(topic_name)
        for partition in changes.elected:
            log = self._logs.get(partition.topic, partition.index)
            if log is not None:
                self.broker.advance(log, partition)
            self.broker.waits.wake(partition.topic, partition.index)

    def _configure(self, name: str) -> None:
        """Let the logs of a topic obey its settings as they are now."""
        topic = self._image.topics.get(name)
        if topic is None:
            return
        config = self._log_config(name)
        for partition in topic.partitions:
            log = self._logs.get(name, partition.index)
            if log is not None:
                log.config = config
                if self.broker.advance(log, partition):
                    self.broker.waits.wake(name, partition.index)


def _check_metadata(disk: Disk, directory: Path) -> None:
    """Raise CorruptFile for a metadata log that recovery would cut in its midst, and topics with it."""
    try:
        check_undamaged(disk, directory / f"{CLUSTER_METADATA}-0")
    except CorruptFile as error:
        raise CorruptFile(f"The metadata log cannot be used: {error}; restore it from a copy") from error


def _write_address(directory: Path, address: Address) -> None:
    """Tell whoever looks for the broker of this directory where it listens."""
    file = directory / ADDRESS_FILE
    temporary = file.with_suffix(".tmp")
    temporary.write_text(f"{address}\n")
    os.replace(temporary, file)


def _remove_address(directory: Path) -> None:
    (directory / ADDRESS_FILE).unlink(missing_ok=True)
