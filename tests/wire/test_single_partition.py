"""The hand-written codecs of Produce and Fetch for one partition, held against the declared ones."""

import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ottla_wire import single_fetch, single_produce
from ottla_wire.chunks import Chunks, FileRegion
from ottla_wire.errors import MalformedMessage
from ottla_wire.headers import RequestHeader, encode_response_header
from ottla_wire.message import Message
from ottla_wire.messages import fetch, produce
from ottla_wire.single_fetch import read_single_fetch
from ottla_wire.single_produce import read_single_produce

PRODUCE, FETCH = 0, 1
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
CLIENT_IDS = st.none() | st.text("client-", max_size=20) | st.just("c" * 300)
TOPICS = st.text("abc.-_", min_size=1, max_size=126)
IDS = st.uuids()
RECORDS = st.binary(min_size=1, max_size=200) | st.integers(1, 40_000).map(bytes)


def frame_of(request: Message, version: int, client_id: str | None = "client", correlation_id: int = 7) -> bytearray:
    header = RequestHeader(request.api_key, version, correlation_id, client_id)
    return bytearray(header.encode() + request.encode(version))


def answer_of(response: Message, version: int, correlation_id: int) -> list[Any]:
    """The parts of a response frame by the declared codec."""
    chunks = Chunks()
    chunks.append(encode_response_header(response.api_key, version, correlation_id))
    response.encode_into(version, chunks)
    return joined([chunks.size.to_bytes(4, "big"), *chunks])


def joined(parts: list[Any]) -> list[Any]:
    """Parts with neighbouring bytes joined."""
    chunks = Chunks()
    chunks.parts = parts
    return list(chunks)


def produce_request(
    version: int = 9, *, topic: str = "orders", records: bytes | None = b"records", **fields: Any
) -> Any:
    data = produce.PartitionProduceData(index=fields.pop("index", 3), records=records)
    named = {"topic_id": UUID(int=9)} if version >= 13 else {"name": topic}
    topics = fields.pop("topic_data", [produce.TopicProduceData(**named, partition_data=[data])])
    return produce.ProduceRequest(**{"acks": -1, "timeout_ms": 30_000, "topic_data": topics} | fields)


def fetch_request(version: int = 12, *, topic: str = "orders", offset: int = 70, **fields: Any) -> fetch.FetchRequest:
    partition = fetch.FetchPartition(
        partition=fields.pop("index", 3),
        fetch_offset=offset,
        partition_max_bytes=fields.pop("partition_max_bytes", 1_000),
        **{"current_leader_epoch": 2, **fields.pop("partition", {})},
    )
    named = {"topic_id": UUID(int=9)} if version >= 13 else {"topic": topic}
    topics = fields.pop("topics", [fetch.FetchTopic(**named, partitions=[partition])])
    return fetch.FetchRequest(**{"max_wait_ms": 500, "min_bytes": 1, "topics": topics} | fields)


@pytest.mark.parametrize("version", range(9, 14))
def test_a_produce_request_is_read_and_answered_as_declared(version: int, wire_settings: settings) -> None:
    @settings(wire_settings, max_examples=20)
    @given(
        client_id=CLIENT_IDS,
        correlation_id=INT32,
        acks=st.sampled_from([-1, 0, 1]),
        topic=TOPICS,
        topic_id=IDS,
        index=INT32,
        records=RECORDS,
        offsets=st.tuples(INT64, INT64, INT64),
    )
    def check(
        client_id: str | None,
        correlation_id: int,
        acks: int,
        topic: str,
        topic_id: UUID,
        index: int,
        records: bytes,
        offsets: tuple[int, int, int],
    ) -> None:
        named: Any = {"topic_id": topic_id} if version >= 13 else {"name": topic}
        data = [produce.PartitionProduceData(index=index, records=records)]
        topics = [produce.TopicProduceData(**named, partition_data=data)]
        frame = frame_of(produce_request(topic_data=topics, acks=acks), version, client_id, correlation_id)
        for _ in ("decoded", "remembered"):
            found = read_single_produce(frame, version)
            if found is None:
                assert client_id is None or len(client_id) > 255
                return
            head, view = found
            assert (head.client_id, head.acks, head.index) == (client_id or "", acks, index)
            assert (
                (head.topic_id, view) == (topic_id, records)
                if version >= 13
                else (head.topic, view) == (topic, records)
            )
            view[0] = view[0]  # the log writes offsets into it
        answer = produce.PartitionProduceResponse(
            index=index, base_offset=offsets[0], log_append_time_ms=offsets[1], log_start_offset=offsets[2]
        )
        answered = [produce.TopicProduceResponse(**named, partition_responses=[answer])]
        declared = answer_of(produce.ProduceResponse(responses=answered), version, correlation_id)
        assert [head.response(frame, *offsets)] == declared
        assert [head.response(memoryview(frame), *offsets)] == declared

    check()


@pytest.mark.parametrize("version", range(12, 19))
def test_a_fetch_request_is_read_and_answered_as_declared(version: int, wire_settings: settings) -> None:
    @settings(wire_settings, max_examples=20)
    @given(
        client_id=CLIENT_IDS,
        correlation_id=INT32,
        topic=TOPICS,
        topic_id=IDS,
        index=INT32,
        offset=INT64,
        epoch=st.integers(-1, 2**31 - 1),
        limits=st.tuples(INT32, INT32, INT32),
        isolation=st.sampled_from([0, 1]),
        records=st.binary(min_size=1, max_size=200)
        | st.builds(FileRegion, st.just(4), st.just(50), st.integers(1, 2**31 - 10_000)),
        offsets=st.tuples(INT64, INT64, INT64),
    )
    def check(
        client_id: str | None,
        correlation_id: int,
        topic: str,
        topic_id: UUID,
        index: int,
        offset: int,
        epoch: int,
        limits: tuple[int, int, int],
        isolation: int,
        records: bytes | FileRegion,
        offsets: tuple[int, int, int],
    ) -> None:
        named: Any = {"topic_id": topic_id} if version >= 13 else {"topic": topic}
        min_bytes, max_bytes, partition_max_bytes = limits
        partition = fetch.FetchPartition(
            partition=index, fetch_offset=offset, partition_max_bytes=partition_max_bytes, current_leader_epoch=epoch
        )
        request = fetch_request(
            topics=[fetch.FetchTopic(**named, partitions=[partition])],
            min_bytes=min_bytes,
            max_bytes=max_bytes,
            isolation_level=isolation,
        )
        frame = frame_of(request, version, client_id, correlation_id)
        for _ in ("decoded", "remembered"):
            found = read_single_fetch(frame, version)
            if found is None:
                assert client_id is None or len(client_id) > 255
                return
            terms, read_offset = found
            assert read_offset == offset
            assert (terms.index, terms.current_leader_epoch, terms.min_bytes) == (index, epoch, min_bytes)
            assert (terms.max_bytes, terms.committed_only) == (min(max_bytes, partition_max_bytes), isolation == 1)
            assert terms.topic_id == topic_id if version >= 13 else terms.topic == topic
        answer = fetch.PartitionData(
            partition_index=index,
            high_watermark=offsets[0],
            last_stable_offset=offsets[1],
            log_start_offset=offsets[2],
            aborted_transactions=[] if isolation == 1 else None,
            records=records,
        )
        response = fetch.FetchResponse(responses=[fetch.FetchableTopicResponse(**named, partitions=[answer])])
        assert joined(terms.response(frame, records, *offsets)) == answer_of(response, version, correlation_id)

    check()


PARTITIONS = [produce.PartitionProduceData(index=index, records=b"records") for index in range(2)]
OTHER_PRODUCES: dict[str, Callable[[], bytearray]] = {
    "two partitions": lambda: frame_of(
        produce_request(topic_data=[produce.TopicProduceData(name="t", partition_data=PARTITIONS)]), 9
    ),
    "two topics": lambda: frame_of(
        produce_request(
            topic_data=[produce.TopicProduceData(name=name, partition_data=PARTITIONS[:1]) for name in "tu"]
        ),
        9,
    ),
    "no topic": lambda: frame_of(produce_request(topic_data=[]), 9),
    "a transaction": lambda: frame_of(produce_request(transactional_id="x"), 9),
    "no records": lambda: frame_of(produce_request(records=None), 9),
    "empty records": lambda: frame_of(produce_request(records=b""), 9),
    "a long name": lambda: frame_of(produce_request(topic="t" * 200), 9),
    "bytes behind it": lambda: frame_of(produce_request(), 9) + b"\x00",
    "tags behind it": lambda: frame_of(produce_request(), 9)[:-1] + b"\x01\x05\x01\x00",
    "tags in the header": lambda: tagged_header(frame_of(produce_request(), 9)),
}


def tagged_header(frame: bytearray) -> bytearray:
    """A frame with a tag that nobody knows in its header."""
    end = 10 + len("client")
    assert frame[end] == 0
    return frame[:end] + b"\x01\x05\x01\x00" + frame[end + 1 :]


@pytest.mark.parametrize("kind", OTHER_PRODUCES)
def test_a_produce_request_of_another_kind_is_left_alone(kind: str) -> None:
    assert read_single_produce(OTHER_PRODUCES[kind](), 9) is None


OTHER_FETCHES: dict[str, Callable[[], bytearray]] = {
    "two partitions": lambda: frame_of(
        fetch_request(topics=[fetch.FetchTopic(topic="t", partitions=fetch_request().topics[0].partitions * 2)]), 12
    ),
    "two topics": lambda: frame_of(fetch_request(topics=fetch_request().topics * 2), 12),
    "no topic": lambda: frame_of(fetch_request(topics=[]), 12),
    "a session begins": lambda: frame_of(fetch_request(session_epoch=0), 12),
    "a session goes on": lambda: frame_of(fetch_request(session_id=5, session_epoch=1), 12),
    "a session ends": lambda: frame_of(fetch_request(session_id=5), 12),
    "a partition is forgotten": lambda: frame_of(
        fetch_request(forgotten_topics_data=[fetch.ForgottenTopic(topic="t", partitions=[1])]), 12
    ),
    "a follower": lambda: frame_of(fetch_request(replica_id=2), 12),
    "an epoch to compare": lambda: frame_of(fetch_request(partition={"last_fetched_epoch": 1}), 12),
    "a long name": lambda: frame_of(fetch_request(topic="t" * 200), 12),
    "bytes behind it": lambda: frame_of(fetch_request(), 12) + b"\x00",
    "tags behind it": lambda: frame_of(fetch_request(), 12)[:-1] + b"\x01\x05\x01\x00",
    "tags in the header": lambda: tagged_header(frame_of(fetch_request(), 12)),
    "a long rack": lambda: frame_of(fetch_request(rack_id="r" * 2_000), 12),
}


@pytest.mark.parametrize("kind", OTHER_FETCHES)
def test_a_fetch_request_of_another_kind_is_left_alone(kind: str) -> None:
    assert read_single_fetch(OTHER_FETCHES[kind](), 12) is None


def test_a_follower_that_names_itself_by_a_tag_is_left_alone() -> None:
    request = fetch_request(15, replica_state=fetch.ReplicaState(replica_id=2))
    assert read_single_fetch(frame_of(request, 15), 15) is None


@pytest.mark.parametrize("version", [0, 3, 8, 14, 99, -1, 2**15 - 1])
def test_produce_versions_without_a_short_way_are_left_alone(version: int) -> None:
    assert read_single_produce(frame_of(produce_request(), 9), version) is None


@pytest.mark.parametrize("version", [0, 4, 11, 19, 99, -1, 2**15 - 1])
def test_fetch_versions_without_a_short_way_are_left_alone(version: int) -> None:
    assert read_single_fetch(frame_of(fetch_request(), 12), version) is None


def mutations(frame: bytearray, rng: random.Random, count: int) -> list[bytearray]:
    """Frames of which a few bytes differ, or are missing, or too many."""
    mutated = []
    for _ in range(count):
        other = bytearray(frame)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(4, len(other))
            match rng.randrange(4):
                case 0:
                    other[at] = rng.randrange(256)
                case 1:
                    other[at] ^= 1 << rng.randrange(8)
                case 2:
                    del other[at : at + rng.randint(1, 4)]
                case 3:
                    other[at:at] = rng.randbytes(rng.randint(1, 4))
        mutated.append(other)
    return mutated


@pytest.mark.parametrize("version", range(9, 14))
def test_whatever_a_produce_request_is_turned_into_is_read_as_declared_or_not_at_all(version: int) -> None:
    frame = frame_of(produce_request(version, records=bytes(300)), version)
    assert read_single_produce(frame, version) is not None
    for mutated in [*mutations(frame, random.Random(version), 500), *(frame[:size] for size in range(len(frame)))]:
        found = read_single_produce(mutated, version)
        if found is None:
            continue
        head, records = found
        header, position = RequestHeader.decode(mutated)
        request, end = produce.ProduceRequest.decode(mutated, version, position)
        assert end == len(mutated)
        (topic,) = request.topic_data
        (partition,) = topic.partition_data
        assert request.transactional_id is None
        assert (head.client_id, head.acks) == (header.client_id or "", request.acks)
        assert (head.topic, head.topic_id, head.index) == (topic.name, topic.topic_id, partition.index)
        assert records == partition.records


@pytest.mark.parametrize("version", range(12, 19))
def test_whatever_a_fetch_request_is_turned_into_is_read_as_declared_or_not_at_all(version: int) -> None:
    frame = frame_of(fetch_request(version), version)
    assert read_single_fetch(frame, version) is not None
    for mutated in [*mutations(frame, random.Random(version), 500), *(frame[:size] for size in range(len(frame)))]:
        found = read_single_fetch(mutated, version)
        if found is None:
            continue
        terms, offset = found
        _, position = RequestHeader.decode(mutated)
        request, end = fetch.FetchRequest.decode(mutated, version, position)
        assert end == len(mutated)
        (topic,) = request.topics
        (partition,) = topic.partitions
        assert (request.session_id, request.session_epoch, request.forgotten_topics_data) == (0, -1, [])
        assert (request.replica_id, request.replica_state) == (-1, None)
        assert partition.last_fetched_epoch < 0
        assert (terms.topic, terms.topic_id, terms.index) == (topic.topic, topic.topic_id, partition.partition)
        assert (offset, terms.current_leader_epoch) == (partition.fetch_offset, partition.current_leader_epoch)
        assert terms.max_bytes == min(request.max_bytes, partition.partition_max_bytes)
        assert (terms.min_bytes, terms.committed_only) == (request.min_bytes, request.isolation_level == 1)


def test_what_is_remembered_is_bounded() -> None:
    for index in range(2_500):
        assert read_single_produce(frame_of(produce_request(index=index), 9), 9) is not None
        assert read_single_fetch(frame_of(fetch_request(index=index), 12), 12) is not None
    assert len(single_produce._heads[9]) <= 1_000
    assert len(single_fetch._terms[12]) <= 1_000


def test_a_malformed_frame_is_for_the_declared_codec_to_refuse() -> None:
    frame = frame_of(produce_request(), 9)
    frame[-4:-3] = b"\xff"
    frame[10 + len("client") + 8] = 0xFF
    assert read_single_produce(frame, 9) is None
    with pytest.raises(MalformedMessage):
        produce.ProduceRequest.decode(frame, 9, RequestHeader.decode(frame)[1])
