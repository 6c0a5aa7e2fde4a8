"""Timers, cron jobs and tasks in workers: what commits, who leads, and what a worker that takes over makes up for."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla.state.cache import StoreCache
from ottla.state.memory import MemoryStores
from ottla.transport.errors import TransactionAbortedError, TransportError
from ottla.worker.leader import Lead, leader_step
from ottla.worker.outbox import Outbox
from ottla.worker.services import Services

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]
Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]
TICK = timedelta(milliseconds=5)
YEARLY = "0 0 1 1 *"
JANUARY_2020_S = 1_577_836_800.0


def app_with_beats(**options: Any) -> tuple[ottla.App, ottla.Topic[str, str]]:
    app = ottla.App("beating", commit_interval=timedelta(milliseconds=5), **options)
    beats = app.topic("beats", value=str, partitions=1)
    app.stream(beats)
    return app, beats


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_what_timers_and_tasks_send_is_committed(play: Play, eventually: Eventually, guarantee: Any) -> None:
    async def scenario(cluster: Any) -> None:
        app, beats = app_with_beats(processing_guarantee=guarantee)

        @app.timer(TICK)
        async def tick() -> None:
            await beats.send(value="tick")

        @app.task
        async def once() -> None:
            await beats.send(value="once")
            await asyncio.Event().wait()

        @app.on_start
        async def begin() -> None:
            await beats.send(value="begin")

        @app.on_stop
        async def end() -> None:
            await beats.send(value="end")

        async with cluster.running(app):
            await eventually(lambda: cluster.values("beats").count("tick") >= 3)
        values = cluster.values("beats")
        assert (values[0], values[-1]) == ("begin", "end")
        assert values.count("once") == 1

    play(scenario)


def test_a_commit_that_fails_takes_nothing_of_what_a_timer_sent(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        app, beats = app_with_beats()
        runs: list[int] = []

        @app.timer(TICK)
        async def tick() -> None:
            if len(runs) < 3:
                runs.append(len(runs))
                await beats.send(value=f"{runs[-1]} first")
                await beats.send(value=f"{runs[-1]} second")

        cluster.broker.fail_next_commits("beats", TransactionAbortedError("lost"))
        async with cluster.running(app):
            await eventually(lambda: len(cluster.values("beats")) == 6)
        assert cluster.values("beats") == [f"{run} {which}" for run in range(3) for which in ("first", "second")]

    play(scenario)


def test_a_timer_that_raises_is_logged_and_runs_again(
    play: Play, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(cluster: Any) -> None:
        app, beats = app_with_beats()
        runs: list[int] = []

        @app.timer(TICK)
        async def tick() -> None:
            runs.append(1)
            await beats.send(value=str(len(runs)))
            if len(runs) == 1:
                raise ValueError("not yet")

        async with cluster.running(app):
            await eventually(lambda: len(cluster.values("beats")) >= 1)
        assert cluster.values("beats")[0] == "2"

    with caplog.at_level(logging.ERROR):
        play(scenario)
    assert "tick failed; what it sent is dropped" in caplog.text


def test_a_task_that_raises_stops_the_worker(play: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app, _ = app_with_beats()

        @app.task
        async def broken() -> None:
            raise ValueError("no")

        with pytest.raises(
            ottla.ProcessingFailed, match=r"broken failed: ValueError: no, raised in broken \(.*test_services.py:\d+\)"
        ):
            await cluster.worker(app).run()

    play(scenario)


def test_one_worker_leads_and_another_takes_over(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        app, beats = app_with_beats()

        @app.timer(TICK, on_leader=True)
        async def lead() -> None:
            await beats.send(value="led")

        async with cluster.running(app, "second"):
            async with cluster.running(app, "first"):
                await eventually(lambda: len(cluster.values("beats")) >= 3)
            count = len(cluster.values("beats"))
            await eventually(lambda: len(cluster.values("beats")) >= count + 3)

    play(scenario)


def test_a_worker_that_the_group_has_given_up_begins_no_job_of_the_leader(
    play: Play, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(cluster: Any) -> None:
        app, _ = app_with_beats()
        runs: list[float] = []

        @app.timer(timedelta(milliseconds=400), on_leader=True)
        def lead() -> None:
            runs.append(time.time() + ahead_s)

        ahead_s = 0.0
        worker = cluster.worker(app, clock=lambda: time.time() + ahead_s)
        running = asyncio.create_task(worker.run())
        await eventually(lambda: bool(runs))
        # Given a leader that slept for a minute, and has not heard yet that it is no member any more
        members = worker._transport.members

        async def without_it() -> set[str]:
            return await members() - {"w0"}

        worker._services._lead._members = without_it
        before, ahead_s = len(runs), 60.0
        await eventually(lambda: "lead is due, and waits: the group does not confirm" in caplog.text)
        await asyncio.sleep(0.3)
        assert len(runs) == before
        # When it is one again, then its jobs go on
        worker._services._lead._members = members
        await eventually(lambda: len(runs) > before)
        worker.stop()
        await running

    play(scenario)


def test_a_leader_asks_the_group_once_a_second_at_most_and_waits_while_the_broker_is_away() -> None:
    asked: list[float] = []

    async def members() -> set[str]:
        asked.append(now_s)
        if len(asked) == 2:
            raise TransportError("no broker answers")
        return {"w0"}

    async def scenario() -> None:
        nonlocal now_s
        lead = Lead("w0", members, lambda: now_s)
        for at_s in (0.0, 0.1, 0.5, 5.0, 5.1):
            now_s = at_s
            await lead.confirmed("a job")

    now_s = 0.0
    asyncio.run(scenario())
    assert asked == [0.0, 5.0, 5.0]


def cron_app(**options: Any) -> ottla.App:
    app, beats = app_with_beats()

    @app.crontab(YEARLY, **options)
    async def new_year() -> None:
        await beats.send(value="happy new year")

    return app


def test_a_time_that_passed_without_a_leader_is_made_up_for_once(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        changelog = "beating-_leader-changelog"

        def notes() -> int:
            return len(cluster.broker.messages(changelog))

        # Given a leader that has noted a time, and was not there at the next ones
        async with cluster.running(cron_app(), clock=lambda: JANUARY_2020_S + 1):
            await eventually(lambda: notes() == 1)
        assert cluster.values("beats") == []
        # When there is one again, on another machine
        async with cluster.running(cron_app(), "other", clock=lambda: JANUARY_2020_S + 3 * 366 * 86_400):
            await eventually(lambda: notes() == 2)
        # Then it runs once for them
        assert cluster.values("beats") == ["happy new year"]
        async with cluster.running(cron_app(), clock=lambda: JANUARY_2020_S + 3 * 366 * 86_400 + 1):
            await asyncio.sleep(0.03)
        assert cluster.values("beats") == ["happy new year"]

    play(scenario)


def test_what_on_start_and_on_stop_call_may_fail(
    play: Play, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(cluster: Any) -> None:
        app, beats = app_with_beats()

        @app.on_stop
        def fails() -> None:
            raise ValueError("no end")

        @app.on_stop
        async def end() -> None:
            await beats.send(value="end")

        async with cluster.running(app):
            await eventually(lambda: "beats" in cluster.broker.topics)
        assert cluster.values("beats") == ["end"]
        app.on_start(fails)
        with pytest.raises(
            ottla.ProcessingFailed, match=r"what on_start calls failed: ValueError: no end, raised in fails \("
        ):
            await cluster.worker(app).run()

    play(scenario)
    assert "what on_stop calls failed" in caplog.text


def test_what_a_run_sent_counts_only_while_its_worker_leads() -> None:
    runs: list[int] = []
    app, beats = app_with_beats()

    @app.crontab(YEARLY)
    async def new_year() -> None:
        runs.append(1)
        await beats.send(value="happy new year")

    async def members() -> set[str]:
        return {"w0"}

    async def scenario() -> None:
        box = Outbox(lambda: 0, None, lambda _: None, partition_counts=None)  # type: ignore[arg-type]
        now_s = JANUARY_2020_S - 1
        services = Services(app.jobs, box, Lead("w0", members, lambda: now_s), lambda: now_s, fail=False)

        def notes() -> StoreCache:
            spec = leader_step(app.id)[0].stores[0]
            return StoreCache(spec, MemoryStores().open("0_0", spec.name))

        # Given a leader whose run was not committed when it lost its lead, and got it again
        first = notes()
        services.ready(first)
        await asyncio.sleep(0)
        assert box.take() == []
        box.committed()
        now_s = JANUARY_2020_S + 1
        services.follow()
        again = notes()
        again.put("new_year", first.get("new_year"))
        services.ready(again)
        while len(runs) < 1:  # noqa: ASYNC110
            await asyncio.sleep(0)
        services.follow()
        # When it leads once more
        services.ready(again)
        while len(runs) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        # Then only the run of that time counts
        assert [record.value for record in box.take()] == [b"happy new year"]
        assert again.get("new_year") == int(now_s * 1000)
        await services.stop(1.0)

    asyncio.run(scenario())


def test_missed_times_can_be_skipped(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        async with cluster.running(cron_app(missed="skip"), clock=lambda: JANUARY_2020_S + 1):
            await eventually(lambda: len(cluster.broker.messages("beating-_leader-changelog")) == 1)
        async with cluster.running(cron_app(missed="skip"), clock=lambda: JANUARY_2020_S + 900 * 86_400):
            await asyncio.sleep(0.05)
        assert cluster.values("beats") == []

    play(scenario)


def test_a_list_whose_time_is_over_goes_on_although_nothing_comes(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        app = ottla.App("taking", commit_interval=timedelta(milliseconds=5))

        @app.agent(app.topic("in", value=str, partitions=1), sink=[app.topic("out", value=list[str], partitions=1)])
        async def lists(stream: ottla.Stream[str]) -> AsyncIterator[list[str]]:
            async for values in stream.take(100, within=0.05):
                yield list(values)

        async with cluster.running(app):
            await eventually(lambda: "in" in cluster.broker.topics)
            cluster.send("in", ("k", "a"), ("k", "b"))
            await eventually(lambda: cluster.values("out") == ['["a","b"]'])

    play(scenario)


def app_that_tells(partitions: int = 4) -> tuple[ottla.App, list[tuple[str, list[int]]]]:
    app = ottla.App("telling", commit_interval=timedelta(milliseconds=5))
    told: list[tuple[str, list[int]]] = []
    app.stream(app.topic("words", key=str, value=str, partitions=partitions)).aggregate("counts", n=ottla.count())

    @app.crontab(YEARLY)
    async def yearly() -> None:
        pass

    @app.on_assigned
    async def assigned(parts: frozenset[ottla.TopicPartition]) -> None:
        await asyncio.sleep(0)
        assert {part.topic for part in parts} == {"words"}
        told.append(("assigned", sorted(part.partition for part in parts)))

    @app.on_revoked
    def revoked(parts: frozenset[ottla.TopicPartition]) -> None:
        told.append(("revoked", sorted(part.partition for part in parts)))

    return app, told


def test_partitions_that_come_and_go_are_told_in_order(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        first, of_first = app_that_tells()
        second, of_second = app_that_tells()
        async with cluster.running(first, "w0"):
            await eventually(lambda: of_first == [("assigned", [0, 1, 2, 3])])
            async with cluster.running(second, "w1"):
                await eventually(lambda: sum(len(parts) for kind, parts in of_second if kind == "assigned") == 2)
                gone = [part for kind, parts in of_first if kind == "revoked" for part in parts]
                assert sorted(gone) == sorted(part for kind, parts in of_second for part in parts)
            assert sorted(part for kind, parts in of_second if kind == "revoked" for part in parts) == sorted(gone)
            await eventually(lambda: sum(len(parts) for kind, parts in of_first if kind == "assigned") == 6)
        assert of_first[-1] == ("revoked", [0, 1, 2, 3])

    play(scenario)


def test_what_is_told_may_fail(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    app, told = app_that_tells(1)

    @app.on_assigned
    def fail(_: frozenset[ottla.TopicPartition]) -> None:
        raise ValueError("not prepared")

    async def scenario(cluster: Any) -> None:
        await cluster.run_to_end(app)

    play(scenario)
    assert told == [("assigned", [0]), ("revoked", [0])]
    assert caplog.messages == ["what on_assigned calls failed"]


def test_who_is_told_too_slowly_of_restored_state_misses_steps_in_between(play: Play) -> None:
    app = ottla.App("telling")
    told: list[tuple[str, int]] = []
    may_go_on = asyncio.Event()

    @app.on_restore
    async def restored(progress: ottla.StateProgress) -> None:
        await may_go_on.wait()
        told.append((progress.phase, progress.offset))

    async def scenario(cluster: Any) -> None:
        services = cluster.worker(app)._services
        phases: list[Any] = ["begun", *["advanced"] * 5_000, "ended"]
        for offset, phase in enumerate(phases):
            services.restored(ottla.StateProgress("counts", 0, phase, offset, 5_000))
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 2, "one tells all, whatever there is to tell"
        may_go_on.set()
        await services.told(10)

    play(scenario)
    assert [told[0], told[-1]] == [("begun", 0), ("ended", 5_001)]
    assert len(told) < 2_000
    assert told == sorted(told, key=lambda each: each[1])


def test_a_driver_has_all_partitions() -> None:
    app, told = app_that_tells(2)
    with app.test():
        assert told == [("assigned", [0, 1])]
    assert told[-1] == ("revoked", [0, 1])
