"""Fetch, versions 4-18: record batches from partitions, as soon as there are `min_bytes` of them.

7+: sessions (KIP-227). 9+: leader epochs fence stale clients (KIP-320). 10+: zstd. 12+: truncation is reported by the
diverging epoch (KIP-595). 13+: topics by id. 16+: who leads instead (KIP-951).

The records are regions of segment files, which the server sends from where they lie.

A request for one partition without a session takes the shortcut, also if it has to wait for records.
"""

import asyncio
import logging
import uuid
from collections.abc import Iterator

import msgspec

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles, shortcut
from ottla_broker.fetch_sessions import (
    FINAL_EPOCH,
    INITIAL_EPOCH,
    NO_SESSION,
    FetchPartition,
    FetchSession,
    PartitionKey,
)
from ottla_broker.leaders import LeaderHints
from ottla_broker.log.partition import Slice
from ottla_broker.page_cache import is_cached, read_cached, warm
from ottla_broker.writer import SMALL_REGION_BYTES
from ottla_wire.chunks import FileRegion, Part
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.fetch import (
    AbortedTransaction,
    EpochEndOffset,
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionData,
)
from ottla_wire.records import Compression, iter_batches
from ottla_wire.single_fetch import read_single_fetch

logger = logging.getLogger(__name__)

_READ_COMMITTED = 1
_FIRST_WITH_ZSTD = 10
_FIRST_WITH_TOPIC_IDS = 13
_FIRST_WITH_LEADERS = 16
_UNKNOWN = -1
# Errors with which Kafka lists no aborted transactions; with the others it has no such list.
_NOT_FOUND = (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_TOPIC_ID)
_NO_ID = uuid.UUID(int=0)


class _Read(msgspec.Struct):
    """What one look at the partitions of a fetch has found."""

    by_id: bool  # how topics are named
    answers: list[tuple[FetchPartition, PartitionData]] = []
    size: int = 0
    urgent: bool = False  # an error, or a diverging epoch, is not to wait for records
    waits_for: list[tuple[str, int]] = []


@handles(FetchRequest, "4-18")
async def fetch(broker: Broker, context: RequestContext, request: FetchRequest) -> FetchResponse:
    session, partitions = _partitions(broker, context, request)
    deadline_ms = broker.steady_clock() + request.max_wait_ms
    while True:
        read = _read(broker, request, partitions, by_id=context.version >= _FIRST_WITH_TOPIC_IDS)
        wait_ms = deadline_ms - broker.steady_clock()
        if read.size >= request.min_bytes or read.urgent or wait_ms <= 0 or not read.waits_for:
            break
        await broker.waits.for_bytes(read.waits_for, request.min_bytes - read.size, wait_ms)
    for partition, data in read.answers:
        if isinstance(data.records, FileRegion):
            try:
                region = data.records
                data.records = await _at_hand(region)
                if context.version < _FIRST_WITH_ZSTD:
                    _refuse_zstd(broker, partition, data, region)
            except OSError as error:
                topic = partition.topic or partition.topic_id
                logger.error("%s-%d cannot be read: %s", topic, partition.index, error.strerror)
                data.error_code = ErrorCode.KAFKA_STORAGE_ERROR
                data.records = b""
        _count(broker, partition, data)
    response = _respond(session, read)
    if context.version >= _FIRST_WITH_LEADERS:
        _name_leaders(broker, context, read, response)
    return response


@shortcut(FetchRequest)
def fetch_one(
    broker: Broker, frame: bytearray | memoryview, version: int, waited_ms: int
) -> list[Part] | asyncio.Future[None] | None:
    """`fetch` where all goes well, and nothing has to be waited for but records."""
    request = read_single_fetch(frame, version)
    if request is None:
        return None
    terms, offset = request
    try:
        topic = terms.topic if version < _FIRST_WITH_TOPIC_IDS else broker.topic_name(terms.topic_id)
        log = broker.partition(topic, terms.index, current_leader_epoch=terms.current_leader_epoch)
        max_bytes = min(terms.max_bytes, broker.config.fetch_max_bytes)
        found = log.read(offset, max_bytes, committed_only=terms.committed_only)
    except KafkaError:
        return None  # the handler will find the same, and say it
    wait_ms = terms.max_wait_ms - waited_ms
    if found.size < terms.min_bytes and wait_ms > 0:
        return broker.waits.for_bytes([(topic, terms.index)], terms.min_bytes - found.size, wait_ms)
    if found.aborted:
        return None
    records = b"" if found.region is None else _cached(found.region)
    if records is None:
        return None
    log.traffic.fetches += 1
    log.traffic.bytes_out += found.size
    return terms.response(frame, records, found.high_watermark, found.last_stable_offset, found.log_start_offset)


def _cached(region: FileRegion) -> bytes | bytearray | FileRegion | None:
    """Records that can be sent at once, small ones as bytes, which takes one system call; None if they have to be
    waited for.
    """
    if region.size <= SMALL_REGION_BYTES:
        return read_cached(region)
    return region if is_cached(region) else None


async def _at_hand(region: FileRegion) -> bytes | bytearray | FileRegion:
    """The same, waiting if need be. Raises OSError."""
    cached = _cached(region)
    if cached is not None:
        return cached
    await warm(region)
    return region


def _partitions(
    broker: Broker, context: RequestContext, request: FetchRequest
) -> tuple[FetchSession | None, list[FetchPartition]]:
    """The partitions to read, and the session that the fetch opens or continues. Of a partition that is named twice the
    last word counts.
    """
    named = (
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
    )
    asked = list({partition.key: partition for partition in named}.values())
    sessions = broker.fetch_sessions
    by_id = context.version >= _FIRST_WITH_TOPIC_IDS
    if request.session_epoch in (INITIAL_EPOCH, FINAL_EPOCH):
        sessions.close(request.session_id)
        session = None
        if request.session_epoch == INITIAL_EPOCH:
            session = sessions.open(asked, broker.random.randint(1, 0x7FFF_FFFF), broker.clock(), by_id=by_id)
        return session, asked
    session = sessions.resume(
        request.session_id, request.session_epoch, asked, _forgotten(request), broker.clock(), by_id=by_id
    )
    partitions = list(session.partitions.values())
    if not partitions:  # nothing is left to go on with
        sessions.close(session.id)
        return None, partitions
    return session, partitions


def _forgotten(request: FetchRequest) -> Iterator[PartitionKey]:
    for topic in request.forgotten_topics_data:
        for index in topic.partitions:
            yield topic.topic, topic.topic_id, index


def _read(broker: Broker, request: FetchRequest, partitions: list[FetchPartition], *, by_id: bool) -> _Read:
    """Read from the partitions in turn until `max_bytes` are used up."""
    read = _Read(by_id)
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
                aborted_transactions=[] if error.code in _NOT_FOUND else None,
                records=b"",
            )
            read.urgent = True
        read.answers.append((partition, data))
    return read


def _read_partition(
    broker: Broker, partition: FetchPartition, room: int, min_one: bool, committed_only: bool, read: _Read
) -> PartitionData:
    topic = broker.topic_name(partition.topic_id) if read.by_id else partition.topic
    log = broker.partition(topic, partition.index, current_leader_epoch=partition.current_leader_epoch)
    if partition.last_fetched_epoch >= 0:
        end = log.epoch_end_offset(partition.last_fetched_epoch)
        if end.epoch < 0 or end.start_offset < 0 or partition.fetch_offset < log.log_start_offset:
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


def _count(broker: Broker, partition: FetchPartition, data: PartitionData) -> None:
    topic = partition.topic
    if partition.topic_id != _NO_ID:
        state = broker.image.topics_by_id.get(partition.topic_id)
        topic = "" if state is None else state.name
    if data.error_code:
        broker.count_failure(topic, partition.index, produce=False)
        return
    log = broker.logs.get(topic, partition.index)
    if log is not None:
        log.traffic.fetches += 1
        log.traffic.bytes_out += len(data.records or b"")


def _refuse_zstd(broker: Broker, partition: FetchPartition, data: PartitionData, region: FileRegion) -> None:
    """A client of a version before zstd gets an error in the place of batches that it cannot know how to read."""
    log = broker.partition(partition.topic, partition.index)
    if any(batch.compression == Compression.ZSTD for batch in iter_batches(log.read_bytes(region))):
        data.error_code = ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
        data.records = b""


def _name_leaders(broker: Broker, context: RequestContext, read: _Read, response: FetchResponse) -> None:
    """Say who leads the partitions that were refused because another node does, or in another epoch."""
    hints = LeaderHints(broker, context.listener)
    for partition, data in read.answers:
        if data.error_code in (ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.FENCED_LEADER_EPOCH):
            node_id, epoch = hints.leader(broker.topic_name(partition.topic_id), partition.index)
            data.current_leader = LeaderIdAndEpoch(leader_id=node_id, leader_epoch=epoch)
    response.node_endpoints = [
        NodeEndpoint(node_id=node.id, host=endpoint.host, port=endpoint.port, rack=node.rack)
        for node, endpoint in hints.endpoints()
    ]


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
    has_records = bool(data.records)
    news = partition.is_news(data.high_watermark, data.log_start_offset)
    if not news and not has_records and data.diverging_epoch is None:
        return False
    partition.told(data.high_watermark, data.log_start_offset)
    if has_records:
        session.served(partition)
    return True
