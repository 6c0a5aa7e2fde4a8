"""What becomes of events that fail: by kind of failure, for the app, an agent, a step, or as a function decides."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import ottla
from ottla import Failure, Stream
from ottla.deadletters import ErrorPolicy, StepPolicy


def reasons(driver: Any) -> list[tuple[str, str]]:
    """Kind and step of the new dead letters."""
    headers = [dict(letter.headers) for letter in driver.dead_letters()]
    return [(each["ottla.error.kind"].decode(), each["ottla.error.step"].decode()) for each in headers]


def failing_app(make_app: Callable[..., ottla.App], **options: Any) -> ottla.App:
    """Three events fail in it, one of each kind; "4" does not."""
    app = make_app(**options)
    numbers = app.topic("numbers", value=int)

    def halve(number: int) -> object:
        if number % 2:
            raise ValueError("odd")
        return "text" if number == 2 else number // 2

    app.stream(numbers).map(halve).to(app.topic("halves", value=ottla.serdes.LONG))
    return app


def run(app: ottla.App) -> tuple[list[Any], list[tuple[str, str]], int]:
    with app.test() as driver:
        for value in (b"oops", b"1", b"2", b"4"):
            driver.send_raw("numbers", b"k", value)
        return [event.value for event in driver.read("halves")], reasons(driver), driver.counts.skipped


def test_each_kind_of_failure_is_told_apart(make_app: Callable[..., ottla.App]) -> None:
    assert run(failing_app(make_app)) == (
        [2],
        [
            ("deserialization", "topic.numbers"),
            ("processing", "topic.numbers.map"),
            ("production", "topic.numbers.map.to.halves"),
        ],
        0,
    )


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({"on_error": "skip"}, []),
        ({"on_deserialization_error": "skip"}, ["processing", "production"]),
        ({"on_production_error": "skip"}, ["deserialization", "processing"]),
        ({"on_error": "skip", "on_production_error": "dead_letter"}, ["production"]),
        (
            {"on_error": lambda failure: "skip" if failure.kind == "processing" else "dead_letter"},
            ["deserialization", "production"],
        ),
    ],
)
def test_an_app_says_what_becomes_of_each_kind(
    make_app: Callable[..., ottla.App], options: dict[str, Any], kinds: list[str]
) -> None:
    results, letters, skipped = run(failing_app(make_app, **options))
    assert (results, [kind for kind, _ in letters], skipped) == ([2], kinds, 3 - len(kinds))


@pytest.mark.parametrize(
    ("options", "failed"),
    [
        (
            {"on_deserialization_error": "fail"},
            "topic.numbers failed on .* offset 0: DecodeError",
        ),
        (
            {"on_error": "fail", "on_deserialization_error": "skip"},
            "numbers.map failed .* offset 1: ValueError: odd",
        ),
        ({"on_production_error": "fail"}, "topic.numbers.map.to.halves failed on .* offset 2: EncodeError"),
    ],
)
def test_a_worker_may_fail_over_one_kind(
    make_app: Callable[..., ottla.App], options: dict[str, Any], failed: str
) -> None:
    with pytest.raises(ottla.ProcessingFailed, match=failed):
        run(failing_app(make_app, **options))


def test_a_step_may_do_otherwise_than_its_app(app: ottla.App) -> None:
    numbers = app.stream(app.topic("numbers", value=int)).on_error("skip")
    inverse = numbers.map(lambda number: 1 / number, type=float).on_error("skip")
    inverse.map(lambda number: {0.5: "half"}[number], type=str).to(app.topic("words", value=str))
    inverse.to(app.topic("longs", value=ottla.serdes.LONG), on_error="skip")
    with app.test() as driver:
        for value in (b"oops", b"0", b"1", b"2"):
            driver.send_raw("numbers", None, value)
        assert [event.value for event in driver.read("words")] == ["half"]
        assert reasons(driver) == [("processing", "topic.numbers.map.map")]
        assert driver.counts.skipped == 4


def test_an_agent_may_do_otherwise_than_its_app(make_app: Callable[..., ottla.App]) -> None:
    app = make_app(on_error="fail", retries=7)
    attempts: list[int] = []

    @app.agent(app.topic("numbers", value=int), on_error="skip", retries=2, retry_backoff=10)
    async def work(stream: Stream[int]) -> None:
        async for number in stream:
            attempts.append(number)
            raise ValueError("bad luck")

    with app.test() as driver:
        driver.send("numbers", value=1)
        driver.run()
        assert attempts == [1, 1, 1]
        assert (driver.now_ms, driver.counts.skipped) == (30_000, 1)


def test_a_function_is_told_what_failed(make_app: Callable[..., ottla.App]) -> None:
    told: list[Failure] = []

    def decide(failure: Failure) -> ottla.Decision:
        told.append(failure)
        return "skip"

    app = make_app(on_error=decide)

    @app.agent(app.topic("numbers", value=int), retries=1)
    async def work(stream: Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            yield 1 // number

    with app.test() as driver:
        driver.send_raw("numbers", b"k", b"0", timestamp=5, headers=[("h", b"1")])
        driver.send_raw("numbers", b"k", b"oops")
        driver.run()
    deserialization, processing = sorted(told, key=lambda failure: failure.kind)
    assert (processing.kind, processing.step, type(processing.error)) == ("processing", "work", ZeroDivisionError)
    assert processing.event == ottla.Event("k", 0, 5, [("h", b"1")], "numbers", 0, 0)
    assert (deserialization.kind, deserialization.raw_key, deserialization.raw_value) == (
        "deserialization",
        b"k",
        b"oops",
    )
    assert deserialization.event.value is None


@pytest.mark.parametrize(
    ("decide", "message"),
    [
        (lambda _: "retry", "returned 'retry', where"),
        (
            lambda failure: failure.nothing,
            "handler of failed events raised AttributeError .* over what topic.numbers",
        ),
    ],
)
def test_a_function_that_does_not_decide_fails_the_worker(
    make_app: Callable[..., ottla.App], decide: Any, message: str
) -> None:
    with pytest.raises(ottla.ProcessingFailed, match=message):
        run(failing_app(make_app, on_error=decide))


def test_what_is_larger_than_a_record_may_be_is_not_sent(make_app: Callable[..., ottla.App]) -> None:
    # Given an app whose producer takes 100 bytes
    app = make_app(broker_options={"message.max.bytes": 100})
    sizes, out = app.topic("sizes", value=int), app.topic("out", key=str, value=str)
    app.stream(sizes).map(lambda size: "x" * size).to(out)

    @app.agent(sizes)
    async def send(stream: Stream[int]) -> None:
        async for size in stream:
            await out.send(key="agent", value="y" * size)

    # When it makes values of 98, 99 and 200 bytes under a key of 1, and sends them under one of 5
    with app.test() as driver:
        for size in (99, 95, 100):
            driver.send(sizes, key="k", value=size, timestamp=size)
        sent = [(event.key, len(event.value)) for event in driver.read(out)]
        letters = driver.dead_letters()
    # Then the events of which too much was made are dead letters, each under the step that made it
    assert sorted(sent) == [("agent", 95), ("k", 95), ("k", 99)]
    assert sorted((each.value, dict(each.headers)["ottla.error.step"]) for each in letters) == [
        (b"100", b"send"),
        (b"100", b"topic.sizes.map.to.out"),
        (b"99", b"send"),
    ]
    reason = dict(letters[0].headers)["ottla.error.reason"] or b""
    assert b"a record of 10" in reason
    assert b"is larger than 100, which is message.max.bytes" in reason


def test_the_backoff_doubles_up_to_a_minute() -> None:
    policy = ErrorPolicy().at(StepPolicy(retries=20, retry_backoff=2))
    assert [policy.backoff_before(retry) for retry in (1, 2, 3, 6, 1000)] == [2, 4, 8, 60, 60]


@pytest.mark.parametrize(
    "declare",
    [
        lambda app: app.stream(app.topic("n")).on_error("ignore"),
        lambda app: app.agent(app.topic("n"), retries=-1)(lambda _: None),
        lambda _: ottla.App("shop", on_production_error="retry"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(app: ottla.App, declare: Callable[[ottla.App], object]) -> None:
    with pytest.raises(ottla.ConfigError, match=r'"dead_letter", "skip" or "fail"|must not be negative'):
        declare(app)


def test_what_is_too_large_for_a_letter_stays_where_it_came_from(make_app: Callable[..., ottla.App]) -> None:
    app = make_app(broker_options={"message.max.bytes": 100})
    app.stream(app.topic("numbers", value=int))
    with app.test() as driver:
        driver.send_raw("numbers", b"k", b"x" * 99, timestamp=5)
        driver.send_raw("numbers", b"k", b"x" * 100, timestamp=6)
        letters = driver.dead_letters()
    assert [(each.key, len(each.value or b""), each.timestamp) for each in letters] == [(b"k", 99, 5), (b"k", 0, 6)]
    headers = dict(letters[1].headers)
    assert (headers["ottla.letter.left_out"], headers["ottla.origin.offset"]) == (b"100", b"1")
