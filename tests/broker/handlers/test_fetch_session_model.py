"""Incremental fetch sessions against a plain model of KIP-227: by chance, and through the whole protocol.

Topics are written to, cut, deleted and made anew, and change their leader, under clients that open sessions, go on with
them, get out of step, name their topics by name or by id, and come back after others have taken their slots. The model
says for each request which partitions are answered, with what, and why not.

A failing run is named by its seed and replays exactly.
"""

import itertools
import random
import uuid
from typing import Any

import pytest

from ottla_broker.fetch_sessions import EVICTION_MS
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from ottla_wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ForgottenTopic
from ottla_wire.records import iter_batches

TOPICS, PARTITIONS, SLOTS, STEPS = ("a", "b"), 2, 3, 150
NO_ID = uuid.UUID(int=0)
UNKNOWN = (-1, -1)

Key = tuple[str, uuid.UUID, int]


class Session:
    """What the model knows of one: epoch, how it names topics, its partitions in order, and what was told of each."""

    def __init__(self, by_id: bool, asked: dict[Key, int], now_ms: int) -> None:
        self.by_id = by_id
        self.epoch = 1
        self.offsets = dict(asked)
        self.told = dict.fromkeys(asked, UNKNOWN)
        self.created_ms = self.used_ms = now_ms


class Model:
    """Partitions as [start, end) with one record a batch, and sessions."""

    def __init__(self) -> None:
        self.topics: dict[str, tuple[uuid.UUID, list[list[int]]]] = {}
        self.led_elsewhere: set[tuple[str, int]] = set()
        self.sessions: dict[int, Session] = {}

    def log(self, key: Key) -> list[int] | ErrorCode:
        name, topic_id, index = key
        if topic_id != NO_ID:
            name = next((name for name, (existing, _) in self.topics.items() if existing == topic_id), "")
            if not name:
                return ErrorCode.UNKNOWN_TOPIC_ID
        if name not in self.topics:
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if (name, index) in self.led_elsewhere:
            return ErrorCode.NOT_LEADER_OR_FOLLOWER
        return self.topics[name][1][index]

    def answers(self, offsets: dict[Key, int], max_bytes: int) -> dict[Key, tuple[ErrorCode, int, int, list[int]]]:
        """Of each partition its error, high watermark, log start offset, and the offsets of the records."""
        result, any_records = {}, False
        for key, offset in offsets.items():
            log = self.log(key)
            if isinstance(log, ErrorCode):
                result[key] = log, -1, -1, list[int]()
            elif not log[0] <= offset <= log[1]:
                result[key] = ErrorCode.OFFSET_OUT_OF_RANGE, -1, -1, list[int]()
            else:
                found = list(range(offset, log[1]))
                if max_bytes == 1:  # room for one batch, wherever the first one is
                    found = [] if any_records else found[:1]
                any_records = any_records or bool(found)
                result[key] = ErrorCode.NONE, log[1], log[0], found
        return result

    def open(self, session_id: int, by_id: bool, asked: dict[Key, int], now_ms: int) -> None:
        if session_id:
            self.sessions[session_id] = Session(by_id, asked, now_ms)

    def makes_room(self, size: int, now_ms: int) -> bool:
        """Whether a session of so many partitions is opened; the one whose place it takes goes."""
        if not size:
            return False
        if len(self.sessions) < SLOTS:
            return True
        stale = [key for key, session in self.sessions.items() if now_ms - session.used_ms > EVICTION_MS]
        if stale:
            del self.sessions[min(stale, key=lambda key: self.sessions[key].used_ms)]
            return True
        settled = {key: len(s.offsets) for key, s in self.sessions.items() if now_ms - s.created_ms > EVICTION_MS}
        if not settled or min(settled.values()) >= size:
            return False
        least = [key for key, partitions in settled.items() if partitions == min(settled.values())]
        del self.sessions[min(least, key=lambda key: self.sessions[key].used_ms)]
        return True

    def news(self, session: Session, answers: dict[Key, tuple[ErrorCode, int, int, list[int]]]) -> list[Key]:
        """The partitions that the response has, in its order; those that got records are served last the next time."""
        news = []
        for key, (error, high_watermark, start, found) in answers.items():
            if error or found or session.told[key] != (high_watermark, start):
                news.append(key)
                session.told[key] = UNKNOWN if error else (high_watermark, start)
            if found:
                session.offsets[key] = session.offsets.pop(key)
        return news


class World:
    def __init__(self, client: Any, seed: int) -> None:
        self.client = client
        self.chance = random.Random(seed)
        self.model = Model()
        self.now_ms = client.node.broker.clock()
        client.node.broker.clock = lambda: self.now_ms
        self.given: dict[int, bool] = {}  # sessions that there ever were, and whether they name topics by id
        self.counts: dict[str, int] = {}

    async def live(self) -> None:
        for name in TOPICS:
            await self.make(name)
        steps = {
            self.go_on: 40,
            self.open: 8,
            self.close: 2,
            self.produce: 20,
            self.cut: 4,
            self.remove: 3,
            self.restore: 5,
            self.lead_elsewhere: 3,
            self.lead: 4,
            self.wait: 4,
        }
        for _ in range(STEPS):
            self.now_ms += 1  # so that no two sessions were used at the same time
            (step,) = self.chance.choices(list(steps), list(steps.values()))
            await step()
            sessions = self.client.node.broker.fetch_sessions
            assert len(sessions) == len(self.model.sessions)
            assert sessions.partitions == sum(len(session.offsets) for session in self.model.sessions.values())

    # ---- what happens to topics

    async def make(self, name: str) -> None:
        await self.client.create(name, partitions=PARTITIONS)
        self.model.topics[name] = self.client.node.broker.image.topics[name].id, [[0, 0] for _ in range(PARTITIONS)]

    def place(self) -> tuple[str, int] | None:
        names = list(self.model.topics)
        return (self.chance.choice(names), self.chance.randrange(PARTITIONS)) if names else None

    async def produce(self) -> None:
        place = self.place()
        if place is not None and place not in self.model.led_elsewhere:
            for _ in range(self.chance.randint(1, 3)):
                await self.client.produce(place[0], b"v", index=place[1])
                self.model.topics[place[0]][1][place[1]][1] += 1

    async def cut(self) -> None:
        place = self.place()
        if place is not None and place not in self.model.led_elsewhere:
            log = self.model.topics[place[0]][1][place[1]]
            log[0] = self.chance.randint(*log)
            partition = DeleteRecordsPartition(partition_index=place[1], offset=log[0])
            topic = DeleteRecordsTopic(name=place[0], partitions=[partition])
            await self.client.ask(DeleteRecordsRequest(topics=[topic], timeout_ms=1_000), 2)

    async def remove(self) -> None:
        place = self.place()
        if place is not None:
            broker = self.client.node.broker
            await broker.controller.delete_topics([broker.image.topics[place[0]]])
            del self.model.topics[place[0]]
            self.model.led_elsewhere = {other for other in self.model.led_elsewhere if other[0] != place[0]}

    async def restore(self) -> None:
        for name in set(TOPICS) - self.model.topics.keys():
            await self.make(name)

    async def lead_elsewhere(self) -> None:
        place = self.place()
        if place is not None and place not in self.model.led_elsewhere:
            await self.client.change(*place, leader=2)
            self.model.led_elsewhere.add(place)

    async def lead(self) -> None:
        for place in sorted(self.model.led_elsewhere)[:1]:
            await self.client.change(*place, leader=1)
            self.model.led_elsewhere.remove(place)

    async def wait(self) -> None:
        self.now_ms += self.chance.choice([1_000, EVICTION_MS // 2, EVICTION_MS + 1])

    # ---- what clients do

    def keys(self, by_id: bool, most: int) -> list[Key]:
        """Some partitions by name or by id, of topics that are gone, too."""
        every = [
            ("", self.model.topics[name][0] if name in self.model.topics else uuid.UUID(int=99), index)
            if by_id
            else (name, NO_ID, index)
            for name in TOPICS
            for index in range(PARTITIONS)
        ]
        return sorted(self.chance.sample(every, self.chance.randint(0, min(most, len(every)))))

    def offset(self, key: Key) -> int:
        log = self.model.log(key)
        if isinstance(log, ErrorCode):
            return 0
        return self.chance.choice([log[0], log[1], log[1], self.chance.randint(*log), log[1] + 1, max(log[0] - 1, 0)])

    async def fetch(
        self, session_id: int, epoch: int, by_id: bool, asked: dict[Key, int], forgotten: list[Key], max_bytes: int
    ) -> Any:
        topics = [
            FetchTopic(
                topic=name,
                topic_id=topic_id,
                partitions=[
                    FetchPartition(partition=key[2], fetch_offset=asked[key], partition_max_bytes=1 << 20)
                    for key in keys
                ],
            )
            for (name, topic_id), keys in itertools.groupby(asked, key=lambda key: key[:2])
        ]
        request = FetchRequest(
            max_wait_ms=0,
            min_bytes=1,
            max_bytes=max_bytes,
            session_id=session_id,
            session_epoch=epoch,
            topics=topics,
            forgotten_topics_data=[
                ForgottenTopic(topic=key[0], topic_id=key[1], partitions=[key[2]]) for key in forgotten
            ],
        )
        return await self.client.ask(request, 15 if by_id else 12)

    def check(self, response: Any, answers: dict[Key, tuple[ErrorCode, int, int, list[int]]], news: list[Key]) -> None:
        assert response.error_code == ErrorCode.NONE
        got = {
            (topic.topic, topic.topic_id, partition.partition_index): partition
            for topic in response.responses
            for partition in topic.partitions
        }
        assert list(got) == news
        for key, partition in got.items():
            error, high_watermark, start, found = answers[key]
            assert ErrorCode(partition.error_code) is error
            assert (partition.high_watermark, partition.log_start_offset) == (high_watermark, start)
            assert [batch.base_offset for batch in iter_batches(partition.records)] == found
            self.counts[error.name] = self.counts.get(error.name, 0) + 1

    async def open(self) -> None:
        by_id = self.chance.random() < 0.5
        asked = {key: self.offset(key) for key in self.keys(by_id, 4)}
        replaced = self.chance.choice([0, 0, *self.model.sessions])
        self.model.sessions.pop(replaced, None)
        max_bytes = self.chance.choice([1, 1 << 20])
        answers = self.model.answers(asked, max_bytes)
        opens = self.model.makes_room(len(asked), self.now_ms)
        response = await self.fetch(replaced, 0, by_id, asked, [], max_bytes)
        assert bool(response.session_id) is opens
        self.check(response, answers, list(answers))
        self.given[response.session_id] = by_id
        self.model.open(response.session_id, by_id, asked, self.now_ms)
        if opens:
            self.model.news(self.model.sessions[response.session_id], answers)

    async def close(self) -> None:
        session_id = self.chance.choice(list(self.given) or [0])
        self.model.sessions.pop(session_id, None)
        response = await self.fetch(session_id, -1, False, {}, [], 1 << 20)
        assert (response.error_code, response.session_id, response.responses) == (0, 0, [])

    async def go_on(self) -> None:
        session_id = self.chance.choice([*self.given, *self.model.sessions] or [77])
        session = self.model.sessions.get(session_id)
        by_id, epoch = self.given.get(session_id, False), 1 if session is None else session.epoch
        if self.chance.random() < 0.05:
            by_id = not by_id
        if self.chance.random() < 0.05:
            epoch += self.chance.choice([-1, 1]) if epoch > 1 else 1
        asked = {key: self.offset(key) for key in self.keys(by_id, 2)}
        forgotten = self.chance.sample(list(session.offsets), 1) if session and self.chance.random() < 0.2 else []
        max_bytes = self.chance.choice([1, 1 << 20])
        response = await self.fetch(session_id, epoch, by_id, asked, forgotten, max_bytes)
        refusal = self.refusal(session, epoch, by_id)
        if refusal is not None or session is None:
            assert (response.error_code, response.responses) == (refusal, [])
            self.counts[ErrorCode(response.error_code).name] = 1
            return
        session.epoch += 1
        session.used_ms = self.now_ms
        for key, offset in asked.items():
            session.offsets[key] = offset
            session.told.setdefault(key, UNKNOWN)
        for key in forgotten:
            session.offsets.pop(key, None)
            session.told.pop(key, None)
        if not session.offsets:
            del self.model.sessions[session_id]
            assert (response.error_code, response.session_id, response.responses) == (0, 0, [])
            return
        assert response.session_id == session_id
        answers = self.model.answers(session.offsets, max_bytes)
        self.check(response, answers, self.model.news(session, answers))

    def refusal(self, session: Session | None, epoch: int, by_id: bool) -> ErrorCode | None:
        if session is None:
            return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
        if epoch != session.epoch:
            return ErrorCode.INVALID_FETCH_SESSION_EPOCH
        return ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR if by_id is not session.by_id else None


@pytest.mark.parametrize("seed", range(8))
def test_sessions_do_what_the_model_says(with_client: Any, seed: int) -> None:
    async def scenario(client: Any) -> None:
        world = World(client, seed)
        await world.live()
        assert world.counts["NONE"] > 10
        assert len(world.counts) > 3

    with_client(scenario, max_incremental_fetch_session_cache_slots=SLOTS)
