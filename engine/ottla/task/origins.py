"""Messages that events came from, beyond the batch they arrived in.

An event that a step holds back (a list that fills, a join that waits for its table) outlives its message: it may be
written to a store and read again by another worker. Its origin goes with it, so that its headers, and what is said of
it if it fails, are the same as without the wait.
"""

from __future__ import annotations

from collections.abc import Sequence

from ottla.transport.contract import Headers, Message

StoredOrigin = tuple[str, int, int, bytes | None, bytes | None, tuple[int, int], Headers | None]
"""Topic, partition, offset, key, value, timestamp and headers of a message: what msgpack can write."""


class KeptMessage:
    """A `Message` read back from a store."""

    __slots__ = ("_stored",)

    def __init__(self, stored: StoredOrigin) -> None:
        self._stored = stored

    def topic(self) -> str:
        return self._stored[0]

    def partition(self) -> int:
        return self._stored[1]

    def offset(self) -> int:
        return self._stored[2]

    def key(self) -> bytes | None:
        return self._stored[3]

    def value(self) -> bytes | None:
        return self._stored[4]

    def timestamp(self) -> tuple[int, int]:
        return self._stored[5]

    def headers(self) -> Headers | None:
        return self._stored[6]


class JoinedMessages(KeptMessage):
    """The origin of one event made of several. It reads as the last message of them.

    `messages` has the message of each event, None for an event that had none.
    """

    __slots__ = ("messages",)

    def __init__(self, messages: Sequence[Message | None], last: Message) -> None:
        self.messages = messages
        super().__init__(stored_origin(last))


def joined_origin(messages: Sequence[Message | None]) -> Message | None:
    """The origin of an event made of several; None if none of them has one."""
    last = next((message for message in reversed(messages) if message is not None), None)
    return None if last is None else JoinedMessages(messages, last)


def stored_origin(message: Message) -> StoredOrigin:
    """What is kept of a message."""
    return (
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        message.timestamp(),
        message.headers(),
    )
