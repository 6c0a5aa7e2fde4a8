"""What the steps of a foreign-key join tell each other, and the steps at work: `foreign_key.py` connects them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from ottla.relations.change import ChangeStep
from ottla.relations.views import Reader, Stamped
from ottla.state.format import StoreFormat
from ottla.state.store import StoreSpec
from ottla.task.batch import Batch, Rows
from ottla.task.operators import call
from ottla.task.processor import Processor, TaskContext, check_size
from ottla.topic import Topic
from ottla.transport.contract import Message, OutputRecord

if TYPE_CHECKING:
    from ottla.relations.relation import Relation

_NOTHING: Stamped = (None, -1)


class Instruction(IntEnum):
    """What is to be done with a subscription."""

    DELETE = 0  # The left value has another foreign key now, which is answered instead.
    DELETE_AND_ANSWER = 1  # It has none any more.
    ANSWER = 2  # Even if the right table has no such key: a result of an older value must go.
    ANSWER_QUIETLY = 3  # If it has none: there is a result that must go only if changes overtook their answers.


class Subscription(msgspec.Struct, frozen=True, array_like=True):
    """A left value's interest in the foreign key under which it is sent; `hash` is None for a value that is deleted.

    `key` is the left key, `partition` the left table's, where the answers must go.
    """

    hash: bytes | None
    instruction: int
    key: bytes
    partition: int


class Response(msgspec.Struct, frozen=True, array_like=True):
    """The right value for the left key under which it is sent, and the hash of the left value it is for.

    If it is `quiet` and says that there is none, that is told only where there is a result.
    """

    hash: bytes | None
    value: bytes | None
    quiet: bool = False


_Subscriber = tuple[bytes, bytes]
"""The foreign key and the left key, encoded."""

_Subscribed = tuple[bytes | None, int]
"""The hash of the left value and the left partition."""


@dataclass(frozen=True, slots=True)
class ForeignKeyJoin:
    """A join as declared. Its topics and its store have its name."""

    name: str
    left: Relation[Any, Any]
    right: Relation[Any, Any]
    joiner: Callable[[Any, Any], Any]
    foreign_key: Callable[[Any], Any]
    keeps_left: bool

    @property
    def store(self) -> str:
        return f"{self.name}-subscription-store"

    def hash(self) -> Callable[[Any], bytes | None]:
        """The function that hashes left values, the same for equal values in all workers."""
        encode = self.left.known_values(f"foreign-key join {self.name!r}").encode

        def hash_of(value: Any) -> bytes | None:
            if value is None:
                return None
            try:
                data = _in_order(value)
            except TypeError:
                data = encode(value)  # An object of a codec of its own.
            return blake2b(data, digest_size=16).digest()

        return hash_of


_in_order = msgspec.msgpack.Encoder(order="deterministic").encode


class Subscribe(ChangeStep):
    """What a change of the left table tells the foreign keys that its old and its new value name.

    A value without a foreign key is counted in an inner join, where it has no result. What is asked for it, under no
    key, is answered by any task.
    """

    def __init__(self, context: TaskContext, name: str, join: ForeignKeyJoin) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._join = join
        self._hash = join.hash()
        self._encode_key = join.left.change_keys.encode
        self._encode = join.right.key_codec.encode

    async def receive(self, batch: Batch) -> None:
        batch, told = call(self._context, self._name, self._tell, batch, batch.keys, batch.values)
        out = Rows()
        for row, subscriptions in enumerate(told):
            for foreign_key, subscription in subscriptions:
                out.add(foreign_key, subscription, batch.timestamps[row], batch.origins[row])
        await self.forward(out.batch())

    def _tell(self, key: Any, change: Any) -> list[tuple[Any, Subscription]]:
        hashed, encoded = self._hash(change.new), self._encode_key(key)
        return [
            (foreign_key, Subscription(hashed, instruction, encoded, self._context.partition))
            for foreign_key, instruction in self._instructions(change.old, change.new)
        ]

    def _instructions(self, old: Any, new: Any) -> list[tuple[Any, Instruction]]:
        if old is None and new is None:
            return []
        old_key, new_key = self._foreign_key(old), self._foreign_key(new)
        moved = old_key is not None and (new_key is None or self._encode(old_key) != self._encode(new_key))
        if self._join.keeps_left:
            return [*([(old_key, Instruction.DELETE)] if moved else []), (new_key, Instruction.ANSWER)]
        if new is not None and new_key is None:
            self._context.counts.null_key_dropped += 1
        if moved and new_key is None:
            return [(old_key, Instruction.DELETE_AND_ANSWER)]
        if moved:
            return [(old_key, Instruction.DELETE), (new_key, Instruction.ANSWER)]
        return [(new_key, Instruction.ANSWER_QUIETLY)]

    def _foreign_key(self, value: Any) -> Any:
        return None if value is None else self._join.foreign_key(value)


class Receive(Processor):
    """Keeps subscriptions, and answers those that ask for it with what the right table has now."""

    def __init__(self, context: TaskContext, name: str, join: ForeignKeyJoin) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._store = context.stores[join.store]
        self._read: Reader = join.right.reader(context)
        self._encode_key = join.right.key_codec.encode
        self._encode_value = join.right.known_values(name).encode

    async def receive(self, batch: Batch) -> None:
        out = Rows()
        for row, (key, subscription, timestamp) in enumerate(
            zip(batch.keys, batch.values, batch.timestamps, strict=True)
        ):
            try:
                value, found_timestamp = _NOTHING if key is None else self._read(key) or _NOTHING
                encoded = None if value is None else self._encode_value(value)
                if key is not None:
                    self._keep((self._encode_key(key), subscription.key), subscription)
            except Exception as error:
                self._context.reject(self._name, error, batch, row)
                continue
            match subscription.instruction:
                case Instruction.DELETE:
                    continue
                case Instruction.DELETE_AND_ANSWER:
                    response = Response(subscription.hash, None)
                case Instruction.ANSWER_QUIETLY:
                    response = Response(subscription.hash, encoded, quiet=True)
                case _:
                    response = Response(subscription.hash, encoded)
            addressed = (subscription.key, subscription.partition, response)
            out.add(None, addressed, max(timestamp, found_timestamp), batch.origins[row])
        await self.forward(out.batch())

    def _keep(self, subscriber: _Subscriber, subscription: Subscription) -> None:
        if subscription.instruction in (Instruction.DELETE, Instruction.DELETE_AND_ANSWER):
            self._store.delete(subscriber)
        else:
            self._store.put(subscriber, (subscription.hash, subscription.partition))


class Answer(ChangeStep):
    """Tells a change of the right table to all who subscribed to its key, in the order of their encoded keys."""

    def __init__(self, context: TaskContext, name: str, join: ForeignKeyJoin) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._store = context.stores[join.store]
        self._encode_key = join.right.key_codec.encode
        self._encode_value = join.right.known_values(name).encode

    @property
    def takes_old(self) -> bool:
        return False

    async def receive(self, batch: Batch) -> None:
        batch, encoded = call(self._context, self._name, self._encode, batch, batch.keys, batch.values)
        out = Rows()
        for row, (prefix, value) in enumerate(encoded):
            end = (int.from_bytes(prefix, "big") + 1).to_bytes(len(prefix), "big")
            for (_, key), (hashed, partition) in self._store.range(prefix, end):
                response = (key, partition, Response(hashed, value))
                out.add(None, response, batch.timestamps[row], batch.origins[row])
        await self.forward(out.batch())

    def _encode(self, key: Any, change: Any) -> tuple[bytes, bytes | None]:
        value = None if change.new is None else self._encode_value(change.new)
        return _encode_subscriber((self._encode_key(key), b"")), value


class SendResponses(Processor):
    """Sends answers to the partition that asked, in whichever way the left table's topic was partitioned."""

    def __init__(self, context: TaskContext, name: str, topic: Topic[Any, Response]) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._topic = topic.name
        self._encode = topic.value_codec.encode

    async def receive(self, batch: Batch) -> None:
        _, records = call(self._context, self._name, self._record, batch, batch.values, batch.timestamps, batch.origins)
        self._context.outputs += records

    def _record(self, addressed: tuple[bytes, int, Response], timestamp: int, origin: Message | None) -> OutputRecord:
        key, partition, response = addressed
        headers = None if origin is None else origin.headers()
        record = OutputRecord(self._topic, key, self._encode(response), timestamp, headers, partition)
        check_size(record, self._context.max_record_bytes)
        return record


class Resolve(Processor):
    """Joins answers with the left values they are for, and drops those that came too late."""

    def __init__(self, context: TaskContext, name: str, join: ForeignKeyJoin) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._join = join
        self._read: Reader = join.left.reader(context)
        self._hash = join.hash()
        self._decode = join.right.known_values(name).decode
        self._results = context.stores[join.name]

    async def receive(self, batch: Batch) -> None:
        batch, results = call(self._context, self._name, self._resolve, batch, batch.keys, batch.values)
        told = [result is not _UNTOLD for result in results]
        batch = batch.with_values(results)
        await self.forward(batch if all(told) else batch.where(told))

    def _resolve(self, key: Any, response: Response) -> Any:
        left = (self._read(key) or _NOTHING)[0]
        if self._hash(left) != response.hash:
            return _UNTOLD
        if left is None or (response.value is None and not self._join.keeps_left):
            return _UNTOLD if response.quiet and key not in self._results else None
        return self._join.joiner(left, None if response.value is None else self._decode(response.value))


_UNTOLD: Any = object()


def subscriptions_spec(app_id: str, join: ForeignKeyJoin) -> StoreSpec:
    """The store of who asked for which foreign key."""
    name = join.store
    return StoreSpec(
        name,
        f"{app_id}-{name}-changelog",
        _encode_subscriber,
        _decode_subscriber,
        msgspec.msgpack.Encoder().encode,
        msgspec.msgpack.Decoder(_Subscribed).decode,
        format=StoreFormat("subscriptions", f"{join.right.key_codec.name} and {join.left.change_keys.name}"),
    )


def _encode_subscriber(subscriber: _Subscriber) -> bytes:
    foreign_key, key = subscriber
    return len(foreign_key).to_bytes(4, "big") + foreign_key + key


def _decode_subscriber(data: bytes) -> _Subscriber:
    end = 4 + int.from_bytes(data[:4], "big")
    return data[4:end], data[end:]
