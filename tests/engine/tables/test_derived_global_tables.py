"""Global tables of what a function makes of each record of their topic."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import ottla
from ottla.testing import Driver


class User(msgspec.Struct):
    emails: list[str]


def of_email(name: str, user: User) -> dict[str, str | None]:
    if "@" not in "".join(user.emails or "@"):
        raise ValueError(f"{user.emails} are no addresses")
    return {**dict.fromkeys(user.emails, name), "nobody": None}


def by_email(app: ottla.App) -> ottla.GlobalTable[str, str]:
    users = app.topic("users", key=str, value=User, partitions=2)
    table = app.GlobalTable("by_email", source=users, entries=of_email, key=str, value=str)
    logins = app.stream(app.topic("logins", key=str, value=str))
    logins.left_join(table, lambda email, name: f"{email}: {name}", key=str).to(app.topic("out", key=str, value=str))
    return table


def user(driver: Driver, name: str, *emails: str) -> None:
    driver.send("users", key=name, value=User(list(emails)))


def test_it_holds_what_the_newest_records_make(app: ottla.App) -> None:
    table = by_email(app)
    with app.test() as driver:
        user(driver, "ann", "ann@home", "ann@work")
        user(driver, "bob", "bob@home")
        assert dict(driver.table(table)) == {"ann@home": "ann", "ann@work": "ann", "bob@home": "bob"}
        user(driver, "ann", "ann@work", "ann@new")
        driver.send("users", key="bob", value=None)
        assert dict(driver.table(table)) == {"ann@work": "ann", "ann@new": "ann"}


def test_records_of_one_key_that_come_together_leave_what_the_last_makes(app: ottla.App) -> None:
    table = by_email(app)
    with app.test() as driver:
        for number in range(5):
            user(driver, "ann", f"ann@{number}")
        user(driver, "ann")
        user(driver, "ann", "ann@last")
        assert dict(driver.table(table)) == {"ann@last": "ann"}


def test_streams_are_joined_with_it(app: ottla.App) -> None:
    by_email(app)
    with app.test() as driver:
        user(driver, "ann", "ann@home")
        driver.run()
        for email in ("ann@home", "bob@home"):
            driver.send("logins", key="k", value=email)
        user(driver, "ann", "ann@work")
        driver.send("logins", key="k", value="ann@home")
        assert [event.value for event in driver.read("out")] == ["ann@home: None", "bob@home: None", "ann@home: None"]


@pytest.mark.parametrize("lose_state", [True, False])
def test_it_is_the_same_after_a_restart(app: ottla.App, lose_state: bool) -> None:
    table = by_email(app)
    with app.test() as driver:
        user(driver, "ann", "ann@home", "ann@work")
        user(driver, "bob", "bob@home")
        driver.run()
        driver.crash_and_restart(lose_state=lose_state)
        user(driver, "ann", "ann@work")
        assert dict(driver.table(table)) == {"ann@work": "ann", "bob@home": "bob"}


def test_its_topic_may_be_a_global_table_as_it_is_too(app: ottla.App) -> None:
    table = by_email(app)
    plain = app.GlobalTable("users_by_name", source=app.topic("users", key=str, value=User, partitions=2))
    with app.test() as driver:
        user(driver, "ann", "ann@home")
        assert dict(driver.table(table)) == {"ann@home": "ann"}
        assert driver.table(plain)["ann"] == User(["ann@home"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda driver: driver.send_raw("users", b"cid", b"no json"),
        lambda driver: user(driver, "cid", "no address"),
    ],
    ids=["undecodable", "raises"],
)
def test_a_record_that_fails_is_left_out_and_logged(
    app: ottla.App, spoil: Callable[[Driver], None], caplog: pytest.LogCaptureFixture
) -> None:
    table = by_email(app)
    with app.test() as driver:
        user(driver, "cid", "cid@home")
        spoil(driver)
        user(driver, "ann", "ann@home")
        assert dict(driver.table(table)) == {"ann@home": "ann"}
    assert "global table 'by_email' failed on a record of 'users' with key b'cid'" in caplog.text


def test_a_record_that_fails_stops_an_app_that_says_so() -> None:
    app = ottla.App("shop", on_error="fail")
    table = by_email(app)
    with app.test() as driver:
        user(driver, "cid", "no address")
        with pytest.raises(ottla.ProcessingFailed, match="failed on a record of 'users'"):
            driver.table(table)


def test_entries_need_a_topic(app: ottla.App) -> None:
    options: Any = {"entries": of_email}
    with pytest.raises(ottla.ConfigError, match="entries= and no source="):
        app.GlobalTable("by_email", key=str, value=str, **options)
