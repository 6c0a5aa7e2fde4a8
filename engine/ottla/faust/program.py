"""What the `faust` program does for every app: runs workers, sends, and lists what the app has."""

from __future__ import annotations

import asyncio
import json
import logging
import logging.config
import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ottla.errors import ConfigError, OttlaError, TopologyError
from ottla.faust.app import App
from ottla.faust.channels import Channel
from ottla.faust.housekeeping import housekeeping, refuse
from ottla.faust.models.record import Record, registry
from ottla.faust.on_demand import ClientOnDemand
from ottla.jobs import call
from ottla.loading import import_module

_LEVELS = {
    "crit": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
_NO_HELP = "<N/A>"
_NO_TABLE_HELP = 'Missing description: use Table(.., help="str")'

global_options = [
    click.Option(["-q", "--quiet/--no-quiet"], help="Say nothing."),
    click.Option(["--debug/--no-debug"], help="Log everything."),
    click.Option(["-W", "--workdir"], type=click.Path(exists=True, file_okay=False), help="The directory to work in."),
    click.Option(["-D", "--datadir"], type=click.Path(file_okay=False), help="Where state is, instead of the app's."),
    click.Option(["--json", "as_json"], is_flag=True, help="List as JSON."),
    click.Option(["-L", "--loop"], help="Taken for Faust's sake: workers run on uvloop."),
]


def configure(app: App, quiet: bool, debug: bool, workdir: str | None, datadir: str | None, **_: Any) -> None:
    """Does what the options before a command say."""
    if workdir is not None:
        os.chdir(workdir)
    if datadir is not None:
        app.conf.datadir = Path(datadir)
    if debug:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    if quiet:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process


def commands_of(app: App) -> dict[str, click.Command]:
    """The commands that every app has."""
    return {
        "worker": _worker(app),
        "send": _send(app),
        "agents": _agents(app),
        "tables": _tables(app),
        "models": _models(app),
        "model": _model(),
        **housekeeping(app),
    }


def as_client(app: App, function: Callable[..., Any]) -> Callable[..., None]:
    """The function, async or not, run where it can send and ask. Mistakes are one sentence."""

    async def in_client(**options: Any) -> None:
        async with ClientOnDemand(app):
            await call(lambda: function(**options))

    def run_it(**options: Any) -> None:
        try:
            asyncio.run(in_client(**options))
        except OttlaError as error:
            refuse(error, 1)

    return run_it


def _worker(app: App) -> click.Command:
    @click.command("worker")
    @click.option(
        "-l", "--loglevel", type=click.Choice(list(_LEVELS), case_sensitive=False), default="warn", show_default=True
    )
    @click.option("-f", "--logfile", type=click.Path(dir_okay=False), help="Where the log goes, instead of stderr.")
    @click.option("--with-web/--without-web", default=True, help="Serve pages over HTTP.")
    @click.option("-p", "--web-port", type=int, help="The port for pages, instead of the app's.")
    @click.option("-b", "--web-bind", help="The address for pages, instead of the app's.")
    @click.option("-h", "--web-host", help="Taken for Faust's sake: workers tell each other their addresses.")
    @click.option("--until-end", is_flag=True, help="Process what the topics hold now, commit and exit.")
    def worker(
        loglevel: str,
        logfile: str | None,
        until_end: bool,
        with_web: bool,
        web_port: int | None,
        web_bind: str | None,
        web_host: str | None,  # noqa: ARG001
    ) -> None:
        """Run a worker."""
        from ottla.worker.launch import run_worker

        handler = logging.StreamHandler(sys.stderr) if logfile is None else logging.FileHandler(logfile)
        try:
            ottla_app = app.ottla
            if app.conf.logging_config is None:
                logging.basicConfig(level=_LEVELS[loglevel.lower()], handlers=[handler, *app.conf.loghandlers])
            else:
                logging.config.dictConfig(dict(app.conf.logging_config))
            conf = replace(app.conf, web_port=web_port or app.conf.web_port, web_bind=web_bind or app.conf.web_bind)
            config = replace(ottla_app.config, web=conf.web_listen if with_web else None)
            run_worker(app.topology, config, until_end=until_end, jobs=ottla_app.jobs, served=ottla_app)
        except (ConfigError, TopologyError) as error:
            refuse(error, 2)
        except OttlaError as error:
            refuse(error, 1)

    return worker


def _send(app: App) -> click.Command:
    @click.command("send")
    @click.argument("entity")
    @click.argument("value", required=False)
    @click.option("-k", "--key", help="The key: text, or JSON of a model.")
    @click.option("-K", "--key-type", help="The model of the key.")
    @click.option("--key-serializer", help="The key's serializer, instead of the topic's.")
    @click.option("-V", "--value-type", help="The model of the value.")
    @click.option("--value-serializer", help="The value's serializer, instead of the topic's.")
    @click.option("--partition", type=int, help="The partition to send to.")
    @click.option("-r", "--repeat", type=int, default=1, show_default=True, help="How many times.")
    @click.option("--min-latency", type=float, default=0.0, help="Seconds to wait between them, at least.")
    @click.option("--max-latency", type=float, default=0.0, help="Seconds to wait between them, at most.")
    def send(
        entity: str,
        value: str | None,
        key: str | None,
        key_type: str | None,
        value_type: str | None,
        repeat: int,
        min_latency: float,
        max_latency: float,
        **options: Any,
    ) -> None:
        """Send a value, as it is or as a model, to a topic or to an agent (@name)."""

        async def deliver() -> None:
            to = _entity(app, entity)
            event = {"key": _read(app, key, key_type), "value": _read(app, value, value_type)}
            for number in range(repeat):
                if number and max_latency:
                    await asyncio.sleep(random.uniform(min_latency, max_latency))
                await to.send(**event, **options)

        as_client(app, deliver)()

    return send


def _entity(app: App, name: str) -> Any:
    if not name.startswith("@"):
        return app.as_topic(name)
    found = [agent for full, agent in app.agents.items() if name[1:] in (full, full.rpartition(".")[2])]
    if len(found) != 1:
        raise ConfigError(f"there is no agent {name[1:]!r}; there are {', '.join(sorted(app.agents)) or 'none'}")
    return found[0]


def _read(app: App, text: str | None, model: str | None) -> Any:
    """A key or value as it was typed: bytes, or a model of JSON."""
    if text is None:
        return None
    return text.encode() if model is None else _model_named(model, app).loads(text.encode())


def _model_named(name: str, app: App | None = None) -> type[Record]:
    """The model of that namespace, or the only one whose class has that name. Raises `ConfigError`."""
    if app is not None and "." in name and name not in registry:
        import_module(name.rpartition(".")[0])
    found = [model for space, model in registry.items() if name in (space, space.rpartition(".")[2])]
    if len(found) != 1:
        count = f"are {len(found)} models" if found else "is no model"
        raise ConfigError(f"there {count} {name!r}; there are {', '.join(sorted(registry))}")
    return found[0]


def _agents(app: App) -> click.Command:
    @click.command("agents")
    @click.option("--local/--no-local", help="Those that read channels, too.")
    def agents(local: bool) -> None:
        """List the agents."""
        shown = [each for _, each in sorted(app.agents.items()) if local or not isinstance(each.channel, Channel)]
        rows = [(f"@{_short(app, each.name)}", each.reads or "<LOCAL>", each.help or _NO_HELP) for each in shown]
        _list("Agents", ("name", "topic", "help"), rows)

    return agents


def _tables(app: App) -> click.Command:
    @click.command("tables")
    def tables() -> None:
        """List the tables."""
        _list("Tables", ("name", "help"), [(name, table.help or _NO_TABLE_HELP) for name, table in app.tables.items()])

    return tables


def _models(app: App) -> click.Command:
    @click.command("models")
    @click.option("--builtins/--no-builtins", default=False, help="Those of Faust itself, of which there are none.")
    def models(builtins: bool) -> None:  # noqa: ARG001
        """List the models."""
        rows = [(_short(app, name), model.__doc__ or _NO_HELP) for name, model in sorted(registry.items())]
        _list("Models", ("name", "help"), rows)

    return models


def _model() -> click.Command:
    @click.command("model")
    @click.argument("name")
    def model(name: str) -> None:
        """List the fields of a model; those without a default have a star."""
        try:
            fields = _model_named(name)._options.descriptors
        except ConfigError as error:
            refuse(error, 2)
        rows = []
        for each in fields.values():
            type_name = each.type.__name__ if isinstance(each.type, type) else repr(each.type)
            rows.append((each.field, type_name, "*" if each.required else repr(each.default)))
        _list(name, ("field", "type", "default"), rows)

    return model


def _short(app: App, name: str) -> str:
    """A name without the module of the app, if it begins with that."""
    return name.removeprefix(f"{app.conf.origin}.")


def _list(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints rows: as JSON if that is asked, else of each text the first line, as a table on a terminal, with tabs
    where the output goes elsewhere."""
    if click.get_current_context().find_root().params.get("as_json"):
        click.echo(json.dumps([dict(zip(headings, row, strict=True)) for row in rows]))
        return
    rows = [[next(iter(each.strip().splitlines()), "") for each in row] for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        drawn = Table(*headings, title=title)
        for row in rows:
            drawn.add_row(*map(Text, row))
        Console().print(drawn)
    else:
        for row in rows:
            click.echo("\t".join(row))
