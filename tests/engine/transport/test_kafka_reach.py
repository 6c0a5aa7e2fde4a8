"""What is said of a cluster that does not answer."""

import logging

import pytest
from confluent_kafka import KafkaError

from ottla.transport.kafka_reach import ClientErrors

REFUSED = KafkaError(KafkaError._TRANSPORT, "Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms)")
CLOSED = KafkaError(KafkaError._TRANSPORT, "Disconnected: connection closed by peer (after 600000ms in state UP)")
AWAY = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")


@pytest.mark.parametrize(
    "errors",
    [(REFUSED, AWAY), (REFUSED, AWAY, REFUSED, AWAY), (CLOSED, AWAY, REFUSED)],
    ids=["one client", "two clients", "closed and then refused"],
)
def test_that_no_broker_answers_any_more_is_said_once(
    caplog: pytest.LogCaptureFixture, errors: tuple[KafkaError, ...]
) -> None:
    told = ClientErrors("127.0.0.1:1", tells=True)
    with caplog.at_level(logging.WARNING, "ottla.kafka"):
        for error in errors:
            told.told(error)
    assert caplog.messages == ["no Kafka broker answers at 127.0.0.1:1 (Connection refused); waiting until one does"]


@pytest.mark.parametrize(
    "errors", [(CLOSED, AWAY), (REFUSED, CLOSED)], ids=["closed for being idle", "one broker of several"]
)
def test_a_connection_that_is_closed_is_no_news(
    caplog: pytest.LogCaptureFixture, errors: tuple[KafkaError, ...]
) -> None:
    told = ClientErrors("127.0.0.1:1", tells=True)
    with caplog.at_level(logging.WARNING, "ottla.kafka"):
        for error in errors:
            told.told(error)
    assert caplog.messages == []
