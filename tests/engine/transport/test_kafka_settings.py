"""What a broker URL may be, and which of our settings a user's options override."""

import pytest

import ottla
from ottla.errors import ConfigError
from ottla.transport.kafka_settings import KafkaSettings, bootstrap_servers, checked_options


@pytest.mark.parametrize(
    ("url", "servers"),
    [("kafka://h:1", "h:1"), ("kafka://a:1,b:2/", "a:1,b:2"), ("kafka://[::1]:9092", "[::1]:9092")],
)
def test_a_broker_url_names_servers(url: str, servers: str) -> None:
    assert bootstrap_servers(url) == servers


@pytest.mark.parametrize(
    "url",
    ["", "h:1", "kafka://", "kafka://h", "kafka://h:", "kafka://h:x", "kafka://h:0", "kafka://a:1,", "http://h:1"],
)
def test_anything_else_is_refused_with_what_was_given(url: str) -> None:
    with pytest.raises(ConfigError, match="broker="):
        bootstrap_servers(url)


def test_the_producer_is_transactional_only_when_exactly_once() -> None:
    settings = KafkaSettings("h:1", "app", "w0", exactly_once=True, transaction_timeout_ms=5_000)
    assert settings.producer()["transactional.id"] == "app-w0"
    assert settings.producer()["transaction.timeout.ms"] == 5_000
    at_least_once = KafkaSettings("h:1", "app", "w0", exactly_once=False).producer()
    assert "transactional.id" not in at_least_once
    assert at_least_once["enable.idempotence"] is True


def test_a_users_options_win_for_every_client() -> None:
    settings = KafkaSettings("h:1", "app", "w0", options={"security.protocol": "SSL", "fetch.queue.backoff.ms": 9})
    clients = settings.admin(), settings.consumer(), settings.reader(), settings.producer()
    assert {client["security.protocol"] for client in clients} == {"SSL"}
    assert settings.consumer()["fetch.queue.backoff.ms"] == 9


def test_an_apps_broker_options_are_librdkafkas() -> None:
    options = {
        "security.protocol": "SASL_SSL",
        "sasl.username": "ann",
        "linger.ms": 20,
        "enable.ssl.certificate.verification": True,
    }
    assert ottla.App("app", broker_options=options).config.broker_options == options


@pytest.mark.parametrize("name", ["group.id", "transactional.id", "isolation.level", "acks", "bootstrap.servers"])
def test_what_guarantees_depend_on_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' is set by Ottla"):
        ottla.App("app", broker_options={name: "x"})


def test_every_setting_that_guarantees_depend_on_is_ours() -> None:
    settings = KafkaSettings("h:1", "app", "w0")
    for ours in ("group.instance.id", "enable.auto.commit", "partition.assignment.strategy"):
        assert ours in settings.consumer()
        with pytest.raises(ConfigError):
            checked_options({ours: "x"})


def test_an_option_that_is_no_setting_is_refused_with_its_type() -> None:
    with pytest.raises(ConfigError, match=r"'ssl.ca.location' is .*list"):
        ottla.App("app", broker_options={"ssl.ca.location": ["a"]})  # type: ignore[dict-item]
