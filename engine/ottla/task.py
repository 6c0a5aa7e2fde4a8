"""A task: one partition of one sub-topology at work. Batches in, outputs and state writes out; no clock, no I/O.

The worker drives it:

    task.add(topic, messages)            what a poll brought; bounded by the worker, which looks at `buffered`
    await task.process(caught_up)        takes what may be taken, in timestamp order between the inputs
    task.drain()                         the records to produce
    task.changes(now_ms)                 at a commit: the changelog records, one per changed key
    task.positions                       ... and the offsets that go with them
    task.committed(offsets)              after the transaction committed: state goes to the stores

After an aborted transaction the task is thrown away (`close`) and made anew: agents hold state of their own between events.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from ottla.errors import OttlaError
from ottla.processor import ErrorPolicy, TaskContext, TaskCounts
from ottla.state.cache import StoreCache
from ottla.topology import Subtopology, TaskId
from ottla.transport.contract import Message, OutputRecord, TopicPartition


class Task:
    """One partition of one sub-topology.

    `stores` holds a cache for each of `subtopology.stores`, restored. `sleep` is awaited between retries.
    """

    def __init__(
        self,
        subtopology: Subtopology,
        task_id: TaskId,
        stores: Mapping[str, StoreCache],
        *,
        policy: ErrorPolicy,
        dead_letter_topic: str,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.id = task_id
        self.positions: dict[TopicPartition, int] = {}
        """The next offset to read of each input partition, for the next commit. Holds only inputs that were processed."""
        self._context = TaskContext(str(task_id), task_id.partition, stores, policy, dead_letter_topic, sleep)

    @property
    def counts(self) -> TaskCounts:
        return self._context.counts

    @property
    def buffered(self) -> Mapping[str, int]:
        """How many messages of each input topic wait to be processed."""
        raise NotImplementedError

    def add(self, topic: str, messages: Sequence[Message]) -> None:
        """Takes messages of this task's partition of the topic, in offset order."""
        raise NotImplementedError

    async def process(self, caught_up: Collection[str] = ()) -> int:
        """Processes all that may be taken now and returns how many events that were.

        Between inputs the smallest timestamp goes first. An input with nothing buffered holds the others back, unless
        its topic is in `caught_up`: the driver knows that its partition was read to the end (lag 0).
        """
        raise NotImplementedError

    async def end_of_input(self) -> None:
        """Every input was read to its end and `process` took it all: agents see the end of their stream, windows close."""
        raise NotImplementedError

    def drain(self) -> list[OutputRecord]:
        """The records written since the last call, in order."""
        outputs = self._context.outputs
        self._context.outputs = []
        return outputs

    def changes(self, now_ms: int) -> list[OutputRecord]:
        """The changelog records of all state written since the last commit, addressed to this task's partition.

        Must be followed by `committed`, or by `close` when the transaction was aborted.
        """
        return [
            OutputRecord(cache.spec.changelog, key, value, now_ms, None, self.id.partition)
            for cache in self._context.stores.values()
            for key, value in cache.changes()
        ]

    def committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        """The transaction with the last `changes` committed; `offsets` is what `Transport.commit` returned."""
        for cache in self._context.stores.values():
            cache.committed(offsets.get(TopicPartition(cache.spec.changelog, self.id.partition)))

    async def close(self) -> None:
        """Ends the agents. What was not committed is lost."""
        raise NotImplementedError


__all__ = ["OttlaError", "Task"]
