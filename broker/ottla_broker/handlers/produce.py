"""Produce, versions 3-13: append record batches to partitions.

Advertised from version 0, because many librdkafka versions switch compression off if it is not (KAFKA-18659). 7+: zstd.
8+: errors have a message. 10+: who leads instead (KIP-951). 12+: a transactional write brings its partition into the
transaction by itself (KIP-890). 13: topics by id.

A batch is not decoded here, and not copied: the log checks its header and checksum, writes its offsets into it where it
lies in the request, and appends it.

A request for one partition without a transaction takes the shortcut.
"""

import asyncio
from collections import defaultdict
from itertools import islice
from typing import NamedTuple, TypeAlias
from uuid import UUID

from ottla_broker.broker import Broker
from ottla_broker.cluster.topics import is_internal
from ottla_broker.dispatch import Peer, RequestContext, gatherer, handles, shortcut
from ottla_broker.eager import run_to_first_wait
from ottla_broker.errors import ClosesConnection
from ottla_broker.leaders import LeaderHints
from ottla_broker.log.config import INT64_MAX
from ottla_broker.log.errors import NotOneBatch, RefusedRecords
from ottla_broker.log.partition import Appended, PartitionLog
from ottla_broker.transactional_writes import admit_to_transaction
from ottla_wire.chunks import Part
from ottla_wire.errors import ErrorCode, InvalidRecord, KafkaError, UnsupportedCompression
from ottla_wire.fields import Records
from ottla_wire.messages.produce import (
    BatchIndexAndErrorMessage,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)
from ottla_wire.records import Compression
from ottla_wire.single_produce import ProduceHead, read_single_produce

_Produce: TypeAlias = tuple[Peer, bytearray | memoryview, ProduceHead, memoryview]

_ACKS_NONE, _ACKS_LEADER, _ACKS_ALL = _ACKS = 0, 1, -1
_FIRST_WITH_ZSTD = 7
_FIRST_WITH_LEADERS = 10
_FIRST_WITH_TOPIC_IDS = 13
_NO_OFFSET = -1
# With these refusals Kafka does not say where the log starts.
_WITHOUT_START_OFFSET = (
    ErrorCode.CORRUPT_MESSAGE,
    ErrorCode.MESSAGE_TOO_LARGE,
    ErrorCode.RECORD_LIST_TOO_LARGE,
    ErrorCode.KAFKA_STORAGE_ERROR,
)
# The low byte of a batch's attributes, the bits there for its compression, and the one that makes it transactional.
_ATTRIBUTES_AT, _COMPRESSION, _TRANSACTIONAL = 22, 0x07, 0x10
# The one client that may write to internal topics, as Kafka has it (`AdminUtils.ADMIN_CLIENT_ID`).
_ADMIN_CLIENT_ID = "__admin_client"


class _Produced(NamedTuple):
    """What has become of the batch for one partition. An append that has to be flushed first names its log."""

    topic: str
    answer: PartitionProduceResponse
    unflushed: PartitionLog | None = None


@handles(ProduceRequest, "3-13", advertised_from=0)
async def produce(broker: Broker, context: RequestContext, request: ProduceRequest) -> ProduceResponse | None:
    # All begin at once, so that what a later request has for one of the partitions does not come before this.
    begun = [
        run_to_first_wait(_produce(broker, context, request, topic, data))
        for topic in request.topic_data
        for data in topic.partition_data
    ]
    try:
        produced = [done if task is None else await task for task, done in begun]
    finally:
        for task, _ in begun:
            if task is not None:
                task.cancel()
    outcomes = [each for each in produced if each is not None]
    unflushed = [_flush(broker, each.unflushed, each.answer) for each in outcomes if each.unflushed is not None]
    if unflushed:
        await asyncio.gather(*unflushed)
    answers = (each.answer for each in outcomes)
    response = ProduceResponse(
        responses=[
            TopicProduceResponse(
                name=topic.name,
                topic_id=topic.topic_id,
                partition_responses=list(islice(answers, len(topic.partition_data))),
            )
            for topic in request.topic_data
        ]
    )
    if request.acks == _ACKS_NONE:
        _close_on_error(response)
        return None
    misdirected = [each for each in outcomes if each.answer.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER]
    if misdirected and context.version >= _FIRST_WITH_LEADERS:
        _name_leaders(broker, context, misdirected, response)
    return response


async def _produce(
    broker: Broker,
    context: RequestContext,
    request: ProduceRequest,
    topic: TopicProduceData,
    data: PartitionProduceData,
) -> _Produced:
    """Append what a request has for one partition."""
    name = topic.name
    start_offset = _NO_OFFSET
    try:
        if context.version >= _FIRST_WITH_TOPIC_IDS:
            name = broker.topic_name(topic.topic_id)
        log = broker.partition(name, data.index)
        records = _check(broker, log, data.records, request.acks, context.version, context.client_id)
        if _is_transactional(records):
            if request.transactional_id is None:
                raise KafkaError(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
            await admit_to_transaction(broker, request.transactional_id, log, records, context.version)
        start_offset = log.log_start_offset
        if broker.laborious.concerns(log, records):
            appended = await broker.laborious.append(broker, log, records)
        else:
            appended = broker.append(log, records)
    except KafkaError as error:
        broker.count_failure(name, data.index, produce=True)
        return _Produced(name, _refusal(data.index, error, start_offset))
    answer = PartitionProduceResponse(
        index=data.index,
        base_offset=appended.base_offset,
        log_append_time_ms=appended.log_append_time_ms,
        log_start_offset=appended.log_start_offset,
    )
    return _Produced(name, answer, log if appended.flush_due else None)


@shortcut(ProduceRequest)
def produce_one(broker: Broker, frame: bytearray | memoryview, version: int, _waited_ms: int) -> list[Part] | None:
    """`produce` where all goes well and nothing has to be waited for."""
    found = read_single_produce(frame, version)
    if found is None or _is_transactional(found[1]):
        return None
    head, records = found
    try:
        log = _unflushed_log(broker, head)
        if log is None:
            return None
        _check(broker, log, records, head.acks, version, head.client_id)
        if broker.laborious.concerns(log, records):
            return None
        appended = broker.append(log, records)
    except KafkaError:
        return None  # the handler will find the same, and say it
    if head.acks == _ACKS_NONE:
        return []
    return [head.response(frame, appended.base_offset, appended.log_append_time_ms, appended.log_start_offset)]


@gatherer(ProduceRequest)
class SmallProduces:
    """The produces of one turn of the loop: what they have for the same partition is appended together."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._produces: defaultdict[tuple[str | UUID, int], list[_Produce]] = defaultdict(list)

    def take(self, frame: bytearray | memoryview, version: int, peer: Peer) -> bool:
        found = read_single_produce(frame, version)
        if found is None or _is_transactional(found[1]):
            return False
        head, records = found
        if head.acks == _ACKS_NONE:
            return False
        self._produces[head.partition].append((peer, frame, head, records))
        return True

    def answer(self) -> None:
        groups = list(self._produces.values())
        self._produces.clear()
        for produces in groups:
            try:
                appended = _append_each(self._broker, produces)
            except Exception as error:
                for peer, _, _, _ in produces:
                    peer.fail(error)
                continue
            if appended is None:
                for peer, frame, _, _ in produces:
                    peer.serve(frame)
                continue
            for (peer, frame, head, _), at in zip(produces, appended, strict=True):
                peer.answer(head.response(frame, at.base_offset, at.log_append_time_ms, at.log_start_offset))


def _append_each(broker: Broker, produces: list[_Produce]) -> list[Appended] | None:
    """Append what several requests have for one partition; None, and nothing has changed, unless all goes well."""
    _, _, head, _ = produces[0]
    checked = None
    batches = []
    try:
        log = _unflushed_log(broker, head)
        if log is None:
            return None
        for _, _, head, records in produces:
            if head is not checked:  # most producers of a partition are alike
                _check(broker, log, records, head.acks, _FIRST_WITH_ZSTD, head.client_id)
                checked = head
            if broker.laborious.concerns(log, records):
                return None
            batches.append(records)
        return broker.append_each(log, batches)
    except KafkaError:
        return None


def _unflushed_log(broker: Broker, head: ProduceHead) -> PartitionLog | None:
    """The log to append to, unless that has to wait for flushes. Raises KafkaError as `Broker.partition` does."""
    log = broker.partition(head.topic or broker.topic_name(head.topic_id), head.index)
    return log if log.config.flush_messages == INT64_MAX else None


def _check(
    broker: Broker, log: PartitionLog, records: Records | None, acks: int, version: int, client_id: str
) -> memoryview:
    """The batch to append, as far as what surrounds it is in order; the log checks the batch itself."""
    if acks not in _ACKS:
        raise KafkaError(ErrorCode.INVALID_REQUIRED_ACKS)
    if is_internal(log.topic) and client_id != _ADMIN_CLIENT_ID:
        raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"Cannot append to internal topic {log.topic}")
    if not records:
        raise InvalidRecord("A produce request must have exactly one record batch per partition, not none")
    assert isinstance(records, memoryview)
    if version < _FIRST_WITH_ZSTD and _compression(records) == Compression.ZSTD:
        raise UnsupportedCompression(f"Produce version {version} does not allow zstd")
    if acks == _ACKS_ALL and not broker.leadership(log).has_min_isr(log.config.min_insync_replicas):
        raise KafkaError(ErrorCode.NOT_ENOUGH_REPLICAS)
    return records


def _refusal(index: int, error: KafkaError, start_offset: int) -> PartitionProduceResponse:
    refused = error.indexes if isinstance(error, RefusedRecords) else []
    if error.code in _WITHOUT_START_OFFSET or isinstance(error, NotOneBatch):
        start_offset = _NO_OFFSET
    return PartitionProduceResponse(
        index=index,
        error_code=error.code,
        base_offset=_NO_OFFSET,
        log_start_offset=start_offset,
        record_errors=[
            BatchIndexAndErrorMessage(batch_index=refused_index, batch_index_error_message=error.message)
            for refused_index in refused
        ],
        error_message=error.message,
    )


async def _flush(broker: Broker, log: PartitionLog, partition: PartitionProduceResponse) -> None:
    """Hold an acknowledgement back until the device has what it is for; one that has failed takes its place."""
    try:
        await broker.logs.flush(log)
    except KafkaError as error:
        partition.error_code, partition.error_message = error.code, error.message
        partition.base_offset = _NO_OFFSET
        broker.count_failure(log.topic, log.index, produce=True)


def _name_leaders(
    broker: Broker,
    context: RequestContext,
    misdirected: list[_Produced],
    response: ProduceResponse,
) -> None:
    hints = LeaderHints(broker, context.listener)
    for topic, answer, _ in misdirected:
        node_id, epoch = hints.leader(topic, answer.index)
        answer.current_leader = LeaderIdAndEpoch(leader_id=node_id, leader_epoch=epoch)
    response.node_endpoints = [
        NodeEndpoint(node_id=node.id, host=endpoint.host, port=endpoint.port, rack=node.rack)
        for node, endpoint in hints.endpoints()
    ]


def _compression(records: memoryview) -> int:
    return records[_ATTRIBUTES_AT] & _COMPRESSION if len(records) > _ATTRIBUTES_AT else Compression.NONE


def _is_transactional(records: memoryview) -> bool:
    """Look into a batch that may be none, without the cost of reading its whole header."""
    return len(records) > _ATTRIBUTES_AT and bool(records[_ATTRIBUTES_AT] & _TRANSACTIONAL)


def _close_on_error(response: ProduceResponse) -> None:
    """A producer that wants no response learns of an error by losing its connection."""
    for topic in response.responses:
        for partition in topic.partition_responses:
            if partition.error_code:
                where = f"{topic.name or topic.topic_id}-{partition.index}"
                raise ClosesConnection(f"a produce with acks=0 to {where} failed: {partition.error_message}")
