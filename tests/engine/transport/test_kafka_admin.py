"""Questions are asked again while a broker is started again, and until the client knows the leader's new epoch."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, cast

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo

from ottla.transport import kafka_admin
from ottla.transport.contract import OffsetRange, TopicPartition
from ottla.transport.errors import TransportError

WHERE = TopicPartition("flights", 0)


class RestartedBroker:
    """An admin client whose broker answers with an error until its metadata was refreshed often enough."""

    def __init__(self, error: int, refreshes: int) -> None:
        self._error, self._refreshes = error, refreshes

    def list_topics(self, timeout: float) -> None:
        assert timeout > 0
        self._refreshes -= 1

    def list_offsets(
        self, asked: Mapping[confluent_kafka.TopicPartition, Any], **_options: object
    ) -> dict[confluent_kafka.TopicPartition, Future[ListOffsetsResultInfo]]:
        answers = {}
        for where in asked:
            answers[where] = Future[ListOffsetsResultInfo]()
            if self._refreshes > 0:
                answers[where].set_exception(KafkaException(KafkaError(self._error)))
            else:
                answers[where].set_result(ListOffsetsResultInfo(7, 0, 1))
        return answers


def offset_ranges(broker: RestartedBroker) -> dict[TopicPartition, OffsetRange]:
    return kafka_admin.offset_ranges(cast(AdminClient, broker), [WHERE])


@pytest.mark.parametrize(
    "error", [KafkaError.FENCED_LEADER_EPOCH, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._TRANSPORT]
)
def test_what_passes_is_waited_for_and_the_question_asked_again(error: int) -> None:
    assert offset_ranges(RestartedBroker(error, refreshes=2)) == {WHERE: OffsetRange(7, 7)}


def test_an_error_that_lasts_is_raised_at_once() -> None:
    with pytest.raises(TransportError, match=r"listing offsets of flights\[0\] failed"):
        offset_ranges(RestartedBroker(KafkaError.TOPIC_AUTHORIZATION_FAILED, refreshes=1))
