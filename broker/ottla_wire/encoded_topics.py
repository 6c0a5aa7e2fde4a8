"""Metadata responses that list many topics, put together from topics that were encoded before.

What is said here about the format is that the topics' count precedes them: a compact or an int32 one. Where they lie is
found by what `MetadataResponse` encodes with and without one.
"""

from collections.abc import Sequence

from ottla_wire.messages.metadata import MetadataResponse, MetadataResponseTopic
from ottla_wire.varint import UVARINT


class TopicEncoder:
    """Encodes topics, and responses around them, in one version."""

    def __init__(self, version: int) -> None:
        self._version = version
        topic = MetadataResponseTopic(name="", partitions=[])
        without, one = (self._encode(MetadataResponse(brokers=[], topics=topics)) for topics in ([], [topic]))
        # Up to the first difference they are the same; it lies in the last byte of the count.
        self._topics_at = 1 + next(at for at, byte in enumerate(without) if byte != one[at])
        self._size_behind = len(without) - self._topics_at

    def _encode(self, response: MetadataResponse) -> bytes:
        return response.encode(self._version)

    def topic(self, topic: MetadataResponseTopic) -> bytes:
        """One topic. Raises EncodeError as `Message.encode` does."""
        body = self._encode(MetadataResponse(brokers=[], topics=[topic]))
        return body[self._topics_at : len(body) - self._size_behind]

    def response(self, response: MetadataResponse, topics: Sequence[bytes]) -> bytes:
        """The body of `response`, which has no topics of its own, with these. Raises as `topic`."""
        body = self._encode(response)
        end = len(body) - self._size_behind
        if self._version in MetadataResponse.flexible:
            start, count = end - 1, UVARINT[len(topics) + 1]
        else:
            start, count = end - 4, len(topics).to_bytes(4, "big")
        return b"".join((body[:start], count, *topics, body[end:]))
