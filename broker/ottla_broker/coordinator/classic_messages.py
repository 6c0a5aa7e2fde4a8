"""What the requests of the classic protocol say, and how they are answered. Pure."""

from ottla_broker.coordinator.classic_group import ClassicGroup, Member
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.join_group import JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember
from ottla_wire.messages.sync_group import SyncGroupResponse


def protocols_of(request: JoinGroupRequest) -> dict[str, bytes]:
    """A member's protocols with its metadata for each, in its order of preference."""
    return {protocol.name: bytes(protocol.metadata) for protocol in request.protocols}


def rebalance_timeout_ms_of(request: JoinGroupRequest) -> int:
    """JoinGroup 0 had no rebalance timeout: the session's counts."""
    return request.session_timeout_ms if request.rebalance_timeout_ms == -1 else request.rebalance_timeout_ms


def joined(group: ClassicGroup, member: Member) -> JoinGroupResponse:
    """The answer to who takes part in the current generation; the leader learns who else does."""
    members: list[JoinGroupResponseMember] = []
    if group.leader == member.member_id:
        members = [
            JoinGroupResponseMember(
                member_id=other.member_id,
                group_instance_id=other.group_instance_id,
                metadata=other.protocols[group.protocol or ""],
            )
            for other in group.members.values()
        ]
    return JoinGroupResponse(
        generation_id=group.generation,
        protocol_type=group.protocol_type,
        protocol_name=group.protocol,
        leader=group.leader or "",
        member_id=member.member_id,
        members=members,
    )


def refused_join(code: ErrorCode, member_id: str) -> JoinGroupResponse:
    """The answer to a JoinGroup that failed."""
    return JoinGroupResponse(error_code=code, protocol_name=None, leader="", member_id=member_id, members=[])


def synced(group: ClassicGroup, assignment: bytes) -> SyncGroupResponse:
    """The answer to a SyncGroup: what a member is assigned, and under which protocol."""
    return SyncGroupResponse(protocol_type=group.protocol_type, protocol_name=group.protocol, assignment=assignment)
