"""How the changelog of a table or an aggregate is configured: `changelog={"segment.bytes": "1048576"}`."""

from typing import Any

import pytest

import ottla

CONFIG = {"segment.bytes": "1048576", "min.cleanable.dirty.ratio": "0.1"}


def changelog_config(app: ottla.App, store: str) -> dict[str, str]:
    """The config with which a worker creates the changelog of a store."""
    topics = {spec.name: spec.config for spec in app.topology.plan({"in": 3}).internal_topics}
    return dict(topics[f"shop-{store}-changelog"])


@pytest.mark.parametrize(
    "declare",
    [
        lambda _, stream: stream.aggregate("kept", changelog=CONFIG, n=ottla.count()),
        lambda _, stream: stream.cogroup(max).aggregate("kept", initial=0, changelog=CONFIG),
        lambda _, stream: stream.window(ottla.tumbling(10)).aggregate("kept", changelog=CONFIG, n=ottla.count()),
        lambda _, stream: stream.cogroup(max).window(ottla.tumbling(10)).aggregate("kept", initial=0, changelog=CONFIG),
        lambda _, stream: stream.to_table("kept", changelog=CONFIG),
        lambda _, stream: stream.to_table("rows").filter(bool).to_table("kept", changelog=CONFIG),
        lambda _, stream: (
            stream.to_table("rows").group_by(str, name="by").aggregate("kept", changelog=CONFIG, n=ottla.count())
        ),
        lambda _, stream: stream.to_table("rows").suppress(5, name="kept", changelog=CONFIG),
        lambda app, _: app.Table("kept", source=app.topic("in", value=int), changelog=CONFIG),
    ],
    ids=["aggregate", "cogroup", "window", "windowed cogroup", "stream", "view", "groups", "suppress", "source"],
)
def test_what_is_made_of_events_has_the_config_that_is_given(app: ottla.App, declare: Any) -> None:
    declare(app, app.stream(app.topic("in", value=int)))
    assert changelog_config(app, "kept").items() >= {"cleanup.policy": "compact", **CONFIG}.items()


@pytest.mark.parametrize("kind", ["Table", "SetTable", "versioned", "windows"])
def test_what_agents_write_has_it_too(app: ottla.App, kind: str) -> None:
    config = {**CONFIG, "cleanup.policy": "compact,delete"}
    table: Any
    if kind == "SetTable":
        table = app.SetTable("kept", key=str, value=int, changelog=config)
    else:
        options: Any = {"versioned": 60} if kind == "versioned" else {}
        table = app.Table("kept", key=str, value=int, changelog=config, **options)
        table = table.tumbling(10) if kind == "windows" else table

    @app.agent(app.topic("in", value=int), uses=[table])
    async def work(stream: ottla.Stream[int]) -> None:
        async for _ in stream:
            pass

    assert changelog_config(app, "kept").items() >= config.items()


def test_another_config_is_no_incompatible_state() -> None:
    apps = [ottla.App("shop"), ottla.App("shop")]
    for app, config in zip(apps, (True, CONFIG), strict=True):
        app.stream(app.topic("in", value=int)).aggregate("kept", changelog=config, n=ottla.count())
    before, after = apps
    with before.test() as driver:
        driver.send("in", key="k", value=1)
        driver.run()
        with after.test(after=driver) as later:
            later.send("in", key="k", value=1)
            assert later.table("kept")["k"].n == 2


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"segment.bytes": 1048576}, "must be text"),
        ({"cleanup.policy": "delete"}, "would lose state"),
        ({"message.timestamp.type": "LogAppendTime"}, "is the app's own"),
        ("compact", "is True, False, or the configs"),
    ],
)
def test_a_config_that_no_changelog_can_have_is_refused(app: ottla.App, config: Any, complaint: str) -> None:
    with pytest.raises(ottla.ConfigError, match=complaint):
        app.Table("kept", key=str, value=int, changelog=config)
