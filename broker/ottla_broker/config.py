"""The broker's settings: Kafka's names, and Kafka's defaults unless a comment says why not.

`BrokerConfig` has a field for each setting that concerns one node as a whole. The defaults of topics
(`log.retention.ms`, `message.max.bytes`, ...) are broker settings too; they are declared once, beside the topic
settings that they are the defaults of, in `log.config.OPTIONS`, and collected here in `log_defaults`.

`BrokerConfig.load` reads a TOML file and `key=value` pairs and refuses what it does not know.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from ottla_broker import settings
from ottla_broker.errors import InvalidSetting
from ottla_broker.log.config import OPTIONS, ConfigType, LogConfig, LogManagerConfig
from ottla_broker.settings import Setting
from ottla_wire.errors import KafkaError

BOOLEAN, STRING, INT, LONG = ConfigType.BOOLEAN, ConfigType.STRING, ConfigType.INT, ConfigType.LONG
LIST = ConfigType.LIST
MIB = 1_048_576


class Address(NamedTuple):
    """Where a listener listens, or where clients are told to connect."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, name: str, text: str) -> "Address":
        """Read HOST:PORT, [V6]:PORT, or Kafka's PLAINTEXT://HOST:PORT. Raises InvalidSetting that says `name`."""
        scheme, found, rest = text.strip().rpartition("://")
        if found and scheme != "PLAINTEXT":
            raise InvalidSetting(f"Invalid value {text!r} for {name}: this version serves PLAINTEXT listeners only")
        host, found, port = rest.rpartition(":")
        if not found or not port.isdecimal() or int(port) > 65535:
            raise InvalidSetting(f"Invalid value {text!r} for {name}: expected HOST:PORT, such as 127.0.0.1:9092")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))


class BrokerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one node; field names are Kafka's with underscores. Times are milliseconds, sizes bytes."""

    # --- the node
    node_id: Annotated[int, Setting(INT, "The id of this node, unique in its cluster.", minimum=0)] = 1
    listeners: Annotated[str, Setting(STRING, "The address to listen on, PLAINTEXT://HOST:PORT; port 0 picks one.")] = (
        "PLAINTEXT://localhost:9092"
    )
    advertised_listeners: Annotated[
        str | None,
        Setting(STRING, "The address that clients are told to connect to, if it differs from listeners."),
    ] = None
    log_dirs: Annotated[str, Setting(STRING, "The directory that holds all data of this node.")] = "/tmp/ottla-logs"
    broker_rack: Annotated[str | None, Setting(STRING, "The rack, zone or region that this node is in.")] = None

    # --- connections
    socket_request_max_bytes: Annotated[int, Setting(INT, "The largest request that is read.", minimum=1)] = 104_857_600
    connections_max_idle_ms: Annotated[
        int, Setting(LONG, "A connection without requests is closed after this time.", minimum=1)
    ] = 600_000
    max_connections: Annotated[
        int, Setting(INT, "Connections that are open at the same time; further ones are closed.", minimum=1)
    ] = 2_147_483_647

    # --- topics
    num_partitions: Annotated[int, Setting(INT, "Partitions of a topic created without a number.", minimum=1)] = 1
    default_replication_factor: Annotated[
        int, Setting(INT, "Replicas of a topic created without a number.", minimum=1)
    ] = 1
    auto_create_topics_enable: Annotated[
        bool, Setting(BOOLEAN, "Whether asking for the metadata of an unknown topic creates it.")
    ] = True
    delete_topic_enable: Annotated[bool, Setting(BOOLEAN, "Whether topics can be deleted.")] = True

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
    group_max_size: Annotated[int, Setting(INT, "Members that a group may have.", minimum=1)] = 2_147_483_647
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
    offsets_topic_replication_factor: Annotated[int, Setting(INT, "Replicas of __consumer_offsets.", minimum=1)] = 3
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
    transaction_state_log_num_partitions: Annotated[
        int, Setting(INT, "Partitions of __transaction_state.", minimum=1)
    ] = 50
    transaction_state_log_replication_factor: Annotated[
        int, Setting(INT, "Replicas of __transaction_state.", minimum=1)
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

    # --- storage
    log_defaults: LogConfig = LogConfig()
    log_manager: LogManagerConfig = LogManagerConfig()

    # What was set rather than left at its default, by Kafka's names.
    given: Mapping[str, str] = {}

    @property
    def data_directory(self) -> Path:
        return Path(self.log_dirs)

    @property
    def listener(self) -> Address:
        return Address.parse("listeners", self.listeners)

    def advertised(self, bound: Address) -> Address:
        """Where clients are told to connect when the listener is bound to `bound`; port 0 stands for its port."""
        if self.advertised_listeners is None:
            return bound
        advertised = Address.parse("advertised.listeners", self.advertised_listeners)
        return advertised if advertised.port else Address(advertised.host, bound.port)

    @classmethod
    def load(cls, file: Path | None, assignments: Iterable[str]) -> "BrokerConfig":
        """Settings from a TOML file, and over them `key=value` pairs. Raises InvalidSetting, OSError for the file."""
        values: dict[str, str] = {}
        if file is not None:
            try:
                values.update(_flatten(tomllib.loads(file.read_text())))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise InvalidSetting(f"{file} is not valid TOML: {error}") from None
        for assignment in assignments:
            name, found, value = assignment.partition("=")
            if not found:
                raise InvalidSetting(f"--set takes key=value, not {assignment!r}")
            values[name.strip()] = value.strip()
        return cls.of(values)

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "BrokerConfig":
        """Settings by Kafka's names; what is not given has its default. Raises InvalidSetting."""
        own = settings.table(cls)
        topic_defaults: dict[str, str] = {}
        fields: dict[str, Any] = {}
        storage: dict[str, Any] = {}
        given = _convert_units(values)
        for name, value in given.items():
            if name in own:
                fields[own[name].field] = own[name].setting.parse(name, value)
            elif name in _STORAGE:
                field, setting = _STORAGE[name]
                storage[field] = setting.parse(name, value)
            if name in _TOPIC_SYNONYMS:
                topic_defaults[_TOPIC_SYNONYMS[name]] = value
            elif name not in own and name not in _STORAGE:
                raise InvalidSetting(settings.unknown(name, known_names()))
        try:
            log_defaults = LogConfig.parse(topic_defaults)
        except KafkaError as error:
            raise InvalidSetting(error.message) from None
        config = cls(**fields, log_defaults=log_defaults, log_manager=LogManagerConfig(**storage), given=given)
        config._check()
        return config

    def shown(self) -> Iterator[tuple[str, str | None, ConfigType, str]]:
        """Every setting in force: name, value as text, type, documentation."""
        for declared in settings.table(BrokerConfig).values():
            value = getattr(self, declared.field)
            yield declared.name, settings.text(value), declared.setting.kind, declared.setting.doc
        for option in OPTIONS.values():
            yield option.synonym, self.log_defaults.text(option.name), option.type, option.documentation
        for name, (field, setting) in _STORAGE.items():
            yield name, settings.text(getattr(self.log_manager, field)), setting.kind, setting.doc

    def _check(self) -> None:
        listener = Address.parse("listeners", self.listeners)
        if listener.host in _EVERY_ADDRESS and self.advertised_listeners is None:
            raise InvalidSetting(
                f"listeners is {listener}, all interfaces, so advertised.listeners must say where clients connect"
            )
        if self.advertised_listeners is not None:
            advertised = Address.parse("advertised.listeners", self.advertised_listeners)
            if advertised.host in _EVERY_ADDRESS:
                raise InvalidSetting(
                    f"advertised.listeners is {advertised}, to which no client can connect; give this host's address"
                )
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


# What a listener on all interfaces is called.
_EVERY_ADDRESS = ("", "0.0.0.0", "::")

_TOPIC_SYNONYMS = {option.synonym: option.name for option in OPTIONS.values()}
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
        Setting(LONG, "How often the recovery points are written down.", minimum=1),
    ),
    "log.flush.start.offset.checkpoint.interval.ms": (
        "flush_start_offset_checkpoint_interval_ms",
        Setting(LONG, "How often the log start offsets are written down.", minimum=1),
    ),
    "producer.id.expiration.ms": (
        "producer_id_expiration_ms",
        Setting(LONG, "How long a partition remembers a producer that has gone silent.", minimum=1),
    ),
    "producer.id.expiration.check.interval.ms": (
        "producer_id_expiration_check_interval_ms",
        Setting(LONG, "How often silent producers are looked for.", minimum=1),
    ),
}
_UNITS = {
    "log.retention.hours": ("log.retention.ms", 3_600_000),
    "log.retention.minutes": ("log.retention.ms", 60_000),
    "log.roll.hours": ("log.roll.ms", 3_600_000),
    "log.roll.jitter.hours": ("log.roll.jitter.ms", 3_600_000),
}


def known_names() -> list[str]:
    """Every setting that `BrokerConfig.of` takes."""
    return sorted({*settings.table(BrokerConfig), *_TOPIC_SYNONYMS, *_STORAGE, *_UNITS})


def _convert_units(values: Mapping[str, str]) -> dict[str, str]:
    """Settings in hours and minutes as the ones in milliseconds that they stand for; the finest unit wins."""
    converted: dict[str, str] = {}
    for name, (target, factor) in _UNITS.items():
        if name in values:
            whole = Setting(INT, "").parse(name, values[name])
            assert isinstance(whole, int)
            converted[target] = str(whole * factor if whole > 0 else whole)
    return converted | {name: value for name, value in values.items() if name not in _UNITS}


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """TOML reads `num.partitions = 3` as a table in a table; this gives the dotted name back."""
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{name}.")
        elif isinstance(value, list):
            yield name, ",".join(map(str, value))
        else:
            yield name, settings.text(value) or ""
