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
    RETENTION = "retention"
    """Offsets are looked through for expired ones."""


class GroupTimer(NamedTuple):
    """Names a deadline."""

    partition: int
    kind: GroupTimerKind
    group_id: str = ""
    member_id: str = ""
