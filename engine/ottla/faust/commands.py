"""The command line of a Faust app: `python shop.py worker -l info`, or `python -m ottla.faust -A shop worker -l
info`."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import click

from ottla.errors import ConfigError, OttlaError, TopologyError
from ottla.faust.app import App
from ottla.faust.cli import AppCommand
from ottla.jobs import call
from ottla.loading import import_module

_LEVELS = {
    "crit": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}


def run(app: App, arguments: list[str] | None = None) -> None:
    """Runs a command of the app, and exits."""
    _group(app)(args=arguments, prog_name=sys.argv[0])


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True}, add_help_option=False)
@click.option("-A", "--app", "target", metavar="MODULE[:APP]", required=True)
@click.pass_context
def main(context: click.Context, target: str) -> None:
    """What `faust -A MODULE` does."""
    try:
        app = find_app(target)
    except ConfigError as error:
        click.echo(f"faust: {error}", err=True)
        context.exit(2)
    run(app, context.args)


def find_app(target: str) -> App:
    """The app of a module: its only one, or the one that is named. Raises `ConfigError`."""
    name, _, attribute = target.partition(":")
    module = import_module(name)
    apps = {key: value for key, value in vars(module).items() if isinstance(value, App)}
    if attribute:
        if attribute not in apps:
            raise ConfigError(f"module {name!r} has no faust.App {attribute!r}")
        return apps[attribute]
    if "app" in apps:
        return apps["app"]
    if len(apps) != 1:
        raise ConfigError(f"module {name!r} has {len(apps)} apps; name one, as in {name}:app")
    return next(iter(apps.values()))


def _group(app: App) -> click.Group:
    commands: dict[str, click.Command] = {"worker": _worker(app), "agents": _agents(app), "send": _send(app)}
    for name, function in app.commands.items():
        commands[name] = _command(app, name, function, _with_self(app, function))
    for cls in AppCommand.classes:
        described = _described(cls)
        commands[cls.name()] = _command(app, cls.name(), described, cls(app).run)
    return click.Group("faust", commands=commands, help=f"Commands of {app.conf.app_id}.")


def _command(app: App, name: str, described: Any, function: Callable[..., Any]) -> click.Command:
    parameters = list(getattr(described, "__click_params__", ()))[::-1]
    return click.Command(name, params=parameters, callback=_as_client(app, function), help=described.__doc__)


def _described(cls: type[AppCommand]) -> Callable[..., None]:
    """Something with the options and the text of a class."""

    def described() -> None: ...

    described.__doc__ = cls.__doc__
    for option in reversed(cls.options):
        option(described)
    return described


def _with_self(app: App, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with a command for its first argument where that is none of its options."""
    options = {parameter.name for parameter in getattr(function, "__click_params__", ())}
    first = next(iter(inspect.signature(function).parameters), None)
    return function if first is None or first in options else partial(function, AppCommand(app))


def _worker(app: App) -> click.Command:
    @click.command("worker")
    @click.option("-l", "--loglevel", type=click.Choice(list(_LEVELS)), default="warn", show_default=True)
    @click.option("--with-web/--without-web", default=True, help="Serve pages over HTTP.")
    @click.option("-p", "--web-port", type=int, help="The port for pages, instead of the app's.")
    @click.option("-b", "--web-bind", help="The address for pages, instead of the app's.")
    @click.option("--until-end", is_flag=True, help="Process what the topics hold now, commit and exit.")
    def worker(loglevel: str, until_end: bool, with_web: bool, web_port: int | None, web_bind: str | None) -> None:
        """Run a worker."""
        from ottla.worker.launch import run_worker

        logging.basicConfig(level=_LEVELS[loglevel], stream=sys.stderr)
        try:
            ottla_app = app.ottla
            conf = replace(app.conf, web_port=web_port or app.conf.web_port, web_bind=web_bind or app.conf.web_bind)
            config = replace(ottla_app.config, web=conf.web_listen if with_web else None)
            run_worker(app.topology, config, until_end=until_end, jobs=ottla_app.jobs, served=ottla_app)
        except (ConfigError, TopologyError) as error:
            _refuse(error, 2)
        except OttlaError as error:
            _refuse(error, 1)

    return worker


def _agents(app: App) -> click.Command:
    @click.command("agents")
    def agents() -> None:
        """List the agents."""
        for agent in app.agents.values():
            click.echo(f"{agent.name}\t{agent.channel!r}\t{(agent.fun.__doc__ or '').strip()}")

    return agents


def _send(app: App) -> click.Command:
    @click.command("send")
    @click.argument("entity")
    @click.argument("value")
    @click.option("-k", "--key")
    def send(entity: str, value: str, key: str | None) -> None:
        """Send a value, as JSON, to a topic or to an agent (@name)."""
        import orjson

        async def deliver() -> None:
            to = app.agents[entity[1:]] if entity.startswith("@") else app.as_topic(entity)
            await to.send(key=key, value=orjson.loads(value))

        _as_client(app, deliver)()

    return send


def _as_client(app: App, function: Any) -> Any:
    async def in_client(**options: Any) -> None:
        async with app.ottla.client():
            await call(lambda: function(**options))

    def run_it(**options: Any) -> None:
        try:
            asyncio.run(in_client(**options))
        except OttlaError as error:
            _refuse(error, 1)

    return run_it


def _refuse(error: OttlaError, status: int) -> None:
    click.echo(f"faust: {error}", err=True)
    sys.exit(status)
