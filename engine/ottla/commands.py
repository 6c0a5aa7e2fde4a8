"""The `ottla` command, and `ottla worker`.

Every room brings its subcommands as entry points of the group `ottla.commands`, each a function or a `typer.Typer`.
Only the one that is asked for is loaded, so that `ottla broker` pays nothing for the engine; importing this module
costs next to nothing for the same reason.
"""

from __future__ import annotations

import faulthandler
import sys
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

FAILURE = 1
USAGE_ERROR = 2
_GROUP = "ottla.commands"
_EXIT_WITHIN_S = 60.0


def main() -> None:
    """The console script."""
    installed = {entry_point.name: entry_point for entry_point in entry_points(group=_GROUP)}
    asked_for = sys.argv[1] if len(sys.argv) > 1 else ""
    wanted = [installed[asked_for]] if asked_for in installed else list(installed.values())
    try:
        command_line(wanted)(prog_name="ottla")
    finally:
        # Clients that were left as they are, since their broker does not answer, may keep the interpreter from exiting.
        faulthandler.dump_traceback_later(_EXIT_WITHIN_S, exit=True)


def command_line(entry_points: list[EntryPoint]) -> typer.Typer:
    """The `ottla` command with the subcommands of these entry points."""
    command = typer.Typer(
        help="Stream processing with its own Kafka-compatible broker.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    command.callback()(_root)
    for entry_point in sorted(entry_points, key=lambda each: each.name):
        loaded = entry_point.load()
        if isinstance(loaded, typer.Typer):
            command.add_typer(loaded, name=entry_point.name)
        else:
            command.command(entry_point.name)(loaded)
    return command


def _print_version(asked_for: bool) -> None:
    if asked_for:
        typer.echo(f"ottla {version('ottla')}")
        raise typer.Exit


def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


class LogLevel(StrEnum):
    """How much the worker says on stderr."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def worker(
    app: Annotated[str, typer.Argument(metavar="MODULE:APP", help="The app: its module and its name there.")],
    broker: Annotated[
        str | None,
        typer.Option("--broker", metavar="URL", help="kafka://HOST:PORT or embedded://DIR, instead of the app's."),
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", metavar="DIR", help="Where state is kept, instead of the app's.")
    ] = None,
    until_end: Annotated[
        bool,
        typer.Option("--until-end", help="Process what the topics hold now, close all windows, commit and exit."),
    ] = False,
    web_listen: Annotated[
        str | None,
        typer.Option(
            "--web-listen",
            metavar="HOST:PORT",
            help="Serve pages, health, metrics and queries of tables over HTTP there, instead of the app's web=.",
        ),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            metavar="NAME=VALUE",
            help="Where this worker is, as in zone=eu-1a, besides the app's tags=; standbys go elsewhere.",
        ),
    ] = None,
    broker_wait: Annotated[
        float | None,
        typer.Option(
            "--broker-wait",
            metavar="SECONDS",
            help="How long to wait for a broker that does not answer at the start, instead of the app's.",
        ),
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Start anew whenever Python code below the working directory changes.")
    ] = False,
    log_level: Annotated[LogLevel, typer.Option("--log-level", help="How much to say on stderr.")] = LogLevel.INFO,
) -> None:
    """Run a worker of an app."""
    import logging
    from dataclasses import replace

    from ottla.errors import ConfigError, OttlaError, TopologyError
    from ottla.loading import load_app
    from ottla.worker.launch import run_worker
    from ottla.worker.metrics import WorkerMetrics
    from ottla.worker.restore_bar import restore_progress

    if reload:
        from ottla.reloading import run_reloading

        run_reloading()
        return
    logging.basicConfig(
        level=log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for client in ("httpx", "httpx2"):  # they tell every request, to another worker and to a schema registry
        logging.getLogger(client).setLevel(logging.WARNING)
    try:
        loaded = load_app(app)
        config = replace(
            loaded.config,
            broker=loaded.config.broker if broker is None else broker,
            state_dir=loaded.config.state_dir if state_dir is None else state_dir,
            tags={**loaded.config.tags, **_tags(tag or [])},
            web=loaded.config.web if web_listen is None else web_listen,
            broker_wait_ms=loaded.config.broker_wait_ms if broker_wait is None else round(broker_wait * 1000),
        )
        metrics = WorkerMetrics(config.app_id)
        summary = run_worker(
            loaded.topology,
            config,
            until_end=until_end,
            metrics=metrics,
            progress=restore_progress(),
            jobs=loaded.jobs,
            served=loaded,
        )
    except (ConfigError, TopologyError) as error:
        _refuse(str(error), USAGE_ERROR)
    except OttlaError as error:
        _refuse(str(error), FAILURE)
    rate = summary.events / max(summary.seconds, 1e-6)
    typer.echo(f"{config.app_id}: {summary.events} events in {summary.seconds:.1f} s, {rate:.0f} events/s")


def _tags(given: list[str]) -> dict[str, str]:
    """Raises `ConfigError` for a tag without a name or value."""
    from ottla.errors import ConfigError

    tags = {}
    for each in given:
        name, _, value = each.partition("=")
        if not name or not value:
            raise ConfigError(f"--tag {each} must be NAME=VALUE, as in --tag zone=eu-1a")
        tags[name] = value
    return tags


def _refuse(sentence: str, status: int) -> NoReturn:
    typer.echo(f"ottla worker: {sentence}", err=True)
    raise typer.Exit(status)
