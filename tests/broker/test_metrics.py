"""Metrics and health over HTTP."""

import asyncio
import json
import socket
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ottla_broker import admin_http, metrics
from ottla_broker.cluster.topics import NewTopic
from ottla_broker.listeners import Address
from ottla_broker.log.manager import LogManager
from ottla_broker.phase import Phase
from ottla_broker.request_timings import BOUNDS_MS, RequestTimings
from ottla_wire.headers import RequestHeader
from ottla_wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from ottla_wire.messages.join_group import JoinGroupRequest
from ottla_wire.messages.metadata import MetadataRequest
from ottla_wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from ottla_wire.records import NewRecord, build_batch

ADMIN = {"admin.listen": "127.0.0.1:0"}


async def get(address: Address, path: str, method: str = "GET", *fields: str) -> tuple[int, dict[str, str], str]:
    """Status, header fields and body."""
    return await exchange(address, "\r\n".join((f"{method} {path} HTTP/1.1", "Host: x", *fields, "", "")).encode())


async def exchange(address: Address, request: bytes) -> tuple[int, dict[str, str], str]:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    try:
        answer = (await asyncio.wait_for(reader.read(), 60)).decode()
    except ConnectionResetError:
        answer = ""
    writer.close()
    if not answer:
        return 0, {}, ""
    head, _, body = answer.partition("\r\n\r\n")
    line, *lines = head.split("\r\n")
    return int(line.split(" ")[1]), dict(field.split(": ", 1) for field in lines), body


async def scraped(node: Any) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample, by name and labels."""
    status, fields, body = await get(node.admin_address, "/metrics")
    assert status == 200
    assert fields["Content-Type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(body))
    assert all(family.documentation for family in families)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(samples: Any, name: str, **labels: str) -> float | None:
    found: float | None = samples.get((name, frozenset(labels.items())))
    return found


async def send(node: Any, *requests: tuple[Any, int]) -> None:
    """Send requests over one connection and wait for each response."""
    reader, writer = await asyncio.open_connection(*node.address)
    for request, version in requests:
        frame = RequestHeader(request.api_key, version, 1, "test").encode() + request.encode(version)
        writer.write(len(frame).to_bytes(4, "big") + frame)
        await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
    writer.close()


def produce(topic: str, count: int = 1) -> tuple[ProduceRequest, int]:
    records = build_batch([NewRecord(None, b"v" * 100, 1_000)] * count)
    data = TopicProduceData(name=topic, partition_data=[PartitionProduceData(index=0, records=records)])
    return ProduceRequest(acks=1, timeout_ms=1000, topic_data=[data]), 9


def fetch(topic: str, offset: int = 0, max_wait_ms: int = 0, count: int = 1) -> tuple[FetchRequest, int]:
    partitions = [
        FetchPartition(partition=index, fetch_offset=offset, partition_max_bytes=1 << 20) for index in range(count)
    ]
    topics = [FetchTopic(topic=topic, partitions=partitions)]
    return FetchRequest(max_wait_ms=max_wait_ms, min_bytes=1, topics=topics), 12


# --- pages


def test_a_node_that_serves_is_alive_and_ready(start_node: Any) -> None:
    async def main() -> None:
        async with start_node(**ADMIN) as node:
            for path, said in (("/health/live", "live"), ("/health/ready", "ready")):
                status, fields, body = await get(node.admin_address, path)
                assert (status, json.loads(body)) == (200, {"status": said})
                assert fields["Content-Type"] == "application/json"

    asyncio.run(main())


def test_a_node_that_starts_or_stops_is_alive_but_not_ready(start_node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = Address("127.0.0.1", found.getsockname()[1])
    answers: list[Any] = []
    load = LogManager.load

    async def ask() -> None:
        status, _, _ = await get(address, "/health/live")
        assert status == 200
        status, _, body = await get(address, "/health/ready")
        answers.append((status, json.loads(body)["reasons"]))

    async def slowly(self: LogManager, *args: Any) -> None:
        await ask()
        _, _, body = await get(address, "/metrics")
        assert "kafka_server_kafkaserver_brokerstate 1.0" in body
        await load(self, *args)

    monkeypatch.setattr(LogManager, "load", slowly)

    async def main() -> None:
        async with start_node(**{"admin.listen": str(address)}) as node:
            node.phase = Phase.STOPPING
            await ask()
        assert answers == [(503, ["the broker is starting"]), (503, ["the broker is stopping"])]
        with pytest.raises(ConnectionRefusedError):
            await get(address, "/health/live")

    asyncio.run(main())


def test_a_node_whose_groups_are_being_loaded_is_not_ready(start_node: Any) -> None:
    async def main() -> None:
        async with start_node(**ADMIN) as node:
            await node.broker.groups.locate("g")
            for shard in node.broker.groups._runtime._shards.values():
                shard.status = type(shard.status)("loading")
            status, _, body = await get(node.admin_address, "/health/ready")
            assert status == 503
            assert json.loads(body)["reasons"] == ["2 partitions of __consumer_offsets are being loaded"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/x HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 405),
        (b"GET /metrics\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xc8\r\n\r\n", 400),
        (b"GET /metrics?name=x HTTP/1.0\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    ],
)
def test_requests_for_anything_else_are_refused(start_node: Any, request_bytes: bytes, status: int) -> None:
    async def main() -> None:
        async with start_node(**ADMIN) as node:
            found, fields, _ = await exchange(node.admin_address, request_bytes)
            assert found == status
            assert fields["Connection"] == "close"
            assert ("Allow" in fields) == (status == 405)

    asyncio.run(main())


def test_head_has_the_fields_and_no_body(start_node: Any) -> None:
    async def main() -> None:
        async with start_node(**ADMIN) as node:
            status, fields, body = await get(node.admin_address, "/health/ready", "HEAD")
            assert (status, body) == (200, "")
            assert int(fields["Content-Length"]) > 0

    asyncio.run(main())


def test_slow_clients_and_crowds_are_let_go(start_node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_http, "_TIMEOUT_S", 0.2)
    monkeypatch.setattr(admin_http, "MAX_CONNECTIONS", 2)

    async def main() -> None:
        async with start_node(**ADMIN) as node:
            idle = [await asyncio.open_connection(*node.admin_address) for _ in range(2)]
            # Connections are taken in the order in which they came, so this one finds the others there.
            assert await get(node.admin_address, "/health/live") == (0, {}, "")
            for reader, writer in idle:
                assert await asyncio.wait_for(reader.read(), 60) == b""
                writer.close()
            assert (await get(node.admin_address, "/health/live"))[0] == 200

    asyncio.run(main())


def test_an_address_that_is_taken_is_refused(start_broker: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError, match=f"cannot listen on 127.0.0.1:{port} for metrics and health"):
            start_broker(admin_listen=f"127.0.0.1:{port}")


# --- metrics


def test_traffic_is_counted_by_topic_and_in_all(start_node: Any) -> None:
    async def main() -> None:
        async with start_node(**ADMIN) as node:
            await node.broker.controller.create_topics([NewTopic("a"), NewTopic("b", 2)])
            await send(node, produce("a", 3), produce("b", 4), produce("nowhere"), fetch("a"), fetch("b", count=2))
            samples = await scraped(node)
            prefix = "kafka_server_brokertopicmetrics"
            assert value(samples, f"{prefix}_messagesin_total", topic="a") == 3
            assert value(samples, f"{prefix}_messagesin_total", topic="b") == 4
            assert value(samples, f"{prefix}_messagesin_total") == 7
            stored = {topic: node.broker.partition(topic, 0).size_bytes for topic in ("a", "b")}
            for direction in ("bytesin", "bytesout"):
                for topic, size in stored.items():
                    assert value(samples, f"{prefix}_{direction}_total", topic=topic) == size
                assert value(samples, f"{prefix}_{direction}_total") == sum(stored.values())
            assert value(samples, f"{prefix}_totalproducerequests_total") == 2
            assert value(samples, f"{prefix}_totalfetchrequests_total", topic="b") == 2
            assert value(samples, f"{prefix}_failedproducerequests_total") == 1
            assert value(samples, f"{prefix}_failedproducerequests_total", topic="nowhere") is None

    asyncio.run(main())


def test_a_topic_that_is_deleted_still_counts_in_the_total(start_node: Any) -> None:
    async def main() -> None:
        async with start_node(**ADMIN) as node:
            await node.broker.controller.create_topics([NewTopic("a")])
            await send(node, produce("a", 3))
            await node.broker.controller.delete_topics([node.broker.image.topics["a"]])
            samples = await scraped(node)
            name = "kafka_server_brokertopicmetrics_messagesin_total"
            assert (value(samples, name), value(samples, name, topic="a")) == (3, None)

    asyncio.run(main())


def test_partitions_and_what_becomes_of_them_are_told(start_node: Any) -> None:
    async def main() -> None:
        async with start_node(**ADMIN) as node:
            await node.broker.controller.create_topics([NewTopic("a", 2)])
            await send(node, produce("a", 3))
            samples = await scraped(node)
            size = node.broker.partition("a", 0).size_bytes
            assert value(samples, "kafka_log_log_size", topic="a", partition="0") == size
            assert value(samples, "kafka_log_log_size", topic="a", partition="1") == 0
            assert value(samples, "kafka_log_log_logendoffset", topic="a", partition="0") == 3
            assert value(samples, "kafka_server_replicamanager_partitioncount") == 2
            assert value(samples, "kafka_server_replicamanager_leadercount") == 2
            assert value(samples, "kafka_server_replicamanager_underreplicatedpartitions") == 0
            assert value(samples, "kafka_controller_kafkacontroller_activecontrollercount") == 1
            assert value(samples, "kafka_controller_kafkacontroller_globalpartitioncount") == 2
            assert value(samples, "process_resident_memory_bytes")

    asyncio.run(main())


def test_series_are_bounded_and_what_is_left_out_is_told(start_node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MAX_SERIES", 3)

    async def main() -> None:
        async with start_node(**ADMIN) as node:
            await node.broker.controller.create_topics([NewTopic(f"t{number}", 2) for number in range(5)])
            samples = await scraped(node)
            names = [name for name, labels in samples if labels]
            assert names.count("kafka_log_log_size") == 3
            assert names.count("kafka_server_brokertopicmetrics_bytesin_total") == 3
            assert value(samples, "ottla_metrics_omitted_topics") == 2
            assert value(samples, "ottla_metrics_omitted_partitions") == 7

    asyncio.run(main())


def test_requests_are_counted_by_version_and_timed_with_their_waiting(start_node: Any) -> None:
    async def main() -> None:
        async with start_node(**ADMIN) as node:
            await node.broker.controller.create_topics([NewTopic("a")])
            await send(node, (MetadataRequest(topics=[]), 9), (MetadataRequest(topics=[]), 12), fetch("a", 0, 120))
            samples = await scraped(node)
            requests, times = "kafka_network_requestmetrics_requests_total", "kafka_network_requestmetrics_totaltimems"
            assert value(samples, requests, request="Metadata", version="9") == 1
            assert value(samples, requests, request="Metadata", version="12") == 1
            assert value(samples, f"{times}_count", request="Metadata") == 2
            for name in ("Fetch", "FetchConsumer"):
                assert value(samples, f"{times}_bucket", request=name, le="100") == 0
                assert value(samples, f"{times}_bucket", request=name, le="+Inf") == 1
                assert (value(samples, f"{times}_sum", request=name) or 0) > 100

    asyncio.run(main())


def test_requests_that_are_answered_together_are_counted_each(start_node: Any) -> None:
    async def main() -> None:
        async with start_node(**ADMIN) as node:
            await node.broker.controller.create_topics([NewTopic("a")])
            await asyncio.gather(*(send(node, *[produce("a")] * 3, produce("nowhere")) for _ in range(4)))
            samples = await scraped(node)
            count = "kafka_network_requestmetrics_totaltimems_count"
            assert value(samples, count, request="Produce") == 16
            assert value(samples, "kafka_server_brokertopicmetrics_totalproducerequests_total") == 12

    asyncio.run(main())


def test_errors_are_counted_by_request_and_code(start_node: Any) -> None:
    async def main() -> None:
        async with start_node(**ADMIN) as node:
            await node.broker.controller.create_topics([NewTopic("a")])
            join = JoinGroupRequest(
                group_id="", session_timeout_ms=1, member_id="", protocol_type="consumer", protocols=[]
            )
            await send(node, produce("a"), produce("nowhere"), fetch("a", 5, count=2), (join, 5))
            samples = await scraped(node)
            errors = "kafka_network_requestmetrics_errors_total"
            assert value(samples, errors, request="Produce", error="UNKNOWN_TOPIC_OR_PARTITION") == 1
            for name in ("Fetch", "FetchConsumer"):
                assert value(samples, errors, request=name, error="OFFSET_OUT_OF_RANGE") == 1
                assert value(samples, errors, request=name, error="UNKNOWN_TOPIC_OR_PARTITION") == 1
            assert value(samples, errors, request="JoinGroup", error="INVALID_GROUP_ID") == 1
            assert sum(count for (name, _), count in samples.items() if name == errors) == 6

    asyncio.run(main())


def test_committed_offsets_and_their_lag_are_told(start_node: Any) -> None:
    async def main() -> None:
        async with start_node(**ADMIN) as node:
            await node.broker.controller.create_topics([NewTopic("a")])
            await node.broker.groups.locate("g")
            topics = [
                OffsetCommitRequestTopic(
                    name="a",
                    partitions=[
                        OffsetCommitRequestPartition(partition_index=0, committed_offset=2, committed_metadata="")
                    ],
                )
            ]
            await send(node, produce("a", 5), (OffsetCommitRequest(group_id="g", member_id="", topics=topics), 8))
            samples = await scraped(node)
            labels = {"consumergroup": "g", "topic": "a", "partition": "0"}
            assert value(samples, "kafka_consumergroup_current_offset", **labels) == 2
            assert value(samples, "kafka_consumergroup_lag", **labels) == 3
            manager = "kafka_coordinator_group_groupmetadatamanager"
            assert value(samples, f"{manager}_numoffsets") == 1
            assert value(samples, f"{manager}_numgroupsempty") == 1
            assert value(samples, f"{manager}_numgroupsstable") == 0

    asyncio.run(main())


def test_flushes_connections_and_the_disk_are_told(start_node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with start_node(**ADMIN) as node:
            await node.broker.controller.create_topics([NewTopic("a", config={"flush.messages": "1"})])
            flushes = "kafka_log_logflushstats_logflushrateandtimems"
            before = value(await scraped(node), f"{flushes}_count")
            await send(node, produce("a"))
            samples = await scraped(node)
            assert value(samples, f"{flushes}_count") == (before or 0) + 1
            assert value(samples, "kafka_server_socket_server_metrics_connection_creation_total") == 1
            assert (value(samples, "ottla_log_directory_free_bytes") or 0) > 0
            assert value(samples, "kafka_server_replicamanager_offlinereplicacount") == 0
            monkeypatch.setattr(LogManager, "failures", lambda _: ["Flushing a-0 failed: Input/output error"])
            samples = await scraped(node)
            assert value(samples, "kafka_server_replicamanager_offlinereplicacount") == 1
            assert value(samples, "kafka_log_logmanager_offlinelogdirectorycount") == 1
            status, _, body = await get(node.admin_address, "/health/ready")
            assert status == 503
            assert json.loads(body)["reasons"] == [
                "partitions that take no writes: 1 (Flushing a-0 failed: Input/output error)"
            ]

    asyncio.run(main())


def test_connections_requests_groups_and_transactions_are_counted(start_node: Any) -> None:
    async def main() -> None:
        async with start_node(**ADMIN) as node:
            await node.broker.controller.create_topics([NewTopic("a")])
            await node.broker.transactions.locate("tx")
            await node.broker.transactions.init_producer_id("tx", 1_000, None)
            waiting = asyncio.ensure_future(send(node, fetch("a", 0, 60_000)))
            for _ in range(1000):
                if node.broker.waits.parked:
                    break
                await asyncio.sleep(0.005)
            samples = await scraped(node)
            assert value(samples, "kafka_server_socket_server_metrics_connection_count", listener="PLAINTEXT") == 1
            assert value(samples, "kafka_network_requestchannel_requestqueuesize") == 1
            purgatory = "kafka_server_delayedoperationpurgatory_purgatorysize"
            assert value(samples, purgatory, delayedOperation="Fetch") == 1
            assert value(samples, "ottla_transaction_coordinator_transactional_ids", state="Empty") == 1
            for protocol in ("classic", "consumer"):
                assert value(samples, "kafka_server_group_coordinator_metrics_group_count", protocol=protocol) == 0
            await send(node, produce("a"))
            await asyncio.wait_for(waiting, 60)

    asyncio.run(main())


def test_without_the_option_nothing_is_timed(start_node: Any) -> None:
    async def main() -> None:
        async with start_node() as node:
            assert node.admin_address is None
            assert node.server.timings is None

    asyncio.run(main())


def test_the_openmetrics_format_is_given_to_who_asks_for_it(start_node: Any) -> None:
    async def main() -> None:
        async with start_node(**ADMIN) as node:
            accept = "Accept: application/openmetrics-text; version=1.0.0"
            status, fields, body = await get(node.admin_address, "/metrics", "GET", accept)
            assert status == 200
            assert fields["Content-Type"].startswith("application/openmetrics-text")
            assert body.endswith("# EOF\n")

    asyncio.run(main())


# --- timings


def test_times_fall_into_the_bucket_of_the_next_bound() -> None:
    timings = RequestTimings()
    timing = timings.of(bytearray(b"\0\3\0\11rest"))
    for took_ms in (0.01, 0.05, 0.051, 30_000, 30_001):
        timing.observe(took_ms)
    assert timing.buckets[:3] == [2, 1, 0]
    assert timing.buckets[-2:] == [1, 1]
    assert len(timing.buckets) == len(BOUNDS_MS) + 1
    assert [(api_key, version) for api_key, version, _ in timings] == [(3, 9)]
    assert timings.of(bytearray(b"\0\3\0\11other")) is timing


@pytest.mark.parametrize("frame", [b"", b"\0\3", b"\x7f\xff\0\0", b"\0\3\0\x63"])
def test_what_is_no_request_of_ours_makes_no_series(frame: bytes) -> None:
    timings = RequestTimings()
    timings.of(bytearray(frame)).observe(1)
    assert list(timings) == []
