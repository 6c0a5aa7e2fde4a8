"""AddPartitionsToTxn, versions 0-5: partitions that a producer is about to write to take part in its transaction.

0-3: from producers, for one transaction. 2: PRODUCER_FENCED, for which older versions have INVALID_PRODUCER_EPOCH.
4+: from brokers, for several, which may ask only whether partitions take part (KIP-890).
"""

from collections.abc import Collection

from ottla_broker.broker import Broker
from ottla_broker.cluster.topics import is_internal
from ottla_broker.coordinator.decision import Producer
from ottla_broker.coordinator.transaction import Partition
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
)


@handles(AddPartitionsToTxnRequest, "0-5")
async def add_partitions_to_txn(
    broker: Broker, context: RequestContext, request: AddPartitionsToTxnRequest
) -> AddPartitionsToTxnResponse:
    if context.version >= 4:
        return AddPartitionsToTxnResponse(
            results_by_transaction=[
                AddPartitionsToTxnResult(
                    transactional_id=transaction.transactional_id, topic_results=await _add(broker, transaction)
                )
                for transaction in request.transactions
            ]
        )
    transaction = AddPartitionsToTxnTransaction(
        transactional_id=request.v3_and_below_transactional_id,
        producer_id=request.v3_and_below_producer_id,
        producer_epoch=request.v3_and_below_producer_epoch,
        topics=request.v3_and_below_topics,
    )
    internal = [topic.name for topic in transaction.topics if is_internal(topic.name)]
    results = await _add(broker, transaction, forbidden=internal)
    if context.version < 2:
        for topic in results:
            for partition in topic.results_by_partition:
                if partition.partition_error_code == ErrorCode.PRODUCER_FENCED:
                    partition.partition_error_code = ErrorCode.INVALID_PRODUCER_EPOCH
    return AddPartitionsToTxnResponse(results_by_topic_v3_and_below=results)


async def _add(
    broker: Broker, transaction: AddPartitionsToTxnTransaction, forbidden: Collection[str] = ()
) -> list[AddPartitionsToTxnTopicResult]:
    """All partitions are added, or none: then those that could be are OPERATION_NOT_ATTEMPTED."""
    partitions = [(topic.name, index) for topic in transaction.topics for index in topic.partitions]
    refused = {
        partition: ErrorCode.TOPIC_AUTHORIZATION_FAILED
        if partition[0] in forbidden
        else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        for partition in partitions
        if partition[0] in forbidden or broker.image.partition(*partition) is None
    }
    if refused:
        codes = {partition: refused.get(partition, ErrorCode.OPERATION_NOT_ATTEMPTED) for partition in partitions}
        return _results(transaction.topics, codes)
    producer = Producer(transaction.producer_id, transaction.producer_epoch)
    try:
        if transaction.verify_only:
            codes = broker.transactions.verify_partitions(transaction.transactional_id, producer, partitions)
        else:
            await broker.transactions.add_partitions(transaction.transactional_id, producer, partitions)
            codes = dict.fromkeys(partitions, ErrorCode.NONE)
    except KafkaError as error:
        codes = dict.fromkeys(partitions, error.code)
    return _results(transaction.topics, codes)


def _results(
    topics: list[AddPartitionsToTxnTopic], codes: dict[Partition, ErrorCode]
) -> list[AddPartitionsToTxnTopicResult]:
    return [
        AddPartitionsToTxnTopicResult(
            name=topic.name,
            results_by_partition=[
                AddPartitionsToTxnPartitionResult(partition_index=index, partition_error_code=codes[topic.name, index])
                for index in topic.partitions
            ],
        )
        for topic in topics
    ]
