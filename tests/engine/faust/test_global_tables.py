"""Tables of a Faust app that every worker has whole."""

from typing import Any

import pytest

import ottla.faust as faust
from ottla import ConfigError, NotInTask


@pytest.fixture
def app() -> faust.App:
    return faust.App("shop", store="memory://")


def counting(app: faust.App) -> tuple[Any, Any]:
    topic = app.topic("in", key_type=str, value_type=int, partitions=3)
    counts = app.GlobalTable("counts", default=int, key_type=str, value_type=int, help="of all")

    @app.agent(topic)
    async def count(stream: Any) -> None:
        async for key, value in stream.items():
            counts[key] += value

    return topic, counts


def test_agents_write_it_and_everybody_reads_it(app: faust.App) -> None:
    topic, counts = counting(app)
    found: list[Any] = []

    @app.agent(app.topic("asked", value_type=str, partitions=3))
    async def look(stream: Any) -> None:
        async for key in stream:
            items = sorted(counts.items())
            found.append((items, key in counts))

    with app.ottla.test() as driver:
        for key, value in (("a", 1), ("b", 2), ("c", 3), ("a", 10)):
            driver.send(topic.declared[0], key=key, value=value)
        driver.run()
        driver.send("asked", key=b"any", value="nowhere")
        driver.run()
        assert dict(driver.table("counts")) == {"a": 11, "b": 2, "c": 3}
    assert found == [([("a", 11), ("b", 2), ("c", 3)], False)]


def test_it_is_read_outside_agents_and_not_written(app: faust.App) -> None:
    topic, counts = counting(app)
    seen: list[Any] = []

    @app.timer(1.0)
    async def look() -> None:
        seen.append(dict(counts))
        with pytest.raises(NotInTask, match="tables are written by agents"):
            counts["a"] = 5

    with app.ottla.test() as driver:
        driver.send(topic.declared[0], key="a", value=1)
        driver.run()
        driver.advance(1)
        driver.run()
    assert seen == [{"a": 1}]
    assert isinstance(counts, faust.GlobalTable)


@pytest.mark.parametrize("option", ["on_recover", "use_partitioner"])
def test_options_that_it_has_not_are_refused(app: faust.App, option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option}= is not part of Ottla's Faust facade"):
        app.GlobalTable("counts", **{option: True})
