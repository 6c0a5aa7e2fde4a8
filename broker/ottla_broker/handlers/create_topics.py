"""CreateTopics, versions 2-7: create topics, or only say whether they could be created.

4+: -1 partitions or replicas stand for the broker's defaults. 5+: the response has the settings that the topic got.
7+: it has the topic's id.
"""

from collections import Counter

from ottla_broker.broker import Broker
from ottla_broker.cluster.topics import CreatedTopic, NewTopic
from ottla_broker.described_configs import Describer
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)


@handles(CreateTopicsRequest, "2-7")
async def create_topics(broker: Broker, _context: RequestContext, request: CreateTopicsRequest) -> CreateTopicsResponse:
    asked = Counter(topic.name for topic in request.topics)
    wanted = [_new_topic(topic) for topic in request.topics if asked[topic.name] == 1]
    outcomes = await broker.controller.create_topics(wanted, validate_only=request.validate_only)
    describer = Describer(broker.image, broker.config)
    results = [_result(describer, new, outcome) for new, outcome in zip(wanted, outcomes, strict=True)]
    repeated = [
        CreatableTopicResult(
            name=name,
            error_code=ErrorCode.INVALID_REQUEST,
            error_message="Duplicate topic name.",
        )
        for name, count in asked.items()
        if count > 1
    ]
    return CreateTopicsResponse(topics=results + repeated)


def _new_topic(topic: CreatableTopic) -> NewTopic:
    return NewTopic(
        name=topic.name,
        partitions=topic.num_partitions,
        replication_factor=topic.replication_factor,
        assignments={assignment.partition_index: assignment.broker_ids for assignment in topic.assignments},
        config={config.name: config.value for config in topic.configs},
    )


def _result(describer: Describer, new: NewTopic, outcome: CreatedTopic | KafkaError) -> CreatableTopicResult:
    if isinstance(outcome, KafkaError):
        return CreatableTopicResult(name=new.name, error_code=outcome.code, error_message=outcome.message)
    overrides = {name: value for name, value in new.config.items() if value is not None}
    return CreatableTopicResult(
        name=new.name,
        topic_id=outcome.id,
        num_partitions=outcome.partitions,
        replication_factor=outcome.replication_factor,
        configs=[
            CreatableTopicConfigs(
                name=entry.name,
                value=entry.value,
                read_only=entry.read_only,
                config_source=entry.source,
                is_sensitive=False,
            )
            for entry in describer.topic(overrides)
        ],
    )
