"""Set tables: a set per key, kept element by element."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla import Stream

Answers = Callable[..., list[Any]]


def members(app: ottla.App) -> ottla.SetTable[str, str]:
    return app.SetTable("members", key=str, value=str)


def test_a_set_is_used_like_a_set(answers: Answers) -> None:
    def body(table: Any, _: str) -> Any:
        red = table["red"]
        red.add("Bob")
        red.add("Ann")
        red.update(["Cid", "Dan"], {"Eve"})
        red.discard("nobody")
        red.remove("Dan")
        with pytest.raises(KeyError):
            red.remove("Dan")
        table["blue"] |= {"Ann"}
        return [
            list(red),
            len(red),
            "Ann" in red,
            "Dan" in red,
            sorted(red & {"Ann", "Zoe"}),
            sorted(red.union(["Zoe"])),
            red == {"Ann", "Bob", "Cid", "Eve"},
            "red" in table,
            "green" in table,
            bool(table["green"]),
            list(table),
            dict(table.items()),
            len(table),
        ]

    [result] = answers(members, body, "x")
    assert result == [
        ["Ann", "Bob", "Cid", "Eve"],
        4,
        True,
        False,
        ["Ann"],
        ["Ann", "Bob", "Cid", "Eve", "Zoe"],
        True,
        True,
        False,
        False,
        ["blue", "red"],
        {"blue": {"Ann"}, "red": {"Ann", "Bob", "Cid", "Eve"}},
        2,
    ]


def test_a_set_is_replaced_and_deleted_as_a_whole(answers: Answers) -> None:
    def body(table: Any, command: str) -> Any:
        match command:
            case "assign":
                table["red"] = ["Ann", "Bob"]
                table["red"] = ["Bob", "Cid"]
            case "delete":
                del table["red"]
                with pytest.raises(KeyError):
                    del table["red"]
            case "pop":
                table["red"] = {"Ann"}
                return [table.pop("red"), table.pop("red", "none"), table.get("red")]
            case "intersect":
                table["red"] = {"Ann", "Bob", "Cid"}
                table["red"].intersection_update({"Ann", "Bob"}, {"Bob", "Cid"})
            case "difference":
                table["red"].difference_update({"Bob"})
                table["red"].symmetric_difference_update({"Zoe"})
            case "default":
                return sorted(table.setdefault("red", {"Ann"})), sorted(table.setdefault("new", {"Ann"}))
        return {key: set(found) for key, found in table.items()}

    assert answers(members, body, "assign", "delete", "pop", "intersect", "difference", "default") == [
        {"red": {"Bob", "Cid"}},
        {},
        [{"Ann"}, "none", None],
        {"red": {"Bob"}},
        {"red": {"Zoe"}},
        (["Zoe"], ["Ann"]),
    ]


def test_a_change_of_one_element_is_one_record_of_the_changelog() -> None:
    app = ottla.App("shop")
    joins = app.topic("joins", key=str, value=str)
    table = members(app)

    @app.agent(joins)
    async def join(stream: Stream[str]) -> None:
        async for team, name in stream.items():
            table[team].add(name)

    with app.test() as driver:
        for name in ("Ann", "Bob", "Ann"):
            driver.send(joins, key="red", value=name)
        driver.run()
        driver.send(joins, key="red", value="Cid")
        assert len(driver.read(raw("shop-members-changelog"))) == 3
        assert driver.table(table)["red"] == {"Ann", "Bob", "Cid"}
        assert dict(driver.table("members")) == {"red": {"Ann", "Bob", "Cid"}}


def raw(name: str) -> ottla.Topic[bytes, bytes]:
    return ottla.App("outside").topic(name, key=bytes, value=bytes)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "a", "a\x00", "a\x00\xff"]),
            st.sampled_from(["add", "discard", "fail", "crash", "lose"]),
            st.text("a\x00", max_size=2),
        ),
        max_size=25,
    )
)
def test_sets_are_sets_whatever_fails_or_crashes(steps: list[tuple[str, str, str]]) -> None:
    app = ottla.App("shop")
    commands = app.topic("commands", key=str, value=list[str])
    table = members(app)

    @app.agent(commands)
    async def work(stream: Stream[list[str]]) -> None:
        async for key, (command, element) in stream.items():
            if command == "add":
                table[key].add(element)
            elif command == "discard":
                table[key].discard(element)
            else:
                table[key] = {"x", "y"}
                raise ValueError

    model: dict[str, set[str]] = {}
    with app.test() as driver:
        for key, command, element in steps:
            if command in ("crash", "lose"):
                driver.crash_and_restart(lose_state=command == "lose")
                continue
            driver.send(commands, key=key, value=[command, element])
            if command == "add":
                model.setdefault(key, set()).add(element)
            elif command == "discard":
                model.setdefault(key, set()).discard(element)
        assert dict(driver.table(table)) == {key: found for key, found in model.items() if found}
