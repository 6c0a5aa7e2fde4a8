"""Looks now and then what became of an app's topics: whether one is gone, was made anew, or has got more partitions,
which no running task reads; and whether there are others now that a pattern matches.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from ottla.cluster.records import control_topic
from ottla.errors import TopologyError
from ottla.topology.patterns import has_patterns, matching
from ottla.topology.topology import Plan, Topology
from ottla.transport.contract import TopicState, Transport
from ottla.transport.errors import TransportError

log = logging.getLogger("ottla.worker")

_INTERVAL_S = 60.0
_AGAIN_S = 5.0
"""So soon is looked again when a topic is missed."""


class TopicWatch:
    """Looks in the background, when it is made and once a minute."""

    def __init__(self, topology: Topology, plan: Plan, transport: Transport) -> None:
        self._topology = topology
        self._planned = Counter(task_id.subtopology for task_id in plan.tasks)
        self._transport = transport
        self._by_pattern = has_patterns(topology)
        self._read = {*topology.input_topics, *(spec.changelog for spec in topology.global_tables)}
        # State, and what is kept of it and of who has it. All else is written.
        own = {spec.name for spec in (*plan.internal_topics, control_topic(topology.app_id))}
        self._state = own - self._read - {topology.dead_letter.name}
        self._written = {spec.name for spec in (*topology.topics, topology.dead_letter)} - self._read
        # The topics as they were at first, by their ids.
        self._ids: dict[str, str] = {}
        self.ids: Mapping[str, str] = {}
        """The ids of the topics that are read and that hold state, once they were looked at."""
        self.made_anew: set[str] = set()
        """The topics that are read of which `has_compared` has found that they were deleted and made anew."""
        self._compared = False
        self._looking = asyncio.create_task(self._look())

    def check(self) -> bool:
        """Whether the topics that patterns match are others now, so that the worker must begin anew.

        Raises `TopologyError` for a topic that has grown, or was deleted.
        """
        if self._looking.done():
            self._looking.result()
            return True
        return False

    async def has_compared(self, noted: Mapping[str, str]) -> bool:
        """Whether it is known, and was said, which topics were deleted and made anew since those ids were noted, when
        no worker ran to see it. It is looked at once.

        Raises `TopologyError` if state was in it.
        """
        if not self._compared:
            try:
                await self._compare(noted)
                self._compared = True
            except TransportError as error:
                log.info("the state of the topics is not known just now: %s", error)
        return self._compared

    async def _compare(self, noted: Mapping[str, str]) -> None:
        states = await self._transport.topic_states(noted.keys() & (self._read | self._state))
        for topic in sorted(states):
            if states[topic].id in (None, noted[topic]):
                continue
            if topic in self._state:
                raise TopologyError(self._is_another(topic))
            self.made_anew.add(topic)
            log.warning(
                "topic %r was deleted and made anew since it was last read: it is read as a new one, while what was "
                "made of the old one stays; 'ottla app reset' lets %r begin anew with what its inputs hold now",
                topic,
                self._topology.app_id,
            )

    async def confirm(self, topics: Iterable[str]) -> None:
        """Raises `TopologyError` for those of the topics that are not the ones which were there at first, and
        `TransportError`."""
        for topic, state in (await self._transport.topic_states(topics)).items():
            self._check_id(topic, state.id)

    async def stop(self) -> None:
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        missing: set[str] = set()
        watched = self._read | self._state | self._written
        while True:
            try:
                found = await self._transport.topics() if self._by_pattern else {}
                states = await self._transport.topic_states(watched)
            except TransportError as error:
                log.info("the state of the topics is not known just now: %s", error)
            else:
                # A broker that has just started may not know all topics yet, so one is gone when it is missed twice.
                missed = watched - states.keys()
                gone = missing & missed
                if self._by_pattern and self._others_match(found, self._read & states.keys(), gone & self._read):
                    return
                for topic in sorted(gone):
                    raise TopologyError(self._is_gone(topic))
                missing = missed
                for topic in sorted(states):
                    self._check_id(topic, states[topic].id)
                ids = {topic: found for topic, found in self._ids.items() if topic not in self._written}
                if ids != self.ids:
                    self.ids = ids
                self._check_growth(states)
            await asyncio.sleep(min(_AGAIN_S, _INTERVAL_S) if missing else _INTERVAL_S)

    def _is_gone(self, topic: str) -> str:
        app = self._topology.app_id
        if topic in self._state:
            return (
                f"topic {topic!r}, in which {app!r} keeps its state, does not exist any more: 'ottla app reset' lets "
                f"{app!r} make its state anew from its inputs"
            )
        done = "read" if topic in self._read else "written to it"
        return (
            f"topic {topic!r} does not exist any more, and nothing can be {done}: create it anew and start the workers "
            f"of {app!r} again, or take it out of the app"
        )

    def _check_id(self, topic: str, topic_id: str | None) -> None:
        """Raises `TopologyError` for a topic that is not the one of that name which was there at first."""
        if topic_id is None or self._ids.setdefault(topic, topic_id) == topic_id:
            return
        if topic in self._written:
            log.warning("topic %r was deleted and made anew: what was written before is not in it", topic)
            self._ids[topic] = topic_id
            return
        raise TopologyError(self._is_another(topic))

    def _is_another(self, topic: str) -> str:
        app = self._topology.app_id
        what = (
            f"the state of {app!r} is not in it"
            if topic in self._state
            else "the offsets that are committed are those of the old one"
        )
        return (
            f"topic {topic!r} was deleted and made anew, and {what}: 'ottla app reset' lets {app!r} begin anew with "
            "what its inputs hold now"
        )

    def _check_growth(self, states: Mapping[str, TopicState]) -> None:
        """Raises `TopologyError` for a topic that has got more partitions."""
        for part in self._topology.subtopologies:
            planned = self._planned[part.index]
            for topic in part.inputs:
                if topic in states and states[topic].partitions > part.limits.get(topic, planned):
                    raise TopologyError(
                        f"topic {topic!r} has grown from {planned} to {states[topic].partitions} partitions, and "
                        f"nobody reads the new ones: start the workers of {self._topology.app_id!r} again"
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
