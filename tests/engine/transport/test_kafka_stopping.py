"""A transport that is stopped while the broker owes it the answer to a commit."""

import asyncio
import logging
import time
from collections.abc import Iterator

import pytest

from ottla.transport.contract import OutputRecord, TopicSpec
from ottla.transport.errors import TransportError
from ottla.transport.kafka import KafkaTransport
from ottla.transport.kafka_settings import KafkaSettings

from ...withholding import END_TXN, WithholdingProxy, broker_behind_proxy

STOP_WITHIN_S = 9.0
"""Less than what a transport gives itself."""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WithholdingProxy]:
    with broker_behind_proxy(tmp_path_factory.mktemp("broker")) as proxy:
        yield proxy


async def begun(proxy: WithholdingProxy, worker_id: str, transaction_timeout_ms: int = 60_000) -> KafkaTransport:
    """A transport with an open transaction."""
    settings = KafkaSettings(proxy.address, "app", worker_id, transaction_timeout_ms=transaction_timeout_ms)
    transport = KafkaTransport(settings)
    await transport.start()
    await transport.create_topics([TopicSpec("out", 1)])
    await transport.produce([OutputRecord("out", b"k", b"v", int(time.time() * 1000))])
    return transport


def test_a_commit_that_nobody_waits_for_any_more_ends_before_the_producer_is_closed(
    proxy: WithholdingProxy, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        transport = await begun(proxy, "given-up")
        with proxy.withholding(END_TXN) as withheld:
            committing = asyncio.create_task(transport.commit({}))
            assert await asyncio.to_thread(withheld.wait, 100)
            committing.cancel()
            stopping = asyncio.create_task(transport.stop())
            await asyncio.wait([committing])
            assert not stopping.done()
        await asyncio.wait_for(stopping, STOP_WITHIN_S)

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert caplog.messages == []


def test_a_commit_that_may_have_taken_place_is_not_aborted(
    proxy: WithholdingProxy, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        transport = await begun(proxy, "in-doubt", transaction_timeout_ms=2_000)
        with proxy.withholding(END_TXN):
            with pytest.raises(TransportError, match=r"^committing the transaction failed: Timed out"):
                await transport.commit({})
            await asyncio.wait_for(transport.stop(), STOP_WITHIN_S)

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert caplog.messages == []
