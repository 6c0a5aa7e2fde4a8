"""Valid messages and batches by chance, from which invalid ones are made."""

import random
import uuid
from typing import Any

from crc32c import crc32c

from ottla_wire.fields import Array, Blob, Field, Fixed, Nested, Text
from ottla_wire.message import Struct
from ottla_wire.records import Compression, NewRecord, RecordBatch, build_batch

_RANGES = {"b": 8, "h": 16, "i": 32, "q": 64}
_COMMON = [-1, 0, 0, 1, 1, 2, 3, 5, 9, 127]
# Few names, so that requests are about the same things.
NAMES = [
    "t",
    "t",
    "t",
    "compacted",
    "new",
    "g",
    "g",
    "consumer",
    "x",
    "",
    "__consumer_offsets",
    "range",
    "é" * 3,
    "n" * 300,
]
NOW_MS = 1_700_000_000_000


class Sampler:
    """Draws values; `ids` are topic ids that exist."""

    def __init__(self, chance: random.Random, ids: tuple[uuid.UUID, ...] = ()) -> None:
        self.chance = chance
        self._ids = (*ids, uuid.UUID(int=0), uuid.UUID(int=7))

    def message(self, cls: type[Struct], version: int) -> Any:
        """An instance that the version can carry."""
        fields = [field for field in cls.fields if version in field.versions]
        return cls(**{field.name: self._field(field, version) for field in fields})

    def _field(self, field: Field, version: int) -> Any:
        if field.tag is not None and isinstance(field.type, Nested):
            return None
        if version in field.nullable and self.chance.random() < 0.15:
            return None
        if field.name == "records":
            return bytes(self.batch())
        return self._value(field.type, version)

    def _value(self, wire_type: Any, version: int) -> Any:
        chance = self.chance
        match wire_type:
            case Fixed("?"):
                return chance.random() < 0.5
            case Fixed("16s"):
                return chance.choice(self._ids)
            case Fixed("d"):
                return chance.choice([0.0, -1.0, 1e300])
            case Fixed(character) if character in _RANGES:
                limit = 1 << (_RANGES[character] - 1)
                return chance.choice([*_COMMON, -limit, limit - 1])
            case Fixed(character):
                return chance.choice([0, 1, 2, 65_535])
            case Text():
                return chance.choice(NAMES)
            case Blob():
                return chance.choice([b"", b"\x00\x01", chance.randbytes(12), bytes(self.batch())])
            case Array(element):
                values = [self._value(element, version) for _ in range(chance.choice([0, 1, 1, 1, 2, 3]))]
                return values + values[:1] if chance.random() < 0.05 else values
            case Nested(cls):
                return self.message(cls, version)
        raise AssertionError(wire_type)

    def batch(self, **options: Any) -> bytearray:
        """A batch of records as producers make them."""
        chance = self.chance
        records = [
            NewRecord(
                chance.choice([None, b"k", b"key", chance.randbytes(20)]),
                chance.choice([None, b"", b"v" * chance.randint(1, 200)]),
                NOW_MS + chance.randint(-5, 5),
                chance.choice([(), (("h", b"x"),), (("h", None), ("i", b""))]),
            )
            for _ in range(chance.randint(1, 6))
        ]
        options = {"compression": chance.choice(list(Compression))} | options
        if "producer_id" not in options and chance.random() < 0.4:
            options |= {"producer_id": chance.randint(0, 3), "producer_epoch": 0, "base_sequence": 0}
            options["transactional"] = chance.random() < 0.3
        return build_batch(records, **options)


def with_checksum(data: bytes) -> bytes:
    """The bytes with the length and the checksum of a batch put right, so that what follows them is looked at."""
    if len(data) < 61:
        return data
    batch = bytearray(data)
    batch[8:12] = (len(batch) - 12).to_bytes(4, "big")
    batch[16] = 2
    batch[17:21] = crc32c(batch[21:]).to_bytes(4, "big")
    assert RecordBatch(batch).size == len(batch)
    return bytes(batch)
