"""The dead letters of a topic: read, and sent back to where they came from, each once.

That a letter was replayed is written behind it, into its own partition: a record without key and value whose header
`ottla.letter.replayed` is the letter's offset. It commits in one transaction with the event that is sent, so that a
replay which is interrupted can be repeated, and whoever looks knows which letters are open.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

from ottla.deadletters.letters import DeadLetter, read_letter
from ottla.deadletters.selection import Number, Selection
from ottla.errors import ConfigError
from ottla.transport.contract import Headers, Message, OutputRecord, TopicPartition, Transport

_REPLAYED = "ottla.letter.replayed"
_TRANSACTION_LETTERS = 500


@dataclass(slots=True)
class Replayed:
    """What a replay did: letters sent by topic, and those that could not be, with the reason."""

    sent: dict[str, int] = field(default_factory=dict)
    refused: list[tuple[DeadLetter, str]] = field(default_factory=list)


class DeadLetterBox:
    """The dead letters of a topic. The transport must be started, and for `replay` be transactional."""

    def __init__(self, transport: Transport, topic: str) -> None:
        self._transport = transport
        self.topic = topic

    async def replayed(self) -> set[Number]:
        """The numbers of the letters that were replayed. Raises `ConfigError` if there is no such topic."""
        found = set()
        async with aclosing(self._messages()) as messages:
            async for message in messages:
                for name, value in message.headers() or ():
                    if name == _REPLAYED and value is not None:
                        found.add((message.partition(), int(value)))
        return found

    async def letters(self, selection: Selection) -> AsyncGenerator[DeadLetter, None]:
        """The letters that are meant, the oldest of each partition first. Raises `ConfigError` if there is no topic."""
        async with aclosing(self._messages()) as messages:
            async for message in messages:
                letter = read_letter(message)
                if letter is not None and selection.has(letter):
                    yield letter

    async def replay(self, selection: Selection, *, again: bool, now_ms: int, dry_run: bool = False) -> Replayed:
        """Sends the events of the letters that are meant to the topics and partitions they came from, as they were.

        Letters that were replayed before are left out unless it is to be done `again`. Raises `TransportError` when a
        transaction is lost; what was committed before stays, and the rest can be replayed by the next call.
        """
        done = set() if again else await self.replayed()
        result = Replayed()
        counts: dict[str, int] = {}
        pending: list[DeadLetter] = []
        async with aclosing(self.letters(selection)) as letters:
            async for letter in letters:
                if letter.number in done:
                    continue
                if letter.origin is None:
                    why = f"it came from {letter.position}" if letter.position else "it was made of no one message"
                    result.refused.append((letter, why))
                    continue
                topic = letter.origin[0]
                if letter.left_out:
                    result.refused.append((letter, f"its value of {letter.left_out} bytes was too large to be kept"))
                    continue
                if topic not in counts:
                    counts[topic] = (await self._transport.partition_counts([topic])).get(topic, 0)
                if not counts[topic]:
                    result.refused.append((letter, f"topic {topic!r} does not exist any more"))
                    continue
                result.sent[topic] = result.sent.get(topic, 0) + 1
                pending.append(letter)
                if len(pending) == _TRANSACTION_LETTERS:
                    await self._send(pending, counts, now_ms, dry_run=dry_run)
                    pending = []
        await self._send(pending, counts, now_ms, dry_run=dry_run)
        return result

    async def _send(self, letters: Iterable[DeadLetter], counts: dict[str, int], now_ms: int, *, dry_run: bool) -> None:
        records = []
        for letter in letters:
            assert letter.origin is not None, "a letter without an origin is not sent"
            topic, partition, _ = letter.origin
            # A topic that was made anew with fewer partitions has none for it: the key chooses.
            chosen = partition if partition < counts[topic] else None
            records.append(OutputRecord(topic, letter.key, letter.value, letter.timestamp_ms, letter.headers, chosen))
            mark: Headers = [(_REPLAYED, b"%d" % letter.offset)]
            records.append(OutputRecord(self.topic, None, None, now_ms, mark, letter.partition))
        if records and not dry_run:
            await self._transport.produce(records)
            await self._transport.commit({})

    async def _messages(self) -> AsyncGenerator[Message, None]:
        counts = await self._transport.partition_counts([self.topic])
        if self.topic not in counts:
            raise ConfigError(f"there is no topic {self.topic!r}: the app that it is of has not run on this cluster")
        partitions = [TopicPartition(self.topic, partition) for partition in range(counts[self.topic])]
        ranges = await self._transport.offset_ranges(partitions)
        async for batches in self._transport.read(ranges):
            for messages in batches.values():
                for message in messages:
                    yield message
