"""The group coordinator: what the handlers of group and offset APIs call.

Groups and their offsets live in the partitions of `__consumer_offsets`; the rules are in `group_core` and what it uses.
A coroutine here returns when its answer is due, which for a JoinGroup can take as long as a rebalance, and raises the
KafkaError that stands for the whole request.
"""

import logging
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ottla_broker.cluster.topics import CONSUMER_OFFSETS
from ottla_broker.coordinator import consumer_records, group_records
from ottla_broker.coordinator.classic_protocol import Joiner
from ottla_broker.coordinator.consumer_groups import Resolution
from ottla_broker.coordinator.consumer_messages import Sender, validate
from ottla_broker.coordinator.group_core import GroupCore
from ottla_broker.coordinator.group_timers import GroupTimer
from ottla_broker.coordinator.matching import Matcher
from ottla_broker.coordinator.records import RecordCodec
from ottla_broker.coordinator.runtime import CoordinatorRuntime
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.consumer_group_describe import DescribedGroup as DescribedConsumerGroup
from ottla_wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse
from ottla_wire.messages.describe_groups import DescribedGroup
from ottla_wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from ottla_wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from ottla_wire.messages.leave_group import LeaveGroupResponse, MemberIdentity
from ottla_wire.messages.list_groups import ListedGroup
from ottla_wire.messages.offset_commit import OffsetCommitRequest, OffsetCommitResponse
from ottla_wire.messages.offset_delete import OffsetDeleteRequest, OffsetDeleteResponse
from ottla_wire.messages.offset_fetch import OffsetFetchRequestTopics, OffsetFetchResponseGroup
from ottla_wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse
from ottla_wire.messages.txn_offset_commit import TxnOffsetCommitRequest, TxnOffsetCommitResponse

if TYPE_CHECKING:
    from ottla_broker.broker import Broker


logger = logging.getLogger(__name__)

RECORD_TYPES = (*group_records.RECORD_TYPES, *consumer_records.RECORD_TYPES)
"""All that is in `__consumer_offsets`."""


class GroupCoordinator:
    """The groups whose partition of `__consumer_offsets` this node leads."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._config = broker.config
        self._matcher = Matcher()
        self._runtime: CoordinatorRuntime[GroupCore, GroupTimer] = CoordinatorRuntime(
            broker,
            CONSUMER_OFFSETS,
            RecordCodec(RECORD_TYPES, group_records.offset_value_version),
            lambda partition, timers: GroupCore(partition, broker.config, timers, broker.image),
            after=self._match_regexes,
            loaded=self._forget_deleted,
        )

    def start(self) -> None:
        """Load the groups from the log; call it when the logs are open."""
        self._runtime.start()

    async def stop(self) -> None:
        await self._runtime.stop()

    def drop(self) -> None:
        """The topic was deleted, and with it all groups and offsets."""
        self._runtime.drop()

    async def locate(self, group_id: str) -> int:
        """FindCoordinator: the partition of `__consumer_offsets` of a group; creates the topic if need be."""
        return await self._runtime.locate(group_id)

    def partition_of(self, group_id: str) -> int:
        """The same where the topic must exist already: raises COORDINATOR_NOT_AVAILABLE if it does not."""
        return self._runtime.partition_of(group_id)

    # -- members

    async def join(
        self, request: JoinGroupRequest, *, client_id: str, client_host: str, version: int
    ) -> JoinGroupResponse:
        """JoinGroup."""
        _check_group_id(request.group_id)
        shortest_ms, longest_ms = self._config.group_min_session_timeout_ms, self._config.group_max_session_timeout_ms
        if not shortest_ms <= request.session_timeout_ms <= longest_ms:
            raise KafkaError(
                ErrorCode.INVALID_SESSION_TIMEOUT,
                f"a session timeout of {request.session_timeout_ms} ms is not within {shortest_ms} and {longest_ms} "
                "(group.min.session.timeout.ms, group.max.session.timeout.ms)",
            )
        joiner = Joiner(
            client_id=client_id,
            client_host=client_host,
            new_member_id=f"{request.group_instance_id or client_id}-{uuid.uuid4()}",
            requires_member_id=version >= 4,
            supports_skip_assignment=version >= 9,
        )
        return await self._runtime.submit(
            request.group_id, lambda core, ticket, now_ms: core.join(request, joiner, ticket, now_ms)
        )

    async def sync(self, request: SyncGroupRequest) -> SyncGroupResponse:
        """SyncGroup."""
        _check_group_id(request.group_id)
        return await self._runtime.submit(
            request.group_id, lambda core, ticket, now_ms: core.sync(request, ticket, now_ms)
        )

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatResponse:
        """Heartbeat."""
        _check_group_id(request.group_id)
        return self._runtime.touch(request.group_id, lambda core, now_ms: core.heartbeat(request, now_ms))

    async def leave(self, group_id: str, members: list[MemberIdentity]) -> LeaveGroupResponse:
        """LeaveGroup."""
        _check_group_id(group_id)
        return await self._runtime.submit(
            group_id, lambda core, ticket, now_ms: core.leave(group_id, members, ticket, now_ms)
        )

    async def consumer_heartbeat(
        self, request: ConsumerGroupHeartbeatRequest, *, client_id: str, client_host: str, version: int
    ) -> ConsumerGroupHeartbeatResponse:
        """ConsumerGroupHeartbeat."""
        validate(request, version, self._config.group_consumer_assignors)
        sender = Sender(client_id, client_host, str(uuid.uuid4()))
        return await self._runtime.submit(
            request.group_id,
            lambda core, ticket, now_ms: core.consumers.heartbeat(request, sender, ticket, now_ms),
        )

    # -- regular expressions

    def _match_regexes(self, core: GroupCore, _settled_offset: int) -> None:
        for resolution in core.consumers.take_unresolved():
            self._runtime.spawn(self._match(core, resolution))

    async def _match(self, core: GroupCore, resolution: Resolution) -> None:
        names = list(self._broker.image.topics)
        try:
            found = {regex: await self._matcher.matching(regex, names) for regex in resolution.regexes}
        except Exception:
            logger.exception("group %r: regular expressions could not be matched", resolution.group_id)
            core.consumers.unresolvable(resolution)
        else:
            self._runtime.carry_out(core, core.consumers.resolved(resolution, found, self._runtime.now()))

    # -- offsets

    async def commit(self, request: OffsetCommitRequest, version: int) -> OffsetCommitResponse:
        """OffsetCommit, for topics that exist."""
        return await self._runtime.submit(
            request.group_id, lambda core, ticket, now_ms: core.commit(request, version, ticket, now_ms)
        )

    async def commit_in_transaction(self, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse:
        """TxnOffsetCommit, for topics that exist and a transaction that includes the group's partition."""
        return await self._runtime.submit(
            request.group_id, lambda core, ticket, now_ms: core.commit_in_transaction(request, ticket, now_ms)
        )

    def fetch_offsets(
        self,
        group_id: str,
        topics: list[OffsetFetchRequestTopics] | None,
        *,
        require_stable: bool,
        member_id: str | None = None,
        member_epoch: int = -1,
    ) -> OffsetFetchResponseGroup:
        """OffsetFetch for one group; `topics` None stands for all that have offsets."""
        return self._runtime.read(
            group_id, lambda core: core.fetch_offsets(group_id, topics, require_stable, member_id, member_epoch)
        )

    async def delete_offsets(self, request: OffsetDeleteRequest) -> OffsetDeleteResponse:
        """OffsetDelete, for topics that exist."""
        return await self._runtime.submit(
            request.group_id, lambda core, ticket, _now_ms: core.delete_offsets(request, ticket)
        )

    def forget_topic(self, topic: str) -> None:
        """A topic was deleted: no group has offsets in it any more."""
        for core in self._runtime.active_cores():
            self._forget(core, topic)

    def _forget_deleted(self, core: GroupCore) -> None:
        for topic in core.deleted_topics():
            logger.info("%s was deleted: its offsets go too", topic)
            self._forget(core, topic)

    def _forget(self, core: GroupCore, topic: str) -> None:
        """Write as many batches of tombstones as it takes, none of them larger than the log takes."""
        while (decision := core.forget_topic(topic)).records and self._runtime.carry_out(core, decision):
            continue

    def append_marker(self, partition: int, marker: bytes | bytearray, producer_id: int, committed: bool) -> None:
        """End a producer's transaction in a partition of `__consumer_offsets`. Raises as `Broker.append`."""
        self._runtime.append_marker(partition, marker, producer_id, committed)

    # -- administration

    @property
    def loading(self) -> int:
        """Partitions of `__consumer_offsets` that are still being loaded."""
        return self._runtime.loading

    @property
    def unloadable(self) -> int:
        """Partitions that could not be loaded."""
        return self._runtime.unloadable

    def count(self) -> Counter[tuple[str, str]]:
        """How many groups there are, by type and state."""
        return Counter(
            (group.group_type, group.group_state)
            for core in self._runtime.active_cores()
            for group in core.list_groups((), ())
        )

    def committed(self) -> Iterator[tuple[str, str, int, int]]:
        """Every (group, topic, partition, offset) that is committed."""
        for core in self._runtime.active_cores():
            yield from core.store.all_committed()

    def list_groups(self, states: list[str], types: list[str]) -> list[ListedGroup]:
        """ListGroups: names of states and types in any case; empty lists stand for all."""
        wanted_states = {state.lower() for state in states}
        wanted_types = {group_type.lower() for group_type in types}
        return [group for core in self._runtime.cores() for group in core.list_groups(wanted_states, wanted_types)]

    def describe(self, group_id: str) -> DescribedGroup:
        """DescribeGroups. Raises GROUP_ID_NOT_FOUND."""
        return self._runtime.read(group_id, lambda core: core.describe(group_id))

    def describe_consumer_group(self, group_id: str) -> DescribedConsumerGroup:
        """ConsumerGroupDescribe. Raises GROUP_ID_NOT_FOUND."""
        return self._runtime.read(group_id, lambda core: core.consumers.describe(group_id))

    async def delete(self, group_id: str) -> None:
        """DeleteGroups. Raises GROUP_ID_NOT_FOUND or NON_EMPTY_GROUP."""
        await self._runtime.submit(group_id, lambda core, ticket, _now_ms: core.delete_group(group_id, ticket))


def _check_group_id(group_id: str) -> None:
    """Members need a group with a name; offsets may be stored under the empty one, for old clients' sake."""
    if not group_id:
        raise KafkaError(ErrorCode.INVALID_GROUP_ID, "the group id is empty")
