"""A task: one partition of one sub-topology at work. Batches in, outputs and state writes out; no clock, no I/O.

The worker drives it:

    await task.advance(now_ms, elapsed)  what time it is, before each `process` and at least every 100 ms
    task.add(topic, messages)            what a poll brought; bounded by the worker, which looks at `buffered`
    await task.process(caught_up)        takes what may be taken, in timestamp order between the inputs
    task.drain()                         the records to produce
    task.changes()                       at a commit: the changelog records, one per changed key,
    task.offsets                         and the offsets that go with them
    task.committed(offsets)              after the transaction committed: state goes to the stores

After an aborted transaction the task is thrown away (`close`) and made anew: agents hold state of their own between
events.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace

from ottla.deadletters import ErrorPolicy, describe_origin
from ottla.errors import EncodeError
from ottla.escapes import contained
from ottla.state.cache import StoreCache
from ottla.state.changes import Changes
from ottla.state.global_store import GlobalStore
from ottla.task.batch import Batch
from ottla.task.inputs import Input, Run, next_run
from ottla.task.operators import Source
from ottla.task.processor import (
    MAX_RECORD_BYTES,
    Answerer,
    Asks,
    Cause,
    PartitionCounts,
    Processor,
    TaskContext,
    TaskCounts,
    current,
)
from ottla.task.punctuators import StreamTimePunctuator
from ottla.task.refusals import Refusals, StateRefused
from ottla.task.storable import storable_changes
from ottla.topology.topology import Subtopology, TaskId
from ottla.transport.contract import Message, OutputRecord, TopicPartition


class Task:
    """One partition of one sub-topology.

    `stores` holds a cache for each of `subtopology.stores`, restored. `sleep` is awaited between retries.
    `global_tables` are the worker's, by name, and so are `refusals`; `partition_counts` asks the broker. With `asks`
    agents can wait for answers of others.
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
        global_tables: Mapping[str, GlobalStore],
        partition_counts: PartitionCounts,
        max_record_bytes: int = MAX_RECORD_BYTES,
        refusals: Refusals | None = None,
        asks: Asks | None = None,
    ) -> None:
        self.id = task_id
        self.positions: dict[TopicPartition, int] = {}
        """The next offset to read of each input partition, for the next commit. Holds only inputs that were
        processed."""
        self._context = TaskContext(
            task_id,
            stores,
            policy,
            dead_letter_topic,
            sleep,
            global_tables=global_tables,
            step_policies={step.name: step.errors for step in subtopology.steps if step.errors is not None},
            max_record_bytes=max_record_bytes,
            refusals=refusals or Refusals(),
            partition=task_id.partition,
            partition_counts=partition_counts,
            asks=asks,
        )
        for store in stores.values():
            store.use_clock(self._context.now)
        self._writers = {spec.name: step.name for step in reversed(subtopology.steps) for spec in step.stores}
        # How many events were processed since the last `changes`, how many are those before, and the last of all.
        self._uncommitted = self._in_flight = 0
        self._last: tuple[TopicPartition | None, int] = None, -1
        self._processors: dict[str, Processor] = {}
        inputs: dict[str, Input] = {}
        meets = any(step.record_by_record for step in subtopology.steps)
        for step in subtopology.steps:
            processor = self._processors[step.name] = step.build(self._context)
            processor.singly = step.record_by_record or (meets and step.kind == "written table")
            for parent in step.parents:
                self._processors[parent].children.append(processor)
                processor.singly |= self._processors[parent].singly
            if isinstance(processor, Source) and step.source is not None:
                inputs[step.source] = Input(step.source, processor, record_by_record=step.record_by_record)
        self._context.answerers = self._answerers(subtopology)
        self._inputs = {topic: inputs[topic] for topic in subtopology.inputs_at(task_id.partition)}
        self._punctuators = [each for each in self._processors.values() if isinstance(each, StreamTimePunctuator)]
        self._stream_time_ms = -1
        # Most steps do not look at the clock; those that do not are not asked.
        self._timed = [each for each in self._processors.values() if type(each).advance is not Processor.advance]

    @property
    def offsets(self) -> dict[TopicPartition, int]:
        """The offsets to be committed: the positions, but for events that an agent has not acknowledged yet."""
        return self._context.unacked.held_back(self.positions)

    @property
    def acknowledged(self) -> bool:
        """Whether an agent acknowledged an event since the last `changes`."""
        return self._context.unacked.moved

    @property
    def timed(self) -> bool:
        """Whether anything here looks at the clock, so that it must be told the time when no events come."""
        return bool(self._timed)

    @property
    def counts(self) -> TaskCounts:
        """What became of the events so far."""
        return self._context.counts

    def take_failures(self) -> dict[Cause, str]:
        """A sentence about the first event that failed of each cause since the last call, and went on as a dead letter
        or not at all."""
        failures, self._context.failures = self._context.failures, {}
        return failures

    def buffered(self, topic: str) -> int:
        """How many messages of an input topic wait to be processed."""
        return self._inputs[topic].buffered

    @property
    def is_drained(self) -> bool:
        """Whether no messages wait to be processed."""
        return not any(each.buffered for each in self._inputs.values())

    @property
    def is_held(self) -> bool:
        """Whether it takes no more events until it has committed those it has processed (`Refusals`)."""
        return self._room == 0

    @property
    def _room(self) -> int | None:
        """How many events it may process before it commits; None for any number."""
        most = self._context.refusals.most_events(self.id)
        return None if most is None else max(most - self._uncommitted, 0)

    @property
    def place(self) -> str:
        """The event at which a user's function awaited something the last time, for a sentence."""
        at = self._context.awaiting
        return "its first batch" if at is None else describe_origin(at.batch, max(at.row, 0))

    def add(self, topic: str, messages: Sequence[Message]) -> None:
        """Takes messages of this task's partition of the topic, in offset order."""
        with contained(f"task {self.id}"):
            self._inputs[topic].add(messages)

    async def process(self, caught_up: Collection[str] = ()) -> int:
        """Processes all that may be taken now and returns how many events that were.

        Between inputs the smallest timestamp goes first. An input with nothing buffered holds the others back, unless
        its topic is in `caught_up`: the driver knows that its partition was read to the end (lag 0).
        Raises `ProcessingFailed` when the policy is to fail, or a user's function raised what is no `Exception`; the
        task must then be closed.
        """
        inputs = tuple(self._inputs.values())
        before = self._context.counts.processed
        entered = current.set(self._context)
        try:
            with contained(f"task {self.id}"):
                while not self.is_held and (run := next_run(inputs, caught_up, self._room)) is not None:
                    await self._take(run)
        finally:
            current.reset(entered)
        return self._context.counts.processed - before

    async def advance(self, now_ms: int, elapsed_ms: int) -> None:
        """Tells the time, in milliseconds since the epoch, and runs what is due.

        `elapsed_ms` is by a clock that nobody sets, with any beginning: waits are measured by it, so that they are as
        long as they should be when the wall clock is set. What is done is drained and committed as after `process`.
        Raises what `process` does.
        """
        self._context.now_ms = now_ms
        if elapsed_ms <= self._context.elapsed_ms:
            return
        self._context.elapsed_ms = elapsed_ms
        entered = current.set(self._context)
        try:
            with contained(f"task {self.id}"):
                for processor in self._timed:
                    await processor.advance()
        finally:
            current.reset(entered)

    async def end_of_input(self) -> None:
        """Every input was read to its end and `process` took it all: agents see the end of their stream, windows
        close."""
        entered = current.set(self._context)
        try:
            with contained(f"task {self.id}"):
                for processor in self._processors.values():
                    await processor.end_of_input()
        finally:
            current.reset(entered)

    def reading(self, stores: Mapping[str, StoreCache]) -> TaskContext:
        """What functions see tables through that read these stores instead of the task's own."""
        return replace(
            self._context,
            stores=stores,
            outputs=[],
            journal=[],
            followers={},
            cursor=None,
            called_for=None,
            asks=None,
            _shared={},
        )

    def drain(self) -> list[OutputRecord]:
        """The records written since the last call, in order."""
        outputs, self._context.outputs = self._context.outputs, []
        return outputs

    def changes(self) -> dict[TopicPartition, Changes]:
        """What was written to state since the last commit, for each changelog, of which this task has its partition.

        Must be followed by `committed`, or by `close` when the transaction was aborted; events may be processed in
        between. Raises `StateRefused` when state cannot be written, or the broker would not take it for its size.
        """
        logged = {}
        for store in self._context.stores.values():
            try:
                changes = storable_changes(store, self._context.largest(store.spec.changelog))
            except EncodeError as error:
                step = self._writers[store.spec.name]
                raise StateRefused(error, self.id, step, self._uncommitted, *self._last) from error
            if store.spec.logged and changes:
                logged[TopicPartition(store.spec.changelog, self.id.partition)] = changes
        self._in_flight, self._uncommitted = self._uncommitted, 0
        self._context.unacked.moved = False
        return logged

    def committed(self, offsets: Mapping[TopicPartition, int], read: Mapping[TopicPartition, int]) -> None:
        """The transaction with the last `changes` committed; `offsets` is what `Transport.commit` returned, `read` has
        the committed offsets of the inputs."""
        for store in self._context.stores.values():
            if store.spec.logged:
                store.committed(offsets.get(TopicPartition(store.spec.changelog, self.id.partition)))
            else:
                inputs = (TopicPartition(topic, self.id.partition) for topic in self._inputs)
                store.committed(sum(read.get(where, 0) for where in inputs))
        if self._in_flight:
            self._context.refusals.committed(self.id, self._in_flight)
            self._in_flight = 0

    async def close(self) -> None:
        """Ends the agents. What was not committed is lost."""
        entered = current.set(self._context)
        try:
            with contained(f"task {self.id}"):
                for processor in self._processors.values():
                    await processor.close()
        finally:
            current.reset(entered)

    async def _take(self, run: Run) -> None:
        source, batch = run.input.source, run.batch
        last = batch.origins[-1]
        assert last is not None, "a source's events have origins"
        where = TopicPartition(run.input.topic, self.id.partition)
        for row, error in run.failures.items():
            source.reject(batch, row, error)
        if run.failures:
            batch = batch.where([row not in run.failures for row in range(len(batch))])
        if faults := self._context.refusals.faults(self.id, where):
            batch = self._without(faults, batch, source.step)
        start = 0
        while start < len(batch):
            end = start + 1 if run.input.record_by_record else self._until_punctuation(batch, start)
            part = batch.slice(start, end)
            await source.forward(part)
            await self._punctuate(part)
            start = end
        self._context.counts.processed += len(run.batch)
        self._uncommitted += len(run.batch)
        self._last = where, last.offset()
        self.positions[where] = last.offset() + 1

    def _without(self, faults: Mapping[int, StateRefused], batch: Batch, source: str) -> Batch:
        """The batch without the events that are at fault, which are rejected."""
        kept = []
        for row, origin in enumerate(batch.origins):
            assert origin is not None, "a source's events have origins"
            fault = faults.get(origin.offset())
            kept.append(fault is None)
            if fault is not None:
                self._context.reject(fault.step, fault.error, batch, row, before=source)
        return batch.where(kept)

    def _answerers(self, subtopology: Subtopology) -> dict[str, list[Answerer]]:
        """For each step whoever owes answers behind it."""
        found: dict[str, list[Answerer]] = {}
        # Steps follow their parents: from the last to the first, what is behind a step is known when it comes to it.
        for step in reversed(subtopology.steps):
            answerer = self._processors[step.name].answerer
            behind = [*found.get(step.name, ()), *(() if answerer is None else (answerer,))]
            for parent in step.parents:
                known = found.setdefault(parent, [])
                known += [each for each in behind if each not in known]
        return found

    def _until_punctuation(self, batch: Batch, start: int) -> int:
        """The row behind the first event, from `start` on, with which stream time reaches a punctuator's."""
        due_ms = min((each.due_ms for each in self._punctuators), default=None)
        if due_ms is not None:
            for row in range(start, len(batch)):
                if batch.timestamps[row] >= due_ms:
                    return row + 1
        return len(batch)

    async def _punctuate(self, batch: Batch) -> None:
        if self._punctuators:
            self._stream_time_ms = max(self._stream_time_ms, *batch.timestamps)
            for each in self._punctuators:
                await each.reached(self._stream_time_ms)
