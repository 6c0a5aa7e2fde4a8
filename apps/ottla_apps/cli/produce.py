"""`ottla produce`: send lines of stdin or of files as records."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from ottla_apps.cli import options
from ottla_apps.cli.command import reported
from ottla_apps.cli.completion import complete_topics
from ottla_apps.cli.errors import BadArgument, CommandError

if TYPE_CHECKING:
    from ottla_apps.cli.record_format import InputRecord

JSON = "json"
DEFAULT_MAX_BYTES = 1_000_000  # what librdkafka and Kafka's own producer send at most


class Compression(StrEnum):
    """How batches are compressed."""

    NONE = "none"
    GZIP = "gzip"
    SNAPPY = "snappy"
    LZ4 = "lz4"
    ZSTD = "zstd"


class Acks(StrEnum):
    """Who has to have a record before it counts as written."""

    NONE = "0"
    LEADER = "1"
    ALL = "all"


@reported
def produce(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", autocompletion=complete_topics)],
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="Files to read instead of stdin; - is stdin.")
    ] = None,
    line_format: Annotated[
        str | None,
        typer.Option("--format", "-f", metavar="FORMAT", help="What a line is: %k %v %h %p %T and text, or `json`."),
    ] = None,
    key_separator: Annotated[
        str | None, typer.Option("--key-separator", "-K", metavar="TEXT", help="Short for --format '%kTEXT%v'.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", "-k", metavar="KEY", help="The key of records without one.")
    ] = None,
    headers: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="NAME=VALUE", help="A header for every record.")
    ] = None,
    partition: Annotated[
        int | None,
        typer.Option(
            "--partition",
            "-p",
            min=-1,
            metavar="N",
            help="The partition of every record. -1: the key decides, as for Java clients, whatever a line says.",
            show_default=False,
        ),
    ] = None,
    tombstone: Annotated[
        bool, typer.Option("--tombstone", "-Z", help="Send an empty value as null, which deletes a key.")
    ] = False,
    compression: Annotated[
        Compression, typer.Option("--compression", "-z", help="How to compress batches.")
    ] = Compression.NONE,
    acks: Annotated[Acks, typer.Option("--acks", help="Who has to have a record.")] = Acks.ALL,
    report: Annotated[
        str | None,
        typer.Option("--output-format", "-o", metavar="FORMAT", help="Print this for each record that was written."),
    ] = None,
    max_bytes: Annotated[
        int,
        typer.Option(
            "--max-message-bytes", min=1024, max=1_000_000_000, metavar="BYTES", help="The longest line, and record."
        ),
    ] = DEFAULT_MAX_BYTES,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
) -> None:
    """Send lines as records."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.record_format import Renderer
    from ottla_apps.cli.sender import Defaults, Sender
    from ottla_apps.cli.topics import select_partitions

    parse = _parser(line_format, key_separator)
    defaults = Defaults(
        key=None if key is None else _bytes(key),
        headers=tuple(_header(text) for text in headers or ()),
        partition=partition,
        empty_is_null=tombstone,
    )
    render = None if report is None else Renderer(report)
    settings = {
        "acks": acks.value,
        "enable.idempotence": acks is Acks.ALL,
        "compression.type": compression.value,
        "message.max.bytes": max_bytes,
        "message.timeout.ms": round(timeout * 1000),
        # As Java clients and Ottla's apps: the same key goes to the same partition, whoever sends it.
        "partitioner": "murmur2_random",
    }
    with ExitStack() as stack:
        opened = [stack.enter_context(_opened(path)) for path in files or [Path("-")]]
        cluster = stack.enter_context(connect(brokers, profile, timeout))
        select_partitions(cluster.wire, topic, None if partition is None or partition < 0 else [partition])
        sender = stack.enter_context(Sender(cluster, topic, settings, defaults, render))
        for name, file in opened:
            _send_lines(name, file, max_bytes, parse, sender.send)


def _parser(line_format: str | None, key_separator: str | None) -> "Callable[[bytes], InputRecord]":
    from ottla_apps.cli.record_format import Parser
    from ottla_apps.cli.record_json import from_json

    if key_separator is not None:
        if line_format is not None:
            raise BadArgument("--key-separator is a format already: leave out --format.")
        if not key_separator:
            raise BadArgument("--key-separator is empty.")
        return Parser("%k" + key_separator.replace("%", "%%") + "%v")
    return from_json if line_format == JSON else Parser(line_format or "%v")


def _bytes(text: str) -> bytes:
    """What was typed, also where it is no UTF-8."""
    return text.encode(errors="surrogateescape")


def _header(text: str) -> tuple[str, bytes | None]:
    name, equals, value = text.partition("=")
    if not name:
        raise BadArgument(f"{text!r} is no header: write NAME=VALUE, or NAME alone for the value null.")
    return name, _bytes(value) if equals else None


@contextmanager
def _opened(path: Path) -> Iterator[tuple[str, BinaryIO]]:
    """A file to read, with its name."""
    if str(path) == "-":
        yield "stdin", sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
    with file:
        yield str(path), file


def _send_lines(
    name: str,
    file: BinaryIO,
    max_bytes: int,
    parse: "Callable[[bytes], InputRecord]",
    send: "Callable[[InputRecord], None]",
) -> None:
    for number, line in enumerate(_lines(name, file, max_bytes), 1):
        try:
            record = parse(line)
        except BadArgument as error:
            raise CommandError(f"Line {number} of {name} was not sent, nor any after it: {error}.") from None
        send(record)


def _lines(name: str, file: BinaryIO, max_bytes: int) -> Iterator[bytes]:
    """The lines without their ends, none longer than allowed."""
    number = 0
    try:
        while line := file.readline(max_bytes + 1):
            number += 1
            if len(line.removesuffix(b"\n")) > max_bytes:
                raise CommandError(
                    f"Line {number} of {name} is longer than {max_bytes} bytes; see --max-message-bytes."
                )
            yield line.removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.") from None
