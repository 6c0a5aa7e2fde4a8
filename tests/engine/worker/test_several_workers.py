"""Workers of one app together: how tasks and their state go from one to the other, and who may commit."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla.transport.contract import Polled, TopicSpec
from ottla.transport.errors import MemberFencedError, ProducerFencedError, TransactionAbortedError, TransportError
from ottla.transport.memory import MemoryTransport
from ottla.transport.partitioner import partition_for_key
from ottla.worker import handover, recovery
from ottla.worker import worker as worker_module
from ottla.worker.worker import Worker

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]
Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]

PARTITIONS = 4
WORDS = [(word, word) for word in "abcdefghijklmnop"]


def counting_app(**options: Any) -> ottla.App:
    """Counts the words of a topic in a table and writes every new count."""
    app = ottla.App("counting", commit_interval=timedelta(milliseconds=5), **options)
    words = app.topic("words", key=str, value=str, partitions=PARTITIONS)
    counted = app.topic("counted", key=str, value=int, partitions=1)
    counts = app.Table("counts", key=str, default=int)

    @app.agent(words)
    async def count(words: ottla.Stream[str]) -> None:
        async for word in words:
            counts[word] += 1
            await counted.send(key=word, value=counts[word])

    return app


def task_of(word: str) -> str:
    return f"0_{partition_for_key(word.encode(), PARTITIONS)}"


def sample(worker: Worker, name: str) -> float:
    return worker.metrics.registry.get_sample_value(name, {"app": "counting"}) or 0.0


def shares(cluster: Any) -> dict[str, set[str]]:
    """The tasks of each worker, when all of them have settled."""
    view = cluster.view("counting")
    found: dict[str, set[str]] = {worker: set() for worker in view.assignment.workers}
    for task, grant in view.assignment.active.items():
        found[grant.worker].add(task)
    settled = not view.assignment.releasing and all(
        tasks <= set(view.reports[worker].warm) for worker, tasks in found.items() if worker in view.reports
    )
    return found if settled else {}


def shared_by(cluster: Any, *workers: str) -> bool:
    return sorted(shares(cluster)) == sorted(workers)


async def count_all(cluster: Any, eventually: Eventually) -> None:
    """Sends each word once more, and waits until all of them are counted."""
    before = len(cluster.values("counted"))
    cluster.send("words", *WORDS)
    await eventually(lambda: len(cluster.values("counted")) == before + len(WORDS))
    assert set(cluster.latest("counted").values()) == {str(before // len(WORDS) + 1)}


def test_tasks_are_shared_and_a_stopped_workers_tasks_go_on_elsewhere(
    play_anywhere: Play, eventually: Eventually
) -> None:
    async def scenario(cluster: Any) -> None:
        app = counting_app()
        async with cluster.running(app, "w0"):
            await eventually(lambda: shared_by(cluster, "w0"))
            await count_all(cluster, eventually)
            async with cluster.running(app, "w1"), cluster.running(app, "w2"):
                await eventually(lambda: shared_by(cluster, "w0", "w1", "w2"))
                assert sorted(map(len, shares(cluster).values())) == [1, 1, 2]
                await count_all(cluster, eventually)
            await eventually(lambda: shared_by(cluster, "w0"))
            await count_all(cluster, eventually)

    play_anywhere(scenario)


def test_after_a_restart_of_all_each_worker_has_the_tasks_whose_state_it_has(
    play_anywhere: Play, eventually: Eventually
) -> None:
    async def scenario(cluster: Any) -> None:
        app = counting_app()
        async with cluster.running(app, "w0"), cluster.running(app, "w1"):
            await eventually(lambda: shared_by(cluster, "w0", "w1"))
            await count_all(cluster, eventually)
            before = shares(cluster)
        async with cluster.running(app, "w1") as second:
            await eventually(lambda: shared_by(cluster, "w1"))
            async with cluster.running(app, "w0") as first:
                await eventually(lambda: shared_by(cluster, "w0", "w1"))
                await count_all(cluster, eventually)
                assert len(before["w0"]) == len(shares(cluster)["w0"]) == 2
                assert sample(first, "ottla_restored_records_total") == 0
                of_the_first = [word for word, _ in WORDS if task_of(word) in before["w0"]]
                assert sample(second, "ottla_restored_records_total") == len(of_the_first)

    play_anywhere(scenario)


def test_a_worker_that_its_group_gave_up_commits_nothing_more_and_comes_back(
    play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_REPLACED_WITHIN_S", 0.05)

    async def scenario(cluster: Any) -> None:
        app = counting_app()
        async with cluster.running(app, "w1"):
            await eventually(lambda: shared_by(cluster, "w1"))
            cut_off = cluster.worker(app, "w0")
            running = asyncio.create_task(cut_off.run())
            await eventually(lambda: shared_by(cluster, "w0", "w1"))
            await count_all(cluster, eventually)
            cluster.broker.expire("counting", "w0")
            cluster.send("words", *WORDS)
            await eventually(lambda: len(cluster.values("counted")) == 2 * len(WORDS))
            await eventually(lambda: shared_by(cluster, "w0", "w1"))
            await count_all(cluster, eventually)
            assert sample(cut_off, "ottla_events_total") > 0
            cut_off.stop()
            await running

    play(scenario)


@pytest.mark.parametrize(
    ("error", "times"),
    [
        (MemberFencedError("fenced"), 1),
        # librdkafka tells it to the call that fails, and once more to who takes delivery reports.
        (ProducerFencedError("fenced"), 2),
    ],
    ids=["member", "producer"],
)
def test_a_worker_that_was_fenced_while_it_slept_begins_anew(
    play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, error: TransportError, times: int
) -> None:
    monkeypatch.setattr(recovery, "_REPLACED_WITHIN_S", 0.05)

    async def scenario(cluster: Any) -> None:
        async with cluster.running(counting_app(), "w0") as worker:
            await eventually(lambda: shared_by(cluster, "w0"))
            await count_all(cluster, eventually)
            fence(worker, error, times)
            await eventually(lambda: sample(worker, "ottla_tasks") == 0)
            await eventually(lambda: sample(worker, "ottla_tasks") == PARTITIONS)
            await count_all(cluster, eventually)

    play(scenario)


def test_a_worker_that_is_fenced_again_and_again_ends(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        worker = cluster.worker(counting_app(), "w0")
        run = asyncio.create_task(worker.run())
        await eventually(lambda: shared_by(cluster, "w0"))
        fence(worker, MemberFencedError("fenced"), times=100)
        with pytest.raises(MemberFencedError, match="fenced"):
            await run

    play(scenario)


def fence(worker: Worker, error: TransportError, times: int) -> None:
    """Its next polls say so."""
    transport = worker._transport
    poll = transport.poll

    async def fenced(max_messages: int, timeout_s: float) -> Polled:
        nonlocal times
        if times > 0:
            times -= 1
            raise error
        return await poll(max_messages, timeout_s)

    transport.poll = fenced  # type: ignore[method-assign]


def test_a_standby_takes_over_without_restoring(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        app = counting_app(standbys=1)
        async with cluster.running(app, "w0") as first:
            async with cluster.running(app, "w1"):
                await eventually(lambda: shared_by(cluster, "w0", "w1"))
                await count_all(cluster, eventually)
                every_task = {f"0_{number}" for number in range(PARTITIONS)}
                await eventually(lambda: every_task == set(cluster.view("counting").reports["w0"].warm))
                restored = sample(first, "ottla_restored_records_total")
                stores = cluster.stores["counting", "w0"]
                ends = {
                    task: len(cluster.broker.topics["counting-counts-changelog"][int(task[-1])].entries)
                    for task in every_task
                }
                await eventually(
                    lambda: all((stores.offset(task, "counts") or 0) >= end - 1 for task, end in ends.items())
                )
                opened: list[Any] = []
                standbys, open_stores = first._standbys, first._maker.open_stores
                standbys._open_stores = first._maker.open_stores = (  # type: ignore[method-assign]
                    lambda task: opened.append(task) or open_stores(task)  # type: ignore[func-returns-value]
                )
            await eventually(lambda: shared_by(cluster, "w0"))
            await count_all(cluster, eventually)
            assert sample(first, "ottla_restored_records_total") == restored
            assert opened == [], "the stores of the copies are those of the tasks now"

    play(scenario)


def test_an_app_that_has_fewer_tasks_than_before_starts(play_anywhere: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        async with cluster.running(counting_app(), "w0"):
            await eventually(lambda: shared_by(cluster, "w0"))
        app = ottla.App("counting")
        app.stream(app.topic("fewer", key=str, value=str, partitions=1)).to(app.topic("counted", key=str, value=int))
        async with cluster.running(app, "w0"):
            await eventually(lambda: cluster.view("counting").assignment.active.keys() == {"0_0"})

    play_anywhere(scenario)


def test_a_takeover_that_fails_is_made_anew(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_FIRST_BACKOFF_S", 0.0)
    committed, failures = MemoryTransport.committed, [TransactionAbortedError("lost"), TransactionAbortedError("lost")]

    async def failing(self: MemoryTransport, partitions: Any) -> Any:
        if failures:
            raise failures.pop()
        return await committed(self, partitions)

    monkeypatch.setattr(MemoryTransport, "committed", failing)

    async def scenario(cluster: Any) -> None:
        cluster.broker.create_topic(TopicSpec("words", PARTITIONS))
        cluster.send("words", *WORDS)
        await cluster.run_to_end(counting_app())
        assert len(cluster.values("counted")) == len(WORDS)
        assert failures == []

    play(scenario)


@pytest.mark.parametrize("error", [ProducerFencedError, MemberFencedError])
@pytest.mark.parametrize("at", [1, 3, 5])
@pytest.mark.parametrize("call", ["produce", "produce_changes", "commit", "membership"])
def test_whichever_call_says_that_a_worker_was_fenced_each_result_is_there_once(
    play: Play, monkeypatch: pytest.MonkeyPatch, call: str, at: int, error: type[TransportError]
) -> None:
    monkeypatch.setattr(recovery, "_REPLACED_WITHIN_S", 0.01)
    called, calls = getattr(MemoryTransport, call), 0

    async def fenced(self: MemoryTransport, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise error("it slept")
        return await called(self, *arguments)

    async def scenario(cluster: Any) -> None:
        await cluster.run_to_end(counting_app())
        cluster.send("words", *WORDS, *WORDS)
        monkeypatch.setattr(MemoryTransport, call, fenced)
        await cluster.run_to_end(counting_app())
        assert calls >= 1
        assert cluster.latest("counted") == {word: "2" for word, _ in WORDS}
        assert len(cluster.values("counted")) == 2 * len(WORDS)

    play(scenario)


def test_a_task_whose_agent_does_not_finish_goes_to_another_worker_with_its_batch(
    play: Play, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(handover, "_LAST_BATCH_S", 0.05)

    def app(*, waits: bool) -> ottla.App:
        app = ottla.App("counting", commit_interval=timedelta(milliseconds=5))
        counted = app.topic("counted", key=str, value=str, partitions=1)

        @app.agent(app.topic("words", key=str, value=str, partitions=PARTITIONS))
        async def count(words: ottla.Stream[str]) -> None:
            async for word in words:
                await counted.send(key=word, value=word)
                if waits:
                    await asyncio.get_running_loop().create_future()

        return app

    async def scenario(cluster: Any) -> None:
        # w0 leads, so that w1 is asked for tasks while its agents wait
        async with cluster.running(app(waits=True), "w1") as first:
            await eventually(lambda: len(first._workload.tasks) == PARTITIONS)
            cluster.send("words", *WORDS)
            await eventually(lambda: all(task.running for task in first._workload.tasks.values()))
            async with cluster.running(app(waits=False), "w0") as second:
                await eventually(lambda: len(second._workload.tasks) == PARTITIONS // 2)
                of_second = {str(task) for task in second._workload.tasks}
                expected = [word for word, _ in WORDS if task_of(word) in of_second]
                await eventually(lambda: len(cluster.values("counted")) == len(expected))
                assert sorted(cluster.values("counted")) == expected
                monkeypatch.setattr(worker_module, "_FINISH_TIMEOUT_S", 0.05)

    play(scenario)
    assert "an agent did not finish within 0.05 s; its batch goes to another worker" in caplog.messages
