"""The load generator's side of the wire: ready-made frames over plain sockets, and no more work than that.

Everybody is sent the same bytes, in versions that Ottla and Apache Kafka both serve.
"""

import socket
from typing import Self, TypeVar

from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.headers import RequestHeader, decode_response_header
from ottla_wire.message import Message

VERSIONS = {0: 9, 1: 12, 2: 7, 3: 12, 18: 3, 19: 7, 20: 5}
"""By API key: Produce, Fetch, ListOffsets, Metadata, ApiVersions, CreateTopics, DeleteTopics."""
CLIENT_ID = "ottla-bench"
TIMEOUT_S = 120.0

R = TypeVar("R", bound=Message)


class Connection:
    """One connection of a client. Receives into a buffer of its own: what `receive` returns is valid until the next."""

    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(64 * 1024)

    def send(self, frame: bytes) -> None:
        self.socket.sendall(frame)

    def receive(self) -> memoryview:
        """The next frame, without its length. Raises RuntimeError if the broker closes the connection."""
        size = int.from_bytes(self._exactly(4), "big")
        if size > len(self._buffer):
            self._buffer = bytearray(2 * size)
        return self._exactly(size)

    def _exactly(self, size: int) -> memoryview:
        view = memoryview(self._buffer)[:size]
        filled = 0
        while filled < size:
            count = self.socket.recv_into(view[filled:])
            if not count:
                raise RuntimeError("the broker closed the connection")
            filled += count
        return view

    def ask(self, request: Message, response: type[R]) -> R:
        """Send a request and wait for its answer."""
        self.send(frame(request))
        return decode(self.receive(), response)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()


def frame(request: Message) -> bytes:
    """A request with its header and length."""
    version = VERSIONS[request.api_key]
    body = RequestHeader(request.api_key, version, 1, CLIENT_ID).encode() + request.encode(version)
    return len(body).to_bytes(4, "big") + body


def decode(answer: memoryview, response: type[R]) -> R:
    version = VERSIONS[response.api_key]
    _, position = decode_response_header(answer, response.api_key, version)
    return response.decode(answer, version, position)[0]


def check(code: int, what: str) -> None:
    """Raise KafkaError if a response says that something failed."""
    if code:
        raise KafkaError(ErrorCode(code), f"{what}: {ErrorCode(code).message}")
