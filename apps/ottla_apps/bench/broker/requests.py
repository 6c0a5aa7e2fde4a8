"""Small requests: how many the broker takes, with one record in each and one under way on each connection.

One process sends them all from a loop over ready-made frames, which costs it less than any broker needs to answer. How
much processor time a broker spends on a request does not depend on the loop's speed.
"""

import select
import time
from contextlib import ExitStack
from typing import NamedTuple

from ottla_apps.bench.broker.load import (
    batch_of,
    check_produced,
    create_topic,
    delete_topic,
    fetch_frame,
    produce_frame,
    text,
)
from ottla_apps.bench.broker.wire import Connection, check, decode
from ottla_apps.bench.processes import ServerProcess
from ottla_apps.bench.rounds import Measurement
from ottla_wire.messages.fetch import FetchResponse

VALUE_BYTES = 100
_WARM_UP = 0.2
"""The part of a round for which the load runs before it is measured."""
_RECEIVE_BYTES = 64 * 1024


class Load(NamedTuple):
    """What came of a load. `answered` counts all requests, the figures only those after the warm-up."""

    answered: int
    per_second: float
    cpu_us: float


def measure(broker: ServerProcess, connections: int, seconds: float) -> Measurement:
    """Requests a second, and the broker's processor time for one: produces, then fetches of the last record."""
    topic = create_topic(broker)
    batch = batch_of(text(VALUE_BYTES, 1))
    produce = produce_frame(topic, {0: batch}, acks=1)
    with ExitStack() as stack:
        peers = [stack.enter_context(Connection(broker.address)) for _ in range(connections)]
        produces = load(broker, peers, produce, seconds)
        offset = _produce_one(peers[0], produce)
        if offset != produces.answered:
            raise RuntimeError(f"{produces.answered} produces were answered, {offset} records are there")
        fetch = fetch_frame(topic, {0: offset}, max_bytes=1)
        _check_fetch(peers[0], fetch, batch)
        fetches = load(broker, peers, fetch, seconds)
    delete_topic(broker, topic)
    return {
        "produces_per_s": produces.per_second,
        "produce_cpu_us": produces.cpu_us,
        "fetches_per_s": fetches.per_second,
        "fetch_cpu_us": fetches.cpu_us,
    }


def _produce_one(peer: Connection, request: bytes) -> int:
    peer.send(request)
    return check_produced(peer.receive())


def _check_fetch(peer: Connection, request: bytes, batch: bytes) -> None:
    peer.send(request)
    (answer,) = decode(peer.receive(), FetchResponse).responses[0].partitions
    check(answer.error_code, "fetching the last record")
    if len(answer.records or b"") != len(batch):
        raise RuntimeError("a fetch of the last record was answered with something else")


def load(broker: ServerProcess, peers: list[Connection], request: bytes, seconds: float) -> Load:
    """Sends `request` over all connections, each time the last one is answered, for `seconds` after the warm-up."""
    peers[0].send(request)
    size = 4 + len(peers[0].receive())  # that of all answers
    answered, under_way = 1, len(peers)
    poll = select.epoll()
    sockets = {peer.socket.fileno(): peer.socket for peer in peers}
    received = dict.fromkeys(sockets, 0)
    for peer in peers:
        poll.register(peer.socket, select.EPOLLIN)
        peer.send(request)
    start = time.perf_counter()
    begin, end = start + _WARM_UP * seconds, start + (1 + _WARM_UP) * seconds
    begun: tuple[float, int, float] | None = None
    ended: tuple[float, int, float] | None = None
    while under_way:
        for descriptor, _ in poll.poll():
            peer_socket = sockets[descriptor]
            received[descriptor] += len(peer_socket.recv(_RECEIVE_BYTES))
            if received[descriptor] < size:
                continue
            if received[descriptor] > size:
                raise RuntimeError("a request was answered with something else than the first one")
            received[descriptor] = 0
            answered += 1
            if ended is None:
                peer_socket.send(request)
            else:
                under_way -= 1
        now = time.perf_counter()
        if begun is None and now >= begin:
            begun = now, answered, broker.cpu_seconds()
        if ended is None and now >= end:
            ended = now, answered, broker.cpu_seconds()
    poll.close()
    assert begun is not None
    assert ended is not None
    duration, count, cpu = (last - first for first, last in zip(begun, ended, strict=True))
    return Load(answered, count / duration, 1e6 * cpu / count)
