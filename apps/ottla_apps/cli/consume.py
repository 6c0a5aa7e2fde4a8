"""`ottla consume`: print the records of topics."""

from enum import StrEnum
from typing import Annotated

import typer

from ottla_apps.cli import options
from ottla_apps.cli.command import now_ms, reported
from ottla_apps.cli.completion import complete_groups, complete_topics
from ottla_apps.cli.errors import BadArgument

JSON = "json"


class Isolation(StrEnum):
    """Whether a reader sees what transactions have not committed (Kafka's isolation levels)."""

    READ_COMMITTED = "read_committed"
    READ_UNCOMMITTED = "read_uncommitted"


@reported
def consume(
    topics: Annotated[list[str], typer.Argument(metavar="TOPIC...", autocompletion=complete_topics)],
    record_format: Annotated[
        str,
        typer.Option(
            "--format", "-f", metavar="FORMAT", help="What to print: %t %p %o %k %v %h %T and text with \\n, or `json`."
        ),
    ] = "%v\\n",
    offset: Annotated[
        str | None,
        typer.Option(
            "--offset",
            "-o",
            metavar="FROM[:TO]",
            help="Where to begin, and before what to stop: start, end, N, +N, -N, @TIME.  [default: start]",
            show_default=False,
        ),
    ] = None,
    from_beginning: Annotated[
        bool,
        typer.Option("--from-beginning", help="Short for --offset start."),
    ] = False,
    partitions: options.Partitions = None,
    count: Annotated[
        int | None,
        typer.Option("--count", "-n", min=1, metavar="N", help="Stop after this many records.", show_default=False),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow/--no-follow", " /-e", help="Wait for new records, or stop at the end of what is there."),
    ] = True,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            "-g",
            metavar="GROUP",
            help="Join this group and commit what was printed.",
            autocompletion=complete_groups,
            show_default=False,
        ),
    ] = None,
    isolation: Annotated[
        Isolation, typer.Option("--isolation", help="Whether records of open and aborted transactions are shown.")
    ] = Isolation.READ_COMMITTED,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
) -> None:
    """Print the records of topics.

    It begins with the first record, and goes on with those that come until Ctrl-C, unless an option says otherwise.
    """
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.points import START, Range, parse_range
    from ottla_apps.cli.reader import GroupReader, Plan, RangeReader
    from ottla_apps.cli.record_format import Renderer
    from ottla_apps.cli.record_json import to_json

    if from_beginning and offset is not None:
        raise BadArgument("--from-beginning is --offset start: give one of them.")
    span = None if offset is None else parse_range(offset, now_ms())
    if from_beginning:
        span = Range(START)
    plan = Plan(list(dict.fromkeys(topics)), span, count, follow, isolation.value)
    render = to_json if record_format == JSON else Renderer(record_format)
    if group is not None and partitions:
        raise BadArgument("A group decides who reads which partition: leave out --partition or --group.")
    if group is not None and span is not None and span.stop is not None:
        raise BadArgument("A group reads on: leave out the end of --offset, or --group.")
    with connect(brokers, profile, timeout) as cluster:
        reader = RangeReader(cluster, plan, partitions) if group is None else GroupReader(cluster, plan, group)
        reader.run(render)
