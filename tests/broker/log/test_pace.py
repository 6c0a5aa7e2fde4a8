"""Compaction at the pace that it is given, and its end when the broker stops."""

import asyncio
import threading
import time
import uuid

import pytest

from ottla_broker.log.config import LogConfig, LogManagerConfig
from ottla_broker.log.errors import CompactionStopped
from ottla_broker.log.manager import LogManager
from ottla_broker.log.pace import Pace
from ottla_broker.log.partition import Origin
from ottla_wire.records import NewRecord, build_batch

COMPACT = LogConfig(cleanup_policy=frozenset({"compact"}), segment_bytes=100_000, min_cleanable_dirty_ratio=0.0)


def test_a_pace_holds_over_what_is_spent_together() -> None:
    pace = Pace()
    pace.limit(100_000)
    begun = time.monotonic()
    for _ in range(50):
        pace.spend(1_000)
    assert time.monotonic() - begun > 0.3  # 50 KB of 100 KB/s, less the last stretch


def test_without_a_limit_nothing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace()
    monkeypatch.setattr(pace._stopped, "wait", lambda _timeout: pytest.fail("it paused"))
    for _ in range(1_000):
        pace.spend(1 << 30)


def test_a_pause_ends_when_the_work_is_to_stop() -> None:
    pace = Pace()
    pace.limit(1)
    threading.Timer(0.05, pace.stop).start()
    with pytest.raises(CompactionStopped):
        pace.spend(1_000_000)
    with pytest.raises(CompactionStopped):
        pace.spend(0)


class Clocks:
    """Time that passes when something is computed, by this thread or beside it, or when there is a pause."""

    def __init__(self, pace: Pace, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.own_s, self.others_s = 100.0, 5.0, 7.0
        self.others_busy = 0.0
        self.paused_s = 0.0
        monkeypatch.setattr("ottla_broker.log.pace.time", self)
        monkeypatch.setattr(pace._stopped, "wait", self.pause)

    def monotonic(self) -> float:
        return self.now_s

    def thread_time(self) -> float:
        return self.own_s

    def process_time(self) -> float:
        return self.own_s + self.others_s

    def compute(self, seconds: float) -> None:
        self.own_s += seconds
        self.pass_(seconds)

    def pass_(self, seconds: float) -> None:
        self.now_s += seconds
        self.others_s += seconds * self.others_busy

    def pause(self, seconds: float) -> bool:
        self.paused_s += seconds
        self.pass_(seconds)
        return False


@pytest.mark.parametrize(
    ("others_busy", "shortest", "longest"), [(0.0, 0.0, 0.0), (0.1, 0.25, 0.35), (0.5, 1.4, 1.6), (1.0, 2.9, 3.1)]
)
def test_beside_busy_threads_it_computes_less_and_beside_idle_ones_all_the_time(
    monkeypatch: pytest.MonkeyPatch, others_busy: float, shortest: float, longest: float
) -> None:
    pace = Pace()
    clocks = Clocks(pace, monkeypatch)
    clocks.others_busy = others_busy
    for _ in range(2_000):
        clocks.compute(0.0005)
        pace.spend(100)
    assert shortest <= clocks.paused_s <= longest


def test_a_thread_that_becomes_busy_has_way_made_for_it_within_two_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace()
    clocks = Clocks(pace, monkeypatch)
    for _ in range(100):
        clocks.compute(0.001)
        pace.spend(100)
    assert clocks.paused_s == 0
    clocks.others_busy = 1.0
    for _ in range(4):
        clocks.compute(0.001)
        pace.spend(100)
    assert clocks.paused_s > 0.005


def test_a_stop_does_not_wait_for_a_compaction_and_leaves_the_log_as_it_was(bench) -> None:
    async def main() -> None:
        config = LogManagerConfig(cleaner_io_max_bytes_per_second=1.0)
        manager = LogManager(bench.directory / "data", config, lambda: bench.now_ms, bench.disk)
        manager.open(1)
        log = manager.create("t", uuid.UUID(int=7), 0, COMPACT)
        for number in range(5):
            records = [NewRecord(b"key", str(number).encode() * 100, bench.now_ms) for _ in range(50)]
            log.append(build_batch(records), leader_epoch=0, now_ms=bench.now_ms, origin=Origin.CLIENT)
            log.roll(bench.now_ms)
        log.update_high_watermark(log.log_end_offset)
        compacting = asyncio.create_task(manager.compact(log))
        await asyncio.sleep(0.05)
        assert not compacting.done()
        end = asyncio.create_task(manager.close())
        with pytest.raises(CompactionStopped):
            await asyncio.wait_for(compacting, 60)
        await asyncio.wait_for(end, 60)
        assert not any(name.endswith((".swap", ".cleaned")) for name in bench.disk.list(log.directory))
        assert manager.directory is not None

    asyncio.run(main())
