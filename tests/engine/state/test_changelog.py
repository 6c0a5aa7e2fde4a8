"""Restoring from a changelog: what a store lacks is read, and a store is made anew if that cannot be known."""

import asyncio
from collections.abc import Iterable, Mapping

import pytest

from ottla.state.changelog import StateProgress, restore
from ottla.state.global_store import GlobalStore
from ottla.state.memory import MemoryStores
from ottla.state.store import KeyValueStore, StoreSpec
from ottla.transport.contract import OffsetRange, OutputRecord, TopicPartition, TopicSpec
from ottla.transport.errors import TransportError
from ottla.transport.memory import MemoryBroker, MemoryTransport

CHANGELOG = TopicPartition("log", 0)
HOUR_S = 3600


class Bench(MemoryTransport):
    """A changelog that keeps deletions for two hours, a store that follows it, and a clock."""

    def __init__(self, config: Mapping[str, str] | None = None, partitions: int = 1) -> None:
        self.log = MemoryBroker()
        super().__init__(self.log, "app", "w0")
        config = {"delete.retention.ms": "7200000"} if config is None else config
        self.log.create_topic(TopicSpec(CHANGELOG.topic, partitions, config))
        self.hours = 0.0
        self.stores = MemoryStores(lambda: self.hours * HOUR_S)
        self.store = self.stores.open("0_0", "table")
        self.reads: list[dict[TopicPartition, OffsetRange]] = []

    def read(self, ranges: Mapping[TopicPartition, OffsetRange]):  # type: ignore[no-untyped-def]
        self.reads.append({where: each for where, each in ranges.items() if each.start < each.end})
        return super().read(ranges)

    def write(self, *pairs: tuple[bytes, bytes | None], partition: int = 0) -> None:
        self.log.append([OutputRecord(CHANGELOG.topic, key, value, 0, None, partition) for key, value in pairs])

    def compact(self, *offsets: int, partition: int = 0) -> None:
        for offset in offsets:
            self.log.topics[CHANGELOG.topic][partition].entries[offset] = None

    def restore(self, stores: Mapping[TopicPartition, KeyValueStore] | None = None) -> int:
        return asyncio.run(restore(self, stores or {CHANGELOG: self.store}))


def deleted_meanwhile(bench: Bench) -> None:
    """The store has "a" and "b"; "a" is deleted, and compaction has removed all that was ever said of it."""
    bench.write((b"a", b"1"), (b"b", b"1"))
    bench.restore()
    bench.store.write_batch([], 2)
    bench.write((b"a", None), (b"b", b"2"))
    bench.compact(0, 1, 2)


@pytest.mark.parametrize("hours", [2.0, 50.0])
def test_a_store_that_may_have_missed_a_deletion_is_made_anew(hours: float) -> None:
    bench = Bench()
    deleted_meanwhile(bench)
    bench.hours = hours
    assert bench.restore() == 1
    assert list(bench.store.range()) == [(b"b", b"2")]
    assert bench.reads[-1] == {CHANGELOG: OffsetRange(0, 4)}


def test_a_younger_store_reads_what_it_lacks() -> None:
    bench = Bench()
    bench.write((b"a", b"1"), (b"b", b"1"))
    bench.restore()
    bench.write((b"a", None), (b"b", b"2"))
    bench.hours = 1.9
    assert bench.restore() == 2
    assert list(bench.store.range()) == [(b"b", b"2")]
    assert bench.reads[-1] == {CHANGELOG: OffsetRange(2, 4)}


def test_an_old_store_stays_if_nothing_was_written_since() -> None:
    bench = Bench()
    bench.write((b"a", b"1"))
    bench.log.append([OutputRecord(CHANGELOG.topic, b"b", b"2", 0, None, 0)], transaction=True)
    bench.store.write_batch([(b"a", b"1"), (b"b", b"2")], 2)  # The marker has offset 2.
    bench.hours = 100
    assert bench.restore() == 0
    assert (list(bench.store.range()), bench.store.offset) == ([(b"a", b"1"), (b"b", b"2")], 3)


def test_a_store_does_not_get_younger_by_restoring_a_part_of_what_it_lacks() -> None:
    bench = Bench()
    deleted_meanwhile(bench)
    bench.hours = 1.5
    bench.store.restore([], 3)
    bench.hours = 2.5
    bench.restore()
    assert list(bench.store.range()) == [(b"b", b"2")]


def test_a_topic_that_says_nothing_keeps_deletions_for_a_day() -> None:
    bench = Bench({})
    deleted_meanwhile(bench)
    bench.hours = 23.9
    bench.restore()
    assert bench.store.get(b"a") == b"1", "the deletion would be there still"
    bench.write((b"b", b"3"))
    bench.hours = 24
    bench.restore()
    assert bench.store.get(b"a") is None


def test_a_cluster_that_does_not_tell_configs_is_taken_for_one_with_kafkas_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    deleted_meanwhile(bench)

    async def refused(_: Iterable[str]) -> dict[str, Mapping[str, str | None]]:
        raise TransportError("not authorized")

    monkeypatch.setattr(bench, "configs", refused)
    bench.hours = 24
    assert bench.restore() == 1
    assert list(bench.store.range()) == [(b"b", b"2")]


@pytest.mark.parametrize("start", [0, 3])
def test_a_store_whose_offset_is_not_in_the_changelog_is_made_anew(start: int) -> None:
    bench = Bench()
    bench.store.write_batch([(b"a", b"1")], 2 if start else 9)
    bench.write(*((b"b", b"%d" % number) for number in range(5)))
    bench.log.delete_records_before(CHANGELOG, start)
    assert bench.restore() == 5 - start
    assert list(bench.store.range()) == [(b"b", b"4")]


def test_of_a_global_table_all_partitions_are_made_anew() -> None:
    bench = Bench(partitions=2)
    text = str.encode, bytes.decode
    table = GlobalStore(StoreSpec("words", CHANGELOG.topic, *text, *text), bench.store)
    parts = {TopicPartition(CHANGELOG.topic, number): table.partition(number) for number in range(2)}
    bench.write((b"a", b"1"), partition=0)
    bench.write((b"b", b"1"), partition=1)
    bench.restore(parts)
    bench.write((b"a", None), (b"c", b"3"), partition=0)
    bench.compact(0, 1)
    bench.hours = 3
    assert bench.restore(parts) == 2
    assert list(table.range()) == [("b", "1"), ("c", "3")]


def test_progress_says_how_far_each_part_is() -> None:
    bench = Bench()
    bench.write((b"a", b"1"), (b"b", b"2"))
    told = []

    def note(where: TopicPartition, *phase_and_offsets: object) -> None:
        told.append(StateProgress("table", where.partition, *phase_and_offsets))  # type: ignore[arg-type]

    asyncio.run(restore(bench, {CHANGELOG: bench.store}, told=note))
    assert [(each.phase, each.offset, each.end) for each in told] == [
        ("begun", 0, 2),
        ("advanced", 2, 2),
        ("ended", 2, 2),
    ]
