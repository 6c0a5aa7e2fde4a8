"""Which nodes hold which partition. Pure."""

from collections.abc import Sequence

from ottla_wire.errors import ErrorCode, KafkaError


def place_replicas(
    brokers: Sequence[int], partitions: int, replication_factor: int, *, first: int
) -> list[tuple[int, ...]]:
    """The replicas of each partition, the preferred leader first: round robin over `brokers`, starting at `first`.

    Followers shift by one more at each round, so that the partitions of one leader do not share their followers.
    Raises KafkaError INVALID_REPLICATION_FACTOR when there are too few brokers.
    """
    if replication_factor > len(brokers):
        raise KafkaError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"Unable to replicate the partition {replication_factor} time(s): "
            f"The target replication factor of {replication_factor} cannot be reached because only "
            f"{len(brokers)} broker(s) are registered.",
        )
    count = len(brokers)
    placed = []
    for partition in range(first, first + partitions):
        leader = partition % count
        shift = partition // count
        followers = [(leader + 1 + (shift + n) % (count - 1)) % count for n in range(replication_factor - 1)]
        placed.append(tuple(brokers[node] for node in (leader, *followers)))
    return placed
