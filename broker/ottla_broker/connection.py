"""One client's connection, without its socket: which requests are open, and which responses may leave.

Requests are started in the order in which they arrive, several may be under way at once, and their responses leave in
the order of the requests, whatever the order in which they become ready. The number under way is bounded; above it, or
while the peer does not take its responses, no further request is started, and so no further bytes are read.

Pure: the server feeds it frames, completions and the time, and does what it says.
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum

from ottla_wire.chunks import Part

# Java clients keep at most 5 requests under way on a connection; librdkafka has no bound of its own in practice.
MAX_REQUESTS_UNDER_WAY = 100
# Nor is one started beyond so many bytes of requests that wait: what has been read of them takes more than that.
MAX_REQUEST_BYTES_UNDER_WAY = 16 * 1024 * 1024
# A response that is ready may have to wait for one that is not. Beyond so many waiting bytes no request is started.
MAX_HELD_BYTES = 1024 * 1024


class Stage(Enum):
    """What a connection may be used for. OPEN -> CLOSING when a response or a broken frame ends it."""

    OPEN = "open"  # any request is served
    CLOSING = "closing"  # what is ready still leaves; nothing more is read


class Exchange:
    """One request and, once there is one, its response."""

    __slots__ = ("closes", "parts", "request_size", "size")

    def __init__(self, request_size: int) -> None:
        self.request_size = request_size
        self.parts: Sequence[Part] | None = None
        self.size = 0
        self.closes = False


class Connection:
    """The order of responses and the limits of one connection, and who is at its other end."""

    __slots__ = (
        "_held_bytes",
        "_output_full",
        "_request_bytes",
        "_under_way",
        "host",
        "last_active_ms",
        "listener",
        "muted",
        "port",
        "principal",
        "stage",
        "takes_requests",
        "throttle_ms",
    )

    def __init__(self, host: str, port: int, now_ms: int) -> None:
        self.host = host
        self.port = port
        self.principal = "User:ANONYMOUS"
        self.listener = "PLAINTEXT"
        self.stage = Stage.OPEN
        self.takes_requests = True  # whether the next request may be started
        self.muted = False
        self.throttle_ms = 0
        self.last_active_ms = now_ms
        self._under_way: deque[Exchange] = deque()
        self._held_bytes = 0
        self._request_bytes = 0
        self._output_full = False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def requests_under_way(self) -> int:
        return len(self._under_way)

    @property
    def is_free(self) -> bool:
        """Whether the next request may be started and would be the only one."""
        return self.takes_requests and not self._under_way

    @property
    def output_full(self) -> bool:
        """Whether more output waits for the peer than is good; set by whoever writes."""
        return self._output_full

    @output_full.setter
    def output_full(self, full: bool) -> None:
        self._output_full = full
        self._limit()

    def _limit(self) -> None:
        """Say anew whether the next request may be started, which is asked more often than the answer changes."""
        self.takes_requests = (
            self.stage is Stage.OPEN
            and not self._output_full
            and not self.muted
            and len(self._under_way) < MAX_REQUESTS_UNDER_WAY
            and self._held_bytes < MAX_HELD_BYTES
            and self._request_bytes < MAX_REQUEST_BYTES_UNDER_WAY
        )

    def begin(self, now_ms: int, request_size: int = 0) -> Exchange:
        """A request of so many bytes has arrived; its place in the order of responses is taken."""
        self.last_active_ms = now_ms
        exchange = Exchange(request_size)
        self._under_way.append(exchange)
        self._request_bytes += request_size
        self._limit()
        return exchange

    def answer(self, parts: Sequence[Part], now_ms: int) -> Sequence[Part]:
        """A request that has just arrived has its response already; what may leave now, in order."""
        if self._under_way:
            return self.finish(self.begin(now_ms), parts)
        self.last_active_ms = now_ms
        return parts

    def finish(self, exchange: Exchange, parts: Sequence[Part], *, closes: bool = False) -> list[Part]:
        """The response of a request is ready (empty if it gets none); what may leave now, in order.

        With `closes` the connection ends once the response has left, and later responses are dropped.
        """
        exchange.parts = parts
        exchange.size = sum(map(len, parts))
        exchange.closes = closes
        self._held_bytes += exchange.size
        leaving: list[Part] = []
        under_way = self._under_way
        while under_way and under_way[0].parts is not None and self.stage is Stage.OPEN:
            first = under_way.popleft()
            self._held_bytes -= first.size
            self._request_bytes -= first.request_size
            leaving.extend(first.parts or ())
            if first.closes:
                self.close()
        self._limit()
        return leaving

    def throttle(self, for_ms: int) -> None:
        """The client has had more than its share: its responses leave at once, but no request is started meanwhile.

        For handlers, which say the same in `throttle_time_ms` of the response, so that the client does not even try
        (KIP-219). Whoever has the clock takes `throttle_ms`, and calls `unmute` when that much time has passed.
        """
        if for_ms > 0:
            self.muted = True
            self._limit()
            self.throttle_ms = max(self.throttle_ms, for_ms)

    def take_throttle_ms(self) -> int:
        """How long to stay muted from now on, as far as nobody knows yet."""
        for_ms, self.throttle_ms = self.throttle_ms, 0
        return for_ms

    def unmute(self) -> None:
        """The time is over."""
        self.muted = False
        self._limit()

    def close(self) -> None:
        """Nothing more is read or started; requests under way get no response."""
        self.stage = Stage.CLOSING
        self._under_way.clear()
        self._limit()

    def is_idle(self, now_ms: int, max_idle_ms: int) -> bool:
        """Whether nothing has happened for longer than `connections.max.idle.ms` and nothing is under way."""
        return not self._under_way and not self.muted and now_ms - self.last_active_ms > max_idle_ms
