"""Idle connections: the memory that they take, and what they do to the latency of one that is busy."""

import resource
import statistics
import time
from contextlib import ExitStack

from ottla_apps.bench.broker.contenders import Contender, data_directory
from ottla_apps.bench.broker.load import batch_of, check_produced, create_topic, delete_topic, produce_frame, text
from ottla_apps.bench.broker.wire import Connection
from ottla_apps.bench.processes import ServerProcess
from ottla_apps.bench.rounds import Measurement
from ottla_wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse

PER_SECOND = 500
_SETTLE_S = 1.0
_SPARE_DESCRIPTORS = 100


def measure(contender: Contender, count: int, seconds: float) -> Measurement:
    """Open `count` connections that introduce themselves and then say nothing; produce over one more before and after.

    On a process of its own, because memory that was used once is not given back.
    """
    _allow_descriptors(count + _SPARE_DESCRIPTORS)
    introduction = ApiVersionsRequest(client_software_name="ottla-bench", client_software_version="1")
    with data_directory() as directory, contender.launch(directory) as broker, ExitStack() as stack:
        alone = _latencies(broker, int(seconds * PER_SECOND))
        before = broker.resident_mb()
        for _ in range(count):
            stack.enter_context(Connection(broker.address)).ask(introduction, ApiVersionsResponse)
        time.sleep(_SETTLE_S)
        added = broker.resident_mb() - before
        among_others = _latencies(broker, int(seconds * PER_SECOND))
    return {
        "kb_per_connection": max(0.0, added) * 1000 / count,
        "alone_p50_ms": statistics.median(alone),
        "p50_ms": statistics.median(among_others),
        "p99_ms": statistics.quantiles(among_others, n=100, method="inclusive")[98],
    }


def _latencies(broker: ServerProcess, count: int) -> list[float]:
    """How long produces of one record take, in milliseconds, one after the other at a steady pace."""
    topic = create_topic(broker)
    request = produce_frame(topic, {0: batch_of(text(100, 1))}, acks=1)
    latencies = []
    with Connection(broker.address) as connection:
        start = time.perf_counter()
        for number in range(count):
            time.sleep(max(0.0, start + number / PER_SECOND - time.perf_counter()))
            sent = time.perf_counter()
            connection.send(request)
            check_produced(connection.receive())
            latencies.append((time.perf_counter() - sent) * 1000)
    delete_topic(broker, topic)
    return latencies


def _allow_descriptors(count: int) -> None:
    """Raises RuntimeError if this process may not open so many sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        raise RuntimeError(f"{count} open files are needed, this process may have {hard} (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
