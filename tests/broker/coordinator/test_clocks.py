"""Sessions take as long as they take: whatever the clock is set to, and whether or not the broker could listen."""

import asyncio

import pytest

from ottla_broker.config import BrokerConfig
from ottla_broker.node import Node
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.heartbeat import HeartbeatRequest
from ottla_wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from ottla_wire.messages.sync_group import SyncGroupRequest

from ..virtual_time import let_nodes_live_in, run

SESSION_S = 10
HOUR_MS = 3_600_000


@pytest.fixture
def world(monkeypatch, node_directory):
    """`world(scenario)`: runs it in virtual time with a node and the member of a group, who is new to it."""

    def run_scenario(scenario):
        async def main(loop):
            let_nodes_live_in(loop, monkeypatch)
            settings = {"listeners": "127.0.0.1:0", "log.dirs": str(node_directory)}
            settings |= {"offsets.topic.num.partitions": "1", "group.initial.rebalance.delay.ms": "0"}
            node = await Node.start(BrokerConfig.of(settings))
            try:
                await node.broker.groups.locate("group")
                await scenario(loop, await Member(node.broker.groups).join())
            finally:
                await node.stop()

        run(main)

    return run_scenario


class Member:
    def __init__(self, groups):
        self.groups = groups

    async def join(self):
        request = JoinGroupRequest(
            group_id="group",
            session_timeout_ms=SESSION_S * 1_000,
            rebalance_timeout_ms=SESSION_S * 1_000,
            member_id="",
            protocol_type="consumer",
            protocols=[JoinGroupRequestProtocol(name="range", metadata=b"")],
        )
        joined = await self.groups.join(request, client_id="client", client_host="/host", version=3)
        self.identity = {"group_id": "group", "generation_id": joined.generation_id, "member_id": joined.member_id}
        await self.groups.sync(SyncGroupRequest(**self.identity, assignments=[]))
        return self

    def heartbeat(self):
        """Whether it is still a member."""
        try:
            self.groups.heartbeat(HeartbeatRequest(**self.identity))
        except KafkaError as error:
            if error.code is not ErrorCode.UNKNOWN_MEMBER_ID:
                raise
            return False
        return True


@pytest.mark.parametrize("set_by_ms", [-HOUR_MS, HOUR_MS, -2_000, 2_000, -900, 900], ids=lambda ms: f"{ms} ms")
def test_a_clock_that_is_set_neither_ends_sessions_nor_prolongs_them(world, set_by_ms):
    async def scenario(loop, member):
        await asyncio.sleep(SESSION_S - 1)
        loop.set_by_ms = set_by_ms
        await asyncio.sleep(0.5)
        assert member.heartbeat()
        await asyncio.sleep(SESSION_S - 0.5)
        assert member.heartbeat()
        await asyncio.sleep(SESSION_S + 0.5)
        assert not member.heartbeat()

    world(scenario)


def test_a_clock_that_is_set_while_nobody_asks_prolongs_no_session(world):
    async def scenario(loop, member):
        loop.set_by_ms = -HOUR_MS
        await asyncio.sleep(SESSION_S + 0.5)
        assert not member.heartbeat()

    world(scenario)


def test_who_could_not_be_heard_because_the_broker_stood_still_keeps_its_session(world):
    async def scenario(loop, member):
        loop.now_s += 3 * SESSION_S  # stopped, or starved: what the member sent meanwhile is read after that
        await asyncio.sleep(0.5)
        assert member.heartbeat()
        await asyncio.sleep(SESSION_S - 0.5)
        assert member.heartbeat()

    world(scenario)


def test_one_standstill_after_the_other_does_not_put_deadlines_off_for_ever(world):
    async def scenario(loop, member):
        for _ in range(2):
            loop.now_s += 3 * SESSION_S
            await asyncio.sleep(0.5)
        assert not member.heartbeat()

    world(scenario)


def test_who_is_silent_after_a_standstill_too_loses_its_session(world):
    async def scenario(loop, member):
        loop.now_s += 3 * SESSION_S
        await asyncio.sleep(1.5)
        assert not member.heartbeat()

    world(scenario)
