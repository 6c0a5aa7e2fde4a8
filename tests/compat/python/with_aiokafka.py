"""aiokafka as the suite drives it. It has no way to delete groups."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code
from serve import Json, octets, serve_async, text

producers: dict[str, AIOKafkaProducer] = {}
consumers: dict[str, AIOKafkaConsumer] = {}
groups: dict[str, str] = {}
admins: dict[str, AIOKafkaAdminClient] = {}


# --- producers


async def open_producer(
    handle: str, broker: str, acks: str, compression: str, idempotent: bool, transactional_id: str | None
) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=broker,
        acks=acks if acks == "all" else int(acks),
        compression_type=None if compression == "none" else compression,
        enable_idempotence=idempotent,
        transactional_id=transactional_id,
    )
    await producer.start()
    producers[handle] = producer


async def send(handle: str, records: list[Json]) -> list[list[int]]:
    sent = [
        await producers[handle].send(
            record["topic"],
            value=octets(record["value"]),
            key=octets(record["key"]),
            headers=[(name, octets(value)) for name, value in record["headers"]],
            partition=record["partition"],
            timestamp_ms=record["timestamp"],
        )
        for record in records
    ]
    stored = await asyncio.gather(*sent)
    return [[metadata.partition, metadata.offset] for metadata in stored]


async def begin(handle: str) -> None:
    await producers[handle].begin_transaction()


async def commit(handle: str) -> None:
    await producers[handle].commit_transaction()


async def abort(handle: str) -> None:
    await producers[handle].abort_transaction()


async def send_offsets(handle: str, consumer: str) -> None:
    reader = consumers[consumer]
    positions = {partition: await reader.position(partition) for partition in reader.assignment()}
    await producers[handle].send_offsets_to_transaction(positions, groups[consumer])


async def close_producer(handle: str) -> None:
    await producers.pop(handle).stop()


# --- consumers


async def open_consumer(
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
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed" if read_committed else "read_uncommitted",
        session_timeout_ms=45_000,
        heartbeat_interval_ms=300,
        fetch_max_wait_ms=100,
        max_poll_records=limit,
    )
    consumer.subscribe(topics)
    await consumer.start()
    consumers[handle] = consumer
    groups[handle] = group


async def poll(handle: str, count: int, timeout_ms: int) -> list[Json]:
    batches = await consumers[handle].getmany(timeout_ms=timeout_ms, max_records=count)
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


async def assignment(handle: str) -> list[list[Any]]:
    return [list(partition) for partition in consumers[handle].assignment()]


async def commit_offsets(handle: str) -> None:
    await consumers[handle].commit()


async def close_consumer(handle: str) -> None:
    del groups[handle]
    await consumers.pop(handle).stop()


# --- administration


async def client(broker: str) -> AIOKafkaAdminClient:
    if broker not in admins:
        admins[broker] = AIOKafkaAdminClient(bootstrap_servers=broker)
        await admins[broker].start()
    return admins[broker]


async def create_topic(broker: str, topic: str, partitions: int, configs: dict[str, str]) -> None:
    response = await (await client(broker)).create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])
    check(response.topic_errors)


async def delete_topic(broker: str, topic: str) -> None:
    response = await (await client(broker)).delete_topics([topic])
    check(response.topic_error_codes)


def check(results: list[Any]) -> None:
    """Raise the error of a response's only result: a topic, its code, perhaps a message."""
    ((_, code, *message),) = results
    if code:
        raise for_code(code)(*message)


async def list_topics(broker: str) -> list[str]:
    return list(await (await client(broker)).list_topics())


async def describe_topic(broker: str, topic: str) -> list[Json]:
    (described,) = await (await client(broker)).describe_topics([topic])
    return [
        {
            "partition": partition["partition"],
            "leader": partition["leader"],
            "replicas": partition["replicas"],
            "isr": partition["isr"],
        }
        for partition in described["partitions"]
    ]


async def grow_topic(broker: str, topic: str, partitions: int) -> None:
    await (await client(broker)).create_partitions({topic: NewPartitions(partitions)})


async def topic_config(broker: str, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    (response,) = await (await client(broker)).describe_configs([resource])
    ((code, message, _, _, entries),) = response.resources
    if code:
        raise for_code(code)(message)
    return {name: value for name, value, *_ in entries}


async def set_topic_config(broker: str, topic: str, name: str, value: str) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})
    (response,) = await (await client(broker)).alter_configs([resource])
    ((code, message, *_),) = response.resources
    if code:
        raise for_code(code)(message)


async def list_groups(broker: str) -> list[str]:
    return [group[0] for group in await (await client(broker)).list_consumer_groups()]


async def describe_group(broker: str, group: str) -> Json:
    (response,) = await (await client(broker)).describe_consumer_groups([group])
    ((code, _, state, _, _, members, *_),) = response.groups
    if code:
        raise for_code(code)(group)
    return {"state": state, "members": len(members)}


async def group_offsets(broker: str, group: str) -> list[Json]:
    offsets = await (await client(broker)).list_consumer_group_offsets(group)
    return [[where.topic, where.partition, committed.offset] for where, committed in offsets.items()]


async def log_offsets(broker: str, topic: str, partition: int) -> list[int]:
    where = TopicPartition(topic, partition)
    async with AIOKafkaConsumer(bootstrap_servers=broker) as consumer:
        earliest, latest = await consumer.beginning_offsets([where]), await consumer.end_offsets([where])
    return [earliest[where], latest[where]]


async def delete_records(broker: str, topic: str, partition: int, before: int) -> None:
    await (await client(broker)).delete_records({TopicPartition(topic, partition): RecordsToDelete(before)})


VERBS = (
    *(open_producer, send, begin, commit, abort, send_offsets, close_producer),
    *(open_consumer, poll, assignment, commit_offsets, close_consumer),
    *(create_topic, delete_topic, list_topics, describe_topic, grow_topic, topic_config, set_topic_config),
    *(list_groups, describe_group, group_offsets, log_offsets, delete_records),
)

if __name__ == "__main__":
    asyncio.run(serve_async({verb.__name__: verb for verb in VERBS}))
