"""What makes a table a mapping: views, updates, ranges and prefixes over what is committed and what is not."""

from collections.abc import Callable, MutableMapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla import Stream

Answers = Callable[..., list[Any]]


def stock(app: ottla.App) -> ottla.Table[str, int]:
    return app.Table("stock", key=str, value=int)


def test_views_iterate_count_and_search(answers: Answers) -> None:
    def body(table: Any, _: str) -> Any:
        table.update({"pear": 2}, apple=1)
        return [
            isinstance(table, MutableMapping),
            len(table),
            bool(table),
            "apple" in table.keys(),  # noqa: SIM118 - the view is what is tested
            2 in table.values(),
            3 in table.values(),
            ("pear", 2) in table.items(),
            ("pear", 3) in table.items(),
            len(table.items()),
            dict(table),
        ]

    [result] = answers(stock, body, "x")
    assert result == [True, 2, True, True, True, False, True, False, 2, {"apple": 1, "pear": 2}]


def test_an_empty_table_is_false(answers: Answers) -> None:
    assert answers(stock, lambda table, _: [bool(table), len(table)], "x") == [[False, 0]]


def test_setdefault_keeps_what_it_gives(answers: Answers) -> None:
    assert answers(stock, lambda table, _: [table.setdefault("a", 5), table.setdefault("a", 6), table["a"]], "x") == [
        [5, 5, 5]
    ]

    def body(table: Any, _: str) -> Any:
        return [table.setdefault("a"), "a" in table]

    assert answers(lambda app: app.Table("lists", default=list), body, "x") == [[[], True]]


@pytest.mark.parametrize(
    "make", [stock, lambda app: app.SetTable("sets"), lambda app: app.Table("w", value=int).tumbling(10)]
)
def test_popping_what_is_not_there_raises_unless_there_is_a_default(
    answers: Answers, make: Callable[[ottla.App], Any]
) -> None:
    def body(table: Any, _: str) -> Any:
        with pytest.raises(KeyError):
            table.pop("none")
        return table.pop("none", None), table.pop("none", 7)

    assert answers(make, body, ("x", 0)) == [(None, 7)]


def test_clear_and_popitem_empty_a_table(answers: Answers) -> None:
    def body(table: Any, command: str) -> Any:
        if command == "fill":
            table.update(a=1, b=2, c=3)
        elif command == "pop":
            return table.popitem()
        else:
            table.clear()
        return dict(table)

    assert answers(stock, body, "fill", "pop", "clear") == [{"a": 1, "b": 2, "c": 3}, ("a", 1), {}]


def test_tables_are_equal_only_to_themselves_and_can_be_keys(app: ottla.App) -> None:
    one, other = app.Table("one", default=int), app.Table("other", default=int)
    assert one == one
    assert one != other
    assert {one: 1, other: 2}[one] == 1


def test_a_range_is_half_open_and_in_the_order_of_the_keys(answers: Answers) -> None:
    def body(table: Any, command: str) -> Any:
        if command == "fill":
            table.update({word: len(word) for word in ("apple", "banana", "cherry", "damson")})
        table["blackberry"] = 10
        return [key for key, _ in table.range("b", "cherry")], [key for key, _ in table.range(start="cherry")]

    expected = (["banana", "blackberry"], ["cherry", "damson"])
    assert answers(stock, body, "fill", "look") == [expected, expected]


def test_a_prefix_finds_the_keys_that_begin_with_it(answers: Answers) -> None:
    def body(table: Any, _: str) -> Any:
        table.update({"a": 1, "ab": 2, "abc": 3, "ac": 4, "ab\U0010ffff": 5})
        return [key for key, _ in table.prefix("ab")]

    assert answers(stock, body, "x") == [["ab", "abc", "ab\U0010ffff"]]


def test_a_prefix_of_the_highest_bytes_has_no_end(answers: Answers) -> None:
    def body(table: Any, _: str) -> Any:
        table.update({b"\xff": 1, b"\xff\xff": 2, b"\xfe": 3})
        return [key for key, _ in table.prefix(b"\xff")]

    assert answers(lambda app: app.Table("raw", key=bytes, value=int), body, "x") == [[b"\xff", b"\xff\xff"]]


@pytest.mark.parametrize(
    ("key", "prefix", "message"),
    [(int, 5, "is str or bytes, not 5"), (None, "a", "keys of json, whose bytes do not begin as the keys do")],
)
def test_a_prefix_of_keys_that_have_none_is_refused(answers: Answers, key: Any, prefix: Any, message: str) -> None:
    def body(table: Any, _: str) -> None:
        with pytest.raises(ottla.ConfigError, match=message):
            table.prefix(prefix)

    assert answers(lambda app: app.Table("t", key=key, value=int), body, "x") == [None]


words = st.text("ab\x00\xff", max_size=4)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(words, st.one_of(st.none(), st.integers(0, 9))), max_size=20),
    st.integers(0, 20),
    words,
    words,
)
def test_ranges_and_prefixes_merge_what_is_committed_with_what_is_not(
    writes: list[tuple[str, int | None]], committed: int, start: str, end: str
) -> None:
    app = ottla.App("shop")
    topic = app.topic("commands", key=str, value=list[Any])
    table = stock(app)
    found: list[Any] = []

    @app.agent(topic)
    async def work(stream: Stream[list[Any]]) -> None:
        async for key, value in stream:
            if key is None:
                found.append([list(table.range(start, end)), list(table.prefix(start))])
            else:
                table[key] = value

    model: dict[str, int] = {}
    with app.test() as driver:
        for number, (key, value) in enumerate(writes):
            if number == committed:
                driver.run()
            driver.send(topic, key="k", value=[key, value])
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
        driver.send(topic, key="k", value=[None, None])
        driver.run()
    ordered = sorted(model.items(), key=lambda item: item[0].encode())
    in_range = [item for item in ordered if start.encode() <= item[0].encode() < end.encode()]
    assert found == [[in_range, [item for item in ordered if item[0].startswith(start)]]]
