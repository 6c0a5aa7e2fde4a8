"""`ottla group`: list, describe and delete consumer groups, see their members and lag, move their offsets."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from ottla_apps.cli import options
from ottla_apps.cli.command import confirm, now_ms, reported
from ottla_apps.cli.completion import complete_groups, complete_topics
from ottla_apps.cli.errors import BadArgument, CommandError
from ottla_apps.cli.output import Facts, Table, fail_if, show, show_outcomes

if TYPE_CHECKING:
    from ottla_apps.cli.connection import Cluster
    from ottla_apps.cli.groups import Group
    from ottla_apps.cli.partition import Partition

app = typer.Typer(help="Look at consumer groups, move their offsets.", no_args_is_help=True)

GroupId = Annotated[str, typer.Argument(metavar="GROUP", autocompletion=complete_groups)]
GroupIds = Annotated[list[str], typer.Argument(metavar="GROUP...", autocompletion=complete_groups)]


@app.command("list")
@reported
def list_(
    states: Annotated[
        list[str] | None,
        typer.Option("--state", "-s", metavar="STATE", help="Only groups in this state, such as Stable or Empty."),
    ] = None,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """List groups with their states."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.groups import list_groups

    wanted = {state.lower() for state in states or ()}
    with connect(brokers, profile, timeout) as cluster:
        groups = list_groups(cluster.wire)
    rows = [
        (group.group_id, group.type, group.protocol_type or None, group.state, group.coordinator)
        for group in groups
        if not wanted or (group.state or "").lower() in wanted
    ]
    show(Table("groups", ("group", "type", "protocol", "state", "coordinator"), rows), output=output)


@app.command("describe")
@reported
def describe(
    group_id: GroupId,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Show a group and its partitions: offset, lag, member."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.groups import describe_group

    with connect(brokers, profile, timeout) as cluster:
        group = describe_group(cluster.wire, group_id)
        owners = {partition: member for member in group.members for partition in member.partitions}
        rows = lag_rows(cluster, group_id, owners)
    partitions = []
    for partition, (committed, end, lag) in rows.items():
        member = owners.get(partition)
        owner = (member.member_id, member.client_id, member.host) if member else (None, None, None)
        partitions.append((partition.topic, partition.number, committed, end, lag, *owner))
    columns = ("topic", "partition", "committed_offset", "end_offset", "lag", "member_id", "client_id", "host")
    facts = _facts(group) | {"lag": _total(lag for _, _, lag in rows.values())}
    show(Facts("summary", facts), Table("partitions", columns, partitions), output=output)


def _facts(group: "Group") -> dict[str, object]:
    return {
        "group": group.group_id,
        "type": group.type,
        "state": group.state,
        "assignor": group.assignor or None,
        "coordinator": group.coordinator,
        "members": len(group.members),
    }


@app.command("members")
@reported
def members(
    group_id: GroupId,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Show who is in a group, and who has which partitions."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.groups import describe_group

    with connect(brokers, profile, timeout) as cluster:
        group = describe_group(cluster.wire, group_id)
    rows = [
        (member.member_id, member.instance_id, member.client_id, member.host, list(map(str, member.partitions)))
        for member in group.members
    ]
    columns = ("member_id", "instance_id", "client_id", "host", "partitions")
    show(Table("members", columns, rows), output=output)


@app.command("lag")
@reported
def lag(
    group_id: GroupId,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Show how far a group is behind, by topic and in all."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.groups import describe_group

    with connect(brokers, profile, timeout) as cluster:
        group = describe_group(cluster.wire, group_id)
        rows = lag_rows(cluster, group_id, (partition for member in group.members for partition in member.partitions))
    topics: dict[str, list[int | None]] = {}
    for partition, (_, _, behind) in rows.items():
        topics.setdefault(partition.topic, []).append(behind)
    lags = [(topic, len(behind), _total(behind)) for topic, behind in topics.items()]
    total: dict[str, object] = {"partitions": len(rows), "lag": _total(behind for _, _, behind in rows.values())}
    show(Table("topics", ("topic", "partitions", "lag"), lags), Facts("total", total), output=output)


def lag_rows(
    cluster: "Cluster", group_id: str, assigned: "Iterable[Partition]"
) -> "dict[Partition, tuple[int | None, int, int | None]]":
    """Committed offset, end offset and lag of the partitions that a group has committed or is assigned.

    The end is the last stable offset: what a read_committed consumer can reach. Without a commit there is no lag.
    """
    from ottla_apps.cli.offsets import LATEST, find_offsets
    from ottla_apps.cli.topics import existing

    committed = cluster.admin.group_offsets(group_id)
    wanted = existing(cluster.wire, {*committed, *assigned})
    ends = find_offsets(cluster.wire, dict.fromkeys(wanted, LATEST), committed_only=True)
    rows = {}
    for partition, end in ends.items():
        offset = committed.get(partition)
        rows[partition] = (offset, end, None if offset is None else max(0, end - offset))
    return rows


def _total(lags: Iterable[int | None]) -> int:
    return sum(lag for lag in lags if lag is not None)


@app.command("delete")
@reported
def delete(
    group_ids: GroupIds,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Delete groups that have no members, with their offsets."""
    from ottla_apps.cli.connection import connect

    outcomes: dict[str, str | CommandError]
    with connect(brokers, profile, timeout) as cluster:
        if dry_run:
            outcomes = {group_id: _refusal(cluster, group_id) or "would be deleted" for group_id in group_ids}
        else:
            confirm(f"Delete {', '.join(group_ids)} with all offsets?", yes=yes)
            outcomes = {group_id: cluster.admin.delete_group(group_id) or "deleted" for group_id in group_ids}
    show_outcomes("group", outcomes, output)


def _refusal(cluster: "Cluster", group_id: str) -> CommandError | None:
    """Why a group can be neither deleted nor moved at the moment."""
    from ottla_apps.cli.groups import describe_group

    try:
        group = describe_group(cluster.wire, group_id)
    except CommandError as error:
        return error
    if group.members:
        return CommandError(f"Group {group_id!r} has members; stop them first.")
    return None


@app.command("seek")
@reported
def seek(
    group_id: GroupId,
    to: Annotated[str, typer.Option("--to", metavar="POSITION", help="earliest, latest, an offset, +N, -N or @TIME.")],
    topics: Annotated[
        list[str] | None,
        typer.Option(
            "--topic",
            "-t",
            metavar="TOPIC[:N,...]",
            help="Only this topic, or these partitions of it; may be given many times. Without it: all that the group "
            "has committed.",
            autocompletion=complete_topics,
        ),
    ] = None,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Move a group's offsets while it has no members. A group that does not exist is made."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.points import parse_point
    from ottla_apps.cli.positions import bounds, resolve
    from ottla_apps.cli.topics import existing
    from ottla_wire.errors import ErrorCode

    point = parse_point(to, now_ms())
    with connect(brokers, profile, timeout) as cluster:
        committed = cluster.admin.group_offsets(group_id)
        wanted = select(cluster, topics) if topics else existing(cluster.wire, committed)
        if not wanted:
            raise BadArgument(f"Group {group_id!r} has committed no offsets; say which to set with --topic.")
        targets = resolve(cluster.wire, point, bounds(cluster.wire, wanted))
        refusal = _refusal(cluster, group_id)
        if refusal is not None and getattr(refusal, "code", None) != ErrorCode.GROUP_ID_NOT_FOUND:
            raise refusal
        if not dry_run:
            confirm(f"Move {group_id} to {point} in {len(targets)} partitions?", yes=yes)
            if failure := cluster.admin.alter_group_offsets(group_id, targets):
                raise failure
    show(_moves(committed, targets, dry_run=dry_run), output=output)


@app.command("offset-delete")
@reported
def offset_delete(
    group_id: GroupId,
    topics: Annotated[
        list[str],
        typer.Option(
            "--topic",
            "-t",
            metavar="TOPIC[:N,...]",
            help="This topic, or these partitions of it; may be given many times.",
            autocompletion=complete_topics,
        ),
    ],
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Delete offsets of a group. No member may be subscribed to their topics."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.groups import delete_offsets

    with connect(brokers, profile, timeout) as cluster:
        committed = cluster.admin.group_offsets(group_id)
        doomed = [partition for partition in select(cluster, topics) if partition in committed]
        if not doomed:
            raise BadArgument(f"Group {group_id!r} has committed no offsets of {', '.join(topics)}.")
        outcomes: dict[Partition, CommandError | None] = dict.fromkeys(doomed)
        if not dry_run:
            confirm(f"Delete {len(doomed)} offsets of {group_id}?", yes=yes)
            outcomes = delete_offsets(cluster.wire, group_id, doomed)
    column = "would_delete" if dry_run else "deleted_offset"
    rows = [(p.topic, p.number, committed[p]) for p, failure in outcomes.items() if failure is None]
    show(Table("offsets", ("topic", "partition", column), rows), output=output)
    fail_if([failure for failure in outcomes.values() if failure is not None])


def _moves(committed: "Mapping[Partition, int]", targets: "Mapping[Partition, int]", *, dry_run: bool) -> Table:
    rows = [(p.topic, p.number, committed.get(p), offset) for p, offset in targets.items()]
    column = "would_be_offset" if dry_run else "new_offset"
    return Table("offsets", ("topic", "partition", "prior_offset", column), rows)


def select(cluster: "Cluster", texts: Iterable[str]) -> "list[Partition]":
    """The partitions that `TOPIC` and `TOPIC:0,3` mean. Raises BadArgument, Refused."""
    from ottla_apps.cli.topics import select_partitions

    selected: list[Partition] = []
    for text in texts:
        topic, colon, numbers = text.partition(":")
        try:
            indexes = [int(number) for number in numbers.split(",")] if colon else None
        except ValueError:
            raise BadArgument(f"{text!r} names no partitions: write TOPIC, or TOPIC:0,3.") from None
        selected += select_partitions(cluster.wire, topic, indexes)
    return selected
