"""The order of responses and the limits of a connection."""

from hypothesis import given
from hypothesis import strategies as st

from ottla_broker.connection import (
    MAX_HELD_BYTES,
    MAX_REQUEST_BYTES_UNDER_WAY,
    MAX_REQUESTS_UNDER_WAY,
    Connection,
    Stage,
)


def open_connection() -> Connection:
    return Connection("10.0.0.1", 5000, now_ms=0)


def test_a_response_leaves_at_once_when_no_earlier_request_is_open() -> None:
    connection = open_connection()
    assert connection.finish(connection.begin(0), [b"one"]) == [b"one"]
    assert connection.requests_under_way == 0


def test_a_response_waits_for_those_of_earlier_requests() -> None:
    connection = open_connection()
    first, second, third = (connection.begin(0) for _ in range(3))
    assert connection.finish(third, [b"three"]) == []
    assert connection.finish(first, [b"one"]) == [b"one"]
    assert connection.finish(second, [b"two"]) == [b"two", b"three"]


def test_a_request_without_a_response_does_not_hold_back_the_next() -> None:
    connection = open_connection()
    first, second = connection.begin(0), connection.begin(0)
    assert connection.finish(second, [b"two"]) == []
    assert connection.finish(first, []) == [b"two"]


@given(st.permutations(range(8)))
def test_responses_leave_in_the_order_of_requests_whatever_order_they_become_ready_in(order: list[int]) -> None:
    connection = open_connection()
    exchanges = [connection.begin(0) for _ in order]
    left = [part for number in order for part in connection.finish(exchanges[number], [bytes([number])])]
    assert left == [bytes([number]) for number in range(8)]


def test_requests_under_way_are_bounded() -> None:
    connection = open_connection()
    exchanges = []
    while connection.takes_requests:
        exchanges.append(connection.begin(0))
    assert len(exchanges) == MAX_REQUESTS_UNDER_WAY
    connection.finish(exchanges[0], [])
    assert connection.takes_requests


def test_requests_that_wait_are_bounded_in_bytes() -> None:
    connection = open_connection()
    size = MAX_REQUEST_BYTES_UNDER_WAY // 2
    first, second = connection.begin(0, size), connection.begin(0, size)
    assert not connection.takes_requests
    connection.finish(second, [])
    assert not connection.takes_requests, "the second one still waits for the first"
    connection.finish(first, [])
    connection.begin(0, 10 * size)  # one alone may be as large as a request can be
    assert not connection.takes_requests


def test_no_request_is_started_while_the_peer_does_not_take_its_responses() -> None:
    connection = open_connection()
    connection.output_full = True
    assert not connection.takes_requests


def test_responses_that_wait_for_an_earlier_one_are_bounded_in_bytes() -> None:
    connection = open_connection()
    slow = connection.begin(0)
    connection.finish(connection.begin(0), [bytes(MAX_HELD_BYTES // 2)])
    assert connection.takes_requests
    connection.finish(connection.begin(0), [bytes(MAX_HELD_BYTES // 2)])
    assert not connection.takes_requests
    assert len(connection.finish(slow, [b"slow"])) == 3
    assert connection.takes_requests


def test_a_response_that_closes_the_connection_is_the_last_to_leave() -> None:
    connection = open_connection()
    first, second = connection.begin(0), connection.begin(0)
    connection.finish(second, [b"two"])
    assert connection.finish(first, [b"one"], closes=True) == [b"one"]
    assert connection.stage is Stage.CLOSING
    assert not connection.takes_requests


def test_a_connection_is_idle_when_nothing_is_under_way_for_long_enough() -> None:
    connection = open_connection()
    exchange = connection.begin(100)
    assert not connection.is_idle(1_000_000, 500)
    connection.finish(exchange, [])
    assert not connection.is_idle(600, 500)
    assert connection.is_idle(601, 500)


def test_07_a_throttled_connection_answers_at_once_and_starts_nothing_until_its_time_is_over() -> None:
    connection = Connection("h", 1, now_ms=0)
    exchange = connection.begin(0)
    connection.throttle(250)
    assert connection.finish(exchange, [b"answer"]) == [b"answer"]
    assert not connection.takes_requests
    assert not connection.is_idle(now_ms=10**9, max_idle_ms=1)
    connection.unmute()
    assert connection.takes_requests


def test_07_the_longest_of_several_throttles_counts_and_is_taken_once() -> None:
    connection = Connection("h", 1, now_ms=0)
    for for_ms in (100, 300, 200, 0):
        connection.throttle(for_ms)
    assert [connection.take_throttle_ms() for _ in range(2)] == [300, 0]
    assert connection.muted


def test_07_no_throttle_mutes_nobody() -> None:
    connection = Connection("h", 1, now_ms=0)
    connection.throttle(0)
    assert connection.takes_requests
