"""`ottla config`."""

from collections.abc import Callable
from typing import Any

Run = Callable[..., Any]


def test_settings_of_a_topic(ottla: Run, topic: str) -> None:
    get = ("config", "get", "topic", topic)
    assert ottla(*get, "retention.ms").ok().rows == [["retention.ms", "604800000", "DEFAULT_CONFIG", "no", "no"]]
    set_ = ("config", "set", "topic", topic, "retention.ms=7", "cleanup.policy=compact")
    assert ottla(*set_, "--dry-run").ok().rows == [
        ["retention.ms=7", "would be set"],
        ["cleanup.policy=compact", "would be set"],
    ]
    assert ottla(*get, "retention.ms").ok().rows[0][1] == "604800000"
    ottla(*set_).ok()
    changed = ottla(*get, "--changed", "--format", "json").ok().json
    assert {row["key"]: row["value"] for row in changed if row["source"] == "DYNAMIC_TOPIC_CONFIG"} == {
        "cleanup.policy": "compact",
        "retention.ms": "7",
    }
    assert ottla("config", "delete", "topic", topic, "retention.ms", "--dry-run").ok().rows == [
        ["retention.ms", "would be deleted"]
    ]
    ottla("config", "delete", "topic", topic, "retention.ms").ok()
    assert ottla(*get, "retention.ms").ok().rows[0][1] == "604800000"


def test_synonyms_types_and_documentation(ottla: Run, topic: str) -> None:
    (setting,) = (
        ottla("config", "get", "topic", topic, "retention.ms", "--synonyms", "--docs", "--format", "json").ok().json
    )
    assert setting["type"] == "LONG"
    assert setting["documentation"]
    assert all("=" in synonym for synonym in setting["synonyms"])


def test_settings_of_a_broker(ottla: Run) -> None:
    (broker, *_) = ottla("cluster", "info", "--format", "json").ok().json["brokers"]
    (setting,) = ottla("config", "get", "broker", str(broker["broker"]), "num.partitions", "--format", "json").ok().json
    assert setting["value"] == "1"


def test_loggers_of_a_broker(ottla: Run) -> None:
    (broker, *_) = ottla("cluster", "info", "--format", "json").ok().json["brokers"]
    loggers = ("broker-logger", str(broker["broker"]))
    (root,) = ottla("config", "get", *loggers, "root", "--format", "json").ok().json
    assert root["source"] == "DYNAMIC_BROKER_LOGGER_CONFIG"
    assert ottla("config", "set", *loggers, "root=DEBUG", "--dry-run").ok().rows == [["root=DEBUG", "would be set"]]
    ottla("config", "get", "broker-logger", "x").fails("'x' is no broker: give its id.", 2)


def test_mistakes_are_told(ottla: Run, topic: str) -> None:
    ottla("config", "get", "topic", "nope").fails("The settings of topic 'nope' cannot be read: .*")
    ottla("config", "get", "topic", topic, "nope").fails(f"There is no setting nope of topic '{topic}'.", 2)
    ottla("config", "get", "broker", "99").fails("The cluster has no broker 99 at the moment.")
    ottla("config", "get", "broker", "x").fails("'x' is no broker: give its id, or 'default' for all of them.", 2)
    ottla("config", "set", "topic", topic, "retention.ms").fails("'retention.ms' is no setting: .*", 2)
    ottla("config", "set", "topic", topic, "a=1", "a=2").fails("a is given twice.", 2)
    ottla("config", "set", "topic", topic, "nope=1").fails(f"Cannot change the settings of topic '{topic}': .*nope.*")
    nearly = f"Cannot change the settings of topic '{topic}': Unknown topic config name: retention.mss.*[.?]"
    assert not ottla("config", "set", "topic", topic, "retention.mss=1").fails(nearly).err.endswith("?.\n")
    ottla("config", "delete", "topic", topic, "nope").fails(f"There is no setting nope of topic '{topic}'.", 2)
    ottla("topic", "alter-config", topic, "--delete", "nope").fails(f"There is no setting nope of topic '{topic}'.")
    ottla("config", "delete", "topic", topic, "a=1").fails("'a=1' is no key: name the setting alone.", 2)
    assert ottla("config", "get", "banana", "x").status == 2
