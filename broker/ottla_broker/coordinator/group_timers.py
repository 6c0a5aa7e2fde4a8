"""What the deadlines of a group coordinator are about. Pure."""

from enum import Enum
from typing import NamedTuple


class GroupTimerKind(Enum):
    """Why to wake up."""

    SESSION = "session"
    """A member has to show a sign of life."""
    JOIN = "join"
    """A rebalance stops waiting for members to join."""
    SYNC = "sync"
    """A rebalance stops waiting for members to sync."""
    REVOCATION = "revocation"
    """A member of a consumer group has to confirm that it gave up partitions."""
    MEMBER_JOIN = "member join"
    """A member of a consumer group that speaks the classic protocol has to join again."""
    MEMBER_SYNC = "member sync"
    """The same to sync."""
    ASSIGNMENT = "assignment"
    """The next target assignment of a consumer group may be computed."""
    RETENTION = "retention"
    """Offsets are looked through for expired ones."""
    DELETED_TOPIC = "deleted topic"
    """Offsets in a topic that is gone could not be deleted, or not all of them yet."""


class GroupTimer(NamedTuple):
    """Names a deadline."""

    partition: int
    kind: GroupTimerKind
    group_id: str = ""
    member_id: str = ""
    topic: str = ""
