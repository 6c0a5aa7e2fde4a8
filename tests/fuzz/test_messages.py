"""Requests, responses, headers, frames and the records of coordinators: bytes are what they say, or are refused."""

import importlib
import pkgutil
import random
from typing import Any

import ottla_wire.messages
from ottla_broker.cluster import records as metadata_records
from ottla_broker.coordinator import embedded_protocol, groups, transaction_records
from ottla_broker.coordinator.errors import UnreadableRecord
from ottla_broker.coordinator.records import RecordCodec
from ottla_broker.errors import UnknownRecord
from ottla_wire.errors import MalformedMessage, WireError
from ottla_wire.frames import FrameReader
from ottla_wire.headers import RequestHeader
from ottla_wire.message import Message
from ottla_wire.messages.consumer_protocol import ConsumerProtocolSubscription, prefixed

from .campaign import campaign
from .mutation import mutate
from .samples import Sampler

Message_ = type[Message]


def _classes() -> list[Message_]:
    names = [module.name for module in pkgutil.iter_modules(ottla_wire.messages.__path__)]
    modules = [importlib.import_module(f"ottla_wire.messages.{name}") for name in names]
    found = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    return sorted((cls for cls in found if issubclass(cls, Message) and cls is not Message), key=lambda c: c.__name__)


CLASSES = _classes()


def _encoded(chance: random.Random, classes: list[Message_]) -> tuple[Message_, int, bytes]:
    cls = chance.choice(classes)
    version = chance.randint(cls.versions.lowest, cls.versions.highest)
    return cls, version, Sampler(chance).message(cls, version).encode(version)


def _mutated(chance: random.Random, classes: list[Message_]) -> tuple[Message_, int, bytes]:
    cls, version, data = _encoded(chance, classes)
    other = _encoded(chance, classes)[2]
    # Also what is valid for one version, read as another.
    if chance.random() < 0.2:
        version = chance.randint(cls.versions.lowest, cls.versions.highest)
    return cls, version, mutate(chance, data, [other])


def _is_a_message_or_malformed(given: tuple[Message_, int, bytes]) -> None:
    cls, version, data = given
    try:
        found, end = cls.decode(data, version)
    except MalformedMessage:
        return
    assert 0 <= end <= len(data)
    once = found.encode(version)
    again, end = cls.decode(once, version)
    assert end == len(once)
    assert again.encode(version) == once, "what was read is not what is written"


def test_bytes_are_messages_or_malformed() -> None:
    campaign("messages", 3_000, lambda chance: _mutated(chance, CLASSES), _is_a_message_or_malformed)


def _survives_framing(given: tuple[list[int], bytes]) -> None:
    cuts, data = given
    reader = FrameReader(10_000)
    position = 0
    try:
        for cut in [*cuts, len(data)]:
            piece = data[position : position + cut]
            position += len(piece)
            while piece:
                if reader.takes_direct:
                    room = reader.direct_buffer()
                    assert room is not None
                    count = min(len(room), len(piece))
                    room[:count] = piece[:count]
                    reader.direct_received(count)
                    piece = piece[count:]
                else:
                    reader.receive_data(piece)
                    piece = b""
                while reader.frames:
                    RequestHeader.decode(reader.frames.popleft())
    except WireError:
        return


def _stream(chance: random.Random) -> tuple[list[int], bytes]:
    requests = [cls for cls in CLASSES if cls.__name__.endswith("Request")]
    data = b""
    for _ in range(chance.randint(1, 4)):
        cls, version, body = _encoded(chance, requests)
        frame = (
            RequestHeader(cls.api_key, version, chance.randint(0, 99), chance.choice(["", "client"])).encode() + body
        )
        data += len(frame).to_bytes(4, "big") + frame
    return [chance.randint(1, 40) for _ in range(chance.randint(0, 10))], mutate(chance, data)


def test_a_stream_is_frames_with_headers_or_refused() -> None:
    campaign("frames", 1_000, _stream, _survives_framing)


CODECS = {
    "groups": RecordCodec(groups.RECORD_TYPES),
    "transactions": RecordCodec(transaction_records.RECORD_TYPES),
}


def _stored(chance: random.Random) -> tuple[str, bytes, bytes | None]:
    name = chance.choice(list(CODECS))
    codec = CODECS[name]
    kind = chance.choice(list(codec._by_type.values()))
    sampler = Sampler(chance)
    version = chance.randint(kind.value.versions.lowest, kind.value.versions.highest)
    key = chance.choice(kind.types).to_bytes(2, "big") + sampler.message(kind.key, 0).encode(0)
    value = version.to_bytes(2, "big") + sampler.message(kind.value, version).encode(version)
    if chance.random() < 0.3:
        key = mutate(chance, key)
    return name, key, None if chance.random() < 0.1 else mutate(chance, value)


def _is_a_record_or_unreadable(given: tuple[str, bytes, bytes | None]) -> None:
    name, key, value = given
    try:
        record = CODECS[name].decode(key, value)
    except UnreadableRecord:
        return
    CODECS[name].encode(record)


def test_what_coordinators_have_stored_is_a_record_or_unreadable() -> None:
    campaign("coordinator records", 1_000, _stored, _is_a_record_or_unreadable)


def _metadata(chance: random.Random) -> bytes:
    cls = chance.choice(list(metadata_records._WRITTEN))
    record: Any = Sampler(chance).message(cls, metadata_records._WRITTEN[cls])
    return mutate(chance, metadata_records.encode_record(record))


def _is_metadata_or_refused(data: bytes) -> None:
    try:
        metadata_records.decode_record(data)
    except (UnknownRecord, MalformedMessage):
        return


def test_what_the_metadata_log_holds_is_a_record_or_refused() -> None:
    campaign("metadata records", 500, _metadata, _is_metadata_or_refused)


def _subscription(chance: random.Random) -> bytes:
    version = chance.randint(0, ConsumerProtocolSubscription.versions.highest)
    return mutate(chance, prefixed(Sampler(chance).message(ConsumerProtocolSubscription, version), version))


def test_what_consumers_tell_each_other_is_read_or_left_alone() -> None:
    campaign("subscriptions", 500, _subscription, embedded_protocol.subscribed_topics)
