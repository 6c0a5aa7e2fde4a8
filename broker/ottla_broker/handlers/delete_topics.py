"""DeleteTopics, versions 1-6: delete topics with all they hold. 6+: by name or by id."""

import uuid
from collections import Counter

from ottla_broker.broker import Broker
from ottla_broker.cluster.image import TopicState
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.delete_topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)

_NO_ID = uuid.UUID(int=0)


@handles(DeleteTopicsRequest, "1-6")
async def delete_topics(broker: Broker, _context: RequestContext, request: DeleteTopicsRequest) -> DeleteTopicsResponse:
    asked = request.topics or [DeleteTopicState(name=name, topic_id=_NO_ID) for name in request.topic_names]
    results: list[DeletableTopicResult] = []
    doomed: dict[uuid.UUID, TopicState] = {}
    times = Counter((wanted.name, wanted.topic_id) for wanted in asked)
    for wanted in {(wanted.name, wanted.topic_id): wanted for wanted in asked}.values():
        try:
            if times[wanted.name, wanted.topic_id] > 1:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Duplicate topic name or id.")
            topic = _find(broker, wanted)
            if topic.id in doomed:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Duplicate topic name or id.")
            doomed[topic.id] = topic
        except KafkaError as error:
            results.append(
                DeletableTopicResult(
                    name=wanted.name, topic_id=wanted.topic_id, error_code=error.code, error_message=error.message
                )
            )
    outcomes = await broker.controller.delete_topics(list(doomed.values()))
    for topic, failure in zip(doomed.values(), outcomes, strict=True):
        result = DeletableTopicResult(name=topic.name, topic_id=topic.id)
        if failure is not None:
            result.error_code, result.error_message = failure.code, failure.message
        results.append(result)
    return DeleteTopicsResponse(responses=results)


def _find(broker: Broker, wanted: DeleteTopicState) -> TopicState:
    if not broker.config.delete_topic_enable:
        raise KafkaError(ErrorCode.TOPIC_DELETION_DISABLED)
    if (wanted.name is None) == (wanted.topic_id == _NO_ID):
        raise KafkaError(ErrorCode.INVALID_REQUEST, "A topic is named either by its name or by its id")
    if wanted.name is not None:
        topic = broker.image.topics.get(wanted.name)
        missing = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    else:
        topic = broker.image.topics_by_id.get(wanted.topic_id)
        missing = ErrorCode.UNKNOWN_TOPIC_ID
    if topic is None:
        raise KafkaError(missing)
    return topic
