"""What the commands about an app share: its name, its broker, how errors end them, how lists are shown."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ottla.config import AppConfig
    from ottla.transport.kafka_settings import KafkaSettings

AppName = Annotated[str, typer.Argument(metavar="MODULE:APP", help="The app: its module and its name there.")]
BrokerUrl = Annotated[
    str | None,
    typer.Option("--broker", metavar="URL", help="kafka://HOST:PORT or embedded://DIR, instead of the app's."),
]


class Format(StrEnum):
    """How a list is printed."""

    TABLE = "table"
    TEXT = "text"
    JSON = "json"


Output = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="How to print the list. Without it: columns on a terminal, tab-separated text when piped.",
        show_default=False,
    ),
]


@contextmanager
def told_in_a_sentence(command: str) -> Iterator[None]:
    """Ends the command with a sentence and a status for what Ottla raises: 2 for a mistake in how it was called."""
    import logging

    from ottla.errors import ConfigError, OttlaError, TopologyError

    # What its clients say while they try again is no answer to who called it.
    client_log = logging.getLogger("ottla.kafka")
    level = client_log.level
    client_log.setLevel(logging.ERROR)
    try:
        yield
    except OttlaError as error:
        typer.echo(f"ottla {command}: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, ConfigError | TopologyError) else 1) from None
    finally:
        client_log.setLevel(level)


@contextmanager
def client_settings(config: AppConfig, broker: str | None, client: str) -> Iterator[KafkaSettings]:
    """How a command meets the app's cluster, on a broker of its own where that is embedded and not running."""
    from ottla.transport.kafka_settings import KafkaSettings
    from ottla.worker.embedded import serving

    with serving(broker or config.broker) as bootstrap:
        yield KafkaSettings(bootstrap, config.app_id, client, exactly_once=False, options=config.broker_options)


def show_list(columns: Sequence[str], rows: Sequence[Sequence[str]], output: Format | None) -> None:
    """Prints rows under their columns, whose names are in lower case, as JSON shows them."""
    if output is None:
        output = Format.TABLE if sys.stdout.isatty() else Format.TEXT
    if output is Format.JSON:
        import msgspec

        listed = [dict(zip(columns, row, strict=True)) for row in rows]
        typer.echo(msgspec.json.format(msgspec.json.encode(listed)).decode())
        return
    lines = [[column.upper() for column in columns], *([printable(cell) for cell in row] for row in rows)]
    if output is Format.TEXT:
        typer.echo("\n".join("\t".join(line) for line in lines))
        return
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def printable(text: str) -> str:
    """The text with everything escaped that a terminal would obey instead of showing it."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
