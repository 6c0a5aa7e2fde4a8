"""Several streams into one aggregate per key: tables and windows of them, and what is refused."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

import ottla


class Profile(msgspec.Struct, frozen=True):
    spent: int = 0
    visits: tuple[str, ...] = ()


def add_order(profile: Profile, amount: int) -> Profile:
    if amount < 0:
        raise ValueError("nobody spends that")
    return Profile(profile.spent + amount, profile.visits)


def add_visit(profile: Profile, page: str) -> Profile:
    return Profile(profile.spent, (*profile.visits, page))


def joined(earlier: Profile, later: Profile) -> Profile:
    return Profile(earlier.spent + later.spent, earlier.visits + later.visits)


def both(app: ottla.App) -> ottla.Cogrouped[Profile]:
    orders = app.stream(app.topic("orders", value=int))
    visits = app.stream(app.topic("visits", value=str))
    return orders.cogroup(add_order).cogroup(visits, add_visit)


def test_events_of_all_streams_change_one_aggregate_per_key(app: ottla.App) -> None:
    profiles = both(app).aggregate("profiles", initial=Profile)
    profiles.to_stream().to(app.topic("out", value=Profile))
    with app.test() as driver:
        driver.send("orders", key="ann", value=20, timestamp=1)
        driver.send("visits", key="ann", value="home", timestamp=5)
        driver.send("visits", key="bob", value="help", timestamp=6)
        driver.send("orders", key="ann", value=5, timestamp=3)
        driver.send("orders", key=None, value=5, timestamp=7)
        assert [(event.key, event.value, event.timestamp) for event in driver.read("out")] == [
            ("ann", Profile(20), 1),
            ("ann", Profile(25), 3),
            ("ann", Profile(25, ("home",)), 5),
            ("bob", Profile(0, ("help",)), 6),
        ]
        assert dict(driver.table(profiles)) == {"ann": Profile(25, ("home",)), "bob": Profile(0, ("help",))}
        assert driver.counts.null_key_dropped == 1


def test_a_function_that_raises_leaves_the_aggregate_as_it_was(app: ottla.App) -> None:
    profiles = both(app).aggregate("profiles", initial=Profile)
    with app.test() as driver:
        for amount in (1, -1, 2):
            driver.send("orders", key="ann", value=amount)
        assert driver.table(profiles)["ann"] == Profile(3)
        [letter] = driver.dead_letters()
        assert dict(letter.headers)["ottla.error.step"] == b"table.profiles"


def test_an_aggregate_of_none_is_deleted_and_begun_again(app: ottla.App) -> None:
    def until_closed(pages: list[str], page: str) -> list[str] | None:
        return None if page == "close" else [*pages, page]

    visits = app.stream(app.topic("visits", value=str))
    pages = visits.cogroup(until_closed).aggregate("pages", initial=list)
    pages.to_stream().to(app.topic("out", value=list))
    with app.test() as driver:
        for time, page in enumerate(["home", "close", "help"]):
            driver.send("visits", key="ann", value=page, timestamp=9 - time)
        assert [(event.value, event.timestamp) for event in driver.read("out")] == [
            (["home"], 9),
            (None, 9),
            (["help"], 7),
        ]
        driver.send("visits", key="ann", value="close", timestamp=10)
        assert dict(driver.table(pages)) == {}


def test_a_restart_goes_on_with_what_there_is(app: ottla.App) -> None:
    profiles = both(app).aggregate("profiles", initial=Profile)
    with app.test() as driver:
        driver.send("visits", key="ann", value="home")
        driver.run()
        driver.crash_and_restart(lose_state=True)
        driver.send("orders", key="ann", value=4)
        assert driver.table(profiles)["ann"] == Profile(4, ("home",))


def test_by_windows_each_window_has_an_aggregate(app: ottla.App) -> None:
    both(app).window(ottla.tumbling(seconds=10)).aggregate("hourly", initial=Profile).to(app.topic("out", value=Any))
    with app.test() as driver:
        driver.send("orders", key="ann", value=1, timestamp=1_000)
        driver.send("visits", key="ann", value="home", timestamp=2_000)
        driver.send("visits", key="ann", value="help", timestamp=10_000)
        [closed] = driver.read("out")
        assert closed.value == {"key": "ann", "start": 0, "end": 10_000, "value": {"spent": 1, "visits": ["home"]}}
        driver.end_of_input()
        [last] = driver.read("out")
        assert last.value["value"] == {"spent": 0, "visits": ["help"]}


def test_sessions_become_one_with_merge(app: ottla.App) -> None:
    sessions = both(app).window(ottla.session(seconds=5, grace=timedelta(minutes=1)))
    sessions.aggregate("active", initial=Profile, merge=joined).to(app.topic("out", value=Any))
    with app.test() as driver:
        driver.send("orders", key="ann", value=1, timestamp=1_000)
        driver.send("visits", key="ann", value="help", timestamp=9_000)
        driver.send("orders", key="ann", value=2, timestamp=5_000)
        driver.end_of_input()
        [event] = driver.read("out")
        assert (event.value["start"], event.value["end"]) == (1_000, 9_000)
        assert event.value["value"] == {"spent": 3, "visits": ["help"]}


def test_sessions_without_merge_are_refused(app: ottla.App) -> None:
    with pytest.raises(ottla.TopologyError, match="two sessions can become one"):
        both(app).window(ottla.session(seconds=5)).aggregate("active", initial=Profile)


def test_streams_with_other_keys_are_refused(app: ottla.App) -> None:
    numbered = app.stream(app.topic("numbered", key=int, value=str))
    with pytest.raises(ottla.TopologyError, match=r"cogroup: .* has keys of text and .* of json\[int\]"):
        both(app).cogroup(numbered, add_visit)


def test_aggregates_of_unknown_type_are_refused(app: ottla.App) -> None:
    stream = app.stream(app.topic("in", value=int))
    with pytest.raises(ottla.TopologyError, match=r"aggregate\('sums'\) cannot see the type"):
        stream.cogroup(lambda so_far, value: so_far + value).aggregate("sums", initial=lambda: 0)


def test_streams_with_other_partition_counts_are_refused(app: ottla.App) -> None:
    orders = app.stream(app.topic("orders", value=int, partitions=2))
    visits = app.stream(app.topic("visits", value=str, partitions=3))
    orders.cogroup(add_order).cogroup(visits, add_visit).aggregate("profiles", initial=Profile)
    with pytest.raises(ottla.CopartitionError, match="'visits' has 3"):
        app.test()


def test_functions_may_use_tables(app: ottla.App) -> None:
    prices = app.Table("prices", source=app.topic("prices", value=int))

    def add_item(so_far: int, item: str) -> int:
        return so_far + prices[item]

    totals = app.stream(app.topic("items", value=str)).cogroup(add_item).aggregate("totals", initial=0)
    with app.test() as driver:
        driver.send("prices", key="tea", value=3)
        driver.send("items", key="ann", value="tea")
        assert driver.table(totals)["ann"] == 3


def test_the_topology_shows_the_streams_that_meet(app: ottla.App) -> None:
    both(app).aggregate("profiles", initial=Profile)
    described = app.topology.describe()
    assert "      <-- profiles.of.orders, profiles.of.visits\n" in described
    assert "# table, cogroup of 2 streams" in described


def test_an_upgrade_to_other_aggregates_is_refused(app: ottla.App) -> None:
    both(app).aggregate("profiles", initial=Profile)
    later = ottla.App("shop")
    later.stream(later.topic("orders", value=int)).cogroup(max).aggregate("profiles", initial=0)
    with app.test() as driver:
        driver.send("orders", key="ann", value=1)
        driver.run()
        with pytest.raises(ottla.IncompatibleState, match="profiles"):
            later.test(after=driver)
