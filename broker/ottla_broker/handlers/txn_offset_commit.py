"""TxnOffsetCommit, versions 0-5: offsets of a group that take effect with a producer's transaction.

2: the leader epoch. 3: the member's generation, so that those who lost their partitions are fenced (KIP-447). 4:
TRANSACTION_ABORTABLE for a transaction that the group does not take part in, which is INVALID_TXN_STATE before. 5: the
group takes part with this request, without AddOffsetsToTxn (KIP-890).
"""

from ottla_broker.broker import Broker
from ottla_broker.cluster.topics import CONSUMER_OFFSETS
from ottla_broker.coordinator.decision import Producer
from ottla_broker.coordinator.transaction import TRANSACTIONS_V2
from ottla_broker.dispatch import RequestContext, handles
from ottla_broker.offset_answers import joined
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)


@handles(TxnOffsetCommitRequest, "0-5")
async def txn_offset_commit(
    broker: Broker, context: RequestContext, request: TxnOffsetCommitRequest
) -> TxnOffsetCommitResponse:
    refused = []
    known = []
    for topic in request.topics:
        existing: list[TxnOffsetCommitRequestPartition] = []
        missing: list[TxnOffsetCommitRequestPartition] = []
        for partition in topic.partitions:
            exists = broker.image.partition(topic.name, partition.partition_index) is not None
            (existing if exists else missing).append(partition)
        if existing:
            known.append(TxnOffsetCommitRequestTopic(name=topic.name, partitions=existing))
        if missing:
            refused.append(_refuse(topic.name, missing, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))
    request.topics = known
    try:
        if not request.group_id:
            raise KafkaError(ErrorCode.INVALID_GROUP_ID)
        await _take_part(broker, context, request)
        response = await broker.groups.commit_in_transaction(request)
    except KafkaError as error:
        code = _code(error.code, context.version)
        response = TxnOffsetCommitResponse(topics=[_refuse(topic.name, topic.partitions, code) for topic in known])
    response.topics = joined(response.topics, refused)
    return response


async def _take_part(broker: Broker, context: RequestContext, request: TxnOffsetCommitRequest) -> None:
    """Make sure that the group's partition is part of the transaction, or no marker would ever reach it."""
    producer = Producer(request.producer_id, request.producer_epoch)
    partition = (CONSUMER_OFFSETS, broker.groups.partition_of(request.group_id))
    if context.version >= 5:
        await broker.transactions.add_partitions(
            request.transactional_id, producer, [partition], client_version=TRANSACTIONS_V2
        )
        return
    code = broker.transactions.verify_partitions(request.transactional_id, producer, [partition])[partition]
    if code is not ErrorCode.NONE:
        raise KafkaError(code)


def _code(code: ErrorCode, version: int) -> ErrorCode:
    if code == ErrorCode.TRANSACTION_ABORTABLE and version < 4:
        return ErrorCode.INVALID_TXN_STATE
    if code == ErrorCode.PRODUCER_FENCED:
        return ErrorCode.INVALID_PRODUCER_EPOCH
    if code == ErrorCode.STALE_MEMBER_EPOCH:
        return ErrorCode.ILLEGAL_GENERATION  # what producers of these versions know
    if code == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS and version < 2:
        return ErrorCode.COORDINATOR_NOT_AVAILABLE  # clients of those versions do not retry the former
    return code


def _refuse(
    name: str, partitions: list[TxnOffsetCommitRequestPartition], code: ErrorCode
) -> TxnOffsetCommitResponseTopic:
    return TxnOffsetCommitResponseTopic(
        name=name,
        partitions=[
            TxnOffsetCommitResponsePartition(partition_index=partition.partition_index, error_code=code)
            for partition in partitions
        ],
    )
