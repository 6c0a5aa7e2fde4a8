"""`ottla log`: look into the files of a data directory."""

from pathlib import Path
from typing import Annotated

import typer

from ottla_apps.cli import options
from ottla_apps.cli.command import reported
from ottla_apps.cli.errors import DamagedFile
from ottla_apps.cli.output import fail_if, stream

app = typer.Typer(help="Look into the files of a data directory.", no_args_is_help=True)


@app.callback()
def log() -> None:
    """Look into the files of a data directory."""


@app.command("dump")
@reported
def dump(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH", help="A partition's directory, or its .log .index .timeindex .txnindex .snapshot files."
        ),
    ],
    records: Annotated[
        bool,
        typer.Option("--records", help="Show records instead of batches; those of the brokers' own topics decoded."),
    ] = False,
    output: options.Output = None,
) -> None:
    """Show what is in files of a log, and where one is damaged.

    Batches, records, index entries and producers. The exit status is 1 if one is damaged. No broker is needed, and one
    may be running. JSON comes as one object a line.
    """
    from ottla_apps.cli.log_files import read_files

    damaged = []
    for number, rows in enumerate(read_files(paths, records=records)):
        try:
            stream(rows, output=output, first=number == 0)
        except DamagedFile as error:
            damaged.append(error)
    fail_if(damaged)
