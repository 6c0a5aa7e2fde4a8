"""What is asked for many times in one request is answered once: a small request must not make a large answer."""

from typing import Any

import pytest

from ottla_wire.message import Message
from ottla_wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from ottla_wire.messages.describe_groups import DescribeGroupsRequest
from ottla_wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from ottla_wire.messages.describe_transactions import DescribeTransactionsRequest
from ottla_wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from ottla_wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup

TIMES = 1_000
REQUESTS: dict[str, tuple[Message, int]] = {
    "Metadata": (MetadataRequest(topics=[MetadataRequestTopic(name="t")] * TIMES), 9),
    "DescribeGroups": (DescribeGroupsRequest(groups=["g"] * TIMES), 5),
    "OffsetFetch": (OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group_id="g", topics=None)] * TIMES), 8),
    "DescribeConfigs": (
        DescribeConfigsRequest(
            resources=[DescribeConfigsResource(resource_type=2, resource_name="t", configuration_keys=None)] * TIMES
        ),
        4,
    ),
    "DescribeTransactions": (DescribeTransactionsRequest(transactional_ids=["x"] * TIMES), 0),
    "DescribeProducers": (
        DescribeProducersRequest(topics=[TopicRequest(name="t", partition_indexes=[0] * TIMES)] * 100),
        0,
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_asked_for_many_times_is_answered_once(with_client: Any, name: str) -> None:
    request, version = REQUESTS[name]

    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.node.broker.groups.locate("g")
        response = await client.ask(request, version)
        assert len(response.encode(version)) < 30_000

    with_client(scenario)
