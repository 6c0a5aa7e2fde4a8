"""Fetch, versions 4-18: record batches from partitions, as soon as there are `min_bytes` of them.

7+: sessions (KIP-227). 9+: leader epochs fence stale clients (KIP-320). 10+: zstd. 12+: truncation is reported by the
diverging epoch (KIP-595). 13+: topics by id.

The records are regions of segment files, which the server sends from where they lie.
"""

import uuid
from collections.abc import Iterator

import msgspec

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_broker.fetch_sessions import (
    FINAL_EPOCH,
    INITIAL_EPOCH,
    NO_SESSION,
    FetchPartition,
    FetchSession,
    PartitionKey,
)
from ottla_broker.log.partition import Slice
from ottla_broker.page_cache import warm
from ottla_wire.chunks import FileRegion
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.fetch import (
    AbortedTransaction,
    EpochEndOffset,
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    PartitionData,
)

_READ_COMMITTED = 1
_UNKNOWN = -1
_NO_ID = uuid.UUID(int=0)


class _Read(msgspec.Struct):
    """What one look at the partitions of a fetch has found."""

    answers: list[tuple[FetchPartition, PartitionData]] = []
    size: int = 0
    urgent: bool = False  # an error, or a diverging epoch, is not to wait for records
    waits_for: list[tuple[str, int]] = []


@handles(FetchRequest, "4-18")
async def fetch(broker: Broker, _context: RequestContext, request: FetchRequest) -> FetchResponse:
    session, partitions = _partitions(broker, request)
    deadline_ms = broker.clock() + request.max_wait_ms
    while True:
        read = _read(broker, request, partitions)
        wait_ms = deadline_ms - broker.clock()
        if read.size >= request.min_bytes or read.urgent or wait_ms <= 0 or not read.waits_for:
            break
        await broker.waits.for_bytes(read.waits_for, request.min_bytes - read.size, wait_ms)
    for _, data in read.answers:
        if isinstance(data.records, FileRegion):
            await warm(data.records)
    return _respond(session, read)


def _partitions(broker: Broker, request: FetchRequest) -> tuple[FetchSession | None, list[FetchPartition]]:
    """The partitions to read, and the session that the fetch opens or continues."""
    asked = [
        FetchPartition(
            topic.topic,
            topic.topic_id,
            partition.partition,
            partition.fetch_offset,
            partition.partition_max_bytes,
            partition.current_leader_epoch,
            partition.last_fetched_epoch,
        )
        for topic in request.topics
        for partition in topic.partitions
    ]
    sessions = broker.fetch_sessions
    if request.session_epoch in (INITIAL_EPOCH, FINAL_EPOCH):
        sessions.close(request.session_id)
        session = None
        if request.session_epoch == INITIAL_EPOCH:
            session = sessions.open(asked, broker.random.randint(1, 0x7FFF_FFFF), broker.clock())
        return session, asked
    session = sessions.resume(request.session_id, request.session_epoch, asked, _forgotten(request), broker.clock())
    return session, list(session.partitions.values())


def _forgotten(request: FetchRequest) -> Iterator[PartitionKey]:
    for topic in request.forgotten_topics_data:
        for index in topic.partitions:
            yield topic.topic, topic.topic_id, index


def _read(broker: Broker, request: FetchRequest, partitions: list[FetchPartition]) -> _Read:
    """Read from the partitions in turn until `max_bytes` are used up."""
    read = _Read()
    room = min(request.max_bytes, broker.config.fetch_max_bytes)
    committed_only = request.isolation_level == _READ_COMMITTED
    for partition in partitions:
        try:
            data = _read_partition(broker, partition, max(0, room - read.size), not read.size, committed_only, read)
        except KafkaError as error:
            data = PartitionData(
                partition_index=partition.index,
                error_code=error.code,
                high_watermark=_UNKNOWN,
                aborted_transactions=None,
                records=b"",
            )
            read.urgent = True
        read.answers.append((partition, data))
    return read


def _read_partition(
    broker: Broker, partition: FetchPartition, room: int, min_one: bool, committed_only: bool, read: _Read
) -> PartitionData:
    topic = partition.topic
    if partition.topic_id != _NO_ID:
        topic = broker.topic_name(partition.topic_id)
    log = broker.partition(topic, partition.index, current_leader_epoch=partition.current_leader_epoch)
    if partition.last_fetched_epoch >= 0:
        end = log.epoch_end_offset(partition.last_fetched_epoch)
        if end.epoch < 0 or end.start_offset < 0:
            raise KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE)
        if end.epoch < partition.last_fetched_epoch or end.start_offset < partition.fetch_offset:
            read.urgent = True
            data = _data(partition, log.read(log.log_end_offset, 0))
            data.diverging_epoch = EpochEndOffset(epoch=end.epoch, end_offset=end.start_offset)
            return data
    found = log.read(
        partition.fetch_offset, min(room, partition.max_bytes), min_one=min_one, committed_only=committed_only
    )
    read.size += found.size
    read.waits_for.append((topic, partition.index))
    return _data(partition, found)


def _data(partition: FetchPartition, found: Slice) -> PartitionData:
    return PartitionData(
        partition_index=partition.index,
        high_watermark=found.high_watermark,
        last_stable_offset=found.last_stable_offset,
        log_start_offset=found.log_start_offset,
        aborted_transactions=None
        if found.aborted is None
        else [
            AbortedTransaction(producer_id=each.producer_id, first_offset=each.first_offset) for each in found.aborted
        ],
        records=b"" if found.region is None else found.region,
    )


def _respond(session: FetchSession | None, read: _Read) -> FetchResponse:
    """The response; within a session, without the partitions that have no news."""
    response = FetchResponse(session_id=NO_SESSION if session is None else session.id, responses=[])
    topic: FetchableTopicResponse | None = None
    for partition, data in read.answers:
        if session is not None and not _is_news(session, partition, data):
            continue
        if topic is None or (topic.topic, topic.topic_id) != (partition.topic, partition.topic_id):
            topic = FetchableTopicResponse(topic=partition.topic, topic_id=partition.topic_id, partitions=[])
            response.responses.append(topic)
        topic.partitions.append(data)
    return response


def _is_news(session: FetchSession, partition: FetchPartition, data: PartitionData) -> bool:
    """Whether the client of a session must hear about a partition; notes that it does."""
    if data.error_code:
        partition.told(_UNKNOWN, _UNKNOWN)
        return True
    has_records = isinstance(data.records, FileRegion)
    news = partition.is_news(data.high_watermark, data.log_start_offset)
    if not news and not has_records and data.diverging_epoch is None:
        return False
    partition.told(data.high_watermark, data.log_start_offset)
    if has_records:
        session.served(partition)
    return True
