"""Incremental fetch sessions (KIP-227): a client names its partitions once, then only what changes about them.

A fetch with epoch 0 opens a session, if there is room for one; the following fetches of the session carry the epochs 1,
2, ... and name only partitions that are new, have moved on, or are forgotten. Responses within a session leave out
partitions about which there is nothing new. Epoch -1 ends a session, or fetches without one. Pure.
"""

import uuid
from collections import OrderedDict
from collections.abc import Iterable

from ottla_wire.errors import ErrorCode, KafkaError

NO_SESSION = 0
INITIAL_EPOCH = 0
FINAL_EPOCH = -1
EVICTION_MS = 120_000
"""A session gives way to a new one if it was unused for so long; or, if it has lived so long, to a larger one."""

_LAST_EPOCH = 0x7FFF_FFFF
_UNKNOWN = -1

PartitionKey = tuple[str, uuid.UUID, int]


class FetchPartition:
    """One partition of a fetch: what the client asked for, and what it was told last."""

    __slots__ = (
        "_told_high_watermark",
        "_told_log_start_offset",
        "current_leader_epoch",
        "fetch_offset",
        "index",
        "last_fetched_epoch",
        "max_bytes",
        "topic",
        "topic_id",
    )

    def __init__(
        self,
        topic: str,
        topic_id: uuid.UUID,
        index: int,
        fetch_offset: int,
        max_bytes: int,
        current_leader_epoch: int,
        last_fetched_epoch: int,
    ) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self.index = index
        self._told_high_watermark = _UNKNOWN
        self._told_log_start_offset = _UNKNOWN
        self.ask(fetch_offset, max_bytes, current_leader_epoch, last_fetched_epoch)

    @property
    def key(self) -> PartitionKey:
        return self.topic, self.topic_id, self.index

    def ask(self, fetch_offset: int, max_bytes: int, current_leader_epoch: int, last_fetched_epoch: int) -> None:
        self.fetch_offset = fetch_offset
        self.max_bytes = max_bytes
        self.current_leader_epoch = current_leader_epoch
        self.last_fetched_epoch = last_fetched_epoch

    def is_news(self, high_watermark: int, log_start_offset: int) -> bool:
        """Whether the client does not know these offsets yet."""
        return high_watermark != self._told_high_watermark or log_start_offset != self._told_log_start_offset

    def told(self, high_watermark: int, log_start_offset: int) -> None:
        """The client is being told these offsets. After an error, -1 makes sure that it hears of the recovery."""
        self._told_high_watermark = high_watermark
        self._told_log_start_offset = log_start_offset


class FetchSession:
    """The partitions of one client's session, in the order in which they are served."""

    __slots__ = ("by_id", "created_ms", "epoch", "id", "last_used_ms", "partitions")

    def __init__(self, session_id: int, partitions: Iterable[FetchPartition], now_ms: int, *, by_id: bool) -> None:
        self.id = session_id
        self.by_id = by_id
        self.epoch = INITIAL_EPOCH + 1
        self.created_ms = self.last_used_ms = now_ms
        self.partitions = OrderedDict((partition.key, partition) for partition in partitions)

    def update(self, asked: Iterable[FetchPartition], forgotten: Iterable[PartitionKey]) -> None:
        for partition in asked:
            known = self.partitions.get(partition.key)
            if known is None:
                self.partitions[partition.key] = partition
            else:
                known.ask(
                    partition.fetch_offset,
                    partition.max_bytes,
                    partition.current_leader_epoch,
                    partition.last_fetched_epoch,
                )
        for key in forgotten:
            self.partitions.pop(key, None)

    def served(self, partition: FetchPartition) -> None:
        """A partition has got records: the others come first next time, so that none starves."""
        self.partitions.move_to_end(partition.key)


class FetchSessions:
    """The sessions of one broker, at most `max_sessions`, the least recently used first."""

    def __init__(self, max_sessions: int) -> None:
        self._max_sessions = max_sessions
        self._sessions: OrderedDict[int, FetchSession] = OrderedDict()
        self.evictions = 0

    @property
    def partitions(self) -> int:
        """Partitions in all sessions together."""
        return sum(len(session.partitions) for session in self._sessions.values())

    def __len__(self) -> int:
        return len(self._sessions)

    def open(
        self, partitions: list[FetchPartition], candidate_id: int, now_ms: int, *, by_id: bool = False
    ) -> FetchSession | None:
        """A new session, or None if there is no room or the candidate id is taken: the client then goes without.

        `by_id` says whether it names topics by their ids; it cannot change over to names, nor back.
        """
        if not partitions or candidate_id == NO_SESSION or candidate_id in self._sessions:
            return None
        if len(self._sessions) >= self._max_sessions and not self._evict(now_ms, len(partitions)):
            return None
        session = FetchSession(candidate_id, partitions, now_ms, by_id=by_id)
        self._sessions[candidate_id] = session
        return session

    def resume(
        self,
        session_id: int,
        epoch: int,
        asked: Iterable[FetchPartition],
        forgotten: Iterable[PartitionKey],
        now_ms: int,
        *,
        by_id: bool = False,
    ) -> FetchSession:
        """The session that an incremental fetch continues, updated by what it says.

        Raises KafkaError FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH or FETCH_SESSION_TOPIC_ID_ERROR; the
        client then opens a new one.
        """
        session = self._sessions.get(session_id)
        if session is None:
            raise KafkaError(ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
        if epoch != session.epoch:
            raise KafkaError(ErrorCode.INVALID_FETCH_SESSION_EPOCH)
        if by_id != session.by_id:
            raise KafkaError(ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR)
        session.epoch = session.epoch + 1 if session.epoch < _LAST_EPOCH else INITIAL_EPOCH + 1
        session.last_used_ms = now_ms
        session.update(asked, forgotten)
        self._sessions.move_to_end(session_id)
        return session

    def close(self, session_id: int) -> None:
        """Forget a session; fine if there is none."""
        self._sessions.pop(session_id, None)

    def _evict(self, now_ms: int, size: int) -> bool:
        """Make room for a session of so many partitions, if there is one that is worth less."""
        if not self._sessions:
            return False
        evicted = next(iter(self._sessions.values()))
        if now_ms - evicted.last_used_ms <= EVICTION_MS:
            settled = [session for session in self._sessions.values() if now_ms - session.created_ms > EVICTION_MS]
            evicted = min(settled, key=lambda session: len(session.partitions), default=evicted)
            if not settled or len(evicted.partitions) >= size:
                return False
        del self._sessions[evicted.id]
        self.evictions += 1
        return True
