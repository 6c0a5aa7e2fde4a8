"""Topic settings from strings: defaults, bounds, and errors that name the setting."""

import dataclasses

import pytest

from ottla_broker.log.config import OPTIONS, LogConfig
from ottla_wire.errors import ErrorCode, KafkaError


def test_every_setting_is_an_option_and_the_reverse() -> None:
    fields = {field.name for field in dataclasses.fields(LogConfig) if field.init}
    assert {option.field for option in OPTIONS.values()} == fields
    assert all(option.name.replace(".", "_") == option.field for option in OPTIONS.values())


@pytest.mark.parametrize("name", OPTIONS)
def test_the_text_of_a_value_parses_to_the_value(name: str) -> None:
    default = LogConfig()
    assert LogConfig.parse({name: default.text(name)}) == default


def test_settings_override_the_defaults_they_are_given() -> None:
    defaults = LogConfig.parse({"retention.ms": "1000", "segment.bytes": "2000000"})
    config = LogConfig.parse({"retention.ms": "-1", "cleanup.policy": "compact, delete"}, defaults)
    assert (config.retention_ms, config.segment_bytes) == (-1, 2_000_000)
    assert config.compact
    assert config.delete


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("retention.mz", "1", "Unknown topic config name: retention.mz; did you mean retention.ms"),
        ("flubber", "1", "Unknown topic config name: flubber"),
        ("retention.ms", "soon", "Invalid value soon for configuration retention.ms: not a whole number"),
        ("retention.ms", "-2", "must be at least -1"),
        ("segment.bytes", "1048575", "must be at least 1048576"),
        ("segment.bytes", str(2**31), "must be at most 2147483647"),
        ("cleanup.policy", "compact,archive", "not archive"),
        ("compression.type", "brotli", "must be one of uncompressed"),
        ("compression.gzip.level", "0", "must be -1 or between 1 and 9"),
        ("compression.gzip.level", "10", "must be at most 9"),
        ("compression.lz4.level", "0", "must be at least 1"),
        ("compression.zstd.level", "23", "must be at most 22"),
        ("preallocate", "yes", "must be true or false"),
        ("min.cleanable.dirty.ratio", "1.1", "must be between 0 and 1"),
        ("min.cleanable.dirty.ratio", "nan", "must be between 0 and 1"),
        ("message.timestamp.type", "createtime", "must be one of CreateTime, LogAppendTime"),
    ],
)
def test_45_a_wrong_setting_is_refused_by_name(name: str, text: str, reason: str) -> None:
    with pytest.raises(KafkaError) as refusal:
        LogConfig.parse({name: text})
    assert refusal.value.code is ErrorCode.INVALID_CONFIG
    assert reason in refusal.value.message


def test_compaction_lags_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(KafkaError, match=r"min\.compaction\.lag\.ms"):
        LogConfig.parse({"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"})
