"""Turns positions as people write them (`points.py`) into offsets of partitions."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ottla_apps.cli.errors import BadArgument
from ottla_apps.cli.offsets import EARLIEST, LATEST, find_offsets
from ottla_apps.cli.partition import Partition
from ottla_apps.cli.points import Kind, Point
from ottla_apps.cli.wire_client import WireClient


class Bounds(NamedTuple):
    """What a partition holds: offsets from `start` to, and without, `end`."""

    start: int
    end: int


def bounds(
    wire: WireClient, partitions: Iterable[Partition], *, committed_only: bool = False
) -> dict[Partition, Bounds]:
    """The bounds of partitions; with `committed_only` they end where a read_committed consumer does."""
    wanted = list(partitions)
    starts = find_offsets(wire, dict.fromkeys(wanted, EARLIEST))
    ends = find_offsets(wire, dict.fromkeys(wanted, LATEST), committed_only=committed_only)
    return {partition: Bounds(starts[partition], max(starts[partition], ends[partition])) for partition in wanted}


def resolve(
    wire: WireClient, point: Point, held: Mapping[Partition, Bounds], *, future: bool = False
) -> dict[Partition, int]:
    """The offset that a point means in each partition, within its bounds.

    An offset that lies beyond the end of a partition raises BadArgument, unless it may lie in the `future`.
    """
    if point.kind is Kind.OFFSET and future:
        return dict.fromkeys(held, point.number)
    times = {}
    if point.kind is Kind.TIME:
        times = find_offsets(wire, dict.fromkeys(held, point.number))
    return {partition: _offset(point, partition, held[partition], times.get(partition, -1)) for partition in held}


def resolve_starts(wire: WireClient, point: Point, held: Mapping[Partition, Bounds]) -> dict[Partition, int]:
    """The offset at which to begin in each partition.

    An offset may lie beyond the end of some partitions, which have nothing from there on yet, but not of all: that
    raises BadArgument.
    """
    if point.kind is Kind.OFFSET and any(point.number <= each.end for each in held.values()):
        return {partition: max(point.number, each.start) for partition, each in held.items()}
    return resolve(wire, point, held)


def _offset(point: Point, partition: Partition, held: Bounds, at_time: int) -> int:
    match point.kind:
        case Kind.START:
            return held.start
        case Kind.END:
            return held.end
        case Kind.AFTER_START:
            return min(held.start + point.number, held.end)
        case Kind.BEFORE_END:
            return max(held.end - point.number, held.start)
        case Kind.TIME:
            return held.end if at_time < 0 else min(max(at_time, held.start), held.end)
    if point.number > held.end:
        raise BadArgument(f"{partition} has no offset {point.number} yet: {held.end} is the next one.")
    return max(point.number, held.start)
