"""Settings of a topic that change while it is written to, retained and compacted, against a plain model.

By chance: segment.bytes, retention.*, cleanup.policy, max.message.bytes, min.cleanable.dirty.ratio and
message.timestamp.type are altered, records come with and without keys, and the node stops or is killed, and starts.
The model knows every record that was acknowledged, and for each that is gone why it may be.

A failing run is named by its seed and replays exactly.
"""

import asyncio
import dataclasses
import random
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ottla_broker.cluster.configs import Alteration, Operation
from ottla_broker.cluster.image import ResourceType
from ottla_broker.cluster.topics import NewTopic
from ottla_broker.log.checkpoints import RECOVERY_POINTS
from ottla_broker.log.config import OPTIONS
from ottla_broker.log.partition import PartitionLog
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.records import NewRecord, build_batch, iter_batches

STEPS = 120
EPOCH_MS = 1_700_000_000_000
CHOICES = {
    "segment.bytes": ["1000", "3000", "1000000"],
    "retention.ms": ["-1", "50000", "200000"],
    "retention.bytes": ["-1", "2000", "6000"],
    "cleanup.policy": ["delete", "compact", "delete,compact"],
    "max.message.bytes": ["200", "600", "100000"],
    "min.cleanable.dirty.ratio": ["0.0", "0.5", "1.0"],
    "message.timestamp.type": ["CreateTime", "LogAppendTime"],
    "delete.retention.ms": ["0", "100000"],
    "file.delete.delay.ms": ["0"],
}
DEFAULTS = {
    "segment.bytes": "1073741824",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    "max.message.bytes": "1048588",
    "min.cleanable.dirty.ratio": "0.5",
    "message.timestamp.type": "CreateTime",
}


class Written(NamedTuple):
    key: bytes | None
    value: bytes | None
    timestamp: int


class World:
    def __init__(self, start: Any, directory: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.start, self.directory = start, directory
        self.chance = random.Random(seed)
        self.now_ms = EPOCH_MS
        monkeypatch.setattr("ottla_broker.node.clock", lambda: self.now_ms)
        small = dataclasses.replace(OPTIONS["segment.bytes"], parse=int)  # so that there are many segments
        monkeypatch.setitem(OPTIONS, "segment.bytes", small)
        self.settings = dict(DEFAULTS)
        self.records: dict[int, Written] = {}
        self.end = 0
        self.deleted = self.compacted = 0

    @property
    def log(self) -> PartitionLog:
        log = self.node._logs.get("t", 0)
        assert log is not None
        return log

    @property
    def deletes(self) -> bool:
        return "delete" in self.settings["cleanup.policy"]

    @property
    def compacts(self) -> bool:
        return "compact" in self.settings["cleanup.policy"]

    async def live(self) -> None:
        steps = {self.write: 50, self.alter: 20, self.retain: 10, self.compact: 12, self.roll: 5, self.restart: 3}
        left, killed = STEPS, False
        while left > 0:
            async with self.start(log_cleaner_enable="false", log_retention_check_interval_ms=2**31) as self.node:
                if "t" not in self.node.broker.image.topics:
                    await self.node.broker.controller.create_topics([NewTopic("t")])
                assert {
                    name: value
                    for name, value in self.settings.items()
                    if self.node.broker.image.config(ResourceType.TOPIC, "t").get(name, DEFAULTS.get(name)) != value
                } == {}
                self.check()
                while left > 0:
                    left -= 1
                    self.now_ms += self.chance.choice([1, 100, 10_000])
                    (step,) = self.chance.choices(list(steps), list(steps.values()))
                    if await step():
                        break
                    self.check()
                killed = self.chance.random() < 0.5
                if killed:
                    shutil.copytree(self.directory, self.directory.with_name("killed"))
            if killed:
                shutil.rmtree(self.directory)
                self.directory.with_name("killed").rename(self.directory)
                if self.chance.random() < 0.5:  # all that there is has to be looked at
                    (self.directory / RECOVERY_POINTS).unlink(missing_ok=True)

    def found(self) -> dict[int, Written]:
        """What the log holds from its start on."""
        found, offset = {}, self.log.log_start_offset
        while offset < self.log.log_end_offset:
            region = self.log.read(offset, self.chance.choice([1, 500, 100_000])).region
            assert region is not None
            for batch in iter_batches(self.log.read_bytes(region)):
                batch.validate()
                offset = batch.next_offset
                for record in batch.records():
                    if record.offset >= self.log.log_start_offset:
                        found[record.offset] = Written(record.key, record.value, record.timestamp)
        return found

    def check(self) -> None:
        assert self.log.log_end_offset == self.end
        assert self.found() == self.records

    # ---- what happens

    async def restart(self) -> bool:
        return True

    async def roll(self) -> None:
        self.log.roll(self.now_ms)

    async def alter(self) -> None:
        name = self.chance.choice(list(CHOICES))
        if name in DEFAULTS and self.chance.random() < 0.2:
            change, self.settings[name] = Alteration(name, Operation.DELETE), DEFAULTS[name]
        else:
            self.settings[name] = self.chance.choice(CHOICES[name])
            change = Alteration(name, Operation.SET, self.settings[name])
        await self.node.broker.controller.alter_config(ResourceType.TOPIC, "t", [change], validate_only=False)

    async def write(self) -> None:
        keyless = self.chance.random() < 0.15
        size = self.chance.choice([5, 5, 20, 150, 700])
        records = [
            NewRecord(
                None if keyless else b"k%d" % self.chance.randrange(8),
                b"x" * size if keyless or self.chance.random() < 0.8 else None,
                self.now_ms - self.chance.choice([0, 1_000, 100_000]),
            )
            for _ in range(self.chance.randint(1, 3))
        ]
        batch = build_batch(records)
        reasons = set()
        if len(batch) > int(self.settings["max.message.bytes"]):
            reasons.add(ErrorCode.MESSAGE_TOO_LARGE)
        if len(batch) > int(self.settings["segment.bytes"]):
            reasons.add(ErrorCode.RECORD_LIST_TOO_LARGE)
        if self.compacts and keyless:
            reasons.add(ErrorCode.INVALID_RECORD)
        if reasons:
            with pytest.raises(KafkaError) as error:
                self.node.broker.append(self.log, batch)
            assert error.value.code in reasons
            return
        appended = self.node.broker.append(self.log, batch)
        assert (appended.base_offset, appended.last_offset) == (self.end, self.end + len(records) - 1)
        stamped = self.settings["message.timestamp.type"] == "LogAppendTime"
        assert appended.log_append_time_ms == (self.now_ms if stamped else -1)
        for offset, record in enumerate(records, self.end):
            timestamp = self.now_ms if stamped else record.timestamp
            self.records[offset] = Written(record.key, record.value, timestamp)
        self.end += len(records)
        assert self.log.segments.active.size <= max(int(self.settings["segment.bytes"]), len(batch))

    async def retain(self) -> None:
        before, sizes = dict(self.records), [segment.size for segment in self.log.segments]
        self.node._logs.enforce_retention(self.log)
        self.records = {offset: record for offset, record in before.items() if offset >= self.log.log_start_offset}
        gone = [record for offset, record in before.items() if offset not in self.records]
        self.deleted += len(gone)
        retention_ms, retention_bytes = int(self.settings["retention.ms"]), int(self.settings["retention.bytes"])
        if not self.deletes:
            assert not gone
            return
        too_old = [0 <= retention_ms < self.now_ms - record.timestamp for record in gone]
        over_bytes = 0 <= retention_bytes <= sum(sizes) - sizes[0]
        assert all(too_old) or over_bytes
        first, remaining = self.log.segments[0], [segment.size for segment in self.log.segments]
        assert len(remaining) == 1 or retention_bytes < 0 or sum(remaining) - remaining[0] < retention_bytes
        if retention_ms >= 0 and first.size:
            assert self.now_ms - first.newest_timestamp()[0] <= retention_ms

    async def compact(self) -> None:
        before, dirty = dict(self.records), self.log.first_dirty_offset
        cleanable = self.log.segments.active.base_offset
        await self.node._logs.compact(self.log)
        self.records = self.found()
        gone = {offset: record for offset, record in before.items() if offset not in self.records}
        self.compacted += len(gone)
        if not self.compacts or self.settings["min.cleanable.dirty.ratio"] == "1.0":
            assert not gone
            return
        last = {record.key: offset for offset, record in before.items() if offset < cleanable}
        for offset, record in gone.items():
            superseded = record.key is not None and last[record.key] > offset
            assert offset < cleanable
            assert superseded or record.key is None or record.value is None, f"{offset} is lost"
        if self.log.first_dirty_offset > dirty:
            cleaned = [record.key for offset, record in self.records.items() if offset < self.log.first_dirty_offset]
            assert len(cleaned) == len(set(cleaned))
            assert None not in cleaned


@pytest.mark.parametrize("seed", range(5))
def test_settings_take_effect_at_once_and_nothing_is_lost_that_they_keep(
    start_node: Any, node_directory: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(start_node, node_directory, seed, monkeypatch)
    asyncio.run(world.live())
    assert world.end > 50
