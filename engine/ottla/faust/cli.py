"""`faust.cli`: what an app's own commands are declared with.

from ottla.faust.cli import AppCommand, argument, option

@app.command(argument("name"), option("--times", type=int, default=1))
async def greet(self, name, times): ...

class Greet(AppCommand):
    options = [argument("name")]
    async def run(self, name): ...
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import IO, Any, ClassVar, NamedTuple

import click

from ottla.faust.missing import COMMAND, Lacking

argument = click.argument


def option(*names: Any, show_default: bool = True, **details: Any) -> Callable[[Any], Any]:
    """click's option, whose help shows the default."""
    return click.option(*names, show_default=show_default, **details)


class AppCommand(Lacking):
    """A command of an app. Every class of its kind is one, under its own name, unless it is `abstract`.

    `options` are what `option` and `argument` return; `run` is called with their values.
    """

    _lacks = COMMAND
    _called = "command"

    abstract: ClassVar[bool] = True
    options: ClassVar[Sequence[Callable[[Any], Any]]] = ()
    classes: ClassVar[list[type[AppCommand]]] = []

    def __init__(self, app: Any) -> None:
        self.app = app

    def __init_subclass__(cls, **details: Any) -> None:
        super().__init_subclass__(**details)
        cls.abstract = bool(cls.__dict__.get("abstract", False))
        if not cls.abstract:
            AppCommand.classes.append(cls)

    @classmethod
    def name(cls) -> str:
        """`greet` of `Greet`, as click makes it."""
        return cls.__name__.replace("_", "-").lower()

    async def run(self, *_: Any, **__: Any) -> Any:
        """What the command does."""
        raise NotImplementedError(f"{type(self).__name__} must define run()")

    def say(self, message: str, file: IO[str] | None = None, err: IO[str] | None = None, **details: Any) -> None:
        """Prints a line to stdout, or to a file."""
        click.echo(message, file=file or err, **details)

    def carp(self, s: Any, **details: Any) -> None:
        """Prints a line to stderr."""
        click.echo(f"#-- {s}", err=True, **details)

    def dumps(self, obj: Any) -> str:
        """The value as JSON."""
        return json.dumps(obj)


class Declared(NamedTuple):
    """A function that is a command, what its `self` is, and whether it goes on until it is stopped."""

    function: Callable[..., Any]
    base: type[AppCommand]
    daemon: bool


Command = AppCommand
