"""Listening sockets and their connections: bytes in, requests to the handlers, responses out in order.

A connection reads into an area that all connections of the server share, because the loop fills it and hands it over
before it reads from anyone else; only a request that has arrived in part takes memory of its own (`ottla_wire.frames`).
So an idle connection costs a few kilobytes, and a peer that announces a large request costs what it really sends.

The rules of a connection (order, limits, when to stop reading) are in `connection`, the sending side in `writer`.
"""

import asyncio
import contextlib
import logging
import os
import resource
import socket
import time
from collections import Counter
from typing import TypeAlias, cast

from ottla_broker import dispatch
from ottla_broker.broker import Broker
from ottla_broker.connection import Connection, Exchange, Stage
from ottla_broker.connection_rate import ConnectionRate
from ottla_broker.errors import CannotStart, ClosesConnection
from ottla_broker.listeners import Address, Listener
from ottla_broker.request_timings import RequestTimings, Timing
from ottla_broker.turn import Turn
from ottla_broker.writer import SocketWriter
from ottla_wire.chunks import Part
from ottla_wire.errors import WireError
from ottla_wire.frames import FrameReader

logger = logging.getLogger(__name__)

SCRATCH_BYTES = 128 * 1024
# A connection is served no further while this much of its output waits for the peer.
MAX_OUTPUT_BYTES = 1024 * 1024
_SWEEP_SECONDS = 10.0
# Descriptors that are left for log files when the number of connections is limited by the process's own limit.
_DESCRIPTORS_FOR_FILES = 256

Waiting: TypeAlias = "asyncio.Future[list[Part]] | asyncio.Future[None]"
"""What a request waits for; see `dispatch.begin`."""


class Server:
    """Serves one broker on all its listeners. With `timings` it takes the time of every request."""

    def __init__(self, broker: Broker, timings: RequestTimings | None = None) -> None:
        self.broker = broker
        self.timings = timings
        self.listeners: list[str] = []
        self.scratch = memoryview(bytearray(SCRATCH_BYTES))
        self.turn = Turn(broker, asyncio.get_running_loop().call_soon)
        self.connections: set[ClientProtocol] = set()
        self.admitted = 0
        self._emptied = asyncio.Event()
        self._stops = False
        self._room = _descriptors() - _DESCRIPTORS_FOR_FILES
        self._by_host: Counter[str] = Counter()
        self._rate = ConnectionRate()
        self._listening: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None

    async def bind(self, listener: Listener) -> Listener:
        """Reserve a listener's address; returns it with the port that port 0 picked. Raises CannotStart."""
        loop = asyncio.get_running_loop()
        name, address = listener
        protocol = ClientProtocol if self.timings is None else TimedProtocol
        try:
            server = await loop.create_server(
                lambda: protocol(self, loop, name),
                address.host,
                address.port,
                backlog=self.broker.config.socket_listen_backlog_size,
                reuse_address=True,
                start_serving=False,
            )
        except OSError as error:
            reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
            raise CannotStart(f"cannot listen on {address}: {reason}") from error
        self._listening.append(server)
        self.listeners.append(name)
        return Listener(name, Address(address.host, server.sockets[0].getsockname()[1]))

    async def serve(self) -> None:
        """Accept connections."""
        for server in self._listening:
            await server.start_serving()
        self._sweep(asyncio.get_running_loop())

    def unbind(self) -> None:
        """Give the addresses back; connections stay."""
        for server in self._listening:
            server.close()

    async def stop(self) -> None:
        """Accept nothing more and close every connection; requests under way are cancelled."""
        self._stops = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        self.unbind()
        self._emptied.clear()
        waiting = [answer for protocol in self.connections for answer in protocol.waiting]
        for protocol in list(self.connections):
            protocol.abort()
        await asyncio.gather(*waiting, return_exceptions=True)
        if self.connections:
            await self._emptied.wait()

    def admit(self, protocol: "ClientProtocol") -> str | None:
        """Take in a connection, or say why it cannot stay."""
        config, host = self.broker.config, protocol.connection.host
        if self._stops:
            return "the broker stops"
        if len(self.connections) >= min(config.max_connections, self._room):
            return f"{len(self.connections)} connections are open (max.connections)"
        if self._by_host[host] >= config.max_connections_of(host):
            return f"it has {self._by_host[host]} connections open (max.connections.per.ip)"
        self.connections.add(protocol)
        self.admitted += 1
        self._by_host[host] += 1
        return None

    def delay_ms(self, now_ms: int) -> int:
        """How long a connection that has been admitted waits before it is served."""
        return self._rate.delay_ms(now_ms, self.broker.config.max_connection_creation_rate)

    def forget(self, protocol: "ClientProtocol") -> None:
        """A connection is gone."""
        if protocol not in self.connections:
            return
        self.connections.remove(protocol)
        host = protocol.connection.host
        self._by_host[host] -= 1
        if not self._by_host[host]:
            del self._by_host[host]
        if not self.connections:
            self._emptied.set()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close idle connections, and take back memory from those that have gone quiet."""
        max_idle_ms = self.broker.config.connections_max_idle_ms
        now_ms = int(loop.time() * 1000)
        for protocol in list(self.connections):
            protocol.note_progress(now_ms)
            if protocol.connection.is_idle(now_ms, max_idle_ms):
                logger.info("closing %s: idle for more than %d ms", protocol.connection, max_idle_ms)
                protocol.abort()
            elif protocol.connection.is_idle(now_ms, int(_SWEEP_SECONDS * 1000)):
                protocol.release_memory()
        self._sweeper = loop.call_later(min(_SWEEP_SECONDS, max_idle_ms / 2000), self._sweep, loop)


class ClientProtocol(asyncio.BufferedProtocol):
    """One client's connection, from the loop's point of view."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, listener: str) -> None:
        self._server = server
        self._broker = server.broker
        self._loop = loop
        self._transport: asyncio.Transport
        self._writer: SocketWriter
        self._reader = FrameReader(server.broker.config.socket_request_max_bytes)
        self._scratch = server.scratch
        self._turn = server.turn
        self._is_gathered = False  # whether a request waits for the end of the turn
        self._paused = False
        self._progress = (0, 0)  # when idle connections were last looked for
        self._unmuting: asyncio.TimerHandle | None = None
        self.connection = Connection("unknown", 0, int(loop.time() * 1000))
        self.connection.listener = listener
        self.waiting: set[Waiting] = set()

    # --- the loop's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, which derives from nothing
        peer = transport.get_extra_info("peername")
        if peer:
            self.connection.host, self.connection.port = peer[:2]
        sock: socket.socket = transport.get_extra_info("socket")
        self._writer = SocketWriter(self._loop, sock.fileno(), self._drained, self.abort)
        reason = self._server.admit(self)
        if reason is not None:
            logger.warning("refusing %s: %s", self.connection, reason)
            self.abort()
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        config = self._broker.config
        for option, size in (
            (socket.SO_SNDBUF, config.socket_send_buffer_bytes),
            (socket.SO_RCVBUF, config.socket_receive_buffer_bytes),
        ):
            if size >= 0:
                sock.setsockopt(socket.SOL_SOCKET, option, size)
        if delay_ms := self._server.delay_ms(self.connection.last_active_ms):
            self.connection.throttle(delay_ms)
            self._loop.call_soon(self._regulate)  # nothing can be read or paused yet

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the transport's contract
        self.connection.close()
        if self._unmuting is not None:
            self._unmuting.cancel()
        self._server.forget(self)
        self._writer.close()
        for answer in self.waiting:
            answer.cancel()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the transport's contract
        direct = self._reader.direct_buffer() if self._reader.takes_direct else None
        return self._scratch if direct is None else direct

    def buffer_updated(self, count: int) -> None:
        reader = self._reader
        try:
            if reader.takes_direct:
                reader.direct_received(count)
            else:
                reader.receive_data(self._scratch[:count])
        except WireError as error:
            self._serve()
            self._refuse(error)
            return
        self._serve()

    def eof_received(self) -> bool:
        return False

    # --- requests and responses

    def _serve(self) -> None:
        """Start the requests that have arrived, as far as the connection's limits allow, and send what is ready."""
        connection, writer, frames, turn = self.connection, self._writer, self._reader.frames, self._turn
        if self._is_gathered:
            turn.end()
        elif (
            len(frames) == 1
            and turn.last is not self
            and bytes(frames[0][:2]) in turn.api_keys
            and connection.is_free
            and turn.take(frames[0], self)
        ):
            self._wait_for_turn(frames.popleft())
        if frames:
            now_ms = int(self._loop.time() * 1000)
            while frames and connection.takes_requests:
                self._start(frames.popleft(), now_ms)
                if writer.pending_bytes > MAX_OUTPUT_BYTES:
                    self._flush()
        if writer.pending_bytes:
            self._flush()
        if connection.throttle_ms or connection.takes_requests is self._paused:
            self._regulate()

    def _wait_for_turn(self, frame: bytearray | memoryview) -> None:  # noqa: ARG002 - for who takes the time
        """A request is answered at the end of the turn."""
        self._is_gathered = True

    def answer(self, response: bytes) -> None:
        """A request that was gathered has its response."""
        self._is_gathered = False
        if self._transport.is_closing():
            return
        self.connection.last_active_ms = int(self._loop.time() * 1000)
        try:
            self._writer.write(response)
        except OSError:
            self.abort()  # the peer has gone; nothing to say about that
        if self._writer.pending_bytes:
            self._flush()

    def serve(self, frame: bytearray | memoryview) -> None:
        """A request that was gathered has to be served by itself."""
        self._is_gathered = False
        if not self._transport.is_closing():
            self._start(frame, int(self._loop.time() * 1000))
            self._serve()

    def fail(self, error: Exception) -> None:
        """A request that was gathered has failed."""
        self._is_gathered = False
        self._refuse(error)

    def _start(self, frame: bytearray | memoryview, now_ms: int) -> Exchange | None:
        """Start a request; its place in the order of responses if it has to wait for something."""
        try:
            answer = dispatch.begin(self._broker, self.connection, frame)
            if isinstance(answer, list):
                self._writer.send(self.connection.answer(answer, now_ms))
                return None
        except Exception as error:
            self._refuse(error)
            return None
        exchange = self.connection.begin(now_ms, len(frame))
        self._await(answer, exchange, frame, now_ms)
        return exchange

    def _await(self, answer: Waiting, exchange: Exchange, frame: bytearray | memoryview, begun_ms: int) -> None:
        self.waiting.add(answer)
        answer.add_done_callback(lambda _: self._go_on(answer, exchange, frame, begun_ms))

    def _go_on(self, answer: Waiting, exchange: Exchange, frame: bytearray | memoryview, begun_ms: int) -> None:
        """What a request waited for has come: its response, or the time to look again."""
        self.waiting.discard(answer)
        if answer.cancelled() or self.connection.stage is Stage.CLOSING:
            return
        now_ms = int(self._loop.time() * 1000)
        try:
            parts = answer.result()
            if parts is None:
                again = dispatch.begin(self._broker, self.connection, frame, now_ms - begun_ms)
                if not isinstance(again, list):
                    self._await(again, exchange, frame, begun_ms)
                    return
                parts = again
            self._finish(exchange, parts, now_ms)
        except Exception as error:
            self._refuse(error)
            return
        self._serve()

    def _finish(self, exchange: Exchange, parts: list[Part], now_ms: int) -> None:
        """A request that had to wait has its response."""
        self.connection.last_active_ms = now_ms
        self._writer.send(self.connection.finish(exchange, parts))

    def _flush(self) -> None:
        try:
            self._writer.flush()
        except ConnectionError:
            self.abort()  # the peer has gone; nothing to say about that
        except OSError as error:
            self._refuse(error)
        full = self._writer.pending_bytes > MAX_OUTPUT_BYTES
        if full is not self.connection.output_full:
            self.connection.output_full = full

    def _drained(self) -> None:
        """All that waited for the peer has left."""
        self.connection.output_full = False
        self._serve()

    def _regulate(self) -> None:
        """Read only while what is read can be served."""
        if self.connection.throttle_ms:
            self._mute(self._loop.time() + self.connection.take_throttle_ms() / 1000)
        takes_requests = self.connection.takes_requests
        if takes_requests is not self._paused or self._transport.is_closing():
            return
        self._paused = not takes_requests
        if takes_requests:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _mute(self, until: float) -> None:
        """Start no request before `until`, by the loop's clock."""
        if self._unmuting is not None:
            if self._unmuting.when() >= until:
                return
            self._unmuting.cancel()
        self._unmuting = self._loop.call_at(until, self._unmute)

    def _unmute(self) -> None:
        self._unmuting = None
        self.connection.unmute()
        self._serve()

    def _refuse(self, error: Exception) -> None:
        """Close the connection because of what came over it, or because of a fault of ours, and say so once."""
        if self.connection.stage is Stage.CLOSING:
            return
        if isinstance(error, WireError | ClosesConnection):
            logger.warning("closing %s: %s", self.connection, error)
        else:
            logger.error("closing %s: a request failed for a reason of ours", self.connection, exc_info=error)
        with contextlib.suppress(OSError):
            self._writer.flush()
        self.abort()

    def abort(self) -> None:
        """Close now; what has not left is dropped."""
        self.connection.close()
        self._transport.abort()

    def note_progress(self, now_ms: int) -> None:
        """A large request that is coming, and a response that is leaving, slowly as it may be, are no idleness."""
        progress = self._reader.partial_bytes, self._writer.pending_bytes
        if progress != self._progress:
            self._progress = progress
            self.connection.last_active_ms = now_ms

    def release_memory(self) -> None:
        """Forget the room that was kept for the next large request."""
        if not self._paused and not self._reader.mid_frame:
            self._reader = FrameReader(self._broker.config.socket_request_max_bytes)


class TimedProtocol(ClientProtocol):
    """A connection whose requests are timed."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, listener: str) -> None:
        super().__init__(server, loop, listener)
        self._begun: dict[Exchange, tuple[Timing, float]] = {}
        self._gathered: tuple[Timing, float] | None = None

    def _wait_for_turn(self, frame: bytearray | memoryview) -> None:
        assert self._server.timings is not None
        self._gathered = self._server.timings.of(frame), time.perf_counter()
        super()._wait_for_turn(frame)

    def answer(self, response: bytes) -> None:
        assert self._gathered is not None
        timing, begun = self._gathered
        timing.observe((time.perf_counter() - begun) * 1000)
        super().answer(response)

    def _start(self, frame: bytearray | memoryview, now_ms: int) -> Exchange | None:
        assert self._server.timings is not None
        timing = self._server.timings.of(frame)
        begun = time.perf_counter()
        exchange = super()._start(frame, now_ms)
        if exchange is None:
            timing.observe((time.perf_counter() - begun) * 1000)
        else:
            self._begun[exchange] = timing, begun
        return exchange

    def _finish(self, exchange: Exchange, parts: list[Part], now_ms: int) -> None:
        timing, begun = self._begun.pop(exchange)
        timing.observe((time.perf_counter() - begun) * 1000)
        super()._finish(exchange, parts, now_ms)


def _descriptors() -> int:
    """How many files and sockets this process may have open; asks for as many as it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
