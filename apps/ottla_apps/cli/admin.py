"""librdkafka's admin client as commands need it: plain values in and out, one sentence for each refusal.

A method that changes something returns the error, or None where it went well, so that one failure does not hide the
others. A method that asks for something raises `Refused` or `Unreachable`.
"""

import concurrent.futures
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from ottla_apps.cli.errors import CommandError, Refused, Unreachable, sentence
from ottla_apps.cli.partition import Partition

_NO_ANSWER = (
    KafkaError._TIMED_OUT,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._WAIT_COORD,
)


def refusal(what: str, error: KafkaError) -> CommandError:
    """What the user reads of an error of librdkafka or a broker: `what` could not be done, and why."""
    if error.code() in _NO_ANSWER:
        return Unreachable(f"{what}: no broker answered in time.")
    reason = error.str().removeprefix("Broker: ").removeprefix("Local: ")
    return Refused(sentence(f"{what}: {reason or error.name()}"), error.code())


class Admin:
    """An admin client whose calls return when the answer is there, or after the timeout."""

    def __init__(self, settings: dict[str, Any], timeout_s: float) -> None:
        self._client = AdminClient(settings)
        self._timeout_s = timeout_s

    # ---- topics

    def create_topic(
        self, name: str, partitions: int, replicas: int, configs: Mapping[str, str], *, dry_run: bool
    ) -> CommandError | None:
        """Create a topic, or only have it checked; -1 leaves a number to the broker's defaults."""
        topic = NewTopic(name, num_partitions=partitions, replication_factor=replicas, config=dict(configs))
        call, what = self._client.create_topics, f"Cannot create topic {name!r}"
        return self._one(lambda **limits: call([topic], validate_only=dry_run, **limits), what)

    def delete_topic(self, name: str) -> CommandError | None:
        call = self._client.delete_topics
        return self._one(lambda **limits: call([name], **limits), f"Cannot delete topic {name!r}")

    def add_partitions(self, topic: str, total: int, *, dry_run: bool) -> CommandError | None:
        """Let a topic have `total` partitions, or only have that checked."""
        call, wanted = self._client.create_partitions, [NewPartitions(topic, total)]
        what = f"Cannot add partitions to {topic!r}"
        return self._one(lambda **limits: call(wanted, validate_only=dry_run, **limits), what)

    # ---- groups

    def group_offsets(self, group: str) -> dict[Partition, int]:
        """The offsets that a group has committed, by partition; none for a group that does not exist."""
        futures = self._client.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)], request_timeout=self._timeout_s
        )
        found = self._result(futures[group], f"The offsets of group {group!r} cannot be listed")
        return {
            Partition(committed.topic, committed.partition): committed.offset
            for committed in found.topic_partitions
            if committed.offset >= 0
        }

    def alter_group_offsets(self, group: str, offsets: Mapping[Partition, int]) -> CommandError | None:
        """Commit offsets for a group that has no members."""
        wanted = [TopicPartition(topic, index, offset) for (topic, index), offset in offsets.items()]
        request = [ConsumerGroupTopicPartitions(group, wanted)]
        what = f"Cannot change the offsets of group {group!r}"
        try:
            futures = self._client.alter_consumer_group_offsets(request, request_timeout=self._timeout_s)
            result = self._result(futures[group], what)
        except KafkaException as error:
            return refusal(what, error.args[0])
        except CommandError as error:
            return error
        return next((refusal(what, changed.error) for changed in result.topic_partitions if changed.error), None)

    def delete_group(self, group: str) -> CommandError | None:
        call = self._client.delete_consumer_groups
        return self._one(lambda **limits: call([group], **limits), f"Cannot delete group {group!r}")

    # ---- waiting

    def _one(self, call: Callable[..., dict[Any, Any]], what: str) -> CommandError | None:
        """Make a call that concerns one thing, and wait for its outcome."""
        try:
            futures = call(request_timeout=self._timeout_s)
        except KafkaException as error:
            return refusal(what, error.args[0])
        (future,) = futures.values()
        try:
            self._result(future, what)
        except CommandError as error:
            return error
        return None

    def _result(self, future: "concurrent.futures.Future[Any]", what: str) -> Any:
        try:
            # librdkafka ends the request after its timeout; the second more only guards against waiting for ever.
            return future.result(self._timeout_s + 1)
        except KafkaException as error:
            raise refusal(what, error.args[0]) from None
        except concurrent.futures.TimeoutError:
            raise Unreachable(f"{what}: no answer within {self._timeout_s:g} s.") from None
