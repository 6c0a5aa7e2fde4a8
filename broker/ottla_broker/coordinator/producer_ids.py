"""Producer ids that this node may hand out. Pure.

The controller gives them out in blocks, each of which is in the metadata log before anyone uses it. What is left of a
block at a restart is lost, of which there is no harm: there are 2^63.
"""

from collections import deque

from ottla_broker.coordinator.errors import OutOfProducerIds


class ProducerIds:
    """The blocks at hand."""

    def __init__(self) -> None:
        self._blocks: deque[range] = deque()

    def __len__(self) -> int:
        return sum(len(block) for block in self._blocks)

    def refill(self, block: range) -> None:
        """Take in a block that the controller has given to this node."""
        self._blocks.append(block)

    def take(self) -> int:
        """An id that nobody has had. Raises OutOfProducerIds: refill, and decide again."""
        if not self._blocks:
            raise OutOfProducerIds
        block = self._blocks[0]
        if len(block) > 1:
            self._blocks[0] = block[1:]
        else:
            self._blocks.popleft()
        return block[0]
