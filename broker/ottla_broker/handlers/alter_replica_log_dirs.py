"""AlterReplicaLogDirs, versions 1-2: move replicas between the data directories of this broker (KIP-113).

There is one, in which all replicas are; so a replica can only stay where it is.
"""

from pathlib import Path

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDirPartitionResult,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    AlterReplicaLogDirTopicResult,
)


@handles(AlterReplicaLogDirsRequest, "1-2")
async def alter_replica_log_dirs(
    broker: Broker, _context: RequestContext, request: AlterReplicaLogDirsRequest
) -> AlterReplicaLogDirsResponse:
    results: dict[str, dict[int, ErrorCode]] = {}
    for directory in request.dirs:
        for topic in directory.topics:
            for index in topic.partitions:
                results.setdefault(topic.name, {})[index] = _move(broker, topic.name, index, directory.path)
    return AlterReplicaLogDirsResponse(
        results=[
            AlterReplicaLogDirTopicResult(
                topic_name=topic,
                partitions=[
                    AlterReplicaLogDirPartitionResult(partition_index=index, error_code=code)
                    for index, code in codes.items()
                ],
            )
            for topic, codes in results.items()
        ]
    )


def _move(broker: Broker, topic: str, index: int, path: str) -> ErrorCode:
    try:
        broker.partition(topic, index)
    except KafkaError as error:
        return error.code
    return ErrorCode.NONE if Path(path) == broker.log_directory else ErrorCode.LOG_DIR_NOT_FOUND
