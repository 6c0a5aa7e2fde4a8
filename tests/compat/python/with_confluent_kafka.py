"""confluent-kafka, which is librdkafka, as the suite drives it."""

from collections.abc import Callable
from typing import Any

import confluent_kafka.admin as admin
from confluent_kafka import Consumer, IsolationLevel, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from serve import Json, octets, serve, text

TIMEOUT_S = 100

producers: dict[str, Producer] = {}
consumers: dict[str, Consumer] = {}
admins: dict[str, AdminClient] = {}


# --- producers


def open_producer(
    handle: str, broker: str, acks: str, compression: str, idempotent: bool, transactional_id: str | None
) -> None:
    settings: dict[str, Any] = {
        "bootstrap.servers": broker,
        "acks": acks,
        "compression.type": compression,
        "enable.idempotence": idempotent,
        "linger.ms": 5,
    }
    if transactional_id is not None:
        settings["transactional.id"] = transactional_id
    producers[handle] = Producer(settings)
    if transactional_id is not None:
        producers[handle].init_transactions(TIMEOUT_S)


def send(handle: str, records: list[Json]) -> list[list[int]]:
    producer = producers[handle]
    stored: list[list[int]] = [[] for _ in records]
    errors = []

    def reporter(index: int) -> Callable[[Any, Message], None]:
        def report(error: Any, message: Message) -> None:
            if error is not None:
                errors.append(error)
            else:
                stored[index] = [message.partition(), message.offset()]

        return report

    for index, record in enumerate(records):
        placed = {} if record["partition"] is None else {"partition": record["partition"]}
        timed = {} if record["timestamp"] is None else {"timestamp": record["timestamp"]}
        producer.produce(
            record["topic"],
            octets(record["value"]),
            octets(record["key"]),
            headers=[(name, octets(value)) for name, value in record["headers"]],
            on_delivery=reporter(index),
            **placed,
            **timed,
        )
    producer.flush(TIMEOUT_S)
    if errors:
        raise KafkaException(errors[0])
    return stored


def begin(handle: str) -> None:
    producers[handle].begin_transaction()


def commit(handle: str) -> None:
    producers[handle].commit_transaction(TIMEOUT_S)


def abort(handle: str) -> None:
    producers[handle].abort_transaction(TIMEOUT_S)


def send_offsets(handle: str, consumer: str) -> None:
    reader = consumers[consumer]
    positions = reader.position(reader.assignment())
    producers[handle].send_offsets_to_transaction(
        [position for position in positions if position.offset >= 0], reader.consumer_group_metadata(), TIMEOUT_S
    )


def close_producer(handle: str) -> None:
    del producers[handle]  # all that was sent has been flushed


# --- consumers


def open_consumer(
    handle: str,
    broker: str,
    group: str,
    topics: list[str],
    read_committed: bool,
    protocol: str,
    limit: int,
    transactional_id: str | None,
) -> None:
    del limit, transactional_id
    settings: dict[str, Any] = {
        "bootstrap.servers": broker,
        "group.id": group,
        "group.protocol": protocol,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "isolation.level": "read_committed" if read_committed else "read_uncommitted",
        "fetch.wait.max.ms": 100,
        "topic.metadata.refresh.interval.ms": 1000,
    }
    if protocol == "classic":
        settings["heartbeat.interval.ms"] = 300
    consumers[handle] = Consumer(settings)
    consumers[handle].subscribe(topics)


def poll(handle: str, count: int, timeout_ms: int) -> list[Json]:
    records = []
    message = consumers[handle].poll(timeout_ms / 1000)
    while message is not None:
        if message.error() is not None:
            raise KafkaException(message.error())
        records.append(describe(message))
        message = consumers[handle].poll(0) if len(records) < count else None
    return records


def describe(message: Message) -> Json:
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": message.timestamp()[1],
        "key": text(message.key()),
        "value": text(message.value()),
        "headers": [[name, text(value)] for name, value in message.headers() or ()],
    }


def assignment(handle: str) -> list[list[Any]]:
    return [[partition.topic, partition.partition] for partition in consumers[handle].assignment()]


def commit_offsets(handle: str) -> None:
    consumers[handle].commit(asynchronous=False)


def close_consumer(handle: str) -> None:
    consumers.pop(handle).close()


# --- administration


def client(broker: str) -> AdminClient:
    if broker not in admins:
        admins[broker] = AdminClient({"bootstrap.servers": broker})
    return admins[broker]


def only(futures: dict[Any, Any]) -> Any:
    (future,) = futures.values()
    return future.result(TIMEOUT_S)


def create_topic(broker: str, topic: str, partitions: int, configs: dict[str, str]) -> None:
    only(client(broker).create_topics([admin.NewTopic(topic, partitions, 1, config=configs)]))


def delete_topic(broker: str, topic: str) -> None:
    only(client(broker).delete_topics([topic]))


def list_topics(broker: str) -> list[str]:
    return list(client(broker).list_topics(timeout=TIMEOUT_S).topics)


def describe_topic(broker: str, topic: str) -> list[Json]:
    partitions = client(broker).list_topics(topic, TIMEOUT_S).topics[topic].partitions
    return [
        {"partition": index, "leader": partition.leader, "replicas": partition.replicas, "isr": partition.isrs}
        for index, partition in partitions.items()
    ]


def grow_topic(broker: str, topic: str, partitions: int) -> None:
    only(client(broker).create_partitions([admin.NewPartitions(topic, partitions)]))


def topic_config(broker: str, topic: str) -> dict[str, str]:
    resource = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, topic)
    return {name: entry.value for name, entry in only(client(broker).describe_configs([resource])).items()}


def set_topic_config(broker: str, topic: str, name: str, value: str) -> None:
    entry = admin.ConfigEntry(name, value, incremental_operation=admin.AlterConfigOpType.SET)
    resource = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    only(client(broker).incremental_alter_configs([resource]))


def list_groups(broker: str) -> list[str]:
    return [group.group_id for group in client(broker).list_consumer_groups().result(TIMEOUT_S).valid]


def describe_group(broker: str, group: str) -> Json:
    description = only(client(broker).describe_consumer_groups([group]))
    return {"state": description.state.name, "members": len(description.members)}


def group_offsets(broker: str, group: str) -> list[Json]:
    from confluent_kafka import ConsumerGroupTopicPartitions

    offsets = only(client(broker).list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))
    return [[entry.topic, entry.partition, entry.offset] for entry in offsets.topic_partitions]


def delete_group(broker: str, group: str) -> None:
    only(client(broker).delete_consumer_groups([group]))


def log_offsets(broker: str, topic: str, partition: int) -> list[int]:
    where = TopicPartition(topic, partition)
    level = IsolationLevel.READ_UNCOMMITTED
    return [
        only(client(broker).list_offsets({where: spec}, isolation_level=level)).offset
        for spec in (admin.OffsetSpec.earliest(), admin.OffsetSpec.latest())
    ]


def delete_records(broker: str, topic: str, partition: int, before: int) -> None:
    only(client(broker).delete_records([TopicPartition(topic, partition, before)]))


VERBS = (
    *(open_producer, send, begin, commit, abort, send_offsets, close_producer),
    *(open_consumer, poll, assignment, commit_offsets, close_consumer),
    *(create_topic, delete_topic, list_topics, describe_topic, grow_topic, topic_config, set_topic_config),
    *(list_groups, describe_group, group_offsets, delete_group, log_offsets, delete_records),
)

if __name__ == "__main__":
    serve({verb.__name__: verb for verb in VERBS})
