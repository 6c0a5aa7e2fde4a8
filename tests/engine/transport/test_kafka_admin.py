"""What the Kafka transport asks of clusters that answer as no broker at hand does."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from ottla.transport import kafka_admin
from ottla.transport.contract import PASSED_ON, OffsetRange, TopicPartition, TopicSpec
from ottla.transport.errors import TransportError


class BeforeKafka36:
    """Knows no bounds of records' times, and says so as Apache Kafka does. `created` has the configs of topics."""

    unknown = ("message.timestamp.before.max.ms", "message.timestamp.after.max.ms", "remote.storage.enable")

    def __init__(self) -> None:
        self.created: dict[str, dict[str, str]] = {}

    def create_topics(self, topics: list[Any], **_: float) -> dict[str, Future[None]]:
        answers = {}
        for new in topics:
            answer = answers[new.topic] = Future[None]()
            if wrong := next((name for name in self.unknown if name in new.config), None):
                error = KafkaError(KafkaError.INVALID_CONFIG, f"Unknown topic config name: {wrong}")
                answer.set_exception(KafkaException(error))
            else:
                self.created[new.topic] = new.config
                answer.set_result(None)
        return answers


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Any:
    admin = BeforeKafka36()
    monkeypatch.setattr(kafka_admin, "partition_counts", lambda _, names: dict.fromkeys(names, 1))
    monkeypatch.setattr(kafka_admin, "_list_offsets", lambda *_: {})
    return admin


def test_topics_of_the_app_are_made_where_bounds_of_time_are_not_known(admin: Any) -> None:
    kafka_admin.create_topics(admin, [TopicSpec("app-letters-repartition", 1, PASSED_ON), TopicSpec("out", 1)])
    kept = {name: value for name, value in PASSED_ON.items() if name not in BeforeKafka36.unknown}
    assert admin.created == {"app-letters-repartition": kept, "out": {}}


@pytest.mark.parametrize("config", [{"message.timestamp.after.max.ms": "1000"}, {"remote.storage.enable": "true"}])
def test_what_users_ask_for_is_not_left_out(admin: Any, config: dict[str, str]) -> None:
    with pytest.raises(TransportError, match=f"creating topic 'in'.*Unknown topic config name: {next(iter(config))}"):
        kafka_admin.create_topics(admin, [TopicSpec("in", 1, config)])


class NewLeader:
    """Leads a partition whose high watermark it does not know before it was asked for it twice."""

    def __init__(self) -> None:
        self.asked = 0

    def list_topics(self, **_: float) -> None:
        """Its metadata, which nobody looks at here."""

    def list_offsets(self, partitions: dict[Any, Any], **_: Any) -> dict[Any, Future[Any]]:
        self.asked += 1
        answers = {}
        for where in partitions:
            answer = answers[where] = Future[Any]()
            if self.asked <= 2:
                answer.set_exception(KafkaException(KafkaError(KafkaError.OFFSET_NOT_AVAILABLE)))
            else:
                answer.set_result(SimpleNamespace(offset=7))
        return answers


def test_a_new_leader_is_asked_until_it_knows_where_its_partition_ends() -> None:
    where = TopicPartition("words", 0)
    assert kafka_admin.offset_ranges(NewLeader(), [where]) == {where: OffsetRange(7, 7)}  # type: ignore[arg-type]
