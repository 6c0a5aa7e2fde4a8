"""Options that many commands take, declared once."""

from typing import Annotated

import typer

from ottla_apps.cli.output import Format

Brokers = Annotated[
    str | None,
    typer.Option(
        "--brokers",
        "-b",
        metavar="HOST:PORT,...",
        help="Brokers to reach the cluster by. Without it: OTTLA_BROKERS, the profile in use, or 127.0.0.1:9092.",
        show_default=False,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile", metavar="NAME", help="Use this profile's brokers (see `ottla profile`).", show_default=False
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        min=0.1,
        max=3600,
        metavar="SECONDS",
        envvar="OTTLA_TIMEOUT",
        help="How long to wait for a broker.",
    ),
]
Output = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="How to print the result. Without it: a table on a terminal, tab-separated text when piped.",
        show_default=False,
    ),
]
DEFAULT_TIMEOUT_S = 10.0

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen, and change nothing.")]

Partitions = Annotated[
    list[int] | None,
    typer.Option("--partition", "-p", min=0, metavar="N", help="Only this partition; may be given many times."),
]
