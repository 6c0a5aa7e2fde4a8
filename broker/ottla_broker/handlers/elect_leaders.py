"""ElectLeaders, versions 0-2: have partitions led by their first replica again, or by any that is left (KIP-460).

0: the first replica only. 1+: the kind of election, and an error of the whole request. Null stands for all partitions;
those that are led as they should be are then left out of the answer.
"""

from ottla_broker.broker import Broker
from ottla_broker.cluster.elections import ElectionType
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.elect_leaders import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
)


@handles(ElectLeadersRequest, "0-2")
async def elect_leaders(broker: Broker, _context: RequestContext, request: ElectLeadersRequest) -> ElectLeadersResponse:
    if request.topic_partitions is None:
        wanted = [(topic.name, p.index) for topic in broker.image.topics.values() for p in topic.partitions]
    else:
        wanted = [(topic.topic, index) for topic in request.topic_partitions for index in topic.partitions]
    outcomes: list[KafkaError | None]
    try:
        kind = ElectionType(request.election_type)
    except ValueError:
        unknown = KafkaError(ErrorCode.INVALID_REQUEST, f"Unknown election type {request.election_type}")
        return _respond(wanted, [unknown] * len(wanted), unknown.code)
    outcomes = await broker.controller.elect_leaders(wanted, kind)
    if request.topic_partitions is None:
        told = [
            (partition, outcome)
            for partition, outcome in zip(wanted, outcomes, strict=True)
            if outcome is None or outcome.code is not ErrorCode.ELECTION_NOT_NEEDED
        ]
        wanted, outcomes = [partition for partition, _ in told], [outcome for _, outcome in told]
    return _respond(wanted, outcomes)


def _respond(
    wanted: list[tuple[str, int]], outcomes: list[KafkaError | None] | list[KafkaError], code: int = ErrorCode.NONE
) -> ElectLeadersResponse:
    topics: dict[str, list[PartitionResult]] = {}
    for (topic, index), outcome in zip(wanted, outcomes, strict=True):
        result = PartitionResult(partition_id=index)
        if outcome is not None:
            result.error_code, result.error_message = outcome.code, outcome.message
        topics.setdefault(topic, []).append(result)
    return ElectLeadersResponse(
        error_code=code,
        replica_election_results=[
            ReplicaElectionResult(topic=topic, partition_result=results) for topic, results in topics.items()
        ],
    )
