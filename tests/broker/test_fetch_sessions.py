"""Incremental fetch sessions (KIP-227)."""

import uuid

import pytest

from ottla_broker.config import BrokerConfig
from ottla_broker.fetch_sessions import EVICTION_MS, FetchPartition, FetchSessions
from ottla_wire.errors import ErrorCode, KafkaError

NO_ID = uuid.UUID(int=0)


def asked(topic: str, index: int = 0, offset: int = 0) -> FetchPartition:
    return FetchPartition(
        topic, NO_ID, index, fetch_offset=offset, max_bytes=1024, current_leader_epoch=-1, last_fetched_epoch=-1
    )


def topics(sessions: FetchSessions, session_id: int, epoch: int) -> list[str]:
    return [p.topic for p in sessions.resume(session_id, epoch, [], [], now_ms=0).partitions.values()]


def test_a_session_remembers_partitions_and_counts_epochs() -> None:
    sessions = FetchSessions(10)
    session = sessions.open([asked("a"), asked("b")], candidate_id=7, now_ms=0)
    assert session is not None
    assert session.id == 7
    assert topics(sessions, 7, 1) == ["a", "b"]
    assert topics(sessions, 7, 2) == ["a", "b"]


def test_an_incremental_fetch_adds_moves_on_and_forgets_partitions() -> None:
    sessions = FetchSessions(10)
    sessions.open([asked("a"), asked("b")], candidate_id=7, now_ms=0)
    session = sessions.resume(7, 1, [asked("b", offset=5), asked("c")], [("a", NO_ID, 0)], now_ms=0)
    assert [(p.topic, p.fetch_offset) for p in session.partitions.values()] == [("b", 5), ("c", 0)]


def test_22_an_unknown_session_is_not_found() -> None:
    with pytest.raises(KafkaError) as error:
        FetchSessions(10).resume(7, 1, [], [], now_ms=0)
    assert error.value.code is ErrorCode.FETCH_SESSION_ID_NOT_FOUND


@pytest.mark.parametrize("epoch", [0, 2, 99])
def test_22_a_wrong_epoch_is_refused(epoch: int) -> None:
    sessions = FetchSessions(10)
    sessions.open([asked("a")], candidate_id=7, now_ms=0)
    with pytest.raises(KafkaError) as error:
        sessions.resume(7, epoch, [], [], now_ms=0)
    assert error.value.code is ErrorCode.INVALID_FETCH_SESSION_EPOCH


def test_the_epoch_wraps_to_one() -> None:
    sessions = FetchSessions(10)
    session = sessions.open([asked("a")], candidate_id=7, now_ms=0)
    assert session is not None
    session.epoch = 2**31 - 1
    assert topics(sessions, 7, 2**31 - 1) == ["a"]
    assert topics(sessions, 7, 1) == ["a"]


def test_a_closed_session_is_gone() -> None:
    sessions = FetchSessions(10)
    sessions.open([asked("a")], candidate_id=7, now_ms=0)
    sessions.close(7)
    assert len(sessions) == 0


def test_22_without_room_a_fetch_goes_without_a_session_until_one_is_stale() -> None:
    sessions = FetchSessions(2)
    for session_id in (1, 2):
        assert sessions.open([asked("a")], session_id, now_ms=0) is not None
    assert sessions.open([asked("a")], 3, now_ms=EVICTION_MS) is None
    sessions.resume(1, 1, [], [], now_ms=EVICTION_MS)
    assert sessions.open([asked("a")], 3, now_ms=EVICTION_MS + 1) is not None
    with pytest.raises(KafkaError):  # the one that nobody used was evicted
        sessions.resume(2, 1, [], [], now_ms=EVICTION_MS + 1)


def test_22_a_session_that_has_lived_long_gives_way_to_a_larger_one() -> None:
    sessions = FetchSessions(2)
    sessions.open([asked("a")], 1, now_ms=0)
    sessions.open([asked("a"), asked("b")], 2, now_ms=0)
    for session_id in (1, 2):
        sessions.resume(session_id, 1, [], [], now_ms=EVICTION_MS)
    larger = [asked("a"), asked("b"), asked("c")]
    assert sessions.open(larger, 3, now_ms=EVICTION_MS) is None
    assert sessions.open([asked("z")], 3, now_ms=EVICTION_MS + 1) is None
    assert sessions.open(larger, 3, now_ms=EVICTION_MS + 1) is not None
    with pytest.raises(KafkaError):  # the smaller of the two
        sessions.resume(1, 2, [], [], now_ms=EVICTION_MS + 1)
    assert topics(sessions, 2, 2) == ["a", "b"]
    assert sessions.evictions == 1


def test_a_fetch_without_partitions_opens_no_session() -> None:
    assert FetchSessions(10).open([], candidate_id=1, now_ms=0) is None


def test_a_partition_that_was_served_goes_to_the_end() -> None:
    sessions = FetchSessions(10)
    session = sessions.open([asked("a"), asked("b")], candidate_id=7, now_ms=0)
    assert session is not None
    session.served(session.partitions["a", NO_ID, 0])
    assert topics(sessions, 7, 1) == ["b", "a"]


def test_offsets_are_news_once() -> None:
    partition = asked("a")
    assert partition.is_news(5, 0)
    partition.told(5, 0)
    assert not partition.is_news(5, 0)
    assert partition.is_news(6, 0)
    assert partition.is_news(5, 1)


def test_22_there_are_1000_slots_by_default() -> None:
    sessions = FetchSessions(BrokerConfig().max_incremental_fetch_session_cache_slots)
    opened = [sessions.open([asked("a")], session_id, now_ms=0) for session_id in range(1, 1_002)]
    assert [session is not None for session in opened] == [True] * 1_000 + [False]
    assert len(sessions) == 1_000
