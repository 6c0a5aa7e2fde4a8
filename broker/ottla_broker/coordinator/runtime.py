"""The driver of a coordinator: decide, append, replay, reply, over the partitions of its topic.

A coordinator's state lives in pure cores, one per partition of its topic (`GroupCore`, `TransactionCore`). The runtime
finds the core for a key, asks it for a `Decision`, appends the records, replays them into the core, and gives the
answers. At start, and when a partition is created, it replays the log; until that is done the partition's requests are
answered COORDINATOR_LOAD_IN_PROGRESS. It also owns the one timer that drives the cores' deadlines.

Deciding, appending and replaying happen in one step of the event loop, so that no decision is made on state that is
about to change. Answers wait for a flush where the topic's settings ask for one,
and will wait for replicas in the same place (`_carry_out`).
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ottla_broker.coordinator.decision import Decision, Ticket
from ottla_broker.coordinator.errors import UnreadableRecord
from ottla_broker.coordinator.partitioner import partition_for
from ottla_broker.coordinator.records import RecordCodec
from ottla_broker.coordinator.timers import TimerKey, Timers
from ottla_broker.log.producers import Origin
from ottla_wire.control_records import read_end_txn_marker
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.records import NO_PRODUCER_ID, NewRecord, RecordBatch, build_batch, iter_batches

if TYPE_CHECKING:
    from ottla_broker.broker import Broker
    from ottla_broker.coordinator.decision import CoordinatorRecord
    from ottla_broker.log.partition import Appended, PartitionLog

logger = logging.getLogger(__name__)

LOAD_BYTES = 16_384
"""How much of the log is replayed between two looks at the rest of the event loop: some 3 ms of offsets."""

LOADING_RETRY_MS = 50
"""When to look again at a deadline that came due while its partition was still being loaded."""

TIMERS_PER_TURN = 100
"""How many deadlines are dealt with before the event loop gets its turn."""

FLUSH_RETRY_MS = 1_000
"""When to flush again what a full disk kept from being flushed."""

CLOCK_STEP_MS = 1_000
"""A difference between the time that has passed and the time of day that stands for somebody having set the latter."""

STANDSTILL_MS = 1_000
"""An alarm that comes so late stands for a process that did not run, or did nothing else for as long."""

HEARING_MS = 1_000
"""How long deadlines wait after a standstill, for heartbeats that came in meanwhile to be read first."""

# What goes wrong with our own log is no business of clients: they should look for the coordinator again, or give up.
_APPEND_ERRORS = {
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.REQUEST_TIMED_OUT: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_LEADER_OR_FOLLOWER: ErrorCode.NOT_COORDINATOR,
    ErrorCode.KAFKA_STORAGE_ERROR: ErrorCode.NOT_COORDINATOR,
    ErrorCode.MESSAGE_TOO_LARGE: ErrorCode.UNKNOWN_SERVER_ERROR,
    ErrorCode.RECORD_LIST_TOO_LARGE: ErrorCode.UNKNOWN_SERVER_ERROR,
}

R = TypeVar("R")
K = TypeVar("K", bound=TimerKey)
K_contra = TypeVar("K_contra", bound=TimerKey, contravariant=True)


class Core(Protocol[K_contra]):
    """The pure state machine of one partition."""

    partition: int

    def replay(self, record: "CoordinatorRecord", log_offset: int, producer_id: int) -> None:
        """Take over a record; the producer id is -1 unless the record is part of that producer's transaction."""

    def replay_marker(self, producer_id: int, committed: bool) -> None:
        """Take over the end of a producer's transaction."""

    def loaded(self, now_ms: int) -> None:
        """Everything has been replayed; requests and deadlines follow."""

    def expire(self, timer: K_contra, now_ms: int) -> Decision:
        """A deadline has passed."""


C = TypeVar("C", bound=Core[Any])


class _Status(Enum):
    LOADING = "loading"
    ACTIVE = "active"
    FAILED = "failed"


class _Shard(Generic[C]):
    """A core with its log."""

    __slots__ = ("core", "log", "status", "unsettled", "waiting")

    def __init__(self, core: C, log: "PartitionLog") -> None:
        self.core = core
        self.log = log
        self.status = _Status.LOADING
        self.unsettled: set[int] = set()  # offsets of decisions that wait for a flush
        self.waiting: set[_Call[Any]] = set()  # requests that have no answer yet

    @property
    def settled_offset(self) -> int:
        """Whatever the log has below this offset is as durable as the topic's settings want it."""
        return min(self.unsettled, default=self.log.log_end_offset)


class _Call(Ticket[R]):
    """A request of ours: answered at once as a rule, later when the core keeps its ticket."""

    __slots__ = ("_future", "_reply")

    def __init__(self) -> None:
        self._reply: list[R | KafkaError] = []
        self._future: asyncio.Future[None] | None = None

    @property
    def is_answered(self) -> bool:
        return bool(self._reply)

    def give(self, reply: R | KafkaError) -> None:
        self._reply.append(reply)
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self) -> R:
        if not self._reply:
            self._future = asyncio.get_running_loop().create_future()
            await self._future
        reply = self._reply[0]
        if isinstance(reply, KafkaError):
            raise reply
        return reply


class CoordinatorRuntime(Generic[C, K]):
    """Runs the cores of one coordinator topic on this node.

    `after` is called with a core whenever something has been replayed into it, for work that its state asks for, and
    with the offset in its log below which nothing waits for a flush. `loaded` is called with a core that has just
    been loaded.
    """

    def __init__(
        self,
        broker: "Broker",
        topic: str,
        codec: RecordCodec,
        new_core: Callable[[int, Timers[K]], C],
        after: Callable[[C, int], None] = lambda _core, _settled_offset: None,
        loaded: Callable[[C], None] = lambda _core: None,
    ) -> None:
        self._broker = broker
        self._topic = topic
        self._codec = codec
        self._new_core = new_core
        self._after = after
        self._loaded = loaded
        self._timers: Timers[K] = Timers()
        self._shards: dict[int, _Shard[C]] = {}
        # One after the other: the event loop has to do something else between two stretches, and the first can begin.
        self._loading_one = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._partitions = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_ms = 0  # by the steady clock, as what follows
        self._hearing_until_ms = 0
        self._clocks_differ_ms = broker.clock() - broker.steady_clock()
        self._stopped = False

    # -- life

    def start(self) -> None:
        """Begin to load the partitions that exist; their requests are answered once they are loaded."""
        topic = self._broker.image.topics.get(self._topic)
        self._partitions = 0 if topic is None else len(topic.partitions)
        self._open_shards()

    async def stop(self) -> None:
        """Stop what is under way, and let no deadline come due any more."""
        self._stopped = True
        if self._alarm is not None:
            self._alarm.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def drop(self) -> None:
        """The topic was deleted: what it held is no more, and whoever waits looks for a coordinator again."""
        shards, self._shards, self._partitions = list(self._shards.values()), {}, 0
        for shard in shards:
            shard.status = _Status.FAILED
            self._timers.cancel_partition(shard.core.partition)
            for call in shard.waiting:
                call.give(KafkaError(ErrorCode.NOT_COORDINATOR, f"{self._topic} was deleted"))

    async def locate(self, key: str) -> int:
        """The partition of the topic that `key` belongs to, after creating the topic if it does not exist yet.

        Raises the KafkaError that says why it cannot be created.
        """
        self._partitions = await self._broker.ensure_internal_topic(self._topic)
        self._open_shards()
        return partition_for(key, self._partitions)

    def partition_of(self, key: str) -> int:
        """The partition that `key` belongs to. Raises COORDINATOR_NOT_AVAILABLE while the topic does not exist."""
        if not self._partitions:
            raise KafkaError(ErrorCode.COORDINATOR_NOT_AVAILABLE, f"{self._topic} does not exist yet")
        return partition_for(key, self._partitions)

    def now(self) -> int:
        """Epoch milliseconds that pass steadily, as far from the clock as CLOCK_STEP_MS at most.

        When the clock has been set, deadlines move along: a session takes as long as it takes.
        """
        steady_ms = self._broker.steady_clock()
        differ_ms = self._broker.clock() - steady_ms
        if abs(differ_ms - self._clocks_differ_ms) > CLOCK_STEP_MS:
            set_by_ms = differ_ms - self._clocks_differ_ms
            logger.warning("the clock was set by %d ms: the deadlines of %s move along", set_by_ms, self._topic)
            self._clocks_differ_ms = differ_ms
            self._timers.shift(set_by_ms)
        return steady_ms + self._clocks_differ_ms

    # -- requests

    async def submit(self, key: str, decide: Callable[[C, Ticket[R], int], Decision]) -> R:
        """Carry out what `decide(core, ticket, now_ms)` decides, and return what its ticket is answered with.

        Raises KafkaError: what `decide` raised or answered, what became of the append, or why the core of `key` is not
        to be asked now.
        """
        shard = self._shard(key)
        call: _Call[R] = _Call()
        now_ms = self.now()
        self._carry_out(shard, decide(shard.core, call, now_ms), now_ms)
        if call.is_answered:
            return await call.wait()
        shard.waiting.add(call)
        try:
            return await call.wait()
        finally:
            shard.waiting.discard(call)

    def read(self, key: str, question: Callable[[C], R]) -> R:
        """What the core of `key` answers to a question that decides nothing. Raises as `submit`."""
        return question(self._shard(key).core)

    def touch(self, key: str, act: Callable[[C, int], R]) -> R:
        """The same for an act that concerns deadlines alone, such as a heartbeat."""
        reply = act(self._shard(key).core, self.now())
        self._set_alarm()
        return reply

    def cores(self) -> Iterator[C]:
        """All cores on this node. Raises COORDINATOR_LOAD_IN_PROGRESS while one of them is loading."""
        for shard in self._shards.values():
            self._check(shard)
            yield shard.core

    @property
    def loading(self) -> int:
        """Partitions that are still being loaded."""
        return sum(shard.status is _Status.LOADING for shard in self._shards.values())

    @property
    def unloadable(self) -> int:
        """Partitions that could not be loaded; what they coordinate is not available."""
        return sum(shard.status is _Status.FAILED for shard in self._shards.values())

    def active_cores(self) -> list[C]:
        """The cores that have been loaded."""
        return [shard.core for shard in self._shards.values() if shard.status is _Status.ACTIVE]

    def carry_out(self, core: C, decision: Decision) -> bool:
        """Carry out a decision that no request asked for; False if the log refused it, or is no more."""
        shard = self._shards.get(core.partition)
        return shard is not None and shard.core is core and self._carry_out(shard, decision, self.now())

    def append_marker(self, partition: int, marker: bytes | bytearray, producer_id: int, committed: bool) -> None:
        """Write the end of a producer's transaction into a partition of this topic. Raises as `Broker.append`."""
        shard = self._shards.get(partition)
        if shard is None:
            raise KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER, f"{self._topic}-{partition} is not open on this node")
        self._broker.append(shard.log, marker, origin=Origin.COORDINATOR)
        if shard.status is _Status.ACTIVE:  # else loading finds it in the log
            shard.core.replay_marker(producer_id, committed)

    def leader_epoch(self, core: C) -> int:
        """The epoch of this node's leadership over the core's partition, which is its epoch as a coordinator."""
        return self._broker.leadership(self._shards[core.partition].log).leader_epoch

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that takes a while, at most until `stop`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- decide, append, replay, reply

    def _shard(self, key: str) -> _Shard[C]:
        shard = self._shards.get(self.partition_of(key))
        if shard is None or self._broker.leadership(shard.log).leader != self._broker.node_id:
            raise KafkaError(ErrorCode.NOT_COORDINATOR, f"this node does not coordinate {key!r}")
        self._check(shard)
        return shard

    def _check(self, shard: _Shard[C]) -> None:
        if shard.status is _Status.LOADING:
            raise KafkaError(
                ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, f"{self._topic}-{shard.core.partition} is being loaded"
            )
        if shard.status is _Status.FAILED:
            raise KafkaError(ErrorCode.NOT_COORDINATOR, f"{self._topic}-{shard.core.partition} could not be loaded")

    def _carry_out(self, shard: _Shard[C], decision: Decision, now_ms: int) -> bool:
        if not decision.records:
            self._settle(shard, decision)
            return True
        try:
            appended = self._append(shard, decision, now_ms)
        except KafkaError as error:
            logger.warning("%s-%d: append refused: %s", self._topic, shard.core.partition, error.message)
            self._refuse(decision, error)
            if decision.otherwise is not None:
                self._carry_out(shard, decision.otherwise(now_ms), now_ms)
            return False
        producer_id = NO_PRODUCER_ID if decision.producer is None else decision.producer.id
        for offset, record in enumerate(decision.records, appended.base_offset):
            shard.core.replay(record, offset, producer_id)
        if appended.flush_due:
            shard.unsettled.add(appended.base_offset)
            self.spawn(self._settle_when_flushed(shard, decision, appended.base_offset))
        else:
            self._settle(shard, decision)
        return True

    async def _settle_when_flushed(self, shard: _Shard[C], decision: Decision, offset: int) -> None:
        """The topic's settings ask for a flush: nothing that follows from the records may happen before."""
        try:
            await self._broker.logs.flush(shard.log)
        except KafkaError as error:
            self._refuse(decision, error)
            if await self._flush_at_last(shard):
                shard.unsettled.discard(offset)
                self._settle(shard, Decision())
        else:
            shard.unsettled.discard(offset)
            self._settle(shard, decision)

    async def _flush_at_last(self, shard: _Shard[C]) -> bool:
        """Flush as soon as the disk has room for what that takes; False if the log has failed for good."""
        while shard.log.failure is None:
            await asyncio.sleep(FLUSH_RETRY_MS / 1000)
            try:
                await self._broker.logs.flush(shard.log)
            except KafkaError as error:
                logger.warning("%s: %s", self._topic, error.message)
            else:
                return True
        return False

    def _settle(self, shard: _Shard[C], decision: Decision) -> None:
        following = None if decision.then is None else decision.then()
        for ticket, reply in decision.answers:
            assert isinstance(ticket, _Call)
            ticket.give(reply)
        if following is not None:
            self._carry_out(shard, following, self.now())
        self._after(shard.core, shard.settled_offset)
        self._set_alarm()

    def _refuse(self, decision: Decision, error: KafkaError) -> None:
        refusal = KafkaError(_APPEND_ERRORS.get(error.code, error.code), error.message)
        for ticket in (*(ticket for ticket, _ in decision.answers), *decision.deferred):
            assert isinstance(ticket, _Call)
            ticket.give(refusal)

    def _append(self, shard: _Shard[C], decision: Decision, now_ms: int) -> "Appended":
        records = [NewRecord(*self._codec.encode(record), now_ms) for record in decision.records]
        if decision.producer is None:
            batch = build_batch(records)
        else:
            # The log does not check the sequence of what a coordinator writes for a producer; the format wants one.
            batch = build_batch(
                records,
                producer_id=decision.producer.id,
                producer_epoch=decision.producer.epoch,
                base_sequence=0,
                transactional=True,
            )
        return self._broker.append(shard.log, batch, origin=Origin.COORDINATOR)

    # -- loading

    def _open_shards(self) -> None:
        """Take up the partitions that this node leads and has not opened yet."""
        for partition in range(self._partitions):
            if partition in self._shards:
                continue
            try:
                partition_log = self._broker.partition(self._topic, partition)
            except KafkaError:
                continue  # another node leads it
            shard = _Shard(self._new_core(partition, self._timers), partition_log)
            self._shards[partition] = shard
            if partition_log.log_start_offset == partition_log.log_end_offset:
                self._activate(shard)
            else:
                self.spawn(self._load(shard))

    async def _load(self, shard: _Shard[C]) -> None:
        name = f"{self._topic}-{shard.core.partition}"
        try:
            async with self._loading_one:
                position = shard.log.log_start_offset
                while position < shard.log.log_end_offset and self._shards.get(shard.core.partition) is shard:
                    position = self._replay_from(shard, position)
                    await asyncio.sleep(0)
        except Exception:
            if self._shards.get(shard.core.partition) is not shard:
                return  # dropped meanwhile
            logger.exception("%s could not be loaded: nothing that it coordinates is available", name)
            shard.status = _Status.FAILED
            self._timers.cancel_partition(shard.core.partition)
            return
        if self._shards.get(shard.core.partition) is shard:
            self._activate(shard)

    def _replay_from(self, shard: _Shard[C], position: int) -> int:
        """Replay one stretch of the log; the offset where the next one begins."""
        region = shard.log.read(position, LOAD_BYTES).region
        if region is None:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"offset {position} cannot be read")
        for batch in iter_batches(shard.log.read_bytes(region)):
            self._replay_batch(shard, batch)
            position = batch.next_offset
        return position

    def _replay_batch(self, shard: _Shard[C], batch: RecordBatch) -> None:
        if batch.is_control:
            marker = read_end_txn_marker(batch)
            if marker is not None:
                shard.core.replay_marker(batch.producer_id, marker.commit)
            return
        producer_id = batch.producer_id if batch.is_transactional else NO_PRODUCER_ID
        for stored in batch.records():
            try:
                record = self._codec.decode(stored.key, stored.value)
            except UnreadableRecord as error:
                logger.warning("%s-%d, offset %d: %s", self._topic, shard.core.partition, stored.offset, error)
                continue
            shard.core.replay(record, stored.offset, producer_id)

    def _activate(self, shard: _Shard[C]) -> None:
        shard.status = _Status.ACTIVE
        shard.core.loaded(self.now())
        self._loaded(shard.core)
        self._after(shard.core, shard.settled_offset)
        self._set_alarm()

    # -- deadlines

    def _set_alarm(self) -> None:
        """Let the loop wake us at the earliest deadline, if it is not about to anyway."""
        deadline_ms = self._timers.next_deadline()
        if self._stopped or deadline_ms is None:
            return
        steady_ms = self._broker.steady_clock()
        due_ms = max(deadline_ms - self._clocks_differ_ms, self._hearing_until_ms, steady_ms)
        if self._alarm is not None:
            if self._alarm_ms <= due_ms:
                return
            self._alarm.cancel()
        self._alarm_ms = due_ms
        self._alarm = asyncio.get_running_loop().call_later((due_ms - steady_ms) / 1000, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        steady_ms = self._broker.steady_clock()
        late_ms = steady_ms - self._alarm_ms
        if late_ms > STANDSTILL_MS and self._alarm_ms != self._hearing_until_ms:
            # Nobody could be heard. Whoever was silent on our account only must not lose its session. But once they
            # have had their chance, deadlines come, or a broker that is overloaded would have none any more.
            logger.warning("%s: this process stood still for %d ms; deadlines wait a moment", self._topic, late_ms)
            self._hearing_until_ms = steady_ms + HEARING_MS
            self._set_alarm()
            return
        now_ms = self.now()
        for _ in range(TIMERS_PER_TURN):
            timer = self._timers.pop_due(now_ms)
            if timer is None:
                break
            shard = self._shards.get(timer.partition)
            if shard is None:
                continue  # dropped
            if shard.status is _Status.LOADING:
                self._timers.set(timer, now_ms + LOADING_RETRY_MS)
                continue
            try:
                self._carry_out(shard, shard.core.expire(timer, now_ms), now_ms)
            except Exception:
                logger.exception("%s: the deadline %s could not be dealt with", self._topic, timer)
        self._set_alarm()
