"""The reference of settings, and how far they are Kafka's own."""

import json
from pathlib import Path
from typing import Any

import pytest

from ottla_broker import inapplicable
from ottla_broker.config import BrokerConfig, known_names, known_settings
from ottla_broker.errors import InvalidSetting
from ottla_broker.log.config import OPTIONS, LogConfig
from ottla_broker.settings_page import page

ROOT = Path(__file__).resolve().parents[2]
# What Apache Kafka 4.3 says of the settings that we share (DescribeConfigs).
KAFKA = json.loads((Path(__file__).parent / "kafka_settings.json").read_text())

OUR_OWN = {"admin.listen", "producer.id.expiration.check.interval.ms"}  # Kafka has the second one too, but hides it
OTHER_DEFAULTS = {
    "node.id",
    "log.dirs",
    "listeners",
    "listener.security.protocol.map",
    "socket.listen.backlog.size",
    "socket.receive.buffer.bytes",
    "group.initial.rebalance.delay.ms",
    "group.coordinator.rebalance.protocols",
    "log.flush.scheduler.interval.ms",
    # Kafka leaves these open for the settings in hours and minutes; they come to the same.
    "log.flush.interval.ms",
    "log.retention.ms",
    "log.roll.ms",
    "log.roll.jitter.ms",
}
FIXED_HERE = {"listeners", "listener.security.protocol.map", "group.consumer.assignment.interval.ms"}


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs/broker-settings.md").read_text() == page(), (
        "python -m ottla_broker.settings_page > docs/broker-settings.md"
    )


def test_settings_have_kafkas_names() -> None:
    assert set(known_settings()) - set(KAFKA["broker"]) == OUR_OWN
    assert set(OPTIONS) == set(KAFKA["topic"])


@pytest.mark.parametrize("name", KAFKA["inapplicable"])
def test_what_kafka_has_and_we_have_not_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} is a setting of Apache Kafka's that means nothing here: "):
        BrokerConfig.of({name: "1"})


def test_nothing_that_can_be_set_is_refused_so() -> None:
    assert not [name for name in known_names() if inapplicable.reason(name)]


def test_settings_have_kafkas_defaults_but_for_a_few() -> None:
    config = BrokerConfig()
    ours = {name: setting.text(config) or None for name, setting in known_settings().items()}
    differ = {name for name, kafka in KAFKA["broker"].items() if (kafka["default"] or None) != ours[name]}
    assert differ == OTHER_DEFAULTS
    defaults = LogConfig()
    assert {name: defaults.text(name) for name in OPTIONS} == {
        name: kafka["default"] for name, kafka in KAFKA["topic"].items()
    }


@pytest.mark.parametrize(("name", "kafka"), KAFKA["broker"].items())
def test_what_kafka_can_alter_while_it_runs_can_be_altered_here_but_for_a_few(name: str, kafka: Any) -> None:
    assert known_settings()[name].dynamic == (kafka["dynamic"] and name not in FIXED_HERE)
