"""Looks now and then whether a topic that is read is gone, or has got more partitions, which no running task reads; and
whether there are others now that a pattern matches.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Mapping

from ottla.errors import TopologyError
from ottla.topology.patterns import has_patterns, matching
from ottla.topology.topology import Plan, Topology
from ottla.transport.contract import Transport
from ottla.transport.errors import TransportError

log = logging.getLogger("ottla.worker")

_INTERVAL_S = 60.0


class Growth:
    """Looks in the background, once a minute."""

    def __init__(self, topology: Topology, plan: Plan, transport: Transport) -> None:
        self._topology = topology
        self._planned = Counter(task_id.subtopology for task_id in plan.tasks)
        self._transport = transport
        self._by_pattern = has_patterns(topology)
        self._looking = asyncio.create_task(self._look())

    def check(self) -> bool:
        """Whether the topics that patterns match are others now, so that the worker must begin anew.

        Raises `TopologyError` for a topic that has grown, or was deleted.
        """
        if self._looking.done():
            self._looking.result()
            return True
        return False

    async def stop(self) -> None:
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        missing: set[str] = set()
        read = set(self._topology.input_topics)
        while True:
            await asyncio.sleep(_INTERVAL_S)
            try:
                found = await self._transport.topics() if self._by_pattern else {}
                counts = await self._transport.partition_counts(read)
            except TransportError as error:
                log.info("partition counts are not known just now: %s", error)
                continue
            # A broker that has just started may not know all topics yet, so one is gone when it is missed twice.
            missed = read - counts.keys()
            if self._by_pattern and self._others_match(found, read & counts.keys(), missing & missed):
                return
            if lost := missing & missed:
                raise TopologyError(
                    f"topic {min(lost)!r} does not exist any more, and nothing can be read: create it anew and start "
                    f"the workers of {self._topology.app_id!r} again, or take it out of the app"
                )
            missing = missed
            for part in self._topology.subtopologies:
                planned = self._planned[part.index]
                for topic in part.inputs:
                    if counts.get(topic, 0) > part.limits.get(topic, planned):
                        raise TopologyError(
                            f"topic {topic!r} has grown from {planned} to {counts[topic]} partitions, and nobody reads "
                            f"the new ones: start the workers of {self._topology.app_id!r} again"
                        )

    def _others_match(self, found: Mapping[str, int], read: Collection[str], gone: Collection[str]) -> bool:
        """Whether patterns match topics that are not read yet, ones that are gone, or ones that have grown."""
        fresh = matching(self._topology, found.keys() - read)
        grown = {
            topic
            for part in self._topology.subtopologies
            for topic in matching(self._topology, part.inputs)
            if found.get(topic, 0) > part.limits.get(topic, self._planned[part.index])
        }
        lost = matching(self._topology, gone)
        changed = {"appeared": fresh - set(gone), "grown": grown, "deleted": lost}
        for what, topics in changed.items():
            if topics:
                log.info("%s: %s; reading begins anew", what, " ".join(sorted(topics)))
        return any(changed.values())
