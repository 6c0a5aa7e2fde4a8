"""How every command of the operators' command line ends: an error is one sentence on stderr, never a traceback."""

import functools
import sys
import time
from collections.abc import Callable
from typing import ParamSpec

import typer

from ottla_apps.cli.errors import CommandError
from ottla_apps.cli.output import complain

Parameters = ParamSpec("Parameters")

INTERRUPTED = 130  # what a shell reports of a command that Ctrl-C has ended


def reported(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Decorate a command: a `CommandError` that it raises is printed, and ends it with the error's status."""

    @functools.wraps(command)
    def run(*args: Parameters.args, **options: Parameters.kwargs) -> None:
        try:
            command(*args, **options)
            sys.stdout.flush()
        except CommandError as error:
            complain(error)
            raise typer.Exit(error.status) from None
        except BrokenPipeError:
            raise  # whoever read the output has enough; typer ends the process quietly
        except OSError as error:
            complain(CommandError(f"The output cannot be written: {error.strerror}."))
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None

    return run


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is deleted or reset, where a person can answer: on a terminal, unless `--yes` was given."""
    if not yes and sys.stdin.isatty() and not typer.confirm(question, err=True):
        raise CommandError("Nothing was changed.")


def now_ms() -> int:
    """The time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
