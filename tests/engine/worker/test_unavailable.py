"""What an event needs is away for a while: nothing is dead-lettered, nothing is lost, nothing is done twice."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

import ottla
from ottla.errors import Unavailable
from ottla.serdes import Codec


class Away:
    """A codec for numbers whose first calls fail."""

    def __init__(self, *, decodes: int = 0, encodes: int = 0) -> None:
        self.decodes, self.encodes = decodes, encodes
        self.codec: Codec[int] = Codec("away", self._encode, self._decode, int)

    def _encode(self, value: int) -> bytes:
        self.encodes -= 1
        if self.encodes >= 0:
            raise Unavailable("the registry is away")
        return b"%d" % value

    def _decode(self, data: bytes) -> int:
        self.decodes -= 1
        if self.decodes >= 0:
            raise Unavailable("the registry is away")
        return int(data)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ottla.worker.recovery._FIRST_BACKOFF_S", 0.0001)
    monkeypatch.setattr("ottla.worker.provisioning._FIRST_BACKOFF_S", 0.0001)


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize("away", [{"decodes": 9}, {"encodes": 9}, {"decodes": 1, "encodes": 1}])
def test_events_wait_for_their_codec(
    play: Callable[..., None],
    make_app: Callable[..., ottla.App],
    away: dict[str, int],
    guarantee: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = make_app(processing_guarantee=guarantee)
    codec = Away(**away).codec
    app.stream(app.topic("in", value=codec, partitions=2)).to(app.topic("out", value=codec, partitions=2))

    async def scenario(cluster: Any) -> None:
        for spec in app.topology.topics:
            cluster.broker.create_topic(spec)
        cluster.send("in", ("a", "1"), ("b", "2"), ("c", "3"))
        with caplog.at_level(logging.WARNING):
            await cluster.run_to_end(app)
        assert sorted(cluster.values("out")) == ["1", "2", "3"]
        assert cluster.values("shop-dead-letter") == []

    play(scenario)
    assert "going back to the last commit: the registry is away" in caplog.text


def test_a_function_may_say_that_what_it_needs_is_away(
    play: Callable[..., None], make_app: Callable[..., ottla.App]
) -> None:
    app = make_app(on_error="skip")
    attempts = iter(range(100))

    def look_up(value: str) -> str:
        if next(attempts) < 3:
            raise Unavailable("the service is away")
        return value.upper()

    app.stream(app.topic("in", value=str, partitions=1)).map(look_up).to(app.topic("out", value=str, partitions=1))

    async def scenario(cluster: Any) -> None:
        cluster.broker.create_topic(app.topology.topics[0])
        cluster.send("in", ("a", "x"))
        await cluster.run_to_end(app)
        assert cluster.values("out") == ["X"]

    play(scenario)


def test_a_worker_that_waits_can_be_stopped(
    play: Callable[..., None], make_app: Callable[..., ottla.App], eventually: Callable[..., Any]
) -> None:
    app = make_app()
    away = Away(decodes=10**9)
    app.stream(app.topic("in", value=away.codec, partitions=1)).to(app.topic("out", value=away.codec, partitions=1))

    async def scenario(cluster: Any) -> None:
        cluster.broker.create_topic(app.topology.topics[0])
        cluster.send("in", ("a", "1"))
        async with cluster.running(app):
            await eventually(lambda: away.decodes < 10**9 - 8)
        assert cluster.values("out") == []

    play(scenario)


def test_what_is_written_is_prepared_before_the_first_event(
    play: Callable[..., None], app: ottla.App, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = iter(range(100))

    def prepare() -> None:
        if next(attempts) < 3:
            raise Unavailable("the registry is away")

    prepared = Codec("prepared", str.encode, bytes.decode, str, prepare)
    app.stream(app.topic("in", value=str, partitions=1)).to(app.topic("out", value=prepared, partitions=1))

    async def scenario(cluster: Any) -> None:
        with caplog.at_level(logging.WARNING):
            await cluster.run_to_end(app)

    play(scenario)
    assert next(attempts) == 4
    assert caplog.text.count("before the first event: the registry is away") == 3


def test_a_worker_whose_schema_is_refused_does_not_start(play: Callable[..., None], app: ottla.App) -> None:
    def prepare() -> None:
        raise ottla.ConfigError("the schema is refused")

    refused = Codec("refused", str.encode, bytes.decode, str, prepare)
    app.stream(app.topic("in", value=str, partitions=1)).to(app.topic("out", value=refused, partitions=1))

    async def scenario(cluster: Any) -> None:
        with pytest.raises(ottla.ConfigError, match="the schema is refused"):
            await cluster.run_to_end(app)

    play(scenario)
