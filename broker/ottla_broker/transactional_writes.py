"""What a transactional write to a partition asks of the transaction coordinator first (KIP-890).

The first write of a transaction to a partition must be part of what the coordinator knows, or nobody would ever end it
there. Up to Produce 11 the client has added the partition before, which is verified; from Produce 12 on the write
itself adds it. Clients know TRANSACTION_ABORTABLE from Produce 11 on.
"""

from ottla_broker.broker import Broker
from ottla_broker.coordinator.decision import Producer
from ottla_broker.log.partition import PartitionLog
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.records import RecordBatch

_FIRST_WITH_ABORTABLE = 11
_FIRST_THAT_ADDS = 12
_TRANSACTIONS_V2 = 2
_NO_OFFSET = -1

# What the coordinator says when it should be asked again. Producers retry on the one error that they always have (as
# Apache Kafka makes them).
_PASSING = frozenset(
    {
        ErrorCode.CONCURRENT_TRANSACTIONS,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
    }
)


async def admit_to_transaction(
    broker: Broker, transactional_id: str, log: PartitionLog, records: memoryview, version: int
) -> None:
    """Return when the partition takes part in the transaction that the batch in `records` belongs to.

    Raises KafkaError NOT_ENOUGH_REPLICAS if it is to be tried again, or what the coordinator refuses it with.
    """
    batch = RecordBatch(records)
    state = log.producers.get(batch.producer_id)
    if state is not None and state.epoch == batch.producer_epoch and state.transaction_first_offset != _NO_OFFSET:
        return  # the transaction is open here, so the coordinator knows of it
    producer = Producer(batch.producer_id, batch.producer_epoch)
    partition = (log.topic, log.index)
    try:
        if version >= _FIRST_THAT_ADDS:
            await broker.transactions.add_partitions(
                transactional_id, producer, [partition], client_version=_TRANSACTIONS_V2
            )
            return
        if not broker.config.transaction_partition_verification_enable:
            return
        code = broker.transactions.verify_partitions(transactional_id, producer, [partition])[partition]
        if code is not ErrorCode.NONE:
            raise KafkaError(code)
    except KafkaError as error:
        raise _for_producer(error, version) from None


def _for_producer(error: KafkaError, version: int) -> KafkaError:
    """What the coordinator says, in the words that a producer knows."""
    if error.code in _PASSING:
        return KafkaError(
            ErrorCode.NOT_ENOUGH_REPLICAS,
            f"Unable to verify the partition has been added to the transaction. Underlying error: {error}",
        )
    if error.code is ErrorCode.PRODUCER_FENCED:
        return KafkaError(ErrorCode.INVALID_PRODUCER_EPOCH, error.message)
    if error.code is ErrorCode.TRANSACTION_ABORTABLE and version < _FIRST_WITH_ABORTABLE:
        return KafkaError(ErrorCode.INVALID_TXN_STATE, error.message)
    return error
