"""Global tables that agents write: each task its part, read by all."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ottla
from ottla.testing import Driver

PARTITIONS = 3
KEYS = ["a", "b", "c", "d", "e", "f"]
"""Of several partitions."""


def counting(app: ottla.App, **options: Any) -> ottla.GlobalTable[str, int]:
    """Counts events by their keys, and forgets a key for `-1`."""
    counts = app.GlobalTable("counts", key=str, value=int, default=int, **options)

    @app.agent(app.topic("in", key=str, value=int, partitions=PARTITIONS), uses=[counts])
    async def count(stream: ottla.Stream[int]) -> None:
        async for key, value in stream.items():
            if value < 0:
                del counts[key]
            else:
                counts[key] += value

    return counts


def asking(app: ottla.App, counts: ottla.GlobalTable[str, int]) -> list[Any]:
    """An agent of another number of partitions, which looks up whatever it is asked for."""
    found: list[Any] = []

    @app.agent(app.topic("asked", key=str, value=str, partitions=1))
    async def look(stream: ottla.Stream[str]) -> AsyncIterator[None]:
        async for key in stream:
            found.append((key, counts.get(key)))
            yield None

    return found


def count(driver: Driver, **events: int) -> None:
    for key, value in events.items():
        driver.send("in", key=key, value=value)


def test_what_tasks_write_is_read_by_all_of_other_partitions_too(app: ottla.App) -> None:
    counts = counting(app)
    found = asking(app, counts)
    with app.test() as driver:
        count(driver, a=1, b=2, c=3, d=4)
        count(driver, a=10)
        driver.run()
        for key in "abcde":
            driver.send("asked", key="any", value=key)
        assert dict(driver.table(counts)) == {"a": 11, "b": 2, "c": 3, "d": 4}
        assert driver.table(counts)["nowhere"] == 0
    assert found == [("a", 11), ("b", 2), ("c", 3), ("d", 4), ("e", None)]


def test_a_stream_is_joined_with_it_by_any_key(app: ottla.App) -> None:
    counts = counting(app)
    joined = app.stream(app.topic("asked", key=str, value=str, partitions=1)).join(
        counts, lambda key, n: f"{key}:{n}", key=str
    )
    joined.to(app.topic("out", key=str, value=str))
    with app.test() as driver:
        count(driver, a=1, b=2)
        driver.run()
        for key in "ab":
            driver.send("asked", key="any", value=key)
        assert [event.value for event in driver.read("out")] == ["a:1", "b:2"]


def test_a_task_reads_its_own_keys_as_it_wrote_them_and_those_of_others_as_they_were_committed(app: ottla.App) -> None:
    counts = app.GlobalTable("counts", key=str, value=int, default=int)
    seen: list[Any] = []

    @app.agent(app.topic("in", key=str, value=int, partitions=PARTITIONS), uses=[counts])
    async def work(stream: ottla.Stream[int]) -> None:
        async for key, value in stream.items():
            counts[key] += value
            assert key in counts
            seen.append((key, counts[key], sorted(counts.items())))

    with app.test() as driver:
        for key in KEYS:
            driver.send("in", key=key, value=1)
            driver.run()
        driver.send("in", key="a", value=5)
        driver.run()
    assert seen[-1] == ("a", 6, [("a", 6), *((key, 1) for key in KEYS[1:])])
    assert [(key, n) for key, n, _ in seen[:-1]] == [(key, 1) for key in KEYS]
    assert [len(items) for *_, items in seen] == [1, 2, 3, 4, 5, 6, 6]


def test_what_is_deleted_is_gone_for_its_task_before_the_copy_has_heard_of_it(app: ottla.App) -> None:
    counts = app.GlobalTable("counts", key=str, value=int)
    seen: list[Any] = []

    @app.agent(app.topic("in", key=str, value=int, partitions=PARTITIONS), uses=[counts])
    async def work(stream: ottla.Stream[int]) -> None:
        async for key, value in stream.items():
            before = counts.get(key)
            counts[key] = value or None
            seen.append((before, counts.get(key), list(counts)))

    with app.test() as driver:
        count(driver, a=1)
        driver.run()
        count(driver, a=0)
        driver.run()
        assert dict(driver.table(counts)) == {}
    assert seen == [(None, 1, ["a"]), (1, None, [])]


def test_a_key_of_another_partition_is_refused(app: ottla.App) -> None:
    counts = app.GlobalTable("counts", key=str, value=int)

    @app.agent(app.topic("in", key=str, value=str, partitions=PARTITIONS), uses=[counts])
    async def work(stream: ottla.Stream[str]) -> None:
        async for key in stream:
            counts[key] = 1

    with app.test() as driver:
        for key in KEYS:
            driver.send("in", key="a", value=key)
        reasons = [dict(letter.headers)["ottla.error.reason"].decode() for letter in driver.dead_letters()]
        written = set(driver.table(counts))
    assert "a" in written
    assert len(written) + len(reasons) == len(KEYS)
    assert all("is written by the tasks of partition" in reason for reason in reasons)
    assert reasons


def test_what_a_failed_event_wrote_is_taken_back(app: ottla.App) -> None:
    counts = app.GlobalTable("counts", key=str, value=int, default=int)

    @app.agent(app.topic("in", key=str, value=int), uses=[counts])
    async def work(stream: ottla.Stream[int]) -> None:
        async for key, value in stream.items():
            counts[key] += value
            if value > 5:
                raise ValueError(value)

    with app.test() as driver:
        for value in (1, 9, 2):
            driver.send("in", key="a", value=value)
        assert driver.table(counts)["a"] == 3


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(KEYS), st.sampled_from([1, 2, 10, -1])),
        st.sampled_from(["commit", "crash", "lose"]),
    ),
    max_size=30,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_every_copy_is_what_the_tasks_wrote_whatever_crashes(steps: list[Any]) -> None:
    app = ottla.App("shop")
    counts = app.GlobalTable("counts", key=str, value=int, default=int)

    @app.agent(app.topic("in", key=str, value=int, partitions=PARTITIONS), uses=[counts])
    async def work(stream: ottla.Stream[int]) -> None:
        async for key, value in stream.items():
            counts[key] = counts[key] + value if value > 0 else None

    expected: dict[str, int] = {}
    with app.test() as driver:
        for step in steps:
            if step == "commit":
                assert dict(driver.table(counts)) == expected
            elif isinstance(step, str):
                driver.crash_and_restart(lose_state=step == "lose")
            else:
                key, value = step
                driver.send("in", key=key, value=value)
                if value > 0:
                    expected[key] = expected.get(key, 0) + value
                else:
                    expected.pop(key, None)
        assert dict(driver.table(counts)) == expected


@pytest.mark.parametrize("lose_state", [True, False])
def test_it_is_restored(app: ottla.App, lose_state: bool) -> None:
    counts = counting(app)
    with app.test() as driver:
        count(driver, a=1, b=2, c=3)
        driver.run()
        count(driver, b=-1)
        driver.run()
        count(driver, a=100)
        driver.crash_and_restart(lose_state=lose_state)
        count(driver, c=1)
        assert dict(driver.table(counts)) == {"a": 101, "c": 4}


def test_all_of_a_part_can_be_cleared(app: ottla.App) -> None:
    counts = app.GlobalTable("counts", key=str, value=int)

    @app.agent(app.topic("in", key=str, value=int, partitions=PARTITIONS), uses=[counts])
    async def work(stream: ottla.Stream[int]) -> None:
        async for key, value in stream.items():
            if value < 0:
                counts.clear()
            else:
                counts[key] = value

    with app.test() as driver:
        count(driver, a=1, b=2, c=3, d=4, e=5)
        assert len(driver.table(counts)) == 5
        count(driver, a=-1)
        left = set(driver.table(counts))
    assert left < {"b", "c", "d", "e"}
    assert left


def test_who_does_not_name_it_cannot_write_it(app: ottla.App) -> None:
    counts = counting(app)

    @app.agent(app.topic("other", key=str, value=int))
    async def write(stream: ottla.Stream[int]) -> None:
        async for key, value in stream.items():
            counts[key] = value

    with app.test() as driver:
        driver.send("other", key="a", value=1)
        [letter] = driver.dead_letters()
    assert b"written by those that name it" in (dict(letter.headers)["ottla.error.reason"] or b"")


def test_one_that_nobody_writes_is_refused(app: ottla.App) -> None:
    counts = app.GlobalTable("counts", key=str, value=int)
    asking(app, counts)
    with pytest.raises(ottla.TopologyError, match="has no source=, and is named by nobody who writes it"):
        _ = app.topology


@pytest.mark.parametrize("options", [{"changelog": {}}, {"partitions": 3}])
def test_one_with_a_topic_has_no_parts_or_changelog(app: ottla.App, options: Any) -> None:
    with pytest.raises(ottla.ConfigError, match="has no changelog or parts"):
        app.GlobalTable("counts", source=app.topic("in", key=str, value=int), **options)


def test_one_without_a_topic_needs_its_changelog(app: ottla.App) -> None:
    with pytest.raises(ottla.ConfigError, match="nobody could read it"):
        app.GlobalTable("counts", key=str, value=int, changelog=False)  # type: ignore[call-overload]


def test_its_changelog_has_the_partitions_and_the_config_that_are_said(app: ottla.App) -> None:
    counting(app, partitions=PARTITIONS, changelog={"segment.bytes": "1048576"})
    [changelog] = [
        spec for spec in app.topology.plan({"in": 3}).internal_topics if spec.name == "shop-counts-changelog"
    ]
    assert (changelog.partitions, changelog.config["segment.bytes"]) == (3, "1048576")
    with pytest.raises(ottla.CopartitionError):
        app.topology.plan({"in": 2})
