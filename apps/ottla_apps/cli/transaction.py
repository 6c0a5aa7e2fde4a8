"""`ottla transaction`: list and describe transactions, find those that hang, and abort them."""

from typing import TYPE_CHECKING, Annotated

import typer

from ottla_apps.cli import options
from ottla_apps.cli.command import confirm, now_ms, reported
from ottla_apps.cli.completion import complete_topics, complete_transactions
from ottla_apps.cli.output import Facts, Table, Time, show

if TYPE_CHECKING:
    from ottla_apps.cli.partition import Partition
    from ottla_apps.cli.transactions import Producer
    from ottla_apps.cli.wire_client import WireClient

app = typer.Typer(help="Look at transactions, abort those that hang.", no_args_is_help=True)

_PRODUCER_COLUMNS = (
    "topic",
    "partition",
    "producer_id",
    "producer_epoch",
    "coordinator_epoch",
    "last_sequence",
    "last_written",
    "transaction_start_offset",
)


@app.command("list")
@reported
def list_(
    states: Annotated[
        list[str] | None,
        typer.Option("--state", "-s", metavar="STATE", help="Only those in this state, such as Ongoing."),
    ] = None,
    producer_ids: Annotated[
        list[int] | None, typer.Option("--producer-id", metavar="ID", help="Only those of this producer.")
    ] = None,
    longer_than_ms: Annotated[
        int | None,
        typer.Option("--longer-than-ms", min=0, metavar="MS", help="Only those that have run for longer than this."),
    ] = None,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """List transactional ids and the states of their transactions."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.transactions import list_all

    with connect(brokers, profile, timeout) as cluster:
        rows = list_all(cluster.wire, states or (), producer_ids or (), longer_than_ms)
    columns = ("transactional_id", "producer_id", "state", "coordinator")
    show(Table("transactions", columns, rows), output=output)


@app.command("describe")
@reported
def describe(
    transactional_id: Annotated[str, typer.Argument(metavar="ID", autocompletion=complete_transactions)],
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Show the transaction of a transactional id."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.transactions import describe as describe_transaction

    with connect(brokers, profile, timeout) as cluster:
        found = describe_transaction(cluster.wire, transactional_id)
    facts: dict[str, object] = {
        "transactional_id": found.transactional_id,
        "state": found.state,
        "producer_id": found.producer_id,
        "producer_epoch": found.producer_epoch,
        "timeout_ms": found.timeout_ms,
        "started": _time(found.started_ms),
        "coordinator": found.coordinator,
    }
    rows = [(partition.topic, partition.number) for partition in found.partitions]
    show(Facts("summary", facts), Table("partitions", ("topic", "partition"), rows), output=output)


@app.command("producers")
@reported
def producers(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", autocompletion=complete_topics)],
    partitions: options.Partitions = None,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Show the producers that write to a topic.

    Those that are idempotent or transactional are known to its partitions.
    """
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.topics import select_partitions
    from ottla_apps.cli.transactions import producers as active_producers

    with connect(brokers, profile, timeout) as cluster:
        found = active_producers(cluster.wire, select_partitions(cluster.wire, topic, partitions))
    show(Table("producers", _PRODUCER_COLUMNS, [_row(producer) for producer in found]), output=output)


@app.command("find-hanging")
@reported
def find_hanging(
    topic: Annotated[
        str | None,
        typer.Option("--topic", "-t", metavar="TOPIC", help="Only in this topic.", autocompletion=complete_topics),
    ] = None,
    partitions: options.Partitions = None,
    max_timeout_ms: Annotated[
        int,
        typer.Option(
            "--max-timeout-ms",
            min=0,
            metavar="MS",
            help="What a transaction may take: the brokers' transaction.max.timeout.ms.",
        ),
    ] = 900_000,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Find transactions that hang.

    Those are open in a partition, for longer than any may be, and their coordinator does not know them there.
    """
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.errors import BadArgument
    from ottla_apps.cli.transactions import find_hanging as find

    if partitions and topic is None:
        raise BadArgument("--partition needs --topic.")
    with connect(brokers, profile, timeout) as cluster:
        searched = _searched(cluster.wire, topic, partitions)
        found = find(cluster.wire, searched, now_ms(), max_timeout_ms)
    show(Table("hanging", _PRODUCER_COLUMNS, [_row(producer) for producer in found]), output=output)


def _searched(wire: "WireClient", topic: str | None, numbers: list[int] | None) -> "list[Partition]":
    from ottla_apps.cli.partition import Partition
    from ottla_apps.cli.topics import select_partitions

    if topic is not None:
        return select_partitions(wire, topic, numbers)
    return [
        Partition(found.name, partition.partition_index)
        for found in wire.metadata(None).topics
        if found.name is not None
        for partition in found.partitions
        if partition.leader_id >= 0
    ]


@app.command("abort")
@reported
def abort(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", autocompletion=complete_topics)],
    partition: Annotated[int, typer.Option("--partition", "-p", min=0, metavar="N", help="The partition.")],
    start_offset: Annotated[
        int,
        typer.Option(
            "--start-offset", min=0, metavar="OFFSET", help="Where the transaction begins, as find-hanging shows it."
        ),
    ],
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Abort a transaction that hangs.

    Consumers that read only what is committed can pass it then.
    """
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.topics import select_partitions
    from ottla_apps.cli.transactions import abort as abort_transaction
    from ottla_apps.cli.transactions import find_open

    with connect(brokers, profile, timeout) as cluster:
        (where,) = select_partitions(cluster.wire, topic, [partition])
        producer = find_open(cluster.wire, where, start_offset)
        if not dry_run:
            confirm(f"Abort the transaction of producer {producer.producer_id} in {where}?", yes=yes)
            abort_transaction(cluster.wire, producer)
    name = "would_be_aborted" if dry_run else "aborted"
    show(Table(name, _PRODUCER_COLUMNS, [_row(producer)]), output=output)


def _row(producer: "Producer") -> tuple[object, ...]:
    return (
        producer.partition.topic,
        producer.partition.number,
        producer.producer_id,
        producer.producer_epoch,
        producer.coordinator_epoch,
        producer.last_sequence,
        _time(producer.last_timestamp),
        producer.transaction_start_offset if producer.has_transaction else None,
    )


def _time(timestamp_ms: int) -> Time | None:
    return Time(timestamp_ms) if timestamp_ms >= 0 else None
