"""`ottla cluster`: brokers and controller, health, disk space, features."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ottla_apps.cli import options
from ottla_apps.cli.command import reported
from ottla_apps.cli.output import Facts, Table, show

if TYPE_CHECKING:
    from ottla_apps.cli.wire_client import WireClient
    from ottla_wire.messages.metadata import MetadataResponse

app = typer.Typer(help="Brokers, health, disk space and features.", no_args_is_help=True)

UNHEALTHY = 1


@app.command("info")
@reported
def info(
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Show the cluster's id, its controller and its brokers."""
    from ottla_apps.cli.connection import connect

    with connect(brokers, profile, timeout) as cluster:
        metadata = cluster.wire.metadata(None)
    leaders = [partition.leader_id for topic in metadata.topics for partition in topic.partitions]
    rows = [
        (broker.node_id, broker.host, broker.port, broker.rack, leaders.count(broker.node_id))
        for broker in sorted(metadata.brokers, key=lambda broker: broker.node_id)
    ]
    facts: dict[str, object] = {
        "cluster_id": metadata.cluster_id,
        "controller": _controller(metadata),
        "brokers": len(metadata.brokers),
        "topics": len(metadata.topics),
        "partitions": len(leaders),
    }
    columns = ("broker", "host", "port", "rack", "leads")
    show(Facts("summary", facts), Table("brokers", columns, rows), output=output)


def _controller(metadata: "MetadataResponse") -> int | None:
    return metadata.controller_id if metadata.controller_id >= 0 else None


@app.command("health")
@reported
def health(
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Tell whether all is well; the exit status is 1 if not.

    It is when every partition has a leader and all its replicas in sync.
    """
    from ottla_apps.cli.connection import connect

    with connect(brokers, profile, timeout) as cluster:
        metadata = cluster.wire.metadata(None)
    troubles = list(find_troubles(metadata))
    controller = _controller(metadata)
    healthy = not troubles and controller is not None
    facts: dict[str, object] = {"healthy": healthy, "controller": controller, "brokers": len(metadata.brokers)}
    for trouble in ("leaderless", "under_replicated", "offline_replicas"):
        facts[trouble] = sum(found == trouble for _, _, found in troubles)
    parts: list[Facts | Table] = [Facts("summary", facts)]
    if troubles:
        parts.append(Table("partitions", ("topic", "partition", "trouble"), troubles))
    show(*parts, output=output)
    if not healthy:
        raise typer.Exit(UNHEALTHY)


def find_troubles(metadata: "MetadataResponse") -> Iterator[tuple[str | None, int, str]]:
    """What is wrong with which partition: the worst of it."""
    for topic in metadata.topics:
        for partition in topic.partitions:
            if partition.leader_id < 0:
                yield topic.name, partition.partition_index, "leaderless"
            elif partition.offline_replicas:
                yield topic.name, partition.partition_index, "offline_replicas"
            elif len(partition.isr_nodes) < len(partition.replica_nodes):
                yield topic.name, partition.partition_index, "under_replicated"


@app.command("log-dirs")
@reported
def log_dirs(
    topics: Annotated[
        list[str] | None, typer.Option("--topic", "-t", metavar="TOPIC", help="Only partitions of this topic.")
    ] = None,
    nodes: Annotated[
        list[int] | None, typer.Option("--broker", metavar="ID", help="Only this broker; may be given many times.")
    ] = None,
    partitions: Annotated[bool, typer.Option("--partitions", help="Also show the size of each partition.")] = False,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Show the data directories and what fills them."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.errors import BadArgument
    from ottla_apps.cli.topics import select_partitions
    from ottla_apps.cli.wire_client import check
    from ottla_wire.messages import describe_log_dirs as messages

    directories, sizes = [], []
    with connect(brokers, profile, timeout) as cluster:
        wanted = None
        if topics:
            selected = {topic: select_partitions(cluster.wire, topic, None) for topic in topics}
            wanted = [
                messages.DescribableLogDirTopic(topic=topic, partitions=[partition.number for partition in found])
                for topic, found in selected.items()
            ]
        if unknown := sorted(set(nodes or ()) - set(cluster.wire.nodes())):
            raise BadArgument(f"The cluster has no broker {', '.join(map(str, unknown))}.")
        for node in sorted(nodes or cluster.wire.nodes()):
            request = messages.DescribeLogDirsRequest(topics=wanted)
            answer = cluster.wire.request(request, messages.DescribeLogDirsResponse, node)
            check(answer.error_code, f"The data directories of broker {node} cannot be described")
            for result in answer.results:
                check(result.error_code, f"The data directory {result.log_dir} of broker {node} is out of order")
                found = [(topic.name, partition) for topic in result.topics for partition in topic.partitions]
                used = sum(partition.partition_size for _, partition in found)
                total, usable = (size if size >= 0 else None for size in (result.total_bytes, result.usable_bytes))
                directories.append((node, result.log_dir, len(found), used, total, usable))
                sizes += [
                    (node, result.log_dir, topic, partition.partition_index, partition.partition_size)
                    for topic, partition in found
                ]
    columns = ("broker", "directory", "partitions", "size_bytes", "volume_bytes", "usable_bytes")
    parts = [Table("directories", columns, directories)]
    if partitions:
        sizes.sort(key=lambda row: (row[0], row[1], -row[4], row[2], row[3]))
        parts.append(Table("partitions", ("broker", "directory", "topic", "partition", "size_bytes"), sizes))
    show(*parts, output=output)


@app.command("features")
@reported
def features(
    apis: Annotated[bool, typer.Option("--apis", help="Also show the versions of each API.")] = False,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Show supported and finalized features."""
    from ottla_apps.cli.connection import connect

    with connect(brokers, profile, timeout) as cluster:
        answer = cluster.wire.api_versions()
        versions = _api_rows(cluster.wire)
    finalized = {feature.name: feature.max_version_level for feature in answer.finalized_features}
    rows = [
        (feature.name, feature.min_version, feature.max_version, finalized.get(feature.name))
        for feature in sorted(answer.supported_features, key=lambda feature: feature.name)
    ]
    parts = [Table("features", ("feature", "lowest", "highest", "finalized"), rows)]
    if apis:
        parts.append(Table("apis", ("key", "api", "lowest", "highest"), versions))
    show(*parts, output=output)


def _api_rows(wire: "WireClient") -> list[tuple[int, str | None, int, int]]:
    from ottla_wire.api_keys import ApiKey

    names = {int(key): key.camel_case for key in ApiKey}
    return [
        (api.api_key, names.get(api.api_key), api.min_version, api.max_version)
        for api in sorted(wire.api_versions().api_keys, key=lambda api: api.api_key)
    ]
