"""DescribeLogDirs, versions 1-5: the data directory, and the size of each partition in it (KIP-113).

3+: an error for the whole request. 4+: size and free space of the volume.
"""

import asyncio
import shutil

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.messages.describe_log_dirs import (
    DescribeLogDirsPartition,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)


@handles(DescribeLogDirsRequest, "1-5")
async def describe_log_dirs(
    broker: Broker, _context: RequestContext, request: DescribeLogDirsRequest
) -> DescribeLogDirsResponse:
    wanted = None
    if request.topics is not None:
        wanted = {(topic.topic, index) for topic in request.topics for index in topic.partitions}
    topics: dict[str, DescribeLogDirsTopic] = {}
    for log in broker.logs:
        if log.topic not in broker.image.topics or (wanted is not None and (log.topic, log.index) not in wanted):
            continue
        topic = topics.setdefault(log.topic, DescribeLogDirsTopic(name=log.topic, partitions=[]))
        topic.partitions.append(
            DescribeLogDirsPartition(
                partition_index=log.index, partition_size=log.size_bytes, offset_lag=0, is_future_key=False
            )
        )
    directory = broker.log_directory
    volume = await asyncio.to_thread(shutil.disk_usage, directory)
    return DescribeLogDirsResponse(
        results=[
            DescribeLogDirsResult(
                log_dir=str(directory),
                topics=list(topics.values()),
                total_bytes=volume.total,
                usable_bytes=volume.free,
            )
        ]
    )
