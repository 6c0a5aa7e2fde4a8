"""kafka-python as the suite drives it."""

from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic, OffsetSpec
from serve import Json, octets, serve, text

TIMEOUT_S = 100

producers: dict[str, KafkaProducer] = {}
consumers: dict[str, KafkaConsumer] = {}
admins: dict[str, KafkaAdminClient] = {}


# --- producers


def open_producer(
    handle: str, broker: str, acks: str, compression: str, idempotent: bool, transactional_id: str | None
) -> None:
    producers[handle] = KafkaProducer(
        bootstrap_servers=broker,
        acks=acks if acks == "all" else int(acks),
        compression_type=None if compression == "none" else compression,
        enable_idempotence=idempotent,
        transactional_id=transactional_id,
        linger_ms=5,
    )
    if transactional_id is not None:
        producers[handle].init_transactions()


def send(handle: str, records: list[Json]) -> list[list[int]]:
    sent = [
        producers[handle].send(
            record["topic"],
            value=octets(record["value"]),
            key=octets(record["key"]),
            headers=[(name, octets(value)) for name, value in record["headers"]],
            partition=record["partition"],
            timestamp_ms=record["timestamp"],
        )
        for record in records
    ]
    producers[handle].flush(TIMEOUT_S)
    stored = [future.get(TIMEOUT_S) for future in sent]
    return [[metadata.partition, metadata.offset] for metadata in stored]


def begin(handle: str) -> None:
    producers[handle].begin_transaction()


def commit(handle: str) -> None:
    producers[handle].commit_transaction()


def abort(handle: str) -> None:
    producers[handle].abort_transaction()


def send_offsets(handle: str, consumer: str) -> None:
    from kafka.structs import OffsetAndMetadata

    reader = consumers[consumer]
    positions = {partition: OffsetAndMetadata(reader.position(partition), "", -1) for partition in reader.assignment()}
    producers[handle].send_offsets_to_transaction(positions, reader.group_metadata())


def close_producer(handle: str) -> None:
    producers.pop(handle).close(TIMEOUT_S)


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
    del transactional_id
    assert protocol == "classic"
    consumer = KafkaConsumer(
        bootstrap_servers=broker,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed" if read_committed else "read_uncommitted",
        heartbeat_interval_ms=300,
        fetch_max_wait_ms=100,
        max_poll_records=limit,
    )
    consumer.subscribe(topics)
    for topic in topics:
        # A consumer that learns of its topics only after it has joined joins once more, and if that takes longer than
        # the poll in which it began, the consumer never takes note of what it was assigned.
        consumer.partitions_for_topic(topic)
    consumers[handle] = consumer


def poll(handle: str, count: int, timeout_ms: int) -> list[Json]:
    batches = consumers[handle].poll(timeout_ms=timeout_ms, max_records=count)
    return [describe(record) for records in batches.values() for record in records]


def describe(record: Any) -> Json:
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": text(record.key),
        "value": text(record.value),
        "headers": [[name, text(value)] for name, value in record.headers],
    }


def assignment(handle: str) -> list[list[Any]]:
    return [list(partition) for partition in consumers[handle].assignment()]


def commit_offsets(handle: str) -> None:
    consumers[handle].commit()


def close_consumer(handle: str) -> None:
    consumers.pop(handle).close()


# --- administration


def client(broker: str) -> KafkaAdminClient:
    if broker not in admins:
        admins[broker] = KafkaAdminClient(bootstrap_servers=broker)
    return admins[broker]


def create_topic(broker: str, topic: str, partitions: int, configs: dict[str, str]) -> None:
    client(broker).create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])


def delete_topic(broker: str, topic: str) -> None:
    client(broker).delete_topics([topic])


def list_topics(broker: str) -> list[str]:
    return list(client(broker).list_topics())


def describe_topic(broker: str, topic: str) -> list[Json]:
    (described,) = client(broker).describe_topics([topic])
    return [
        {
            "partition": partition["partition_index"],
            "leader": partition["leader_id"],
            "replicas": partition["replica_nodes"],
            "isr": partition["isr_nodes"],
        }
        for partition in described["partitions"]
    ]


def grow_topic(broker: str, topic: str, partitions: int) -> None:
    client(broker).create_partitions({topic: partitions})


def topic_config(broker: str, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    described = client(broker).describe_configs([resource], config_filter="all")
    return {name: entry["value"] for name, entry in described["topic"][topic].items()}


def set_topic_config(broker: str, topic: str, name: str, value: str) -> None:
    client(broker).alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})])


def list_groups(broker: str) -> list[str]:
    return [group["group_id"] for group in client(broker).list_groups()]


def describe_group(broker: str, group: str) -> Json:
    described = client(broker).describe_groups([group])[group]
    return {"state": described["group_state"], "members": len(described["members"])}


def group_offsets(broker: str, group: str) -> list[Json]:
    offsets = client(broker).list_group_offsets(group)[group]
    return [[where.topic, where.partition, committed.offset] for where, committed in offsets.items()]


def delete_group(broker: str, group: str) -> None:
    client(broker).delete_groups([group])


def log_offsets(broker: str, topic: str, partition: int) -> list[int]:
    where = TopicPartition(topic, partition)
    return [
        client(broker).list_partition_offsets({where: spec})[where].offset
        for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
    ]


def delete_records(broker: str, topic: str, partition: int, before: int) -> None:
    client(broker).delete_records({TopicPartition(topic, partition): before})


VERBS = (
    *(open_producer, send, begin, commit, abort, send_offsets, close_producer),
    *(open_consumer, poll, assignment, commit_offsets, close_consumer),
    *(create_topic, delete_topic, list_topics, describe_topic, grow_topic, topic_config, set_topic_config),
    *(list_groups, describe_group, group_offsets, delete_group, log_offsets, delete_records),
)

if __name__ == "__main__":
    serve({verb.__name__: verb for verb in VERBS})
