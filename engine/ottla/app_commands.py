"""An app's own commands: functions that run as a client of the app, from the command line.

@app.command
async def refund(customer: str, amount: float = 0.0) -> None: ...

python shop.py refund ann --amount 3        where shop.py ends with app.main(), which has `worker` too
ottla call shop:app refund ann --amount 3
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ottla.commands import FAILURE, USAGE_ERROR, worker
from ottla.errors import ConfigError, OttlaError
from ottla.jobs import call
from ottla.loading import load_app

if TYPE_CHECKING:
    from ottla.app import App


def call_app(
    app: Annotated[str, typer.Argument(metavar="MODULE:APP", help="The app: its module and its name there.")],
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="Its command, and what that takes.")],
) -> None:
    """Run a command of an app's own; put -- before its options."""
    try:
        loaded = load_app(app)
    except ConfigError as error:
        typer.echo(f"ottla call: {error}", err=True)
        raise typer.Exit(USAGE_ERROR) from None
    run_command(loaded, command, f"ottla call {app}")


def run_main(app: App) -> None:
    """What `app.main()` does: `worker`, or a command of the app, as the command line says."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["worker"]:
        name = next((name for name, value in vars(sys.modules["__main__"]).items() if value is app), None)
        if name is None:
            raise ConfigError(f"app.main() must be called by the module that has the app {app.id!r} as a global")
        _typer(worker, "worker")(["__main__:" + name, *arguments[1:]], prog_name=f"{sys.argv[0]} worker")
    run_command(app, arguments, sys.argv[0], worker)


def run_command(app: App, arguments: Sequence[str], program: str, *others: Callable[..., None]) -> None:
    """Runs one of the app's commands with these arguments, and exits."""
    commands = typer.Typer(
        help=f"Commands of {app.id}.", no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
    )
    commands.callback()(lambda: None)
    for name, function in app.commands.items():
        commands.command(name)(_as_client(app, function))
    for other in others:
        commands.command()(other)
    commands(list(arguments), prog_name=program)


def _typer(function: Callable[..., None], name: str) -> typer.Typer:
    alone = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    alone.command(name)(function)
    return alone


def _as_client(app: App, function: Callable[..., Any]) -> Callable[..., None]:
    """The function as one that typer can call: it runs under `app.client()`, and Ottla's errors are one sentence."""

    async def in_client(*args: Any, **kwargs: Any) -> None:
        async with app.client():
            await call(functools.partial(function, *args, **kwargs))

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            asyncio.run(in_client(*args, **kwargs))
        except OttlaError as error:
            typer.echo(f"{app.id}: {error}", err=True)
            raise typer.Exit(FAILURE) from None

    return run
