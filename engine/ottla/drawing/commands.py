"""`ottla topology MODULE:APP`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Format(StrEnum):
    """How a topology is shown."""

    TEXT = "text"
    MERMAID = "mermaid"
    SVG = "svg"


def topology(
    app: Annotated[str, typer.Argument(metavar="MODULE:APP", help="The app: its module and its name there.")],
    form: Annotated[
        Format, typer.Option("--format", help="Text as Kafka Streams prints it, a Mermaid flowchart, or a picture.")
    ] = Format.TEXT,
) -> None:
    """Show the steps of an app, with their topics and stores. No broker is asked."""
    from ottla.errors import OttlaError
    from ottla.loading import load_app

    try:
        found = load_app(app).topology
    except OttlaError as error:
        typer.echo(f"ottla topology: {error}", err=True)
        raise typer.Exit(2) from None
    for warning in found.warnings:
        typer.echo(f"ottla topology: {warning}", err=True)
    show = {Format.TEXT: found.describe, Format.MERMAID: found.mermaid, Format.SVG: found.svg}[form]
    typer.echo(show(), nl=False)
