"""`ottla topic`: create, list, describe, delete, configure, grow and trim topics, and look at their offsets."""

from typing import Annotated

import typer

from ottla_apps.cli import options
from ottla_apps.cli.command import confirm, now_ms, reported
from ottla_apps.cli.completion import complete_topics
from ottla_apps.cli.errors import BadArgument, CommandError
from ottla_apps.cli.output import Cell, Facts, Table, fail_if, show, show_outcomes

app = typer.Typer(help="Create, list, describe, change and delete topics.", no_args_is_help=True)

Topic = Annotated[str, typer.Argument(metavar="TOPIC", autocompletion=complete_topics)]
Topics = Annotated[list[str], typer.Argument(metavar="TOPIC...", autocompletion=complete_topics)]
NewTopics = Annotated[list[str], typer.Argument(metavar="TOPIC...")]
Settings = list[str] | None


@app.command("create")
@reported
def create(
    topics: NewTopics,
    partitions: Annotated[
        int,
        typer.Option(
            "--partitions", "-p", min=-1, metavar="N", help="Number of partitions; -1 takes the broker's default."
        ),
    ] = -1,
    replicas: Annotated[
        int,
        typer.Option(
            "--replicas", "-r", min=-1, metavar="N", help="Replication factor; -1 takes the broker's default."
        ),
    ] = -1,
    config: Annotated[
        Settings, typer.Option("--topic-config", "-c", metavar="KEY=VALUE", help="A setting; may be given many times.")
    ] = None,
    if_not_exists: Annotated[bool, typer.Option("--if-not-exists", help="Be content if a topic exists.")] = False,
    dry_run: options.DryRun = False,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Create topics."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.settings import parse_assignments
    from ottla_wire.errors import ErrorCode

    configs = parse_assignments(config or [])
    done = "would be created" if dry_run else "created"
    with connect(brokers, profile, timeout) as cluster:
        outcomes = {}
        for topic in topics:
            outcome = cluster.admin.create_topic(topic, partitions, replicas, configs, dry_run=dry_run)
            exists = getattr(outcome, "code", None) == ErrorCode.TOPIC_ALREADY_EXISTS
            outcomes[topic] = "exists" if exists and if_not_exists else outcome or done
    show_outcomes("topic", outcomes, output)


@app.command("list")
@reported
def list_(
    internal: Annotated[bool, typer.Option("--internal", "-i", help="Also show the broker's own topics.")] = False,
    pattern: Annotated[
        str | None, typer.Option("--regex", "-r", metavar="PATTERN", help="Only topics whose name this matches.")
    ] = None,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """List topics with their numbers of partitions and replicas."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.settings import compile_pattern

    matches = compile_pattern(pattern)
    with connect(brokers, profile, timeout) as cluster:
        described = cluster.wire.metadata(None).topics
    rows = [
        (topic.name, len(topic.partitions), max((len(p.replica_nodes) for p in topic.partitions), default=0))
        for topic in sorted(described, key=lambda topic: topic.name or "")
        if (internal or not topic.is_internal) and matches(topic.name or "")
    ]
    show(Table("topics", ("topic", "partitions", "replicas"), rows), output=output)


@app.command("describe")
@reported
def describe(
    topic: Topic,
    configs: Annotated[
        bool, typer.Option("--configs", "-c", help="Show all settings, not only those that differ from the defaults.")
    ] = False,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Show a topic, its settings and partitions."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.partition import Partition
    from ottla_apps.cli.positions import bounds
    from ottla_apps.cli.settings import DEFAULT_SOURCE, describe_configs
    from ottla_apps.cli.topics import describe_topic, id_text, partitions_of

    with connect(brokers, profile, timeout) as cluster:
        found = describe_topic(cluster.wire, topic)
        led = [Partition(topic, p.partition_index) for p in found.partitions if p.leader_id >= 0]
        held = {where.number: ends for where, ends in bounds(cluster.wire, led).items()}
        settings = describe_configs(cluster.wire, "topic", topic)
    partitions = [
        (
            partition.partition_index,
            partition.leader_id,
            partition.leader_epoch,
            partition.replica_nodes,
            partition.isr_nodes,
            held[partition.partition_index].start if partition.partition_index in held else None,
            held[partition.partition_index].end if partition.partition_index in held else None,
        )
        for partition in partitions_of(found)
    ]
    columns = ("partition", "leader", "leader_epoch", "replicas", "isr", "log_start_offset", "high_watermark")
    shown = [(s.name, s.value, s.source) for s in settings if configs or s.source != DEFAULT_SOURCE]
    show(
        Facts(
            "summary",
            {
                "topic": found.name,
                "topic_id": id_text(found.topic_id),
                "internal": found.is_internal,
                "partitions": len(found.partitions),
                "replicas": max((len(p.replica_nodes) for p in found.partitions), default=0),
            },
        ),
        Table("configs", ("key", "value", "source"), shown),
        Table("partitions", columns, partitions),
        output=output,
    )


@app.command("delete")
@reported
def delete(
    topics: Topics,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Delete topics and all their records."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.topics import describe_topic

    with connect(brokers, profile, timeout) as cluster:
        outcomes: dict[str, str | CommandError] = {}
        if dry_run:
            for topic in topics:
                try:
                    describe_topic(cluster.wire, topic)
                    outcomes[topic] = "would be deleted"
                except CommandError as error:
                    outcomes[topic] = error
        else:
            confirm(f"Delete {', '.join(topics)} with all records?", yes=yes)
            outcomes = {topic: cluster.admin.delete_topic(topic) or "deleted" for topic in topics}
    show_outcomes("topic", outcomes, output)


@app.command("alter-config")
@reported
def alter_config(
    topics: Topics,
    assigned: Annotated[Settings, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Set a setting.")] = None,
    deleted: Annotated[
        Settings, typer.Option("--delete", "-d", metavar="KEY", help="Let a setting go back to its default.")
    ] = None,
    appended: Annotated[
        Settings, typer.Option("--append", metavar="KEY=VALUE", help="Add to a setting's list.")
    ] = None,
    subtracted: Annotated[
        Settings, typer.Option("--subtract", metavar="KEY=VALUE", help="Take from a setting's list.")
    ] = None,
    dry_run: options.DryRun = False,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Change settings of topics.

    Each option may be given many times.
    """
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.settings import alter_configs, parse_alterations

    alterations = parse_alterations(assigned or (), deleted or (), appended or (), subtracted or ())
    if not alterations:
        raise BadArgument("Nothing to change: give --set, --delete, --append or --subtract.")
    done = f"{'would be changed' if dry_run else 'changed'}: {', '.join(map(str, alterations))}"
    with connect(brokers, profile, timeout) as cluster:
        outcomes = {
            topic: alter_configs(cluster.wire, "topic", topic, alterations, dry_run=dry_run) or done for topic in topics
        }
    show_outcomes("topic", outcomes, output)


@app.command("add-partitions")
@reported
def add_partitions(
    topics: Topics,
    number: Annotated[
        int, typer.Option("--num", "-n", min=1, metavar="N", help="How many partitions to add to each topic.")
    ],
    dry_run: options.DryRun = False,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Add partitions to topics. Records stay where they are; keys may map to other partitions from then on."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.topics import describe_topic

    done = "would have" if dry_run else "has"
    outcomes: dict[str, str | CommandError] = {}
    with connect(brokers, profile, timeout) as cluster:
        for topic in topics:
            try:
                total = len(describe_topic(cluster.wire, topic).partitions) + number
            except CommandError as error:
                outcomes[topic] = error
                continue
            failure = cluster.admin.add_partitions(topic, total, dry_run=dry_run)
            outcomes[topic] = failure or f"{done} {total} partitions"
    show_outcomes("topic", outcomes, output)


@app.command("trim")
@reported
def trim(
    topic: Topic,
    position: Annotated[
        str, typer.Option("--offset", "-o", metavar="POSITION", help="Delete records before: end, N, +N, -N or @TIME.")
    ],
    partitions: options.Partitions = None,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Delete the records before a position."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.offsets import delete_before
    from ottla_apps.cli.points import parse_point
    from ottla_apps.cli.positions import bounds, resolve
    from ottla_apps.cli.topics import select_partitions

    point = parse_point(position, now_ms())
    with connect(brokers, profile, timeout) as cluster:
        held = bounds(cluster.wire, select_partitions(cluster.wire, topic, partitions))
        before = resolve(cluster.wire, point, held)
        outcomes = dict.fromkeys(before)
        if not dry_run:
            count = sum(before[partition] - held[partition].start for partition in before)
            confirm(f"Delete up to {count} records of {topic}?", yes=yes)
            outcomes = delete_before(cluster.wire, before)
    rows = [
        (partition.topic, partition.number, held[partition].start, offset, held[partition].end - offset)
        for partition, offset in before.items()
        if outcomes[partition] is None
    ]
    column = "would_start_at" if dry_run else "starts_at"
    show(Table("partitions", ("topic", "partition", "started_at", column, "left"), rows), output=output)
    fail_if([outcome for outcome in outcomes.values() if outcome is not None])


@app.command("offsets")
@reported
def offsets(
    topics: Topics,
    at: Annotated[
        str | None, typer.Option("--at", metavar="POSITION", help="Also show the offset at: +N, -N or @TIME.")
    ] = None,
    partitions: options.Partitions = None,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Show where partitions start and end."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.offsets import LATEST, find_offsets
    from ottla_apps.cli.points import parse_point
    from ottla_apps.cli.positions import bounds, resolve
    from ottla_apps.cli.topics import select_partitions

    point = None if at is None else parse_point(at, now_ms())
    with connect(brokers, profile, timeout) as cluster:
        wanted = [p for topic in topics for p in select_partitions(cluster.wire, topic, partitions)]
        held = bounds(cluster.wire, wanted)
        stable = find_offsets(cluster.wire, dict.fromkeys(wanted, LATEST), committed_only=True)
        found = {} if point is None else resolve(cluster.wire, point, held)
    rows: list[tuple[Cell, ...]] = [(p.topic, p.number, held[p].start, held[p].end, stable[p]) for p in wanted]
    columns: tuple[str, ...] = ("topic", "partition", "log_start_offset", "high_watermark", "last_stable_offset")
    if point is not None:
        columns = (*columns, "offset")
        rows = [(*row, found[partition]) for row, partition in zip(rows, wanted, strict=True)]
    show(Table("offsets", columns, rows), output=output)
