"""`ottla app reset | pause | resume MODULE:APP`."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ottla.cli.common import AppName, BrokerUrl, Format, Output, client_settings, show_list, told_in_a_sentence

if TYPE_CHECKING:
    from ottla.reset import Reset

app = typer.Typer(help="An app as a whole.", no_args_is_help=True)


@app.callback()
def _commands() -> None:
    pass


@app.command("reset")
def reset_app(
    target: AppName,
    to: Annotated[
        str, typer.Option("--to", metavar="WHERE", help="Where to read the inputs from: earliest, latest, or a time.")
    ] = "earliest",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    broker: BrokerUrl = None,
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", metavar="DIR", help="Where state is kept, instead of the app's.")
    ] = None,
    output: Output = None,
) -> None:
    """Start an app over, without its state.

    Its offsets are set anew; its own topics and the state on this machine are deleted. Its own topics are changelogs,
    repartition topics and the control topic. Topics that the app declares, and dead letters, stay. It is refused while
    workers run. State on other machines is deleted by running it there.
    """
    from confluent_kafka.admin import AdminClient

    from ottla.loading import load_app
    from ottla.reset import carry_out, parse_start, plan_reset
    from ottla.topology.patterns import resolved
    from ottla.transport.kafka_admin import topics
    from ottla.transport.kafka_log import ClientLog
    from ottla.transport.kafka_reach import wait_for_broker

    with told_in_a_sentence("app reset"):
        start = parse_start(to)
        loaded = load_app(target)
        config = replace(loaded.config, state_dir=loaded.config.state_dir if state_dir is None else state_dir)
        with client_settings(config, broker, "reset") as settings:
            wait_for_broker(settings, settings.connect_timeout_s)
            admin = AdminClient(settings.admin(), logger=ClientLog())
            topology = resolved(loaded.topology, topics(admin))
            reset = plan_reset(admin, topology, config, start)
            _show(reset, output)
            if dry_run:
                return
            if not yes and sys.stdin.isatty():
                typer.confirm(f"Start {config.app_id} over?", abort=True)
            carry_out(admin, config, reset, lambda sentence: typer.echo(sentence, err=True))


Steps = Annotated[
    list[str] | None,
    typer.Option("--step", metavar="NAME", help="Only the part of the topology that this step is in; can be repeated."),
]


@app.command("pause")
def pause_app(target: AppName, step: Steps = None, broker: BrokerUrl = None) -> None:
    """Let all workers of an app rest. They stay where they are, and go on with `ottla app resume`."""
    with told_in_a_sentence("app pause"):
        _say(target, step or [], broker, paused=True)


@app.command("resume")
def resume_app(target: AppName, step: Steps = None, broker: BrokerUrl = None) -> None:
    """Let an app go on that was paused. With --step it is the part that was paused by this step."""
    with told_in_a_sentence("app resume"):
        _say(target, step or [], broker, paused=False)


def _say(target: str, steps: list[str], broker: str | None, *, paused: bool) -> None:
    from ottla.loading import load_app

    loaded = load_app(target)
    loaded.config = replace(loaded.config, broker=broker or loaded.config.broker)

    async def work() -> None:
        async with loaded.client():
            await (loaded.pause if paused else loaded.resume)(*steps)

    asyncio.run(work())


def _show(reset: Reset, output: Format | None) -> None:
    rows = [["offset", f"{topic}[{number}]", str(offset)] for (topic, number), offset in sorted(reset.offsets.items())]
    rows += [["topic", topic, "deleted"] for topic in reset.topics]
    rows += [["state", str(directory), "deleted"] for directory in reset.state]
    show_list(["what", "where", "to"], rows, output)
