"""Workers share an app while each call to the broker may fail before or after it is done, take long, or be the last of
its worker, and while the group gives members up: in the end, exactly once, each result is there once; at least once
none is missing, and state has no less than was sent.

What happens is drawn from a seed; when the event loop comes to it is not, so that a seed is no replay.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest

import ottla
from ottla.errors import OttlaError
from ottla.state.memory import MemoryStores
from ottla.transport.contract import Membership, Polled, TopicPartition
from ottla.transport.errors import (
    DeliveryError,
    OffsetsUnknownError,
    TransactionAbortedError,
    TransportError,
)
from ottla.transport.memory import MemoryTransport
from ottla.worker import recovery
from ottla.worker.worker import Worker

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]
Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]

APP_ID = "ordeal"
SOURCE = "words"
PARTITIONS = 2
WORKERS = 3
WORDS = "abcdef"
WINDOW_MS = 40
SENDS = 50


class Chance:
    """What happens to the calls of all workers, until it is calm."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.calm = False

    def happens(self, probability: float) -> bool:
        return not self.calm and self.draw.random() < probability


class Ordeal(MemoryTransport):
    """Polls bring few messages, so that what is done again is done in other portions."""

    def __init__(self, chance: Chance, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._chance = chance
        self.died = asyncio.Event()

    async def _suffer(self, failure: TransportError) -> None:
        if self._chance.happens(0.02):
            self.died.set()
        if self.died.is_set():
            await asyncio.get_running_loop().create_future()  # nothing that it does is seen any more
        if self._chance.happens(0.03):
            raise failure
        if self._chance.happens(0.1):
            await asyncio.sleep(self._chance.draw.uniform(0, 0.02))

    async def poll(self, max_messages: int, timeout_s: float) -> Polled:
        return await super().poll(min(max_messages, self._chance.draw.randint(1, 8)), min(timeout_s, 0.005))

    async def flush(self) -> None:
        await self._suffer(DeliveryError("not delivered"))

    async def produce_changes(
        self, where: TopicPartition, changes: Sequence[tuple[bytes, bytes | None]], timestamp_ms: int
    ) -> None:
        # Of the records of a commit the first ones may be written, and the others not.
        for change in changes:
            await super().produce_changes(where, [change], timestamp_ms)
            if self._chance.happens(0.02):
                lost = TransactionAbortedError("lost") if self._exactly_once else DeliveryError("not delivered")
                await self._suffer(lost)

    async def commit(
        self, offsets: Mapping[TopicPartition, int], membership: Membership | None = None
    ) -> dict[TopicPartition, int]:
        tried = any(where.topic == SOURCE for where in offsets)
        if tried:
            lost = TransactionAbortedError("lost") if self._exactly_once else OffsetsUnknownError("not stored")
            await self._suffer(lost)
        written = await super().commit(offsets, membership)
        if tried:
            # Exactly once a worker ends that does not know whether its transaction is committed.
            await self._suffer(TransportError("unknown") if self._exactly_once else OffsetsUnknownError("stored"))
        return written

    async def stop(self, *, leave: bool = True) -> None:
        # One that was killed says no good-bye.
        if not self.died.is_set():
            await super().stop(leave=leave)


def ordeal_app(guarantee: Any) -> ottla.App:
    """A table that an agent writes, and windows that close."""
    app = ottla.App(APP_ID, commit_interval=timedelta(milliseconds=2), processing_guarantee=guarantee, standbys=1)
    words = app.topic(SOURCE, key=str, value=int, partitions=PARTITIONS)
    counts = app.Table("counts", key=str, default=int)

    @app.agent(words, sink=[app.topic("counted", key=str, value=list[int], partitions=PARTITIONS)])
    async def count(words: ottla.Stream[int]) -> Any:
        async for event in words.events():
            counts[event.key] += 1
            yield [event.value, counts[event.key]]

    windows = app.stream(words).window(ottla.tumbling(timedelta(milliseconds=WINDOW_MS)))
    sums = windows.aggregate("sums", count=ottla.count())
    closed = app.topic("closed", key=str, value=list[int], partitions=PARTITIONS)
    sums.map(lambda window: [window.start, window.value.count], type=list[int]).to(closed)
    return app


async def supervised(cluster: Any, guarantee: Any, worker_id: str, chance: Chance, ended: asyncio.Event) -> None:
    """Runs a worker, and another one whenever that ended, on an empty disk if it was killed, until all has `ended`."""
    app, stores = ordeal_app(guarantee), MemoryStores()
    ending = asyncio.ensure_future(ended.wait())
    while not ended.is_set():
        transport = Ordeal(chance, cluster.broker, APP_ID, worker_id, exactly_once=guarantee == "exactly_once")
        worker = Worker(app.topology, app.config, transport, stores)
        running = asyncio.ensure_future(worker.run())
        died = asyncio.ensure_future(transport.died.wait())
        await asyncio.wait([running, died, ending], return_when=asyncio.FIRST_COMPLETED)
        if transport.died.is_set():
            running.cancel()
            stores = MemoryStores()
        worker.stop()
        died.cancel()
        with suppress(asyncio.CancelledError, OttlaError):
            await running


def found(cluster: Any, topic: str) -> dict[str, list[list[int]]]:
    results: dict[str, list[list[int]]] = defaultdict(list)
    for message in cluster.broker.messages(topic):
        results[(message.key() or b"").decode()].append(msgspec.json.decode(message.value() or b""))
    return results


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_whatever_is_killed_fails_or_comes_late(
    play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, guarantee: Any, seed: int
) -> None:
    monkeypatch.setattr(recovery, "_FIRST_BACKOFF_S", 0.0)
    monkeypatch.setattr(recovery, "_REPLACED_WITHIN_S", 0.05)
    chance = Chance(seed)
    numbers: dict[str, list[int]] = defaultdict(list)
    windows: Counter[tuple[str, int]] = Counter()

    async def send(cluster: Any) -> None:
        number = 0
        for _ in range(SENDS):
            for word in chance.draw.choices(WORDS, k=chance.draw.randint(1, 20)):
                cluster.send(SOURCE, (word, str(number)), at_ms=number)
                numbers[word].append(number)
                windows[word, number // WINDOW_MS * WINDOW_MS] += 1
                number += 1
            await asyncio.sleep(chance.draw.uniform(0, 0.01))
            if chance.happens(0.1) and (members := sorted(cluster.members(APP_ID))):
                cluster.broker.expire(APP_ID, chance.draw.choice(members))

    def processed(cluster: Any) -> bool:
        offsets = {where: end for where, end in cluster.offsets(APP_ID).items() if where.topic == SOURCE}
        return bool(offsets) and all(
            offsets.get(TopicPartition(SOURCE, number), 0) == len(log.entries)
            for number, log in enumerate(cluster.broker.topics[SOURCE])
        )

    async def scenario(cluster: Any) -> None:
        ended = asyncio.Event()
        workers = [
            asyncio.create_task(supervised(cluster, guarantee, f"w{index}", chance, ended)) for index in range(WORKERS)
        ]
        await eventually(lambda: SOURCE in cluster.broker.topics)
        await send(cluster)
        chance.calm = True
        await eventually(lambda: processed(cluster))
        ended.set()
        await asyncio.gather(*workers)
        await cluster.run_to_end(ordeal_app(guarantee), "last")  # restores all, and closes the windows that are open
        counted, closed = found(cluster, "counted"), found(cluster, "closed")
        if guarantee == "exactly_once":
            assert counted == {
                word: [[number, seen] for seen, number in enumerate(of_word, 1)] for word, of_word in numbers.items()
            }
            assert Counter((word, *window) for word, each in closed.items() for window in each) == Counter(
                (word, start, count) for (word, start), count in windows.items()
            )
            return
        for word, of_word in numbers.items():
            assert {number for number, _ in counted[word]} == set(of_word)
            assert max(seen for _, seen in counted[word]) >= len(of_word)
        most: Counter[tuple[str, int]] = Counter()
        for word, each in closed.items():
            for start, count in each:
                most[word, start] = max(most[word, start], count)
        assert not {window: (most[window], count) for window, count in windows.items() if most[window] < count}

    play(scenario)
