"""Settings: Kafka's names and defaults, and what is said about those that do not fit."""

from pathlib import Path

import pytest

from ottla_broker.config import BrokerConfig, known_names, known_settings
from ottla_broker.config_file import load_config
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
        ({"log.dirs": "/a,/b"}, "log.dirs is /a,/b; this version keeps all data in one directory"),
        (
            {"max.connections.per.ip.overrides": "10.0.0.1"},
            "Invalid value '10.0.0.1' for max.connections.per.ip.overrides: expected ADDRESS:NUMBER",
        ),
        (
            {"group.coordinator.rebalance.protocols": "consumer"},
            "group.coordinator.rebalance.protocols lacks classic, which cannot be turned off",
        ),
        (
            {"group.coordinator.rebalance.protocols": "classic,streams"},
            "Invalid value 'streams' for group.coordinator.rebalance.protocols: must be one of classic, consumer",
        ),
        (
            {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000"},
            "transaction.abort.timed.out.transaction.cleanup.interval.ms is a setting of Apache Kafka's that means "
            "nothing here: a transaction is aborted as soon as its time is over; leave it out",
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
    config = load_config(file, ["num.partitions=4"])
    assert config.num_partitions == 4
    assert config.log_defaults.max_message_bytes == 5000
    assert config.log_defaults.compact


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ottla.toml"
    file.write_text("num.partitions: 3")
    with pytest.raises(InvalidSetting, match=r"is not valid TOML"):
        load_config(file, [])


def test_an_assignment_needs_a_value() -> None:
    with pytest.raises(InvalidSetting, match="key=value"):
        load_config(None, ["num.partitions"])


def test_one_setting_may_stand_for_another() -> None:
    assert BrokerConfig.of({"log.dir": "/a"}).log_dirs == "/a"
    assert BrokerConfig.of({"log.dir": "/a", "log.dirs": "/b"}).log_dirs == "/b"


def test_every_setting_has_documentation_and_a_text_that_reads_back() -> None:
    config = BrokerConfig.of({})
    for name, setting in known_settings().items():
        assert setting.doc.endswith("."), name
        text = setting.text(config)
        if text is not None:
            assert BrokerConfig.of({name: text}).given == {name: text}
            assert setting.text(BrokerConfig.of({name: text})) == text
    assert set(known_settings()) < set(known_names())


def test_dynamic_settings_lie_over_those_that_were_given_until_they_are_taken_away() -> None:
    config = BrokerConfig.of({"message.max.bytes": "1000", "num.partitions": "3"})
    everyone, own = {"message.max.bytes": "2000", "log.retention.ms": "1"}, {"message.max.bytes": "3000"}
    overlaid = config.overlaid(everyone, own)
    assert (overlaid.log_defaults.max_message_bytes, overlaid.log_defaults.retention_ms) == (3000, 1)
    assert overlaid.num_partitions == 3
    assert overlaid.given == config.given
    assert overlaid.overlaid(everyone, {}).log_defaults.max_message_bytes == 2000
    assert overlaid.overlaid({}, {}) == config


def test_an_address_may_be_allowed_another_number_of_connections() -> None:
    config = BrokerConfig.of(
        {"max.connections.per.ip": "5", "max.connections.per.ip.overrides": "10.0.0.1:7, ::1:8, 10.0.0.2:0"}
    )
    assert [config.max_connections_of(host) for host in ("10.0.0.1", "::1", "10.0.0.2", "10.0.0.3")] == [7, 8, 0, 5]
