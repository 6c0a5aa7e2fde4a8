"""Joins in workers: over several partitions and workers, and to the end of what is there."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla.transport.errors import TransactionAbortedError
from ottla.transport.memory import MemoryTransport
from ottla.worker import recovery

Play = Callable[[Callable[..., Any]], None]


def named(order: str, customer: str) -> str:
    return f"{order.partition('/')[2]} for {customer}"


def customer_of(order: str) -> str:
    return order.partition("/")[0]


def shop() -> ottla.App:
    app = ottla.App("shop")
    orders = app.Table("orders", source=app.topic("orders", key=str, value=str, partitions=3))
    customers = app.Table("customers", source=app.topic("customers", key=str, value=str, partitions=2))
    out = app.topic("out", key=str, value=str, partitions=1)
    orders.join(customers, named, on=customer_of, name="named").to_stream().to(out)
    return app


def test_a_bounded_run_ends_when_all_foreign_keys_are_answered(play_anywhere: Play) -> None:
    async def scenario(cluster: Any) -> None:
        await cluster.run_to_end(shop())
        cluster.send("orders", *[(str(number), f"c{number % 4}/tea {number}") for number in range(40)])
        cluster.send("customers", *[(f"c{number}", f"customer {number}") for number in range(3)])
        await cluster.run_to_end(shop())
        assert sorted(cluster.values("out")) == sorted(
            f"tea {number} for customer {number % 4}" for number in range(40) if number % 4 < 3
        )

    play_anywhere(scenario)


def ranking() -> ottla.App:
    """Two sub-topologies that write to each other, and windows that the end of a bounded run closes before them."""
    app = ottla.App("shop", commit_interval=timedelta(milliseconds=1))
    sales = app.stream(app.topic("sales", key=str, value=str, partitions=2))
    counts = sales.window(ottla.tumbling(hours=1)).aggregate("counts", n=ottla.count())
    totals = counts.map(lambda window: str(window.value.n), type=str).to_table("totals")
    ranks = app.Table("ranks", source=app.topic("ranks", key=str, value=str, partitions=3))
    out = app.topic("out", key=str, value=str, partitions=1)
    totals.join(ranks, paired, on=str, name="ranked").to_stream().to(out)
    return app


async def rank(cluster: Any) -> dict[str, str]:
    await cluster.run_to_end(ranking())
    cluster.send("ranks", ("1", "bronze"), ("2", "silver"))
    cluster.send("sales", *[(key, "") for key in ("ann", "bob", "ann", "eve")])
    await cluster.run_to_end(ranking())
    latest: dict[str, str] = cluster.latest("out")
    return latest


RANKED = {"ann": "2+silver", "bob": "1+bronze", "eve": "1+bronze"}


def test_results_of_windows_that_the_end_closes_meet_what_they_name(play_anywhere: Play) -> None:
    async def scenario(cluster: Any) -> None:
        assert await rank(cluster) == RANKED

    play_anywhere(scenario)


@pytest.mark.parametrize("failing", range(1, 6))
def test_whichever_commit_of_a_bounded_run_fails_it_comes_to_its_end(
    play: Play, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    monkeypatch.setattr(recovery, "_FIRST_BACKOFF_S", 0.0)
    commit, commits = MemoryTransport.commit, 0

    async def commit_or_fail(self: MemoryTransport, offsets: Any, membership: Any = None) -> Any:
        nonlocal commits
        if any(where.topic != "shop-assignment" for where in offsets):
            commits += 1
            if commits == failing:
                raise TransactionAbortedError("lost")
        return await commit(self, offsets, membership)

    monkeypatch.setattr(MemoryTransport, "commit", commit_or_fail)

    async def scenario(cluster: Any) -> None:
        assert await rank(cluster) == RANKED

    play(scenario)


def test_foreign_keys_meet_across_workers_while_commits_fail_and_workers_come_and_go(
    play: Play,
) -> None:
    async def scenario(cluster: Any) -> None:
        await cluster.run_to_end(shop())
        async with cluster.running(shop(), "w0"):
            for batch in range(4):
                if batch == 1:
                    cluster.broker.fail_next_commits("orders", TransactionAbortedError("lost"))
                async with cluster.running(shop(), f"w{1 + batch % 2}"):
                    cluster.send("orders", *[(str(number), f"c{(number + batch) % 4}/tea") for number in range(20)])
                    cluster.send("customers", *[(f"c{number}", f"customer {number} {batch}") for number in range(3)])
                    await asyncio.sleep(0.02)
        await cluster.run_to_end(shop())
        # The last batch gave order n to customer (n + 3) % 4, of whom there is no number 3.
        owners = {str(number): (number + 3) % 4 for number in range(20)}
        latest = cluster.latest("out")
        assert {key: latest.get(key, "") for key in owners} == {
            key: "" if owner == 3 else f"tea for customer {owner} 3" for key, owner in owners.items()
        }

    play(scenario)


def paired(left: str | None, right: str | None) -> str:
    return f"{left}+{right}"


def test_streams_meet_across_workers_and_each_pair_once(play: Play) -> None:
    def app() -> ottla.App:
        app = ottla.App("pairs")
        left, right = (app.topic(name, key=str, value=str, partitions=3) for name in ("left", "right"))
        out = app.topic("out", key=str, value=str, partitions=1)
        app.stream(left).outer_join(app.stream(right), paired, within=1, name="paired").to(out)
        return app

    async def scenario(cluster: Any) -> None:
        await cluster.run_to_end(app())
        keys = [f"k{number}" for number in range(30)]
        for half in (keys[:15], keys[15:]):
            async with cluster.running(app(), "w0"), cluster.running(app(), "w1"):
                cluster.send("left", *[(key, "l") for key in half])
                cluster.send("right", *[(key, "r") for key in half if key != "k7"])
                cluster.broker.fail_next_commits("left", TransactionAbortedError("lost"))
                await asyncio.sleep(0.1)
        await cluster.run_to_end(app())
        assert sorted(cluster.values("out")) == ["l+None", *["l+r"] * 29]

    play(scenario)


def test_a_window_does_not_change_under_what_waits_for_its_end(play_anywhere: Play) -> None:
    def app(within: float) -> ottla.App:
        app = ottla.App("pairs")
        left, right = (app.topic(name, key=str, value=str, partitions=1) for name in ("left", "right"))
        app.stream(left).left_join(app.stream(right), paired, within=within, name="paired")
        return app

    async def scenario(cluster: Any) -> None:
        await cluster.run_to_end(app(within=60))
        with pytest.raises(ottla.IncompatibleState, match="'paired-left': its definition was 'within 0:01:00 before"):
            await cluster.run_to_end(app(within=90))

    play_anywhere(scenario)


def test_a_table_with_entries_can_be_joined_later(play_anywhere: Play) -> None:
    def app(*, joined: bool) -> ottla.App:
        app = ottla.App("shop")
        left, right = (
            app.Table(f"{name}s", source=app.topic(name, key=str, value=str, partitions=1))
            for name in ("left", "right")
        )
        out = app.topic("out", key=str, value=str, partitions=1)
        if joined:
            left.join(right, paired, type=str).to_stream().to(out)
        return app

    async def scenario(cluster: Any) -> None:
        await cluster.run_to_end(app(joined=False))
        cluster.send("left", ("a", "x"), at_ms=5_000)
        await cluster.run_to_end(app(joined=False))
        await cluster.run_to_end(app(joined=True))
        # Given an entry whose time was not kept
        cluster.send("right", ("a", "r"), at_ms=1_000)
        await cluster.run_to_end(app(joined=True))
        [message] = cluster.broker.messages("out")
        assert (message.value(), message.timestamp()[1]) == (b"x+r", 1_000)

    play_anywhere(scenario)
