"""Where the leader of a partition is, for clients that have come to the wrong node or with a stale epoch (KIP-951).

A response that refuses a partition for that reason names the leader and where it listens, which spares the client a
Metadata request.
"""

from collections.abc import Iterator

from ottla_broker.broker import Broker
from ottla_broker.cluster.image import BrokerState
from ottla_broker.cluster.records import BrokerEndpoint

NO_LEADER = (-1, -1)


class LeaderHints:
    """The leaders that one response names, seen from the listener that its client came in by."""

    def __init__(self, broker: Broker, listener: str) -> None:
        self._broker = broker
        self._listener = listener
        self._named: set[int] = set()

    def leader(self, topic: str, index: int) -> tuple[int, int]:
        """Node id and epoch of a partition's leader, both -1 if there is none; the response names the node."""
        state = self._broker.image.partition(topic, index)
        if state is None:
            return NO_LEADER
        self._named.add(state.leader)
        return state.leader, state.leader_epoch

    def endpoints(self) -> Iterator[tuple[BrokerState, BrokerEndpoint]]:
        """The leaders that are alive, with their address."""
        if self._named:
            for node, endpoint in self._broker.endpoints(self._listener):
                if node.id in self._named:
                    yield node, endpoint
