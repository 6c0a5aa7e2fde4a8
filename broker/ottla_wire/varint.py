"""Variable-length integers: the unsigned ones of flexible messages, and tables of the lengths that occur most."""

from ottla_wire.errors import EncodeError, MalformedMessage

# Java clients refuse longer strings, whatever the length field could hold.
MAX_STRING = 0x7FFF


def encode_uvarint(value: int) -> bytes:
    """Seven bits a byte, lowest first, the top bit set on all but the last."""
    out = bytearray()
    while value > 127:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def continue_uvarint(data: bytes | bytearray | memoryview, position: int, first: int) -> tuple[int, int]:
    """Read the rest of an unsigned varint whose first byte, `first` > 127, lies before `position`.

    Returns the value and the position after it. Raises MalformedMessage beyond five bytes, IndexError at the end.
    """
    value = first & 0x7F
    shift = 7
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return value, position
        shift += 7
        if shift > 28:
            raise MalformedMessage("a varint is longer than five bytes")


class _Uvarints(dict[int, bytes]):
    """Encoded varints by value; those not kept are computed."""

    def __missing__(self, value: int) -> bytes:
        if not 0 <= value < 2**32:
            raise EncodeError(f"{value} is no length")
        return encode_uvarint(value)


class _StringLengths(_Uvarints):
    """Compact string lengths (length + 1, 0 for null) by that number."""

    def __missing__(self, value: int) -> bytes:
        if value > MAX_STRING + 1:
            raise EncodeError(f"a string of {value - 1} bytes is too long: the protocol allows {MAX_STRING}")
        return super().__missing__(value)


UVARINT = _Uvarints((n, encode_uvarint(n)) for n in range(512))
STRING_LENGTH = _StringLengths(UVARINT)
