"""Tables written by agents: a dict per partition that commits with everything else."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ottla
from ottla import Stream, serdes


def app_running(body: Callable[[Any, str], Any], **table: Any) -> ottla.App:
    """An app whose agent calls `body(table, command)` for each event and sends what it returns to `answers`."""
    app = ottla.App("shop")
    commands = app.topic("commands", key=str, value=str)
    answers = app.topic("answers", key=str, value=Any)
    stock = app.Table("stock", key=str, **table)

    @app.agent(commands, sink=[answers])
    async def work(stream: Stream[str]) -> AsyncIterator[Any]:
        async for command in stream:
            yield body(stock, command)

    return app


def answers(app: ottla.App, *commands: str) -> list[Any]:
    with app.test() as driver:
        for command in commands:
            driver.send("commands", key="k", value=command)
        assert [dict(letter.headers)["ottla.error.reason"] for letter in driver.dead_letters()] == []
        return [event.value for event in driver.read("answers")]


def test_a_table_is_used_like_a_dict() -> None:
    def body(stock: ottla.Table[str, int], command: str) -> Any:
        if command == "set":
            stock["pear"] = 2
            stock["apple"] = 1
        elif command == "look":
            return [stock["pear"], stock.get("nut"), stock.get("nut", 7), "pear" in stock, "nut" in stock]
        elif command == "list":
            return [list(stock), list(stock.keys()), list(stock.values()), [list(item) for item in stock.items()]]
        elif command == "remove":
            del stock["pear"]
            return [stock.pop("apple"), stock.pop("apple", 9), list(stock)]
        return None

    assert answers(app_running(body, value=int), "set", "look", "list", "remove", "list") == [
        None,
        [2, None, 7, True, False],
        [["apple", "pear"], ["apple", "pear"], [1, 2], [["apple", 1], ["pear", 2]]],
        [1, 9, []],
        [[], [], [], []],
    ]


def test_a_missing_key_has_the_default_and_without_one_raises() -> None:
    assert answers(app_running(lambda stock, key: stock[key], default=int), "nut") == [0]

    def missing(stock: ottla.Table[str, int], key: str) -> str:
        with pytest.raises(KeyError):
            stock[key]
        with pytest.raises(KeyError):
            del stock[key]
        return "missing"

    assert answers(app_running(missing, value=int), "nut") == ["missing"]


def test_a_default_is_not_stored_until_it_is_assigned() -> None:
    def body(stock: ottla.Table[str, list[str]], command: str) -> Any:
        if command == "change":
            stock["a"].append("x")
        if command == "assign":
            stock["a"] = [*stock["a"], "y"]
        return stock["a"]

    assert answers(app_running(body, default=list), "change", "assign", "look") == [[], ["y"], ["y"]]


def test_assigning_none_deletes() -> None:
    def body(stock: ottla.Table[str, int | None], command: str) -> bool:
        stock["a"] = 1 if command == "set" else None
        return "a" in stock

    assert answers(app_running(body, value=int), "set", "unset") == [True, False]


def test_each_partition_has_its_own_part(app: ottla.App) -> None:
    words = app.topic("words", key=str, value=str, partitions=4)
    counts = app.Table("counts", key=str, default=int, partitions=4)
    sizes = app.topic("sizes", key=str, value=int)

    @app.agent(words, sink=[sizes])
    async def count(stream: Stream[str]) -> AsyncIterator[int]:
        async for key, word in stream.items():
            counts[key] += len(word)
            yield sum(counts.values())

    with app.test() as driver:
        for partition in (0, 0, 3):
            driver.send(words, key=f"p{partition}", value="x", partition=partition)
        assert sorted(event.value for event in driver.read(sizes)) == [1, 1, 2]
        assert dict(driver.table(counts)) == {"p0": 2, "p3": 1}
        assert driver.table("counts")["nowhere"] == 0
        assert len(driver.table("counts")) == 2


def test_a_table_is_found_in_a_helper_that_the_agent_calls(app: ottla.App) -> None:
    words = app.topic("words", key=str, value=str)
    counts = app.Table("counts", key=str, default=int)

    def bump(word: str) -> None:
        counts[word] += 1

    class Counter:
        def __init__(self) -> None:
            self.add = bump

    counter = Counter()

    @app.agent(words)
    async def count(stream: Stream[str]) -> None:
        async for word in stream:
            counter.add(word)

    with app.test() as driver:
        driver.send(words, key="k", value="a")
        assert driver.table(counts)["a"] == 1


def test_a_table_that_cannot_be_seen_is_named_with_uses(app: ottla.App) -> None:
    words = app.topic("words", key=str, value=str)
    hidden = {"table": app.Table("counts", key=str, default=int)}

    def count() -> Any:
        async def agent(stream: Stream[str]) -> None:
            async for word in stream:
                hidden["table"][word] += 1

        return agent

    app.agent(words, name="first")(count())
    with pytest.raises(ottla.TopologyError, match=r"table 'counts' is used by no agent .* uses=\[counts\]"):
        app.topology  # noqa: B018

    other = app.topic("other", key=str, value=str)
    app.agent(other, name="second", uses=[hidden["table"]])(count())
    with app.test() as driver:
        driver.send(other, key="k", value="a")
        assert driver.table("counts")["a"] == 1
        driver.send(words, key="k", value="a")
        [letter] = driver.dead_letters()
        assert b"holds no part of table 'counts'" in (dict(letter.headers)["ottla.error.reason"] or b"")


def test_a_table_outside_a_task_is_refused(app: ottla.App) -> None:
    table = app.Table("counts", default=int)
    for use in (lambda: table["a"], lambda: table.get("a"), lambda: "a" in table, lambda: table.__setitem__("a", 1)):
        with pytest.raises(ottla.NotInTask, match="can be used only in an agent"):
            use()


def test_a_table_read_from_a_topic_cannot_be_written(app: ottla.App) -> None:
    words = app.topic("words", key=str, value=str)
    known = app.Table("known", source=app.topic("known", key=str, value=str))

    @app.agent(words)
    async def write(stream: Stream[str]) -> None:
        async for word in stream:
            known[word] = word

    with app.test() as driver:
        driver.send(words, key="k", value="a")
        [letter] = driver.dead_letters()
    assert b"is read from topic 'known': send to the topic instead" in (
        dict(letter.headers)["ottla.error.reason"] or b""
    )


@pytest.mark.parametrize("lose_state", [False, True])
def test_changes_that_were_not_committed_are_gone_after_a_crash(lose_state: bool, app: ottla.App) -> None:
    words = app.topic("words", key=str, value=str)
    counts = app.Table("counts", key=str, default=int)

    @app.agent(words)
    async def count(stream: Stream[str]) -> None:
        async for word in stream:
            if word == "forget":
                del counts["a"]
            else:
                counts[word] += 1

    with app.test() as driver:
        for word in ("a", "b", "b"):
            driver.send(words, key="k", value=word)
        driver.run()
        for word in ("b", "forget"):
            driver.send(words, key="k", value=word)
        # The crash comes after these were processed; they are processed again, once.
        driver.crash_and_restart(lose_state=lose_state)
        assert dict(driver.table(counts)) == {"b": 3}


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from(["add", "delete", "fail", "look", "crash", "lose"])),
        max_size=30,
    )
)
def test_a_table_is_a_dict_whatever_fails_or_crashes(steps: list[tuple[str, str]]) -> None:
    app = ottla.App("shop")
    commands = app.topic("commands", key=str, value=str)
    table = app.Table("table", key=str, default=int)

    @app.agent(commands)
    async def work(stream: Stream[str]) -> None:
        async for key, command in stream.items():
            if command == "delete":
                table.pop(key, None)
            else:
                table[key] += 1
            if command == "fail":
                table["extra"] = 1
                table.pop("a", None)
                raise ValueError

    model: dict[str, int] = {}
    with app.test() as driver:
        for key, step in steps:
            if step == "look":
                assert dict(driver.table(table)) == model
            elif step in ("crash", "lose"):
                driver.crash_and_restart(lose_state=step == "lose")
            else:
                driver.send(commands, key=key, value=step)
                if step == "add":
                    model[key] = model.get(key, 0) + 1
                elif step == "delete":
                    model.pop(key, None)
        assert dict(driver.table(table)) == model


def test_a_value_that_cannot_be_stored_is_an_error_of_the_event_that_wrote_it() -> None:
    def body(stock: ottla.Table[str, object], command: str) -> str:
        stock[command] = object() if command == "odd" else command
        return command

    with app_running(body).test() as driver:
        for command in ("a", "odd", "b"):
            driver.send("commands", key="k", value=command)
        assert sorted(driver.table("stock")) == ["a", "b"]
        [letter] = driver.dead_letters()
        headers = dict(letter.headers)
    assert letter.value == b"odd"
    assert headers["ottla.error.kind"] == b"production"
    assert b"EncodeError: 'stock' holds a value that cannot be stored: " in (headers["ottla.error.reason"] or b"")


def texts_app(make_app: Callable[..., ottla.App], **options: Any) -> ottla.App:
    """Appends to a text under each key, and writes how long it is. No record may have more than 100 bytes."""
    app = make_app(broker_options={"message.max.bytes": 100}, **options)
    texts = app.Table("texts", key=str, value=str, default=str)

    @app.agent(app.topic("sizes", key=str, value=int, partitions=1), sink=[app.topic("lengths", key=str, value=int)])
    async def append(stream: ottla.Stream[int]) -> AsyncIterator[int]:
        async for key, size in stream.items():
            texts[key] += "x" * size
            yield len(texts[key])

    return app


def test_an_event_that_makes_a_value_too_large_is_a_dead_letter_and_the_value_is_as_before(
    make_app: Callable[..., ottla.App],
) -> None:
    with texts_app(make_app).test() as driver:
        # Given keys that grow, one of them beyond what a record can be, twice among a hundred events
        for number in range(100):
            driver.send("sizes", key="abcdefghij"[number % 10], value=5)
            if number in (33, 66):
                driver.send("sizes", key="a", value=90)
        # Then all others count, and the two are dead letters
        assert {key: len(value) for key, value in driver.table("texts").items()} == dict.fromkeys("abcdefghij", 50)
        assert len(driver.read("lengths")) == 100
        letters = driver.dead_letters()
    assert [(letter.key, letter.value) for letter in letters] == [(b"a", b"90"), (b"a", b"90")]
    headers = dict(letters[0].headers)
    assert (headers["ottla.error.kind"], headers["ottla.error.step"]) == (b"production", b"append")
    assert headers["ottla.error.type"] == b"RecordTooLarge"
    reason = (headers["ottla.error.reason"] or b"").decode()
    assert "'texts' holds a value that cannot be stored: under 'a' it has 1" in reason
    assert "max.message.bytes of the topic 'shop-texts-changelog', or keep less under one key" in reason


def test_what_becomes_of_an_event_that_makes_a_value_too_large_is_asked(make_app: Callable[..., ottla.App]) -> None:
    told: list[ottla.Failure] = []

    def decide(failure: ottla.Failure) -> ottla.Decision:
        told.append(failure)
        return "skip"

    with texts_app(make_app, on_production_error=decide).test() as driver:
        for size in (60, 60, 30):
            driver.send("sizes", key="a", value=size)
        assert len(driver.table("texts")["a"]) == 90
        assert driver.dead_letters() == []
    assert [(each.kind, each.step, each.event.key, each.raw_value) for each in told] == [
        ("production", "append", "a", b"60")
    ]

    with texts_app(make_app, on_production_error="fail").test() as driver:
        driver.send("sizes", key="a", value=60)
        driver.run()
        driver.send("sizes", key="a", value=60)
        with pytest.raises(ottla.ProcessingFailed, match=r"append failed on the event at sizes\[0\] offset 1: Record"):
            driver.run()


def test_an_aggregate_that_becomes_too_large_stays_as_it_was(make_app: Callable[..., ottla.App]) -> None:
    app = make_app(broker_options={"message.max.bytes": 100})
    words = app.stream(app.topic("words", key=str, value=str, partitions=1))
    words.aggregate("all", words=ottla.collect()).to_stream().to(app.topic("changes", key=str, partitions=1))
    with app.test() as driver:
        for word in ("tea", "x" * 95, "milk"):
            driver.send("words", key="k", value=word)
        assert driver.table("all")["k"].words == ["tea", "milk"]
        assert len(driver.read("changes")) == 2
        assert [letter.value for letter in driver.dead_letters()] == [b"x" * 95]


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [(str, "k", 1), (bytes, b"k", "k"), (int, 1, "k"), (tuple[str, int], ("k", 1), ("k", "k"))],
)
def test_a_key_of_another_type_fails_its_event_and_names_the_table(
    app: ottla.App, type_: Any, good: Any, bad: Any
) -> None:
    table: Any = app.Table("counts", key=type_, value=int, default=int)

    @app.agent(app.topic("in", key=str, value=int))
    async def count(stream: ottla.Stream[int]) -> None:
        async for number in stream:
            if number == 1:
                table[bad] += 1
            elif number == 2:
                table[bad] = 1
            else:
                table[good] = 1

    with app.test() as driver:
        for number in (1, 2, 3):
            driver.send("in", key="k", value=number)
        assert dict(driver.table("counts")) == {good: 1}
        reasons = [(dict(letter.headers)["ottla.error.reason"] or b"").decode() for letter in driver.dead_letters()]
    assert [reason.partition("'counts'")[0] for reason in reasons] == [f"EncodeError: {bad!r} cannot be a key of "] * 2


@pytest.mark.parametrize(("type_", "good", "bad"), [(int, 5, "5"), (str, "5", 5), (float, 5, "5"), (bytes, b"5", "5")])
def test_a_value_of_another_type_fails_its_event_and_not_those_that_read_it(
    app: ottla.App, type_: Any, good: Any, bad: Any
) -> None:
    table: Any = app.Table("last", key=str, value=type_)

    @app.agent(app.topic("in", key=str, value=int))
    async def keep(stream: ottla.Stream[int]) -> None:
        async for number in stream:
            table["k"] = bad if number == 2 else good

    with app.test() as driver:
        for number in (1, 2, 3):
            driver.send("in", key="k", value=number)
        assert driver.table("last")["k"] == good
        [letter] = driver.dead_letters()
    reason = (dict(letter.headers)["ottla.error.reason"] or b"").decode()
    assert f"{bad!r} cannot be a value of table 'last', whose values are " in reason


def test_state_that_cannot_be_read_names_the_table_and_the_key(app: ottla.App) -> None:
    numbers = serdes.json(list[int])
    table: Any = app.Table("last", key=str, value=ottla.Codec("numbers", serdes.JSON.encode, numbers.decode))

    @app.agent(app.topic("in", key=str, value=str))
    async def keep(stream: ottla.Stream[str]) -> None:
        async for text in stream:
            if text == "read":
                table["k"]
            else:
                table["k"] = [text]

    with app.test() as driver:
        driver.send("in", key="k", value="a")
        driver.run()
        driver.crash_and_restart()
        driver.send("in", key="k", value="read")
        [letter] = driver.dead_letters()
    reason = (dict(letter.headers)["ottla.error.reason"] or b"").decode()
    assert reason == "DecodeError: 'last' has under 'k' what cannot be read: Expected `int`, got `str` - at `$[0]`"
