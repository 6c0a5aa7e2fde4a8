"""`ottla connect`: run the connectors of a spec file, and show the plugins that are installed.

Importing this module costs next to nothing; what a connector needs is imported when one is used.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from ottla_connectors.runtime.service import Service

app = typer.Typer(name="connect", help="Move data between topics and files or databases.", no_args_is_help=True)

FAILURE = 1
USAGE_ERROR = 2


@app.command("run")
def run_command(
    spec_file: Annotated[Path, typer.Argument(metavar="SPEC", help="A TOML file that names the connectors.")],
    until_end: Annotated[
        bool,
        typer.Option(
            "--until-end", help="Stop when the sources are read and the sinks have written what the topics then hold."
        ),
    ] = False,
    broker_wait: Annotated[
        float | None,
        typer.Option(
            "--broker-wait",
            metavar="SECONDS",
            min=0,
            help="How long to wait for a broker that does not answer at the start, instead of the spec's.",
        ),
    ] = None,
) -> None:
    """Run the connectors of a spec file."""
    import ottla
    from ottla.worker.embedded import serving
    from ottla_connectors.errors import ConfigError
    from ottla_connectors.runtime.broker import wait_until_reachable
    from ottla_connectors.runtime.service import Service
    from ottla_connectors.runtime.tasks import check_configs
    from ottla_connectors.spec import read_spec

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        spec = read_spec(spec_file)
        check_configs(spec)
        with serving(spec.broker) as bootstrap_servers:
            wait_until_reachable(bootstrap_servers, spec.broker_wait_s if broker_wait is None else broker_wait)
            service = Service(spec, bootstrap_servers)
            _run(service, until_end=until_end)
    except (ConfigError, ottla.ConfigError) as error:
        _refuse(str(error), USAGE_ERROR)
    except ottla.OttlaError as error:
        _refuse(str(error), FAILURE)
    for outcome in service.outcomes.values():
        print(f"{outcome.connector}: {outcome.rows} rows, {outcome.malformed} malformed")
    if any(outcome.error is not None for outcome in service.outcomes.values()):
        sys.exit(FAILURE)


@app.command("plugins")
def plugins_command(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One plugin, as source.NAME or sink.NAME, with its config.")
    ] = None,
) -> None:
    """List the plugins, or show one with its JSON Schema."""
    from ottla_connectors.errors import ConfigError
    from ottla_connectors.plugins import installed_plugins

    if name is None:
        for plugin in installed_plugins():
            print(f"{plugin.kind.value + '.' + plugin.name:<24} {plugin.distribution:<16} {plugin.target}")
        return
    try:
        _describe(name)
    except ConfigError as error:
        _refuse(str(error), USAGE_ERROR)


def _run(service: Service, *, until_end: bool) -> None:
    import asyncio
    import signal

    async def until_told() -> None:
        running = asyncio.ensure_future(service.run(until_end=until_end))
        for told in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(told, running.cancel)
        try:
            await running
        except asyncio.CancelledError:
            if not running.cancelled():
                raise

    asyncio.run(until_told())


def _describe(name: str) -> None:
    import msgspec

    from ottla_connectors.errors import ConfigError
    from ottla_connectors.plugins import config_schema, load_sink, load_source

    kind, _, rest = name.partition(".")
    if kind not in ("source", "sink") or not rest:
        raise ConfigError(
            f"{name!r} is no plugin; write source.NAME or sink.NAME, as `ottla connect plugins` lists them"
        )
    plugin = load_source(rest) if kind == "source" else load_sink(rest)
    print(f"{name}: {(plugin.__doc__ or '').splitlines()[0]}")
    print(f"guarantee: {plugin.guarantee.value}")
    print(msgspec.json.format(msgspec.json.encode(config_schema(plugin))).decode())


def _refuse(sentence: str, status: int) -> NoReturn:
    print(f"ottla connect: {sentence}", file=sys.stderr)
    sys.exit(status)
