"""A worker on the event loop of another program: `app.running()`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

import ottla
from ottla.errors import OttlaError


def doubling(broker: str, tmp_path: Path) -> tuple[ottla.App, ottla.Agent[int, int]]:
    app = ottla.App(
        f"hosted-{uuid4().hex[:8]}", broker=broker, state_dir=tmp_path, commit_interval=timedelta(milliseconds=10)
    )

    @app.agent(app.topic(f"{app.id}-in", key=str, value=int, partitions=1))
    async def double(stream: ottla.Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            if number == 13:
                raise ValueError("no thirteens")
            yield number * 2

    return app, double


def test_code_of_the_program_asks_while_the_worker_runs(ottla_broker: str, tmp_path: Path) -> None:
    app, double = doubling(ottla_broker, tmp_path)

    async def scenario() -> None:
        async with asyncio.timeout(100):
            async with app.running():
                # A task of the program's own, as an endpoint is.
                assert await asyncio.create_task(double.join([1, 2, 3], key="k")) == [2, 4, 6]
            with pytest.raises(ottla.NotInTask):
                await double.send(value=1)

    asyncio.run(scenario())


def test_what_ended_the_worker_is_logged_then_and_raised_at_the_end(
    ottla_broker: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app, double = doubling(ottla_broker, tmp_path)
    app.config = ottla.App(app.id, broker=ottla_broker, state_dir=tmp_path, on_error="fail").config

    async def scenario() -> None:
        async with asyncio.timeout(100), app.running():
            await double.send(key="k", value=13)
            while "nothing can be sent any more" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            with pytest.raises(ottla.NotInTask):
                await double.send(value=1)

    with pytest.raises(OttlaError, match="no thirteens"):
        asyncio.run(scenario())
