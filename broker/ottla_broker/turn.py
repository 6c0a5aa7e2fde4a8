"""Small requests that arrive in one turn of the event loop are answered together, at its end.

Together they cost one append where each would have cost its own. And the peers get their responses when the work is
done, one right after the other: to wake a process that sleeps on another core costs more than to answer it, and a load
that comes from one process is woken once in a turn, not once for each response.
"""

import struct
from collections.abc import Callable

from ottla_broker.broker import Broker
from ottla_broker.dispatch import GATHERERS, KEY_AND_VERSION, Peer

# A turn is ended early after so many requests, for the sake of those that came first.
MOST_REQUESTS = 64


class Turn:
    """What has been gathered since the last turn of the loop has ended; one for each server.

    `call_soon` is the loop's: what is called by it runs after all connections that had something to read have been
    read, and before the loop looks for more.
    """

    def __init__(self, broker: Broker, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._gatherers = {api_key: make(broker) for api_key, make in GATHERERS.items()}
        # What the frames begin with that may be taken, so that nothing else has to be offered.
        self.api_keys = frozenset(api_key.to_bytes(2, "big") for api_key in GATHERERS)
        self._call_soon = call_soon
        self._gathered = 0
        self.last: Peer | None = None  # whose request was looked at last

    def take(self, frame: bytearray | memoryview, peer: Peer) -> bool:
        """Whether a request is answered at the end of the turn. Nothing else of its connection may be under way, and
        before another of its requests is served the turn must be ended.

        Not for the peer that is `last`: it seems to be alone, and alone a request is answered sooner at once.
        """
        self.last = peer
        try:
            api_key, version = KEY_AND_VERSION.unpack_from(frame)
        except struct.error:
            return False  # who serves it will say what it is
        gatherer = self._gatherers.get(api_key)
        if gatherer is None:
            return False
        if self._gathered >= MOST_REQUESTS:
            self.end()
        if not gatherer.take(frame, version, peer):
            return False
        if not self._gathered:
            self._call_soon(self.end)
        self._gathered += 1
        return True

    def end(self) -> None:
        """Answer what has been gathered."""
        if self._gathered:
            self._gathered = 0
            for gatherer in self._gatherers.values():
                gatherer.answer()
