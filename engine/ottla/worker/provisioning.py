"""What an app needs before its first event: its codecs; its topics, created where they are missing, checked where they
are there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

from ottla.cluster.records import control_topic
from ottla.errors import TopologyError, Unavailable
from ottla.topology.topology import Plan, Topology
from ottla.transport.contract import TopicSpec, Transport

log = logging.getLogger("ottla.worker")

_FIRST_BACKOFF_S = 0.1
_MOST_DOUBLINGS = 5


async def prepare_codecs(topology: Topology, stopping: Callable[[], bool]) -> None:
    """Lets the codecs of what is written make sure that they can write it; what they need is waited for, unless the
    worker is `stopping`.
    """
    for prepare in topology.preparations:
        attempts = 0
        while not stopping():
            try:
                await asyncio.to_thread(prepare)
                break
            except Unavailable as error:
                attempts += 1
                log.warning("before the first event: %s", error)
                await asyncio.sleep(_FIRST_BACKOFF_S * 2 ** min(attempts, _MOST_DOUBLINGS))


async def provision_topics(topology: Topology, transport: Transport) -> Plan:
    """Makes sure that every topic of the app can be used, and returns what there is to run.

    Raises `TopologyError` for a topic without a declared partition count that does not exist, for one whose count is
    not the declared one, and for state that was made for another count than its inputs have; `CopartitionError` where
    the inputs of a task differ.
    """
    counts = await _provide(
        topology.topics,
        transport,
        "keys would meet the wrong tasks and state; declare the count it has, or make the topic anew",
    )
    plan = topology.plan(counts)
    await _provide(
        [*plan.internal_topics, control_topic(topology.app_id)],
        transport,
        "a topic that the app reads has another number of partitions than when its state was made, so keys would meet "
        f"the wrong state; 'ottla app reset' lets {topology.app_id!r} make it anew from its inputs",
    )
    return plan


async def _provide(specs: Iterable[TopicSpec], transport: Transport, mismatch: str) -> dict[str, int]:
    declared = {spec.name: spec for spec in specs}
    counts = await transport.partition_counts(declared)
    missing = []
    for spec in declared.values():
        if spec.name in counts:
            continue
        partitions = spec.partitions or spec.partitions_if_missing
        if partitions is None:
            raise TopologyError(
                f"topic {spec.name!r} does not exist; create it, or declare it with partitions=, "
                "so that the app creates it"
            )
        if spec.partitions is None:
            log.info("topic %s does not exist; it is created with %d partitions", spec.name, partitions)
        counts[spec.name] = partitions
        missing.append(replace(spec, partitions=partitions))
    for name, spec in declared.items():
        if spec.partitions not in (None, counts[name]):
            raise TopologyError(
                f"topic {name!r} has {counts[name]} partitions but the app needs {spec.partitions}: {mismatch}"
            )
    await transport.create_topics(missing)
    return counts
