"""The settings of a log: Kafka's topic configs that concern the storage, with Kafka's names, defaults and bounds.

`LogConfig` is what the log reads; `OPTIONS` describes every setting for whoever lists, documents or validates them;
`LogConfig.parse` turns the strings of a CreateTopics or AlterConfigs request into one. `LogManagerConfig` holds the
broker-wide settings. Names and defaults: https://kafka.apache.org/documentation/#topicconfigs (Apache Kafka 4.3).
"""

import dataclasses
import difflib
import enum
from collections.abc import Callable, Mapping
from typing import Any, Final

from ottla_wire.errors import ErrorCode, KafkaError

INT32_MAX: Final = 2**31 - 1
INT64_MAX: Final = 2**63 - 1


class ConfigType(enum.IntEnum):
    """The types that DescribeConfigs reports."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """One setting: its topic-level `name`, the broker-level `synonym` that gives its default, and what it does.

    `parse` turns a string into the value of `LogConfig.field` and raises ValueError with the reason otherwise.
    """

    name: str
    field: str
    type: ConfigType
    synonym: str
    parse: Callable[[str], Any]
    documentation: str


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text.strip())
        except ValueError:
            raise ValueError("not a whole number") from None
        if value < low:
            raise ValueError(f"must be at least {low}")
        if value > high:
            raise ValueError(f"must be at most {high}")
        return value

    return parse


def _fraction(text: str) -> float:
    try:
        value = float(text.strip())
    except ValueError:
        raise ValueError("not a number") from None
    if not 0.0 <= value <= 1.0:
        raise ValueError("must be between 0 and 1")
    return value


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in ("true", "false"):
        raise ValueError("must be true or false")
    return word == "true"


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.strip() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text.strip()

    return parse


def _cleanup_policy(text: str) -> frozenset[str]:
    policies = frozenset(word.strip() for word in text.split(",") if word.strip())
    if unknown := policies - {"compact", "delete"}:
        raise ValueError(f"must be a list of compact and delete, not {', '.join(sorted(unknown))}")
    return policies


def _gzip_level(text: str) -> int:
    value = _whole(-1, 9)(text)
    if value == 0:
        raise ValueError("must be -1 or between 1 and 9")
    return value


def _int(low: int) -> Callable[[str], int]:
    return _whole(low, INT32_MAX)


def _long(low: int) -> Callable[[str], int]:
    return _whole(low, INT64_MAX)


OPTIONS: Final[Mapping[str, Option]] = {
    name: Option(name, field, kind, synonym, parse, documentation)
    for name, field, kind, synonym, parse, documentation in (
        (
            "cleanup.policy",
            "cleanup_policy",
            ConfigType.LIST,
            "log.cleanup.policy",
            _cleanup_policy,
            "What happens to old segments: delete discards them by age and size, compact keeps the last value of each "
            "key; both may be given. An empty list keeps everything.",
        ),
        (
            "compression.gzip.level",
            "compression_gzip_level",
            ConfigType.INT,
            "compression.gzip.level",
            _gzip_level,
            "The level at which batches are stored with compression.type gzip, from 1 to 9; -1 is gzip's own default.",
        ),
        (
            "compression.lz4.level",
            "compression_lz4_level",
            ConfigType.INT,
            "compression.lz4.level",
            _whole(1, 17),
            "The level at which batches are stored with compression.type lz4; 9 stands for its fast way.",
        ),
        (
            "compression.zstd.level",
            "compression_zstd_level",
            ConfigType.INT,
            "compression.zstd.level",
            _whole(-131_072, 22),
            "The level at which batches are stored with compression.type zstd.",
        ),
        (
            "compression.type",
            "compression_type",
            ConfigType.STRING,
            "compression.type",
            _one_of("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
            "The compression of stored batches; producer keeps what the producer chose.",
        ),
        (
            "delete.retention.ms",
            "delete_retention_ms",
            ConfigType.LONG,
            "log.cleaner.delete.retention.ms",
            _long(0),
            "How long a compacted topic keeps delete markers and transaction markers after they were first cleaned.",
        ),
        (
            "file.delete.delay.ms",
            "file_delete_delay_ms",
            ConfigType.LONG,
            "log.segment.delete.delay.ms",
            _long(0),
            "How long a file that is no longer part of the log stays on disk.",
        ),
        (
            "flush.messages",
            "flush_messages",
            ConfigType.LONG,
            "log.flush.interval.messages",
            _long(1),
            "The number of appended messages after which the log is forced to disk before it acknowledges.",
        ),
        (
            "flush.ms",
            "flush_ms",
            ConfigType.LONG,
            "log.flush.interval.ms",
            _long(0),
            "The time after which appended messages are forced to disk.",
        ),
        (
            "index.interval.bytes",
            "index_interval_bytes",
            ConfigType.INT,
            "log.index.interval.bytes",
            _int(0),
            "The distance in bytes between two entries of the offset index.",
        ),
        (
            "max.compaction.lag.ms",
            "max_compaction_lag_ms",
            ConfigType.LONG,
            "log.cleaner.max.compaction.lag.ms",
            _long(1),
            "The longest time that a message stays uncompacted in a compacted topic.",
        ),
        (
            "max.message.bytes",
            "max_message_bytes",
            ConfigType.INT,
            "message.max.bytes",
            _int(0),
            "The largest record batch, after compression, that the log takes.",
        ),
        (
            "message.timestamp.after.max.ms",
            "message_timestamp_after_max_ms",
            ConfigType.LONG,
            "log.message.timestamp.after.max.ms",
            _long(0),
            "How far a message's timestamp may lie after the broker's clock; only with CreateTime.",
        ),
        (
            "message.timestamp.before.max.ms",
            "message_timestamp_before_max_ms",
            ConfigType.LONG,
            "log.message.timestamp.before.max.ms",
            _long(0),
            "How far a message's timestamp may lie before the broker's clock; only with CreateTime.",
        ),
        (
            "message.timestamp.type",
            "message_timestamp_type",
            ConfigType.STRING,
            "log.message.timestamp.type",
            _one_of("CreateTime", "LogAppendTime"),
            "Whether a message's timestamp is the time its producer gave or the time of its append.",
        ),
        (
            "min.cleanable.dirty.ratio",
            "min_cleanable_dirty_ratio",
            ConfigType.DOUBLE,
            "log.cleaner.min.cleanable.ratio",
            _fraction,
            "The uncompacted share of a compacted log from which it is compacted.",
        ),
        (
            "min.compaction.lag.ms",
            "min_compaction_lag_ms",
            ConfigType.LONG,
            "log.cleaner.min.compaction.lag.ms",
            _long(0),
            "The shortest time that a message stays uncompacted in a compacted topic.",
        ),
        (
            "min.insync.replicas",
            "min_insync_replicas",
            ConfigType.INT,
            "min.insync.replicas",
            _int(1),
            "The number of in-sync replicas without which a write with acks=all is refused.",
        ),
        (
            "preallocate",
            "preallocate",
            ConfigType.BOOLEAN,
            "log.preallocate",
            _boolean,
            "Whether a new segment reserves its disk space at once.",
        ),
        (
            "retention.bytes",
            "retention_bytes",
            ConfigType.LONG,
            "log.retention.bytes",
            _long(-1),
            "The size of a partition from which its oldest segments are discarded; -1 is no limit.",
        ),
        (
            "retention.ms",
            "retention_ms",
            ConfigType.LONG,
            "log.retention.ms",
            _long(-1),
            "The age from which segments are discarded; -1 is no limit.",
        ),
        (
            "segment.bytes",
            "segment_bytes",
            ConfigType.INT,
            "log.segment.bytes",
            _int(1024 * 1024),
            "The size at which a new segment is begun.",
        ),
        (
            "segment.index.bytes",
            "segment_index_bytes",
            ConfigType.INT,
            "log.index.size.max.bytes",
            _int(4),
            "The size of an index at which a new segment is begun.",
        ),
        (
            "segment.jitter.ms",
            "segment_jitter_ms",
            ConfigType.LONG,
            "log.roll.jitter.ms",
            _long(0),
            "The most by which segment.ms is shortened, so that not all partitions begin a segment at once.",
        ),
        (
            "segment.ms",
            "segment_ms",
            ConfigType.LONG,
            "log.roll.ms",
            _long(1),
            "The age at which a new segment is begun, even if the old one is not full.",
        ),
        (
            "unclean.leader.election.enable",
            "unclean_leader_election_enable",
            ConfigType.BOOLEAN,
            "unclean.leader.election.enable",
            _boolean,
            "Whether a replica that is not in sync may become leader when no other is left.",
        ),
    )
}


@dataclasses.dataclass(frozen=True, slots=True)
class LogConfig:
    """The settings of one log. Times in milliseconds, sizes in bytes; -1 in `retention_*` means no limit."""

    cleanup_policy: frozenset[str] = frozenset({"delete"})
    compression_gzip_level: int = -1
    compression_lz4_level: int = 9
    compression_zstd_level: int = 3
    compression_type: str = "producer"
    delete_retention_ms: int = 86_400_000
    file_delete_delay_ms: int = 60_000
    flush_messages: int = INT64_MAX
    flush_ms: int = INT64_MAX
    index_interval_bytes: int = 4096
    max_compaction_lag_ms: int = INT64_MAX
    max_message_bytes: int = 1_048_588
    message_timestamp_after_max_ms: int = 3_600_000
    message_timestamp_before_max_ms: int = INT64_MAX
    message_timestamp_type: str = "CreateTime"
    min_cleanable_dirty_ratio: float = 0.5
    min_compaction_lag_ms: int = 0
    min_insync_replicas: int = 1
    preallocate: bool = False
    retention_bytes: int = -1
    retention_ms: int = 604_800_000
    segment_bytes: int = 1_073_741_824
    segment_index_bytes: int = 10_485_760
    segment_jitter_ms: int = 0
    segment_ms: int = 604_800_000
    unclean_leader_election_enable: bool = False

    # What follows from these. `longest_segment_ms` is the age at which a new segment is begun: no more than a compacted
    # log's lag, because its active segment cannot be compacted.
    compact: bool = dataclasses.field(init=False)
    delete: bool = dataclasses.field(init=False)
    reads_records: bool = dataclasses.field(init=False)  # of every batch that is produced
    longest_segment_ms: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        compact = "compact" in self.cleanup_policy
        longest_ms = min(self.segment_ms, self.max_compaction_lag_ms) if compact else self.segment_ms
        object.__setattr__(self, "compact", compact)
        object.__setattr__(self, "delete", "delete" in self.cleanup_policy)
        object.__setattr__(self, "reads_records", compact or self.compression_type != "producer")
        object.__setattr__(self, "longest_segment_ms", longest_ms)

    @classmethod
    def parse(cls, overrides: Mapping[str, str], defaults: "LogConfig | None" = None) -> "LogConfig":
        """`defaults` with the settings of `overrides` in place of its own.

        Raises KafkaError(INVALID_CONFIG) that names the setting if it is unknown, malformed or contradicts another.
        """
        values: dict[str, Any] = {}
        for name, text in overrides.items():
            option = OPTIONS.get(name)
            if option is None:
                near = difflib.get_close_matches(name, OPTIONS, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise KafkaError(ErrorCode.INVALID_CONFIG, f"Unknown topic config name: {name}{hint}")
            try:
                values[option.field] = option.parse(text)
            except ValueError as error:
                raise KafkaError(
                    ErrorCode.INVALID_CONFIG, f"Invalid value {text} for configuration {name}: {error}"
                ) from None
        config = dataclasses.replace(defaults or cls(), **values)
        if config.min_compaction_lag_ms > config.max_compaction_lag_ms:
            raise KafkaError(
                ErrorCode.INVALID_CONFIG,
                f"min.compaction.lag.ms ({config.min_compaction_lag_ms}) must not be greater than "
                f"max.compaction.lag.ms ({config.max_compaction_lag_ms})",
            )
        return config

    def text(self, name: str) -> str:
        """The value of the setting `name` as DescribeConfigs shows it."""
        value = getattr(self, OPTIONS[name].field)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, frozenset):
            return ",".join(sorted(value))
        return str(value)


@dataclasses.dataclass(frozen=True, slots=True)
class LogManagerConfig:
    """The broker-wide settings of the storage, each named after Kafka's (`log.` and the dots left out).

    Kafka's default for `flush_scheduler_interval_ms` is never, which leaves a topic's flush.ms without effect; here
    it acts.
    """

    retention_check_interval_ms: int = 300_000
    flush_scheduler_interval_ms: int = 1_000
    flush_offset_checkpoint_interval_ms: int = 60_000
    flush_start_offset_checkpoint_interval_ms: int = 60_000
    cleaner_enable: bool = True
    cleaner_backoff_ms: int = 15_000
    cleaner_dedupe_buffer_size: int = 134_217_728
    cleaner_io_max_bytes_per_second: float = 1.7976931348623157e308
    producer_id_expiration_ms: int = 86_400_000
    producer_id_expiration_check_interval_ms: int = 600_000
    recovery_threads: int = 2
