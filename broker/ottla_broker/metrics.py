"""Prometheus metrics, under the names that exporters commonly give to Kafka's: JMX domain, type and name in lower case.

Serving requests adds to plain integers (`log.traffic`, `request_timings`), and everything else is looked up when
somebody asks. What comes in a series per topic or per partition is bounded; how many that leaves out is a metric too.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from prometheus_client import ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ottla_broker.broker import Broker
from ottla_broker.cluster.topics import CLUSTER_METADATA
from ottla_broker.dispatch import APIS
from ottla_broker.error_counts import ErrorCounts
from ottla_broker.log.partition import PartitionLog
from ottla_broker.log.traffic import Traffic
from ottla_broker.phase import Phase
from ottla_broker.request_timings import BOUNDS_MS, RequestTimings
from ottla_broker.server import Server
from ottla_wire.api_keys import ApiKey
from ottla_wire.errors import ErrorCode

if TYPE_CHECKING:
    from ottla_broker.node import Node

# Topics, and partitions, that have series of their own: the first of them.
MAX_SERIES = 1_000

# Apache Kafka counts a consumer's fetch under two names.
_NAMES = {ApiKey.FETCH: ("Fetch", "FetchConsumer")}

_TOPIC_COUNTERS = {
    "messagesin": ("Records appended.", "records_in"),
    "bytesin": ("Bytes of record batches appended.", "bytes_in"),
    "bytesout": ("Bytes of record batches returned by fetches.", "bytes_out"),
    "totalproducerequests": ("Appends to partitions.", "produces"),
    "totalfetchrequests": ("Fetches from partitions.", "fetches"),
    "failedproducerequests": ("Partitions of Produce requests that were answered with an error.", "failed_produces"),
    "failedfetchrequests": ("Partitions of Fetch requests that were answered with an error.", "failed_fetches"),
}


class Snapshot(Collector):
    """Metrics of one moment, which may be written out in a thread."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics
        self._process = ProcessCollector(registry=None)

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics
        yield from self._process.collect()


async def exposition(node: "Node", accept: str) -> tuple[bytes, str]:
    """All metrics of a node, in the text format that the Accept header prefers, and the name of that format."""
    encode, content_type = choose_encoder(accept)
    snapshot = Snapshot(list(_node_metrics(node)))
    return await asyncio.to_thread(encode, snapshot), content_type


def _node_metrics(node: "Node") -> Iterator[Metric]:
    yield _gauge("kafka_server_kafkaserver_brokerstate", "1 starting, 3 running, 7 stopping.", node.phase.value)
    if node.phase is Phase.STARTING:
        return  # what there is to tell of is still being put together
    broker = node.broker
    logs = [log for log in broker.logs if log.topic != CLUSTER_METADATA]
    yield from _topic_metrics(broker, logs)
    yield from _log_metrics(logs)
    yield from _disk_metrics(broker)
    yield from _replica_metrics(broker)
    yield from _controller_metrics(broker)
    yield from _coordinator_metrics(broker)
    yield from _fetch_metrics(broker)
    yield from _connection_metrics(node.server)
    if node.server.timings is not None:
        yield from _request_metrics(node.server.timings)
    if broker.errors is not None:
        yield _error_metric(broker.errors)


# --- topics and partitions


def _topic_metrics(broker: Broker, logs: Iterable[PartitionLog]) -> Iterator[Metric]:
    everything = Traffic()
    everything.add(broker.logs.retired)
    topics: dict[str, Traffic] = {}
    for log in logs:
        traffic = log.measure()
        everything.add(traffic)
        topics.setdefault(log.topic, Traffic()).add(traffic)
    for name, (documentation, field) in _TOPIC_COUNTERS.items():
        metric = CounterMetricFamily(f"kafka_server_brokertopicmetrics_{name}", documentation)
        metric.add_sample(f"{metric.name}_total", {}, getattr(everything, field))
        for topic, traffic in islice(topics.items(), MAX_SERIES):
            metric.add_sample(f"{metric.name}_total", {"topic": topic}, getattr(traffic, field))
        yield metric
    yield _gauge(
        "ottla_metrics_omitted_topics", "Topics without series of their own.", max(0, len(topics) - MAX_SERIES)
    )


def _log_metrics(logs: Sequence[PartitionLog]) -> Iterator[Metric]:
    labels = ("topic", "partition")
    size = GaugeMetricFamily("kafka_log_log_size", "Bytes that a partition has on disk.", labels=labels)
    start = GaugeMetricFamily("kafka_log_log_logstartoffset", "The first offset of a partition.", labels=labels)
    end = GaugeMetricFamily("kafka_log_log_logendoffset", "The offset that comes next.", labels=labels)
    segments = GaugeMetricFamily("kafka_log_log_numlogsegments", "Segments of a partition.", labels=labels)
    for log in logs[:MAX_SERIES]:
        values = (log.topic, str(log.index))
        size.add_metric(values, log.size_bytes)
        start.add_metric(values, log.log_start_offset)
        end.add_metric(values, log.log_end_offset)
        segments.add_metric(values, len(log.segments))
    yield from (size, start, end, segments)
    yield _gauge("ottla_log_size_bytes", "Bytes that all partitions have on disk.", sum(log.size_bytes for log in logs))
    yield _gauge(
        "ottla_metrics_omitted_partitions", "Partitions without series of their own.", max(0, len(logs) - MAX_SERIES)
    )


def _disk_metrics(broker: Broker) -> Iterator[Metric]:
    failures = len(broker.logs.failures())
    yield _gauge("kafka_server_replicamanager_offlinereplicacount", "Partitions that take no writes.", failures)
    yield _gauge(
        "kafka_log_logmanager_offlinelogdirectorycount", "1 where that is so for some partition.", failures > 0
    )
    yield _gauge("ottla_log_directory_free_bytes", "Room left on the disk.", broker.logs.free_bytes())
    flushes = SummaryMetricFamily(
        "kafka_log_logflushstats_logflushrateandtimems", "Flushes of partitions, and the milliseconds that they took."
    )
    flushes.add_metric((), broker.logs.flushes, broker.logs.flushing_ms)
    yield flushes


def _replica_metrics(broker: Broker) -> Iterator[Metric]:
    counts: Counter[str] = Counter()
    for topic in broker.image.topics.values():
        for state in topic.partitions:
            if broker.node_id not in state.replicas:
                continue
            counts["partitioncount"] += 1
            if state.leader != broker.node_id:
                continue
            counts["leadercount"] += 1
            counts["underreplicatedpartitions"] += len(state.isr) < len(state.replicas)
            log = broker.logs.get(state.topic, state.index)
            if log is not None:
                counts["underminisrpartitioncount"] += not state.has_min_isr(log.config.min_insync_replicas)
    for name, documentation in (
        ("partitioncount", "Partitions that this broker holds."),
        ("leadercount", "Partitions that this broker leads."),
        ("underreplicatedpartitions", "Partitions led here of which not all replicas are in sync."),
        ("underminisrpartitioncount", "Partitions led here with fewer in-sync replicas than min.insync.replicas."),
    ):
        yield _gauge(f"kafka_server_replicamanager_{name}", documentation, counts[name])


# --- the node's parts


def _controller_metrics(broker: Broker) -> Iterator[Metric]:
    image, prefix = broker.image, "kafka_controller_kafkacontroller"
    live = frozenset(image.live_brokers)
    partitions = [state for topic in image.topics.values() for state in topic.partitions]
    active = broker.controller.quorum().leader_id == broker.node_id
    yield _gauge(f"{prefix}_activecontrollercount", "1 where this node is the active controller.", active)
    yield _gauge(f"{prefix}_activebrokercount", "Brokers that are running.", len(live))
    yield _gauge(f"{prefix}_fencedbrokercount", "Brokers that are not.", len(image.brokers) - len(live))
    yield _gauge(f"{prefix}_globaltopiccount", "Topics.", len(image.topics))
    yield _gauge(f"{prefix}_globalpartitioncount", "Partitions.", len(partitions))
    offline = sum(state.leader not in live for state in partitions)
    yield _gauge(f"{prefix}_offlinepartitionscount", "Partitions without a leader.", offline)
    yield _gauge(
        "kafka_server_broker_metadata_metrics_last_applied_record_offset",
        "The offset of the metadata log that this node has come to.",
        image.offset,
    )


def _coordinator_metrics(broker: Broker) -> Iterator[Metric]:
    groups, transactions = broker.groups.count(), broker.transactions.count()
    by_type = GaugeMetricFamily(
        "kafka_server_group_coordinator_metrics_group_count", "Groups, by protocol.", labels=("protocol",)
    )
    by_state = GaugeMetricFamily(
        "ottla_group_coordinator_groups", "Groups, by protocol and state.", labels=("protocol", "state")
    )
    for (protocol, state), count in sorted(groups.items()):
        by_state.add_metric((protocol, state), count)
    for protocol in ("classic", "consumer"):
        by_type.add_metric((protocol,), sum(count for (kind, _), count in groups.items() if kind == protocol))
    yield by_type
    yield by_state
    prefix = "kafka_coordinator_group_groupmetadatamanager"
    yield _gauge(f"{prefix}_numgroups", "Groups.", groups.total())
    for state in ("PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty"):
        count = groups["classic", state]
        yield _gauge(f"{prefix}_numgroups{state.lower()}", f"Classic groups in the state {state}.", count)
    yield from _offset_metrics(broker, f"{prefix}_numoffsets")
    by_state = GaugeMetricFamily(
        "ottla_transaction_coordinator_transactional_ids",
        "Transactional ids, by the state of their transaction.",
        labels=("state",),
    )
    for state, count in sorted(transactions.items()):
        by_state.add_metric((state,), count)
    yield by_state


def _offset_metrics(broker: Broker, number: str) -> Iterator[Metric]:
    """The offsets of groups under the names that kafka-exporter has for them; those of partitions that are led here."""
    labels = ("consumergroup", "topic", "partition")
    current = GaugeMetricFamily("kafka_consumergroup_current_offset", "The offset that is committed.", labels=labels)
    lags = GaugeMetricFamily(
        "kafka_consumergroup_lag", "Records up to the last stable offset that are not committed.", labels=labels
    )
    total = omitted = 0
    for group, topic, index, offset in broker.groups.committed():
        total += 1
        log = broker.logs.get(topic, index)
        if log is None:
            continue
        if total > MAX_SERIES:
            omitted += 1
            continue
        values = (group, topic, str(index))
        current.add_metric(values, offset)
        lags.add_metric(values, max(0, log.last_stable_offset - offset))
    yield _gauge(number, "Committed offsets.", total)
    yield from (current, lags)
    yield _gauge("ottla_metrics_omitted_offsets", "Committed offsets without series of their own.", omitted)


def _fetch_metrics(broker: Broker) -> Iterator[Metric]:
    sessions, prefix = broker.fetch_sessions, "kafka_server_fetchsessioncache"
    yield _gauge(f"{prefix}_numincrementalfetchsessions", "Fetch sessions.", len(sessions))
    yield _gauge(f"{prefix}_numincrementalfetchpartitionscached", "Partitions in fetch sessions.", sessions.partitions)
    evictions = CounterMetricFamily(f"{prefix}_incrementalfetchsessionevictions", "Fetch sessions given away.")
    evictions.add_metric((), sessions.evictions)
    yield evictions
    waiting = GaugeMetricFamily(
        "kafka_server_delayedoperationpurgatory_purgatorysize",
        "Requests that wait for something to happen.",
        labels=("delayedOperation",),
    )
    waiting.add_metric(("Fetch",), broker.waits.parked)
    yield waiting


def _connection_metrics(server: Server) -> Iterator[Metric]:
    connections = GaugeMetricFamily(
        "kafka_server_socket_server_metrics_connection_count", "Open connections.", labels=("listener",)
    )
    counts = Counter(protocol.connection.listener for protocol in server.connections)
    for listener in server.listeners:
        connections.add_metric((listener,), counts[listener])
    yield connections
    for name, documentation, count in (
        ("creation", "Connections that were taken in.", server.admitted),
        ("close", "Connections that have ended.", server.admitted - len(server.connections)),
    ):
        total = CounterMetricFamily(f"kafka_server_socket_server_metrics_connection_{name}", documentation)
        total.add_metric((), count)
        yield total
    yield _gauge(
        "kafka_network_requestchannel_requestqueuesize",
        "Requests that have been started and are not answered yet.",
        sum(protocol.connection.requests_under_way for protocol in server.connections),
    )


def _request_metrics(timings: RequestTimings) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "kafka_network_requestmetrics_requests", "Requests served.", labels=("request", "version")
    )
    times = HistogramMetricFamily(
        "kafka_network_requestmetrics_totaltimems",
        "Milliseconds from the start of a request to its response, waiting included.",
        labels=("request",),
    )
    buckets: dict[int, list[int]] = {}
    totals: dict[int, float] = {}
    for api_key, version, timing in sorted(timings, key=lambda entry: entry[:2]):
        for name in _request_names(api_key):
            requests.add_metric((name, str(version)), sum(timing.buckets))
        known = buckets.setdefault(api_key, [0] * len(timing.buckets))
        buckets[api_key] = [count + more for count, more in zip(known, timing.buckets, strict=True)]
        totals[api_key] = totals.get(api_key, 0.0) + timing.total_ms
    for api_key, counts in buckets.items():
        for name in _request_names(api_key):
            times.add_metric((name,), _cumulative(counts), totals[api_key])
    yield requests
    yield times


def _error_metric(errors: ErrorCounts) -> Metric:
    metric = CounterMetricFamily(
        "kafka_network_requestmetrics_errors",
        "Topics, partitions, groups and resources of requests that were answered with an error.",
        labels=("request", "error"),
    )
    for api_key, code, count in sorted(errors):
        for name in _request_names(api_key):
            metric.add_metric((name, ErrorCode(code).name), count)
    return metric


def _request_names(api_key: int) -> tuple[str, ...]:
    return _NAMES.get(ApiKey(api_key)) or (APIS[api_key].request.__name__.removesuffix("Request"),)


def _cumulative(counts: Sequence[int]) -> list[tuple[str, float]]:
    """A histogram as Prometheus wants it: how many were no larger than each bound."""
    bounds = [*map(str, BOUNDS_MS), "+Inf"]
    sums = []
    total = 0
    for bound, count in zip(bounds, counts, strict=True):
        total += count
        sums.append((bound, float(total)))
    return sums


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
