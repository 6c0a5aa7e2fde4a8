"""Settings: Kafka's names and defaults, and what is said about those that do not fit."""

from pathlib import Path

import pytest

from ottla_broker.config import Address, BrokerConfig, known_names
from ottla_broker.errors import InvalidSetting


def test_settings_left_alone_have_kafkas_defaults() -> None:
    config = BrokerConfig.of({})
    assert config.socket_request_max_bytes == 104_857_600
    assert config.num_partitions == 1
    assert config.offsets_topic_num_partitions == 50
    assert config.log_defaults.max_message_bytes == 1_048_588
    assert config.given == {}


def test_a_setting_is_given_by_kafkas_name() -> None:
    config = BrokerConfig.of({"num.partitions": "3", "auto.create.topics.enable": "FALSE", "broker.rack": "b"})
    assert (config.num_partitions, config.auto_create_topics_enable, config.broker_rack) == (3, False, "b")


def test_defaults_of_topics_are_broker_settings() -> None:
    config = BrokerConfig.of({"message.max.bytes": "2000", "log.cleanup.policy": "compact,delete"})
    assert config.log_defaults.max_message_bytes == 2000
    assert config.log_defaults.cleanup_policy == {"compact", "delete"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"log.retention.hours": "2"}, 7_200_000),
        ({"log.retention.hours": "2", "log.retention.minutes": "3"}, 180_000),
        ({"log.retention.hours": "2", "log.retention.ms": "4"}, 4),
        ({"log.retention.hours": "-1"}, -1),
    ],
)
def test_the_finest_unit_of_a_time_wins(settings: dict[str, str], expected: int) -> None:
    assert BrokerConfig.of(settings).log_defaults.retention_ms == expected


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"num.partition": "3"}, "Unknown setting num.partition: did you mean num.partitions?"),
        ({"xyzzy": "3"}, "Unknown setting xyzzy"),
        ({"num.partitions": "many"}, "Invalid value 'many' for num.partitions: expected a whole number"),
        ({"num.partitions": "0"}, "Invalid value 0 for num.partitions: must be at least 1"),
        ({"node.id": "4294967296"}, "Invalid value 4294967296 for node.id: must be at most 2147483647"),
        (
            {"auto.create.topics.enable": "yes"},
            "Invalid value 'yes' for auto.create.topics.enable: expected true or false",
        ),
        ({"listeners": "nowhere"}, "Invalid value 'nowhere' for listeners: expected HOST:PORT, such as 127.0.0.1:9092"),
        (
            {"listeners": "SSL://h:1"},
            "Invalid value 'SSL://h:1' for listeners: this version serves PLAINTEXT listeners only",
        ),
        ({"listeners": "h:65536"}, "Invalid value 'h:65536' for listeners: expected HOST:PORT, such as 127.0.0.1:9092"),
        (
            {"listeners": "0.0.0.0:9092"},
            "listeners is 0.0.0.0:9092, all interfaces, so advertised.listeners must say where clients connect",
        ),
        (
            {"advertised.listeners": "0.0.0.0:9092"},
            "advertised.listeners is 0.0.0.0:9092, to which no client can connect; give this host's address",
        ),
    ],
)
def test_a_setting_that_does_not_fit_is_refused_in_one_sentence(settings: dict[str, str], complaint: str) -> None:
    with pytest.raises(InvalidSetting) as error:
        BrokerConfig.of(settings)
    assert str(error.value) == complaint


def test_a_topic_default_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidSetting, match=r"segment\.bytes"):
        BrokerConfig.of({"log.segment.bytes": "1"})


def test_a_file_may_be_written_with_or_without_quotes_and_is_overridden(tmp_path: Path) -> None:
    file = tmp_path / "ottla.toml"
    file.write_text('num.partitions = 3\n"message.max.bytes" = 5000\nlog.cleanup.policy = ["compact", "delete"]\n')
    config = BrokerConfig.load(file, ["num.partitions=4"])
    assert config.num_partitions == 4
    assert config.log_defaults.max_message_bytes == 5000
    assert config.log_defaults.compact


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ottla.toml"
    file.write_text("num.partitions: 3")
    with pytest.raises(InvalidSetting, match=r"is not valid TOML"):
        BrokerConfig.load(file, [])


def test_an_assignment_needs_a_value() -> None:
    with pytest.raises(InvalidSetting, match="key=value"):
        BrokerConfig.load(None, ["num.partitions"])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9092", Address("127.0.0.1", 9092)),
        ("PLAINTEXT://localhost:0", Address("localhost", 0)),
        ("[::1]:9092", Address("::1", 9092)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert Address.parse("listeners", text) == address


def test_every_setting_can_be_shown_and_has_documentation() -> None:
    shown = {name: documentation for name, _, _, documentation in BrokerConfig.of({}).shown()}
    assert all(shown.values())
    assert set(shown) <= set(known_names())
