"""`ottla topology MODULE:APP`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ottla.cli.common import AppName, told_in_a_sentence


class Format(StrEnum):
    """How a topology is shown."""

    TEXT = "text"
    MERMAID = "mermaid"
    SVG = "svg"


def topology(
    target: AppName,
    form: Annotated[
        Format, typer.Option("--format", help="Text as Kafka Streams prints it, a Mermaid flowchart, or a picture.")
    ] = Format.TEXT,
) -> None:
    """Show the steps of an app, with their topics and stores. No broker is asked."""
    from ottla.loading import load_app

    with told_in_a_sentence("topology"):
        found = load_app(target).topology
    for warning in found.warnings:
        typer.echo(f"ottla topology: {warning}", err=True)
    show = {Format.TEXT: found.describe, Format.MERMAID: found.mermaid, Format.SVG: found.svg}[form]
    typer.echo(show(), nl=False)
