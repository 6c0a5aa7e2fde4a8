"""The command line of a Faust app: `python shop.py worker -l info`, or `python -m ottla.faust -A shop worker -l
info`."""

from __future__ import annotations

import asyncio
import inspect
import signal
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import click

from ottla.errors import ConfigError
from ottla.faust.app import App
from ottla.faust.cli import AppCommand, Declared
from ottla.faust.program import as_client, commands_of, configure, global_options
from ottla.jobs import call
from ottla.loading import import_module


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
    """The app of a module: its only one, or the one that is named, `MODULE:APP` or `MODULE.APP`. Without an origin of
    its own it has the module's. Raises `ConfigError`."""
    name, _, attribute = target.partition(":")
    app = _app_in(name, attribute)
    if app.conf.origin is None:
        app.conf.origin = name
    return app


def _app_in(name: str, attribute: str) -> App:
    try:
        module = import_module(name)
    except ConfigError:
        parent, _, last = name.rpartition(".")
        if not attribute and isinstance(found := getattr(sys.modules.get(parent), last, None), App):
            return found
        raise
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
    commands = commands_of(app)
    for name, declared in app.commands.items():
        run_it = _with_self(app, declared)
        ends = _until_signalled(run_it) if declared.daemon else run_it
        commands[name] = _command(app, name, declared.function, ends)
    for cls in AppCommand.classes:
        described = _described(cls)
        commands[cls.name()] = _command(app, cls.name(), described, cls(app).run)
    return click.Group(
        "faust",
        commands=commands,
        params=[*global_options, _version_option()],
        callback=partial(configure, app),
        help=f"Commands of {app.conf.app_id}.",
    )


def _version_option() -> click.Parameter:
    shown = click.version_option(version("ottla"), message="%(prog)s, version Ottla %(version)s")
    return shown(click.Command("faust")).params[-1]


def _command(app: App, name: str, described: Any, function: Callable[..., Any]) -> click.Command:
    parameters = list(getattr(described, "__click_params__", ()))[::-1]
    return click.Command(name, params=parameters, callback=as_client(app, function), help=described.__doc__)


def _described(cls: type[AppCommand]) -> Callable[..., None]:
    """Something with the options and the text of a class."""

    def described() -> None: ...

    described.__doc__ = cls.__doc__
    for option in reversed(cls.options):
        option(described)
    return described


def _with_self(app: App, declared: Declared) -> Callable[..., Any]:
    """The function, with a command for its first argument where that is none of its options."""
    function = declared.function
    options = {parameter.name for parameter in getattr(function, "__click_params__", ())}
    first = next(iter(inspect.signature(function).parameters), None)
    return function if first is None or first in options else partial(function, declared.base(app))


def _until_signalled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, and then waiting for SIGINT or SIGTERM: a daemon's."""

    async def run_and_wait(**options: Any) -> None:
        told = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        await call(lambda: function(**options))
        await told.wait()

    return run_and_wait
