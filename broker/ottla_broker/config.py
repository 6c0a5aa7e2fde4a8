"""The broker's settings: Kafka's names, and Kafka's defaults unless a comment says why not.

`BrokerConfig` has a field for each setting that concerns one node as a whole. The defaults of topics
(`log.retention.ms`, `message.max.bytes`, ...) are broker settings too; they are declared once, beside the topic
settings that they are the defaults of, in `log.config.OPTIONS`, and collected here in `log_defaults`. `known_settings`
has them all.

`BrokerConfig.of` takes settings as text and refuses what it does not know; `overlaid` puts dynamic settings over those
that a broker was started with. Where the text comes from is `config_file`'s affair.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ottla_broker import inapplicable, settings
from ottla_broker.errors import InvalidSetting
from ottla_broker.listeners import Address, Listener, check_listeners, parse_listeners, parse_protocols
from ottla_broker.log.config import OPTIONS, ConfigType, LogConfig, LogManagerConfig, Option
from ottla_broker.settings import Setting
from ottla_wire.errors import KafkaError

BOOLEAN, STRING, LIST = ConfigType.BOOLEAN, ConfigType.STRING, ConfigType.LIST
SHORT, INT, LONG, DOUBLE = ConfigType.SHORT, ConfigType.INT, ConfigType.LONG, ConfigType.DOUBLE
INT_MAX = 2_147_483_647
MIB = 1_048_576


class BrokerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one node; field names are Kafka's with underscores. Times are milliseconds, sizes bytes."""

    # --- the node
    node_id: Annotated[int, Setting(INT, "The id of this node, unique in its cluster.", minimum=0)] = 1
    listeners: Annotated[
        tuple[str, ...],
        Setting(LIST, "The addresses to listen on, each NAME://HOST:PORT; port 0 picks one."),
    ] = ("PLAINTEXT://localhost:9092",)  # Kafka listens on all interfaces
    advertised_listeners: Annotated[
        tuple[str, ...],
        Setting(LIST, "The addresses that clients are told to connect to, where they differ from listeners."),
    ] = ()
    listener_security_protocol_map: Annotated[
        tuple[str, ...],
        Setting(LIST, "The security protocol that each listener speaks, as NAME:PROTOCOL."),
    ] = ("PLAINTEXT:PLAINTEXT", "SSL:SSL", "SASL_PLAINTEXT:SASL_PLAINTEXT", "SASL_SSL:SASL_SSL")
    log_dirs: Annotated[str, Setting(STRING, "The directory that holds all data of this node.")] = "/tmp/ottla-logs"
    broker_rack: Annotated[str | None, Setting(STRING, "The rack, zone or region that this node is in.")] = None

    admin_listen: Annotated[
        str | None,
        Setting(STRING, "The address for metrics and health over HTTP, HOST:PORT; a setting of Ottla's own."),
    ] = None

    # --- connections
    socket_request_max_bytes: Annotated[int, Setting(INT, "The largest request that is read.", minimum=1)] = 104_857_600
    connections_max_idle_ms: Annotated[
        int, Setting(LONG, "A connection without requests is closed after this time.", minimum=1)
    ] = 600_000
    max_connections: Annotated[
        int,
        Setting(INT, "Connections that are open at the same time; further ones are closed.", dynamic=True, minimum=1),
    ] = INT_MAX
    max_connection_creation_rate: Annotated[
        int,
        Setting(
            INT, "Connections that may come in a second; those beyond it wait to be served.", dynamic=True, minimum=1
        ),
    ] = INT_MAX
    max_connections_per_ip: Annotated[
        int,
        Setting(INT, "Connections that one address may have open at the same time.", dynamic=True, minimum=0),
    ] = INT_MAX
    max_connections_per_ip_overrides: Annotated[
        tuple[str, ...],
        Setting(LIST, "Addresses for which max.connections.per.ip is another, as ADDRESS:NUMBER.", dynamic=True),
    ] = ()
    socket_listen_backlog_size: Annotated[int, Setting(INT, "Connections that may wait to be accepted.", minimum=1)] = (
        1_024  # Kafka's 50 drops connections when a thousand clients come back at once
    )
    socket_send_buffer_bytes: Annotated[
        int,
        Setting(
            INT,
            "The send buffer of a connection's socket; -1 leaves it to the system, which suits far clients.",
            minimum=-1,
        ),
    ] = 102_400  # what is sent is still in the processor's caches when a near client reads it
    socket_receive_buffer_bytes: Annotated[
        int, Setting(INT, "The receive buffer of a connection's socket; -1 leaves it to the system.", minimum=-1)
    ] = -1  # Kafka's 102400 keeps the system from adapting it, and slows down what comes from far away

    # --- topics
    num_partitions: Annotated[int, Setting(INT, "Partitions of a topic created without a number.", minimum=1)] = 1
    default_replication_factor: Annotated[
        int, Setting(INT, "Replicas of a topic created without a number.", minimum=1)
    ] = 1
    auto_create_topics_enable: Annotated[
        bool, Setting(BOOLEAN, "Whether asking for the metadata of an unknown topic creates it.")
    ] = True
    delete_topic_enable: Annotated[bool, Setting(BOOLEAN, "Whether topics can be deleted.")] = True
    max_request_partition_size_limit: Annotated[
        int, Setting(INT, "Partitions that one DescribeTopicPartitions describes.", minimum=1)
    ] = 2_000

    # --- fetches
    fetch_max_bytes: Annotated[int, Setting(INT, "The most bytes that one fetch returns.", minimum=1024)] = 57_671_680
    max_incremental_fetch_session_cache_slots: Annotated[
        int, Setting(INT, "Fetch sessions that are kept at the same time.", minimum=0)
    ] = 1_000

    # --- groups and their offsets
    group_min_session_timeout_ms: Annotated[
        int, Setting(INT, "The shortest session timeout that a member may ask for.")
    ] = 6_000
    group_max_session_timeout_ms: Annotated[
        int, Setting(INT, "The longest session timeout that a member may ask for.")
    ] = 1_800_000
    group_initial_rebalance_delay_ms: Annotated[
        int, Setting(INT, "How long a new group waits for more members before its first rebalance.", minimum=0)
    ] = 0  # Kafka waits 3 s, and its own development configuration 0: whoever runs one consumer should not wait
    group_max_size: Annotated[int, Setting(INT, "Members that a group may have.", minimum=1)] = INT_MAX
    group_coordinator_rebalance_protocols: Annotated[
        tuple[str, ...],
        Setting(LIST, "The protocols by which groups rebalance.", choices=("classic", "consumer")),
    ] = ("classic", "consumer")  # share and streams groups are not served
    group_consumer_session_timeout_ms: Annotated[
        int, Setting(INT, "The session timeout of the members of consumer groups.", minimum=1)
    ] = 45_000
    group_consumer_min_session_timeout_ms: Annotated[
        int, Setting(INT, "The shortest session timeout that a consumer group can be given.", minimum=1)
    ] = 45_000
    group_consumer_max_session_timeout_ms: Annotated[
        int, Setting(INT, "The longest session timeout that a consumer group can be given.", minimum=1)
    ] = 60_000
    group_consumer_heartbeat_interval_ms: Annotated[
        int, Setting(INT, "How often the members of consumer groups are told to send heartbeats.", minimum=1)
    ] = 5_000
    group_consumer_min_heartbeat_interval_ms: Annotated[
        int, Setting(INT, "The shortest heartbeat interval that a consumer group can be given.", minimum=1)
    ] = 5_000
    group_consumer_max_heartbeat_interval_ms: Annotated[
        int, Setting(INT, "The longest heartbeat interval that a consumer group can be given.", minimum=1)
    ] = 15_000
    group_consumer_assignment_interval_ms: Annotated[
        int, Setting(INT, "How long after one target assignment of a consumer group the next may follow.", minimum=0)
    ] = 1_000
    group_consumer_min_assignment_interval_ms: Annotated[
        int, Setting(INT, "The shortest assignment interval that a consumer group can be given.", minimum=0)
    ] = 0
    group_consumer_max_assignment_interval_ms: Annotated[
        int, Setting(INT, "The longest assignment interval that a consumer group can be given.", minimum=0)
    ] = 15_000
    group_consumer_max_size: Annotated[int, Setting(INT, "Members that a consumer group may have.", minimum=1)] = (
        2_147_483_647
    )
    group_consumer_assignors: Annotated[
        tuple[str, ...],
        Setting(
            LIST,
            "The assignors that consumer groups can use; the first one is used where members ask for none.",
            choices=("uniform", "range"),
        ),
    ] = ("uniform", "range")
    group_consumer_migration_policy: Annotated[
        str,
        Setting(
            STRING,
            "Whether groups with members may move from the classic protocol to the consumer protocol (upgrade) and "
            "back (downgrade).",
            choices=("bidirectional", "upgrade", "downgrade", "disabled"),
        ),
    ] = "bidirectional"
    offset_metadata_max_bytes: Annotated[
        int, Setting(INT, "The largest metadata that may be committed with an offset.", minimum=0)
    ] = 4_096
    offsets_topic_num_partitions: Annotated[int, Setting(INT, "Partitions of __consumer_offsets.", minimum=1)] = 50
    offsets_topic_replication_factor: Annotated[int, Setting(SHORT, "Replicas of __consumer_offsets.", minimum=1)] = 3
    offsets_topic_compression_codec: Annotated[
        int,
        Setting(
            INT,
            "How a new __consumer_offsets is compressed: 0 not at all, 1 gzip, 2 snappy, 3 lz4, 4 zstd.",
            minimum=0,
            maximum=4,
        ),
    ] = 0
    offsets_topic_segment_bytes: Annotated[int, Setting(INT, "Segment size of __consumer_offsets.", minimum=MIB)] = (
        104_857_600
    )
    offsets_retention_minutes: Annotated[
        int, Setting(INT, "How long the offsets of a group that has become empty are kept.", minimum=1)
    ] = 10_080
    offsets_retention_check_interval_ms: Annotated[
        int, Setting(LONG, "How often expired offsets are looked for.", minimum=1)
    ] = 600_000

    # --- transactions
    transaction_max_timeout_ms: Annotated[
        int, Setting(INT, "The longest transaction timeout that a producer may ask for.", minimum=1)
    ] = 900_000
    transaction_partition_verification_enable: Annotated[
        bool,
        Setting(
            BOOLEAN,
            "Whether a transactional write is checked against the partitions of its transaction.",
            dynamic=True,
        ),
    ] = True
    transaction_state_log_num_partitions: Annotated[
        int, Setting(INT, "Partitions of __transaction_state.", minimum=1)
    ] = 50
    transaction_state_log_replication_factor: Annotated[
        int, Setting(SHORT, "Replicas of __transaction_state.", minimum=1)
    ] = 3
    transaction_state_log_segment_bytes: Annotated[
        int, Setting(INT, "Segment size of __transaction_state.", minimum=MIB)
    ] = 104_857_600
    transaction_state_log_min_isr: Annotated[
        int, Setting(INT, "In-sync replicas that a write to __transaction_state needs.", minimum=1)
    ] = 2
    transactional_id_expiration_ms: Annotated[
        int, Setting(INT, "How long a transactional id without a transaction is kept.", minimum=1)
    ] = 604_800_000

    # --- cluster metadata
    metadata_log_max_record_bytes_between_snapshots: Annotated[
        int,
        Setting(LONG, "A snapshot takes the place of the metadata log's records when they take this much.", minimum=1),
    ] = 20 * MIB
    metadata_log_max_snapshot_interval_ms: Annotated[
        int,
        Setting(LONG, "The same when they are this old and another record comes; 0 is never.", minimum=0),
    ] = 3_600_000

    # --- storage
    log_defaults: LogConfig = LogConfig()
    log_manager: LogManagerConfig = LogManagerConfig()

    # What was set rather than left at its default, by Kafka's names.
    given: Mapping[str, str] = {}

    @property
    def data_directory(self) -> Path:
        return Path(self.log_dirs)

    @property
    def bindings(self) -> tuple[Listener, ...]:
        """Where to listen, under which names; the first is the one that this node is known by."""
        return parse_listeners("listeners", self.listeners)

    def advertised(self, bound: Listener) -> Address:
        """Where clients of a listener are told to connect when it is bound to this; port 0 stands for its port."""
        for listener in parse_listeners("advertised.listeners", self.advertised_listeners):
            if listener.name == bound.name:
                return listener.address._replace(port=listener.address.port or bound.address.port)
        return bound.address

    def max_connections_of(self, host: str) -> int:
        """How many connections this address may have open."""
        for override in self.max_connections_per_ip_overrides:
            address, _, number = override.rpartition(":")
            if address.strip() == host:
                return int(number)
        return self.max_connections_per_ip

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "BrokerConfig":
        """Settings by Kafka's names; what is not given has its default. Raises InvalidSetting."""
        known = known_settings()
        given = _canonical(values)
        parsed: dict[_Home, dict[str, Any]] = {_Home.BROKER: {}, _Home.TOPICS: {}, _Home.STORAGE: {}}
        for name, value in given.items():
            if name not in known:
                raise InvalidSetting(unknown_setting(name))
            setting = known[name]
            parsed[setting.home][setting.field] = setting.parse(value)
        try:
            log_defaults = LogConfig.parse({}, dataclasses.replace(LogConfig(), **parsed[_Home.TOPICS]))
        except KafkaError as error:
            raise InvalidSetting(error.message) from None
        config = cls(
            **parsed[_Home.BROKER],
            log_defaults=log_defaults,
            log_manager=LogManagerConfig(**parsed[_Home.STORAGE]),
            given=given,
        )
        config._check()
        return config

    def overlaid(self, *layers: Mapping[str, str]) -> "BrokerConfig":
        """These settings with dynamic ones over them, the last layer on top. Raises InvalidSetting.

        `given` remains what it was: what the broker was started with.
        """
        values = dict(self.given)
        for layer in layers:
            values.update(layer)
        return msgspec.structs.replace(BrokerConfig.of(values), given=self.given)

    def _check(self) -> None:
        check_listeners(
            self.bindings,
            parse_listeners("advertised.listeners", self.advertised_listeners),
            parse_protocols("listener.security.protocol.map", self.listener_security_protocol_map),
        )
        if self.admin_listen is not None:
            Address.parse("admin.listen", self.admin_listen)
        if "," in self.log_dirs:
            raise InvalidSetting(f"log.dirs is {self.log_dirs}; this version keeps all data in one directory")
        for override in self.max_connections_per_ip_overrides:
            address, _, number = override.rpartition(":")
            if not address or not number.isdecimal():
                raise InvalidSetting(
                    f"Invalid value {override!r} for max.connections.per.ip.overrides: expected ADDRESS:NUMBER"
                )
        if "classic" not in self.group_coordinator_rebalance_protocols:
            raise InvalidSetting("group.coordinator.rebalance.protocols lacks classic, which cannot be turned off")
        if not self.group_consumer_assignors:
            raise InvalidSetting("group.consumer.assignors is empty; name at least one of uniform, range")
        for setting in ("session.timeout.ms", "heartbeat.interval.ms", "assignment.interval.ms"):
            field = setting.replace(".", "_")
            lowest = getattr(self, f"group_consumer_min_{field}")
            value = getattr(self, f"group_consumer_{field}")
            highest = getattr(self, f"group_consumer_max_{field}")
            if not lowest <= value <= highest:
                raise InvalidSetting(
                    f"group.consumer.{setting} is {value}, which is not within {lowest} and {highest} "
                    f"(group.consumer.min.{setting}, group.consumer.max.{setting})"
                )
        if self.group_consumer_heartbeat_interval_ms >= self.group_consumer_session_timeout_ms:
            raise InvalidSetting(
                "group.consumer.heartbeat.interval.ms must be shorter than group.consumer.session.timeout.ms"
            )


class _Home(Enum):
    """Which class a setting is a field of."""

    BROKER = "BrokerConfig"
    TOPICS = "LogConfig"
    STORAGE = "LogManagerConfig"


class KnownSetting(msgspec.Struct, frozen=True):
    """A broker setting, wherever its value is kept."""

    name: str
    kind: ConfigType
    doc: str
    dynamic: bool
    home: _Home
    field: str
    parse: Callable[[str], Any]
    """Reads a value; raises InvalidSetting."""

    def text(self, config: BrokerConfig) -> str | None:
        """The value in a configuration, as Kafka writes it."""
        match self.home:
            case _Home.BROKER:
                return settings.text(getattr(config, self.field))
            case _Home.STORAGE:
                return settings.text(getattr(config.log_manager, self.field))
            case _Home.TOPICS:
                return config.log_defaults.text(_TOPIC_SYNONYMS[self.name].name)


@functools.cache
def known_settings() -> Mapping[str, KnownSetting]:
    """Every setting that a broker takes, by name."""
    known = [
        KnownSetting(
            name,
            declared.setting.kind,
            declared.setting.doc,
            declared.setting.dynamic,
            _Home.BROKER,
            declared.field,
            functools.partial(declared.setting.parse, name),
        )
        for name, declared in settings.table(BrokerConfig).items()
    ]
    known += [
        KnownSetting(
            name,
            option.type,
            option.documentation,
            True,
            _Home.TOPICS,
            option.field,
            functools.partial(_parse_option, option),
        )
        for name, option in _TOPIC_SYNONYMS.items()
    ]
    known += [
        KnownSetting(
            name,
            setting.kind,
            setting.doc,
            setting.dynamic,
            _Home.STORAGE,
            field,
            functools.partial(setting.parse, name),
        )
        for name, (field, setting) in _STORAGE.items()
    ]
    return {setting.name: setting for setting in known}


def stands_for(name: str) -> str | None:
    """The setting that another name, or a time in another unit, gives its value where a broker is started."""
    return _UNITS[name][0] if name in _UNITS else _ALIASES.get(name)


def unknown_setting(name: str) -> str:
    """What there is to say of a setting that brokers do not have."""
    reason = inapplicable.reason(name)
    if reason is not None:
        return f"{name} is a setting of Apache Kafka's that means nothing here: {reason}; leave it out"
    return settings.unknown(name, known_names())


def known_names() -> list[str]:
    """The names of all settings, with those that stand for another one."""
    return sorted({*known_settings(), *_UNITS, *_ALIASES})


def _parse_option(option: Option, text: str) -> Any:
    try:
        return option.parse(text)
    except ValueError as error:
        raise InvalidSetting(f"Invalid value {text!r} for {option.synonym}: {error}") from None


_TOPIC_SYNONYMS: Mapping[str, Option] = {option.synonym: option for option in OPTIONS.values()}
_STORAGE: Mapping[str, tuple[str, Setting]] = {
    "log.retention.check.interval.ms": (
        "retention_check_interval_ms",
        Setting(LONG, "How often segments to be discarded are looked for.", minimum=1),
    ),
    "log.flush.scheduler.interval.ms": (
        "flush_scheduler_interval_ms",
        Setting(LONG, "How often logs that are due for a flush are looked for.", minimum=1),
    ),
    "log.flush.offset.checkpoint.interval.ms": (
        "flush_offset_checkpoint_interval_ms",
        Setting(INT, "How often the recovery points are written down.", minimum=1),
    ),
    "log.flush.start.offset.checkpoint.interval.ms": (
        "flush_start_offset_checkpoint_interval_ms",
        Setting(INT, "How often the log start offsets are written down.", minimum=1),
    ),
    "log.cleaner.enable": (
        "cleaner_enable",
        Setting(BOOLEAN, "Whether topics with the cleanup policy compact are compacted."),
    ),
    "log.cleaner.backoff.ms": (
        "cleaner_backoff_ms",
        Setting(LONG, "How often logs that are due for compaction are looked for.", dynamic=True, minimum=1),
    ),
    "log.cleaner.dedupe.buffer.size": (
        "cleaner_dedupe_buffer_size",
        Setting(
            LONG,
            "Memory for the keys of a log that is compacted; more keys take several rounds.",
            dynamic=True,
            minimum=MIB,
        ),
    ),
    "log.cleaner.io.max.bytes.per.second": (
        "cleaner_io_max_bytes_per_second",
        Setting(
            DOUBLE, "What compaction reads and writes in a second, taken together, at most.", dynamic=True, minimum=1
        ),
    ),
    "producer.id.expiration.ms": (
        "producer_id_expiration_ms",
        Setting(INT, "How long a partition remembers a producer that has gone silent.", dynamic=True, minimum=1),
    ),
    "producer.id.expiration.check.interval.ms": (
        "producer_id_expiration_check_interval_ms",
        Setting(INT, "How often silent producers are looked for.", minimum=1),
    ),
    "num.recovery.threads.per.data.dir": (
        "recovery_threads",
        Setting(
            INT,
            "Threads that open the logs when the broker starts, and write out what is left when it stops.",
            dynamic=True,
            minimum=1,
        ),
    ),
}
_UNITS = {
    "log.retention.hours": ("log.retention.ms", 3_600_000),
    "log.retention.minutes": ("log.retention.ms", 60_000),
    "log.roll.hours": ("log.roll.ms", 3_600_000),
    "log.roll.jitter.hours": ("log.roll.jitter.ms", 3_600_000),
}
_ALIASES = {"log.dir": "log.dirs"}


def _canonical(values: Mapping[str, str]) -> dict[str, str]:
    """Settings under one name each: of several units of a time the finest wins, and over an alias its original."""
    converted: dict[str, str] = {}
    for name, (target, factor) in _UNITS.items():
        if name in values:
            whole = Setting(INT, "").parse(name, values[name])
            assert isinstance(whole, int)
            converted[target] = str(whole * factor if whole > 0 else whole)
    converted |= {target: values[name] for name, target in _ALIASES.items() if name in values}
    return converted | {name: value for name, value in values.items() if name not in _UNITS and name not in _ALIASES}
