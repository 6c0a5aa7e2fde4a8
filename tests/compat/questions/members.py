"""What members of classic groups say, for questions of all kinds."""

import time
from typing import Any

from ottla_wire.errors import ErrorCode
from ottla_wire.messages.heartbeat import HeartbeatRequest
from ottla_wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from ottla_wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from ottla_wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

from .asking import DEADLINE_S, Ask, Topic

# A subscription to the topic "t", version 0 of the consumer protocol.
SUBSCRIPTION = b"\0\0" + b"\0\0\0\1" + b"\0\1t" + b"\0\0\0\0"


def join(group: str, member_id: str = "", **fields: Any) -> JoinGroupRequest:
    values = {
        "session_timeout_ms": 60_000,
        "rebalance_timeout_ms": 60_000,
        "protocol_type": "consumer",
        "protocols": [JoinGroupRequestProtocol(name="range", metadata=SUBSCRIPTION)],
    }
    return JoinGroupRequest(group_id=group, member_id=member_id, **(values | fields))


def settle(ask: Ask, group: str, **fields: Any) -> Any:
    """A group of one member with an assignment; how that member joined."""
    ask.coordinator(group)
    first = ask.quietly(join(group, **fields))
    joined = ask.quietly(join(group, first.member_id, **fields)) if first.error_code else first
    assert joined.error_code == 0, joined
    synced = ask.quietly(sync(group, joined))
    assert synced.error_code == 0, synced
    return joined


def sync(group: str, joined: Any, **fields: Any) -> SyncGroupRequest:
    assignments = [SyncGroupRequestAssignment(member_id=joined.member_id, assignment=b"\0\0\0\0\0\0\0\0\0\0")]
    values = {
        "generation_id": joined.generation_id,
        "member_id": joined.member_id,
        "protocol_type": "consumer",
        "protocol_name": "range",
        "assignments": assignments,
    }
    return SyncGroupRequest(group_id=group, **(values | fields))


def new_member_id(ask: Ask, group: str) -> str:
    """The id that a new member is given before it joins (KIP-394)."""
    refused = ask.quietly(join(group))
    assert refused.error_code == ErrorCode.MEMBER_ID_REQUIRED, refused
    return refused.member_id


def await_rebalance(ask: Ask, group: str, joined: Any) -> None:
    """Wait until a member is told to join again."""
    request = HeartbeatRequest(group_id=group, generation_id=joined.generation_id, member_id=joined.member_id)
    deadline = time.monotonic() + DEADLINE_S
    while (code := ask.quietly(request).error_code) == ErrorCode.NONE:
        assert time.monotonic() < deadline, "nothing is rebalanced"
        time.sleep(0.005)
    assert code == ErrorCode.REBALANCE_IN_PROGRESS, code


def commit(group: str, topic: Topic, offset: int = 5, *, index: int = 0, **fields: Any) -> OffsetCommitRequest:
    metadata = fields.pop("metadata", "some metadata")
    partition = OffsetCommitRequestPartition(
        partition_index=index, committed_offset=offset, committed_leader_epoch=0, committed_metadata=metadata
    )
    topics = [OffsetCommitRequestTopic(name=topic.name, topic_id=topic.id, partitions=[partition])]
    return OffsetCommitRequest(group_id=group, **({"member_id": "", "topics": topics} | fields))
