"""What a message class promises: versions, defaults, refusals, tagged fields, records that are not copied."""

import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings

from ottla_wire.api_keys import ApiKey
from ottla_wire.chunks import Chunks, FileRegion
from ottla_wire.errors import EncodeError, MalformedMessage, UnsupportedVersion
from ottla_wire.message import Float64, Int8, Int16, Int32, Int64, Message, Struct, Uint32, field, since, tagged, until
from ottla_wire.messages.fetch import FetchableTopicResponse, FetchResponse, LeaderIdAndEpoch, PartitionData
from ottla_wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData


class Point(Struct):
    x: Int32
    y: Int32 = since("1+", default=-1)


class Sample(Message, key=900, versions="0-3", flexible="2+"):
    name: str
    note: str | None = field(nullable="1+")
    old: Int16 = until("0-0", default=7)
    hint: str = since("1+", default="", ignorable=True)
    points: list[Point] = since("1+", factory=list)
    place: Point | None = since("3+", default=None)
    ids: list[uuid.UUID] = since("3+", factory=list)
    ratio: Float64 = since("3+", default=0.5)
    tag_text: str | None = tagged(0, versions="2+", default=None)
    tag_point: Point | None = tagged(1, versions="2+", default=None)
    tag_number: Int64 = tagged(3, versions="2+", default=5)
    tag_list: list[Int8] = tagged(2, versions="3+", factory=list)


def round_trip(message: Message, version: int) -> Message:
    encoded = message.encode(version)
    decoded, position = type(message).decode(encoded, version)
    assert position == len(encoded)
    return decoded


# --- all classes ---


def test_every_value_survives(
    message: type[Message], version: int, instances: Callable[..., Any], wire_settings: settings
) -> None:
    @wire_settings
    @given(original=instances(message, version))
    def check(original: Message) -> None:
        encoded = original.encode(version)
        for data in (encoded, bytearray(encoded), memoryview(encoded)):
            assert message.decode(data, version) == (original, len(encoded))
        # A body may stand anywhere in a frame, and what follows it is nobody's business here.
        assert message.decode(b"head" + encoded + b"tail", version, 4) == (original, 4 + len(encoded))

    check()


def test_every_api_has_both_classes_under_its_key() -> None:
    for key in ApiKey:
        request, response = Message.request(key), Message.response(key)
        assert (request.__name__, response.__name__) == (f"{key.camel_case}Request", f"{key.camel_case}Response")
        assert request.api_key == response.api_key == key
        assert request.is_request
        assert not response.is_request
        assert request.versions == response.versions


def test_an_api_without_messages_is_unsupported() -> None:
    for key in (-1, 4, 5, 6, 7, 1_000):
        with pytest.raises(UnsupportedVersion, match=str(key)):
            Message.request(key)


def test_importing_one_message_imports_no_other() -> None:
    script = (
        "import sys, ottla_wire.messages.produce\n"
        "print([m for m in sys.modules if m.startswith('ottla_wire.messages.') and m != 'ottla_wire.messages.produce'])"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert output.stdout.strip() == "[]"


# --- instances ---


def test_fields_without_default_are_demanded() -> None:
    with pytest.raises(TypeError, match="note"):
        Sample(name="n")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="nonsense"):
        Sample(name="n", note=None, nonsense=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        HeartbeatRequest("group", 1, "member")  # type: ignore[call-arg]


def test_default_lists_are_not_shared() -> None:
    one, other = Sample(name="1", note=""), Sample(name="2", note="")
    one.points.append(Point(x=1))
    assert other.points == []
    decoded = [Sample.decode(other.encode(0), 0)[0] for _ in range(2)]
    decoded[0].points.append(Point(x=1))
    assert decoded[1].points == []


def test_instances_compare_by_value_and_class() -> None:
    assert Point(x=1, y=2) == Point(x=1, y=2)
    assert Point(x=1, y=2) != Point(x=1, y=3)
    assert Point(x=1) != LeaderIdAndEpoch(leader_id=1)
    with pytest.raises(TypeError):
        hash(Point(x=1))


def test_there_are_no_other_attributes() -> None:
    with pytest.raises(AttributeError):
        Point(x=1).z = 3  # type: ignore[attr-defined]


def test_representation_is_readable_and_short() -> None:
    assert repr(Point(x=1, y=2)) == "Point(x=1, y=2)"
    data = PartitionProduceData(index=3, records=bytes(100_000))
    assert repr(data) == "PartitionProduceData(index=3, records=<100000 bytes>)"


# --- versions ---


def test_a_field_reads_as_its_default_where_a_version_lacks_it() -> None:
    decoded = round_trip(Sample(name="n", note="", old=3), 0)
    assert decoded == Sample(name="n", note="", old=3)
    assert round_trip(Sample(name="n", note=None), 1).old == 7  # type: ignore[attr-defined]


def test_a_value_that_a_version_lacks_is_refused_unless_ignorable() -> None:
    with pytest.raises(EncodeError, match=r"Sample\.old is set, but version 1 does not have it"):
        Sample(name="n", note="", old=8).encode(1)
    with pytest.raises(EncodeError, match=r"Sample\.points"):
        Sample(name="n", note="", points=[Point(x=1)]).encode(0)
    with pytest.raises(EncodeError, match=r"Point\.y"):
        HeldInZero(points=[Point(x=1, y=2)]).encode(0)
    assert round_trip(Sample(name="n", note="", hint="dropped"), 0).hint == ""  # type: ignore[attr-defined]


class HeldInZero(Message, versions="0", flexible="none"):
    points: list[Point]


def test_a_version_outside_the_range_is_unsupported() -> None:
    for version in (-1, 5):
        with pytest.raises(UnsupportedVersion, match="HeartbeatResponse has the versions 0-4"):
            HeartbeatResponse().encode(version)
        with pytest.raises(UnsupportedVersion):
            HeartbeatResponse.decode(b"", version)


@pytest.mark.parametrize(
    "sample",
    [
        Sample(name="n", note=None, old=7),
        Sample(name=None, note=""),  # type: ignore[arg-type]
        Sample(name=3, note=""),  # type: ignore[arg-type]
        Sample(name="n" * 40_000, note=""),
        Sample(name="\ud800", note=""),
        Sample(name="n", note="", old=40_000),
        Sample(name="n", note="", old="7"),  # type: ignore[arg-type]
    ],
)
def test_a_value_that_does_not_fit_its_field_is_refused(sample: Sample) -> None:
    with pytest.raises(EncodeError):
        sample.encode(0)


def test_a_flexible_string_is_held_to_the_length_that_clients_take() -> None:
    longest = Sample(name="n" * 32_767, note="")
    assert round_trip(longest, 2) == longest
    with pytest.raises(EncodeError, match="too long"):
        Sample(name="n" * 32_768, note="").encode(2)
    too_long = b"\x81\x80\x02" + b"n" * 32_768 + b"\x01\x01\x01\x00"
    with pytest.raises(MalformedMessage):
        Sample.decode(too_long, 2)


# --- nulls ---


def test_null_is_read_only_where_the_version_allows_it() -> None:
    assert round_trip(Sample(name="n", note=None), 1).note is None  # type: ignore[attr-defined]
    assert round_trip(Sample(name="n", note=None), 2).note is None  # type: ignore[attr-defined]
    with pytest.raises(MalformedMessage, match=r"Sample\.name is null"):
        Sample.decode(b"\xff\xff", 0)
    with pytest.raises(MalformedMessage, match=r"Sample\.name is null"):
        Sample.decode(b"\x00", 2)


def test_a_nested_structure_may_be_null() -> None:
    for place in (None, Point(x=3, y=4)):
        assert round_trip(Sample(name="n", note="", place=place), 3).place == place  # type: ignore[attr-defined]


# --- tagged fields ---


def test_tagged_fields_survive() -> None:
    full = Sample(name="n", note="", tag_text="", tag_point=Point(x=1), tag_number=-1, tag_list=[1, -1])
    assert round_trip(full, 3) == full


def test_tagged_fields_at_their_default_take_no_room() -> None:
    assert Sample(name="n", note="", tag_number=5).encode(2)[-1:] == b"\x00"
    assert Sample(name="n", note="").encode(2) == b"\x02n\x01\x01\x01\x00"


def test_tagged_fields_are_written_in_the_order_of_their_tags() -> None:
    encoded = Sample(name="n", note="", tag_text="t", tag_number=6, tag_list=[9]).encode(3)
    section = b"\x03" + b"\x00\x02\x02t" + b"\x02\x02\x02\x09" + b"\x03\x08" + (6).to_bytes(8, "big")
    assert encoded.endswith(section)


def test_a_tagged_structure_that_is_all_defaults_is_sent_when_it_is_set() -> None:
    partition = PartitionData(
        partition_index=0,
        high_watermark=0,
        aborted_transactions=None,
        records=None,
        current_leader=LeaderIdAndEpoch(),
    )
    sent = FetchResponse(responses=[FetchableTopicResponse(topic="t", partitions=[partition])])
    received = round_trip(sent, 12)
    assert received == sent


def test_unknown_tagged_fields_are_skipped() -> None:
    body = Sample(name="n", note="").encode(2)[:-1]
    unknown = b"\x02" + b"\x09\x03abc" + b"\xff\xff\xff\xff\x0f\x00"
    assert Sample.decode(body + unknown, 2) == (Sample(name="n", note=""), len(body + unknown))
    known_among_them = b"\x02" + b"\x00\x02\x02t"[:4] + b"\x09\x01z"
    assert Sample.decode(body + known_among_them, 2)[0].tag_text == "t"
    # A structure that knows no tags at all takes another way.
    heartbeat = HeartbeatResponse(error_code=3).encode(4)[:-1]
    assert HeartbeatResponse.decode(heartbeat + unknown, 4)[0].error_code == 3


def test_many_unknown_tagged_fields_are_skipped() -> None:
    heartbeat = HeartbeatResponse().encode(4)[:-1]
    many = b"\xc8\x01" + b"".join(bytes([tag % 128, 1, 0]) for tag in range(200))
    assert HeartbeatResponse.decode(heartbeat + many, 4)[1] == len(heartbeat + many)
    sample = Sample(name="n", note="").encode(2)[:-1]
    others = b"\xc8\x01" + b"".join(bytes([100 + tag % 20, 1, 0]) for tag in range(200))
    assert Sample.decode(sample + others, 2)[1] == len(sample + others)


@pytest.mark.parametrize(
    "section", [b"\x01", b"\x01\x09", b"\x01\x09\x04abc", b"\x05\x09\x01a", b"\xff\xff\xff\xff\xff\x01"]
)
def test_a_tagged_section_that_is_cut_short_is_malformed(section: bytes) -> None:
    with pytest.raises(MalformedMessage):
        Sample.decode(Sample(name="n", note="").encode(2)[:-1] + section, 2)
    with pytest.raises(MalformedMessage):
        HeartbeatResponse.decode(HeartbeatResponse().encode(4)[:-1] + section, 4)


def test_a_known_tagged_field_of_the_wrong_size_is_malformed() -> None:
    body = Sample(name="n", note="").encode(2)[:-1]
    with pytest.raises(MalformedMessage, match=r"Sample\.tag_text is not as long as its tag says"):
        Sample.decode(body + b"\x01\x00\x03\x02tx", 2)


# --- records ---


def produce(records: bytes) -> ProduceRequest:
    data = TopicProduceData(name="topic", partition_data=[PartitionProduceData(index=1, records=records)])
    return ProduceRequest(acks=-1, timeout_ms=1_000, topic_data=[data])


def test_records_are_a_view_of_the_frame() -> None:
    frame = bytearray(produce(b"0123456789").encode(9))
    decoded, _ = ProduceRequest.decode(frame, 9)
    records = decoded.topic_data[0].partition_data[0].records
    assert isinstance(records, memoryview)
    assert records.obj is frame
    records[0:1] = b"X"
    assert b"X123456789" in frame


def fetch(records: Any) -> FetchResponse:
    partition = PartitionData(partition_index=0, high_watermark=9, aborted_transactions=[], records=records)
    return FetchResponse(responses=[FetchableTopicResponse(topic="t", partitions=[partition])])


@pytest.mark.parametrize("version", [4, 12])
def test_a_file_region_leaves_a_hole_of_its_size(version: int) -> None:
    region = FileRegion(file=7, position=100, size=5)
    out = Chunks()
    fetch(region).encode_into(version, out)
    whole = fetch(b"abcde").encode(version)
    assert out.size == len(whole)
    parts = list(out)
    assert region in parts
    assert b"".join(b"abcde" if part is region else bytes(part) for part in parts) == whole  # type: ignore[arg-type]


def test_a_file_region_cannot_become_bytes() -> None:
    with pytest.raises(EncodeError, match="encode_into"):
        fetch(FileRegion(file=7, position=0, size=5)).encode(12)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_records_are_taken_from_any_buffer(kind: Callable[[bytes], Any]) -> None:
    assert fetch(kind(b"abcde")).encode(12) == fetch(b"abcde").encode(12)


class Wide(Message, versions="0", flexible="none"):
    numbers: list[Uint32]
    flags: list[bool]


def test_arrays_of_plain_values_of_any_length() -> None:
    for count in (0, 1, 64, 65, 1_000):
        wide = Wide(numbers=list(range(count)), flags=[n % 2 == 0 for n in range(count)])
        assert round_trip(wide, 0) == wide
