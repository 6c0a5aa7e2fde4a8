"""Records as lines of JSON, both ways, without loss. Pure.

    {"topic":"flights","partition":0,"offset":41,"timestamp":1357034400000,"key":"UA","value":"...","headers":[]}

Keys, values and headers' values that are UTF-8 are strings; others are objects, {"base64":"AAECAw=="}; null is null.
Headers are a list of {"key":NAME,"value":VALUE}, since a name may come twice. The field names are those of rpk.

What `to_json` writes, `from_json` reads; topic and offset are then passed over.
"""

import msgspec

from ottla_apps.cli.errors import BadArgument
from ottla_apps.cli.record_format import InputRecord, Shown


class Binary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes that are no text."""

    base64: bytes


Data = str | Binary | None


class JsonHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A header of a record."""

    key: str
    value: Data = None


class JsonRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line."""

    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    timestamp: int | None = None
    key: Data = None
    value: Data = None
    headers: tuple[JsonHeader, ...] = ()


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(JsonRecord)


def to_json(record: Shown) -> bytes:
    """A record as one line, with its end."""
    timestamp = record.timestamp()[1]
    shown = JsonRecord(
        record.topic(),
        record.partition(),
        record.offset(),
        timestamp if timestamp >= 0 else None,
        _shown(record.key()),
        _shown(record.value()),
        tuple(JsonHeader(name, _shown(value)) for name, value in record.headers() or ()),
    )
    return _encoder.encode(shown) + b"\n"


def _shown(data: bytes | None) -> Data:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Binary(data)


def from_json(line: bytes) -> InputRecord:
    """A record to produce from a line. Raises BadArgument, which says what is wrong but not where."""
    try:
        record = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadArgument(f"the line is no record in JSON: {error}") from None
    return InputRecord(
        _meant(record.key),
        _meant(record.value),
        tuple((header.key, _meant(header.value)) for header in record.headers),
        record.partition,
        record.timestamp,
    )


def _meant(data: Data) -> bytes | None:
    if isinstance(data, Binary):
        return data.base64
    return data if data is None else data.encode()
