"""`ottla worker --reload`: for development, a worker that is started anew when code changes."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path

import typer

_STOP_TIMEOUT_S = 30


def run_reloading() -> None:
    """Runs this program without its `--reload`, and again after each change of Python code below the working directory.

    A change stops the worker as Ctrl-C does, with its last commit; Ctrl-C ends both.
    """
    try:
        from watchfiles import PythonFilter, run_process
    except ImportError:
        typer.echo("ottla worker: --reload needs the package watchfiles: pip install 'ottla[reload]'", err=True)
        raise typer.Exit(2) from None
    # It would tell that a worker had ended, which has said why itself, and that Ctrl-C came.
    logging.getLogger("watchfiles").setLevel(logging.ERROR)
    command = shlex.join([sys.executable, *(each for each in sys.orig_argv[1:] if each != "--reload")])
    run_process(
        Path.cwd(),
        target=command,
        target_type="command",
        watch_filter=PythonFilter(),
        callback=lambda changes: typer.echo(
            f"ottla worker: starting anew, {Path(min(path for _, path in changes)).name} changed", err=True
        ),
        sigint_timeout=_STOP_TIMEOUT_S,
    )
