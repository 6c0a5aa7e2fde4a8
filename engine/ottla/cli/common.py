"""What the commands about an app share: its name, its broker, how errors end them, columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Rows with their columns below each other; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
