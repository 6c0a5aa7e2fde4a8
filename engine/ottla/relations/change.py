"""A change of a table, and the steps that changes go through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import msgspec

from ottla.serdes import Codec
from ottla.task.processor import Processor

V = TypeVar("V")


class Change(msgspec.Struct, Generic[V], frozen=True):
    """What the value of a key was, and what it is from now on; None where the table has no such key."""

    old: V | None
    new: V | None


class ChangeStep(Processor):
    """A step whose batches hold changes."""

    @property
    def takes_old(self) -> bool:
        """Whether it looks at old values. Where nobody does, the functions of users are not called for them."""
        return True


class PassChanges(ChangeStep):
    """Hands on what it receives: a place where changes meet."""

    @property
    def takes_old(self) -> bool:
        return old_is_taken(self.children)

    async def receive(self, batch: Any) -> None:
        await self.forward(batch)


def old_is_taken(children: Iterable[Processor]) -> bool:
    """Whether one of the next steps looks at old values."""
    return any(not isinstance(child, ChangeStep) or child.takes_old for child in children)


def change_codec(values: Codec[Any]) -> Codec[Change[Any]]:
    """How changes are written where values are written by this codec."""
    pack = msgspec.msgpack.Encoder().encode
    unpack = msgspec.msgpack.Decoder(tuple[bytes | None, bytes | None]).decode

    def encode(change: Change[Any]) -> bytes:
        return pack([None if each is None else values.encode(each) for each in (change.old, change.new)])

    def decode(data: bytes) -> Change[Any]:
        return Change(*(None if each is None else values.decode(each) for each in unpack(data)))

    return Codec(f"change[{values.name}]", encode, decode, Change[Any])
