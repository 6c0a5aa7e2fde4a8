"""`ottla send MODULE:APP TOPIC VALUE`: an event as the app declares its topic."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ottla.cli.common import AppName, BrokerUrl, told_in_a_sentence

if TYPE_CHECKING:
    from ottla.app import App
    from ottla.topic import Topic


def send(
    target: AppName,
    to: Annotated[str, typer.Argument(metavar="TOPIC", help="The topic; @AGENT is the topic that an agent reads.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Text where the topic's values are text, else JSON.")],
    key: Annotated[
        str | None, typer.Option("--key", "-k", metavar="KEY", help="Text where the keys are text, else JSON.")
    ] = None,
    partition: Annotated[
        int | None, typer.Option("--partition", "-p", min=0, metavar="N", help="Without it, the key decides.")
    ] = None,
    timestamp: Annotated[
        int | None, typer.Option("--timestamp", metavar="MS", help="Event time since 1970; without it, now.")
    ] = None,
    broker: BrokerUrl = None,
) -> None:
    """Send an event to a topic, encoded as the app declares it."""
    from ottla.loading import load_app
    from ottla.web.text import from_text

    async def work() -> None:
        async with app.client():
            await topic.send(
                key=None if key is None else from_text(topic.key_codec, key, f"a key of topic {topic.name!r}"),
                value=from_text(topic.value_codec, value, f"a value of topic {topic.name!r}"),
                partition=partition,
                timestamp=timestamp,
            )

    with told_in_a_sentence("send"):
        app = load_app(target)
        app.config = replace(app.config, broker=broker or app.config.broker)
        topic = _topic(app, to)
        asyncio.run(work())


def _topic(app: App, name: str) -> Topic[Any, Any]:
    """The topic of this name, or the one that the agent of this name reads."""
    from ottla.errors import ConfigError

    if not name.startswith("@"):
        return app.declared_topic(name)
    steps = {step.name: step for part in app.topology.subtopologies for step in part.steps}
    agent = steps.get(name[1:])
    if agent is None or agent.kind != "agent":
        known = ", ".join(step.name for step in steps.values() if step.kind == "agent") or "none at all"
        raise ConfigError(f"there is no agent {name[1:]!r}; there is {known}")
    source = steps[agent.parents[0]].source
    if source is None:
        raise ConfigError(f"agent {name[1:]!r} reads what a step makes, not a topic")
    return app.declared_topic(source)
