"""Request and response headers, both sides.

A request header has version 1, or 2 where the body is flexible (KIP-482): that adds tagged fields but keeps the client
id a plain string. A response header has version 0, or 1 with tagged fields, except that ApiVersions always uses version
0, so that a client can read the answer before it knows what the broker speaks (KIP-511).
"""

import struct
from typing import NamedTuple, Self

from ottla_wire.api_keys import ApiKey
from ottla_wire.decoding import skip_tagged
from ottla_wire.errors import EncodeError, MalformedMessage, UnsupportedVersion
from ottla_wire.fields import VersionRange
from ottla_wire.message import Message

_FIXED = struct.Struct(">hhih")
_INT32 = struct.Struct(">i")
_INT32_TAGGED = struct.Struct(">ix")


class _FlexibleVersions(dict[int, VersionRange]):
    """By API key: the versions that we know and that are flexible."""

    def __missing__(self, api_key: int) -> VersionRange:
        try:
            message = Message.request(api_key)
        except UnsupportedVersion:
            return VersionRange.none()
        known = VersionRange(message.flexible.lowest, min(message.flexible.highest, message.versions.highest))
        self[api_key] = known
        return known


_flexible = _FlexibleVersions()


class RequestHeader(NamedTuple):
    """What precedes the body of a request."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None

    @classmethod
    def decode(cls, frame: bytes | bytearray | memoryview) -> tuple[Self, int]:
        """Read a header; return it with the position of the body.

        A key or version that we have no class for is no error here: its header is returned, so that it can be refused,
        and its body position means nothing. Raises MalformedMessage for a frame too short to hold the header.
        """
        try:
            api_key, api_version, correlation_id, length = _FIXED.unpack_from(frame)
            position = _FIXED.size
            client_id = None
            if length >= 0:
                end = position + length
                if end > len(frame):
                    raise MalformedMessage(
                        f"client_id claims a length of {length}, but {len(frame) - position} bytes remain"
                    )
                client_id = str(frame[position:end], "utf-8")
                position = end
            lowest, highest = _flexible[api_key]
            if lowest <= api_version <= highest:
                count = frame[position]
                position += 1
                if count:
                    position = skip_tagged(frame, position, count)
        except (struct.error, IndexError, ValueError) as error:
            raise MalformedMessage(f"a frame of {len(frame)} bytes holds no request header: {error}") from error
        return cls(api_key, api_version, correlation_id, client_id), position

    def encode(self) -> bytes:
        """The header that a client writes before the body. Raises EncodeError for a client id above 32,767 bytes."""
        client_id = b"" if self.client_id is None else self.client_id.encode()
        length = -1 if self.client_id is None else len(client_id)
        try:
            fixed = _FIXED.pack(self.api_key, self.api_version, self.correlation_id, length)
        except struct.error as error:
            raise EncodeError(f"{self} does not fit a request header: {error}") from error
        return fixed + client_id + (b"\x00" if self.api_version in _flexible[self.api_key] else b"")


def encode_response_header(api_key: int, version: int, correlation_id: int) -> bytes:
    """The header that a broker writes before the response body of an API version."""
    lowest, highest = _flexible[api_key]
    if lowest <= version <= highest and api_key != ApiKey.API_VERSIONS:
        return _INT32_TAGGED.pack(correlation_id)
    return _INT32.pack(correlation_id)


def decode_response_header(frame: bytes | bytearray | memoryview, api_key: int, version: int) -> tuple[int, int]:
    """Read the response header of an API version; return the correlation id and the position of the body.

    Raises MalformedMessage for a frame too short to hold it.
    """
    try:
        (correlation_id,) = _INT32.unpack_from(frame)
        position = _INT32.size
        if version in _flexible[api_key] and api_key != ApiKey.API_VERSIONS:
            count = frame[position]
            position += 1
            if count:
                position = skip_tagged(frame, position, count)
    except (struct.error, IndexError) as error:
        raise MalformedMessage(f"a frame of {len(frame)} bytes holds no response header: {error}") from error
    return correlation_id, position
