"""DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, ListConfigResources."""

from ottla_wire.errors import ErrorCode
from ottla_wire.messages import alter_configs, describe_configs, incremental_alter_configs
from ottla_wire.messages.list_config_resources import ListConfigResourcesRequest

from .asking import Ask, question

TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, NO_SUCH_TYPE = 2, 4, 8, 16, 32, 77
MANY = 20  # settings
SET, DELETE, APPEND, SUBTRACT, NO_SUCH_OPERATION = 0, 1, 2, 3, 9


def described(
    ask: Ask, kind: int, name: str, keys: list[str] | None = None, **fields: bool
) -> describe_configs.DescribeConfigsRequest:
    resource = describe_configs.DescribeConfigsResource(resource_type=kind, resource_name=name, configuration_keys=keys)
    if ask.version >= 3:
        fields.setdefault("include_documentation", True)
    return describe_configs.DescribeConfigsRequest(resources=[resource], **({"include_synonyms": True} | fields))


@question(describe_configs.DescribeConfigsRequest)
def every_setting_of_a_topic(ask: Ask) -> None:
    topic = ask.topic(retention_ms="1000", cleanup_policy="compact,delete")
    ask(described(ask, TOPIC, topic.name))


@question(describe_configs.DescribeConfigsRequest)
def some_settings_of_a_topic(ask: Ask) -> None:
    topic = ask.topic()
    ask(described(ask, TOPIC, topic.name, ["segment.bytes", "no.such.setting"]))
    none_named = ask.quietly(described(ask, TOPIC, topic.name, []), ask.version).results[0].configs
    ask.answers.append("all of them" if len(none_named) > MANY else "none")
    ask(described(ask, TOPIC, topic.name, ["segment.bytes"], include_synonyms=False))


@question(describe_configs.DescribeConfigsRequest)
def every_setting_of_a_group(ask: Ask) -> None:
    ask(described(ask, GROUP, ask.name("group")))


@question(describe_configs.DescribeConfigsRequest)
def some_settings_of_a_broker(ask: Ask) -> None:
    keys = ["num.partitions", "log.segment.bytes", "message.max.bytes", "auto.create.topics.enable"]
    ask(described(ask, BROKER, "1", keys))


@question(describe_configs.DescribeConfigsRequest, "3-4")
def every_setting_of_a_broker(ask: Ask) -> None:
    """What kind of setting each is; which there are and how they are set is in lists of their own."""
    result = ask.quietly(described(ask, BROKER, "1"), ask.version).results[0]
    ask.answers.append({setting.name: kind_of(setting) for setting in result.configs})


def kind_of(setting: describe_configs.DescribeConfigsResourceResult) -> dict[str, int]:
    return {name: getattr(setting, name) for name in ("config_type", "read_only", "is_sensitive")}


@question(describe_configs.DescribeConfigsRequest)
def settings_of_what_does_not_exist(ask: Ask) -> None:
    for kind, name in (
        (TOPIC, "no.such.topic"),
        (TOPIC, "no/such/name"),
        (TOPIC, ""),
        (BROKER, "7"),
        (BROKER, "one"),
        (BROKER, ""),
        (GROUP, ""),
        (NO_SUCH_TYPE, "x"),
    ):
        ask(described(ask, kind, name, ["compression.type"]))


@question(describe_configs.DescribeConfigsRequest)
def settings_of_one_resource_twice(ask: Ask) -> None:
    request = described(ask, TOPIC, ask.topic().name, ["segment.bytes"])
    request.resources *= 2
    ask(request)
    ask(describe_configs.DescribeConfigsRequest(resources=[]))


@question(describe_configs.DescribeConfigsRequest)
def settings_that_brokers_share(ask: Ask) -> None:
    ask(described(ask, BROKER, "", ["log.retention.ms"]))


@question(describe_configs.DescribeConfigsRequest)
def settings_of_loggers_and_client_metrics(ask: Ask) -> None:
    """Only the root is a logger of both; how much it logs is a matter of how they were started."""
    loggers = ask.quietly(described(ask, BROKER_LOGGER, "1"), ask.version).results[0].configs
    (root,) = (logger for logger in loggers if logger.name == "root")
    ask.answers.append(kind_of(root))
    ask(described(ask, BROKER_LOGGER, "7"))
    ask(described(ask, BROKER_LOGGER, ""))
    ask(described(ask, CLIENT_METRICS, "x"))


def set_all(kind: int, name: str, *, only: bool = False, **settings: str | None) -> alter_configs.AlterConfigsRequest:
    configs = [
        alter_configs.AlterableConfig(name=key.replace("_", "."), value=value) for key, value in settings.items()
    ]
    resource = alter_configs.AlterConfigsResource(resource_type=kind, resource_name=name, configs=configs)
    return alter_configs.AlterConfigsRequest(resources=[resource], validate_only=only)


@question(alter_configs.AlterConfigsRequest)
def settings_that_are_set_all_at_once(ask: Ask) -> None:
    """A resource twice in one request is not asked: Apache Kafka never answers that."""
    topic = ask.topic(segment_bytes="2000000")
    for request in (
        set_all(TOPIC, topic.name, retention_ms="1000"),
        set_all(TOPIC, topic.name, retention_ms="1000", only=True),
        set_all(TOPIC, topic.name, retention_ms="soon"),
        set_all(TOPIC, topic.name, retention_ms=None),
        set_all(TOPIC, topic.name, no_such_setting="1"),
        set_all(TOPIC, "no.such.topic", retention_ms="1000"),
        set_all(TOPIC, "", retention_ms="1000"),
        set_all(NO_SUCH_TYPE, "x", retention_ms="1000"),
        set_all(BROKER, "7", message_max_bytes="2000000"),
    ):
        ask(request)
    ask.answers.append(sorted(changed_settings(ask, topic.name)))
    ask(alter_configs.AlterConfigsRequest(resources=[], validate_only=False))


def changed_settings(ask: Ask, topic: str) -> list[tuple[str, str]]:
    """The settings that a topic has of its own."""
    resource = describe_configs.DescribeConfigsResource(
        resource_type=TOPIC, resource_name=topic, configuration_keys=None
    )
    answer = ask.quietly(describe_configs.DescribeConfigsRequest(resources=[resource]))
    return [(entry.name, entry.value) for entry in answer.results[0].configs if entry.config_source == 1]


def alter(
    kind: int, name: str, *changes: tuple[str, int, str | None], only: bool = False
) -> incremental_alter_configs.IncrementalAlterConfigsRequest:
    configs = [
        incremental_alter_configs.AlterableConfig(name=key, config_operation=operation, value=value)
        for key, operation, value in changes
    ]
    resource = incremental_alter_configs.AlterConfigsResource(resource_type=kind, resource_name=name, configs=configs)
    return incremental_alter_configs.IncrementalAlterConfigsRequest(resources=[resource], validate_only=only)


@question(incremental_alter_configs.IncrementalAlterConfigsRequest)
def settings_that_are_set_one_by_one(ask: Ask) -> None:
    topic = ask.topic(segment_bytes="2000000")
    for changes in (
        [("retention.ms", SET, "1000")],
        [("cleanup.policy", APPEND, "compact")],
        [("cleanup.policy", APPEND, "compact")],
        [("cleanup.policy", SUBTRACT, "delete")],
        [("segment.bytes", DELETE, None)],
        [("segment.bytes", DELETE, None)],
        [("retention.ms", SET, "soon")],
        [("retention.ms", SET, None)],
        [("retention.ms", APPEND, "1")],
        [("retention.ms", NO_SUCH_OPERATION, "1")],
        [("no.such.setting", SET, "1")],
        [("no.such.setting", DELETE, None)],
        [("retention.ms", SET, "1"), ("retention.ms", SET, "2")],
        [],
    ):
        ask(alter(TOPIC, topic.name, *changes))
    ask(alter(TOPIC, topic.name, ("retention.ms", SET, "77"), only=True))
    ask.answers.append(sorted(changed_settings(ask, topic.name)))


DYNAMIC = (
    "log.retention.ms",
    "log.roll.ms",
    "log.segment.bytes",
    "log.cleanup.policy",
    "log.cleaner.dedupe.buffer.size",
    "message.max.bytes",
    "compression.type",
    "max.connections",
    "num.partitions",
)
VALUES = ("", " 1 ", "-2", "-1", "0", "1", "14", "104857600", "9223372036854775807", "0.5", "true", "TRUE", "x")


@question(incremental_alter_configs.IncrementalAlterConfigsRequest, "1")
def values_that_settings_of_topics_can_have(ask: Ask) -> None:
    """Every setting with values of every kind; none is kept."""
    topic = ask.topic()
    resource = describe_configs.DescribeConfigsResource(
        resource_type=TOPIC, resource_name=topic.name, configuration_keys=None
    )
    answer = ask.quietly(describe_configs.DescribeConfigsRequest(resources=[resource]))
    ask.answers.append(
        {setting.name: taken(ask, TOPIC, topic.name, setting.name) for setting in answer.results[0].configs}
    )


def taken(ask: Ask, kind: int, resource: str, setting: str) -> dict[str, str]:
    """By value: what comes of setting a setting to it."""
    codes = {}
    for value in VALUES:
        answer = ask.quietly(alter(kind, resource, (setting, SET, value), only=True), ask.version)
        codes[repr(value)] = ErrorCode(answer.responses[0].error_code).name
    return codes


@question(incremental_alter_configs.IncrementalAlterConfigsRequest, "1")
def values_that_settings_of_brokers_can_have(ask: Ask) -> None:
    for broker in ("", "1"):
        ask.answers.append({name: taken(ask, BROKER, broker, name) for name in DYNAMIC})


@question(incremental_alter_configs.IncrementalAlterConfigsRequest, "1")
def values_that_settings_of_groups_can_have(ask: Ask) -> None:
    names = ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms", "consumer.assignment.interval.ms")
    ask.answers.append({name: taken(ask, GROUP, ask.name("group"), name) for name in names})


@question(incremental_alter_configs.IncrementalAlterConfigsRequest)
def settings_of_resources_that_are_none(ask: Ask) -> None:
    change = ("retention.ms", SET, "1000")
    for kind, name in ((TOPIC, "no.such.topic"), (TOPIC, ""), (BROKER, "7"), (GROUP, ""), (NO_SUCH_TYPE, "x")):
        ask(alter(kind, name, change))
    twice = alter(TOPIC, "no.such.topic", change)
    twice.resources *= 2
    ask(twice)


@question(incremental_alter_configs.IncrementalAlterConfigsRequest)
def settings_of_groups(ask: Ask) -> None:
    group = ask.name("group")
    for changes in (
        [("consumer.session.timeout.ms", SET, "50000")],
        [("consumer.session.timeout.ms", SET, "1")],
        [("consumer.session.timeout.ms", DELETE, None)],
        [("no.such.setting", SET, "1")],
    ):
        ask(alter(GROUP, group, *changes))


@question(incremental_alter_configs.IncrementalAlterConfigsRequest)
def levels_of_loggers(ask: Ask) -> None:
    for name, changes in (
        ("1", [("root", SET, "FATAL")]),
        ("1", [("root", SET, "ERROR")]),
        ("1", [("root", SET, "error")]),
        ("1", [("root", SET, "LOUD")]),
        ("1", [("root", SET, None)]),
        ("1", [("root", APPEND, "INFO")]),
        ("1", [("root", DELETE, None)]),
        ("1", [("no such logger", SET, "INFO")]),
        ("1", [("no such logger", DELETE, None)]),
        ("7", [("root", SET, "ERROR")]),
        ("", [("root", SET, "ERROR")]),
    ):
        ask(alter(BROKER_LOGGER, name, *changes))


@question(incremental_alter_configs.IncrementalAlterConfigsRequest)
def settings_of_brokers(ask: Ask) -> None:
    for name in ("1", ""):
        for changes in (
            [("message.max.bytes", SET, "many")],
            [("node.id", SET, "3")],
            [("no.such.setting", SET, "1")],
            [("message.max.bytes", DELETE, None)],
        ):
            ask(alter(BROKER, name, *changes))
        ask.quietly(alter(BROKER, name, ("no.such.setting", DELETE, None)))
        ask(alter(BROKER, name, ("min.insync.replicas", SET, "1"), only=True))


@question(ListConfigResourcesRequest)
def resources_with_settings(ask: Ask) -> None:
    if ask.version == 0:
        ask(ListConfigResourcesRequest())
        return
    for kind in (CLIENT_METRICS, BROKER, NO_SUCH_TYPE):
        ask(ListConfigResourcesRequest(resource_types=[kind]))
