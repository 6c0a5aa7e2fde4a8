"""What the deadlines of a group coordinator are about. Pure."""

from enum import Enum
from typing import NamedTuple


class GroupTimerKind(Enum):
    """Why to wake up."""

    SESSION = "session"
    """A member has to show a sign of life."""
    JOIN = "join"
    """A rebalance stops waiting for members to join; in a consumer group, for one that speaks the classic protocol."""
    SYNC = "sync"
    """The same for members to sync."""
    REVOCATION = "revocation"
    """A member of a consumer group has to confirm that it gave up partitions."""
    ASSIGNMENT = "assignment"
    """The next target assignment of a consumer group may be computed."""
    RETENTION = "retention"
    """Offsets are looked through for expired ones."""


class GroupTimer(NamedTuple):
    """Names a deadline."""

    partition: int
    kind: GroupTimerKind
    group_id: str = ""
    member_id: str = ""
