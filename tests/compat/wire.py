"""A connection that speaks the protocol itself, for what no client asks: every API in every version."""

import socket
from itertools import count
from types import TracebackType
from typing import Any, NamedTuple, Self

from ottla_wire.headers import RequestHeader, decode_response_header
from ottla_wire.message import Message
from ottla_wire.messages.api_versions import ApiVersionsRequest

TIMEOUT_S = 100


class Advertised(NamedTuple):
    """What a broker says of itself."""

    versions: dict[int, tuple[int, int]]
    features: dict[str, tuple[int, int, int]]


class Connection:
    """A connection to a broker; one request at a time."""

    def __init__(self, address: str) -> None:
        self.address = address
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), TIMEOUT_S)
        self.incoming = self.socket.makefile("rb")
        self.correlation_ids = count()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.incoming.close()
        self.socket.close()

    def ask(self, request: Message, version: int) -> Any:
        """The response. Raises ConnectionError if the broker closes the connection instead."""
        self.send(request, version)
        return self.receive(request.api_key, version)

    def receive(self, api_key: int, version: int) -> Any:
        """The response to what was sent first of all that has none yet. Raises ConnectionError."""
        frame = self._frame()
        _, position = decode_response_header(frame, api_key, version)
        response, end = Message.response(api_key).decode(frame, version, position)
        assert end == len(frame), f"{len(frame) - end} bytes follow {response}"
        return response

    def send(self, request: Message, version: int) -> None:
        """Send without waiting for a response."""
        self._send(request.api_key, version, request.encode(version))

    def exchange(self, api_key: int, version: int, body: bytes, *, tags: bytes = b"\0") -> bytes:
        """What follows the correlation id in the response to bytes that need be no request. Raises ConnectionError."""
        self._send(api_key, version, body, tags)
        return self._frame()[4:]

    def _send(self, api_key: int, version: int, body: bytes, tags: bytes = b"\0") -> None:
        header = RequestHeader(api_key, version, next(self.correlation_ids), "compat").encode()
        if tags != b"\0":  # in the place of no tagged fields, with which a flexible header ends
            header = header[:-1] + tags
        frame = header + body
        self.socket.sendall(len(frame).to_bytes(4, "big") + frame)

    def _frame(self) -> bytes:
        size = int.from_bytes(self.incoming.read(4), "big")
        frame = self.incoming.read(size)
        if not size or len(frame) < size:
            raise ConnectionError("the broker closed the connection")
        return frame


def advertised(address: str) -> Advertised:
    """The versions and features in a broker's ApiVersions response."""
    with Connection(address) as connection:
        response = connection.ask(ApiVersionsRequest(client_software_name="compat", client_software_version="1.0"), 4)
    levels = {feature.name: feature.max_version_level for feature in response.finalized_features}
    return Advertised(
        {api.api_key: (api.min_version, api.max_version) for api in response.api_keys},
        {
            feature.name: (feature.min_version, feature.max_version, levels.get(feature.name, 0))
            for feature in response.supported_features
        },
    )
