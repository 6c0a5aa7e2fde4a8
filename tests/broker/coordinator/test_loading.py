"""Coordinators that are loaded beside clients who want something else of the node."""

import asyncio

from ottla_broker.coordinator.groups import GroupCoordinator
from ottla_wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)


def commit_of(group_id, offset):
    partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=offset, committed_metadata=None)
    topic = OffsetCommitRequestTopic(name="data", partitions=[partition])
    return OffsetCommitRequest(group_id=group_id, member_id="", topics=[topic])


def test_loading_leaves_the_event_loop_to_others_however_many_partitions_there_are(start_node):
    async def main():
        async with start_node(offsets_topic_num_partitions=8) as node:
            broker = node.broker
            await broker.groups.locate("group")
            await broker.controller.ensure_topics(["data"])
            requests = [commit_of(f"g{number % 40}", number) for number in range(4_000)]
            for request in requests:
                await broker.groups.commit(request, 9)
            fresh = GroupCoordinator(broker)
            fresh.start()
            replayed, steps = [0], []
            for core in (shard.core for shard in fresh._runtime._shards.values()):
                core.replay = counting(core.replay, replayed)
            while fresh.loading:
                before = replayed[0]
                await asyncio.sleep(0)
                steps.append(replayed[0] - before)
            assert replayed[0] == len(requests)
            assert max(steps) < 500
            await fresh.stop()

    def counting(replay, replayed):
        def counted(*arguments):
            replayed[0] += 1
            replay(*arguments)

        return counted

    asyncio.run(main())
