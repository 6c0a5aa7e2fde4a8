"""The options of an app, checked: what a worker goes by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ottla.cluster.placement import Copying
from ottla.deadletters import ErrorPolicy
from ottla.errors import ConfigError
from ottla.task.processor import MAX_RECORD_BYTES
from ottla.transport.kafka_settings import BrokerOptions, checked_options

ProcessingGuarantee = Literal["exactly_once", "at_least_once"]
StoreKind = Literal["rocksdb", "memory"]
OnLostRecords = Literal["continue", "fail"]


_APP_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}")

_MOST_TAGS, _LONGEST_TAG, _LONGEST_TAG_VALUE = 5, 20, 30
"""As in Kafka Streams (KIP-708)."""


@dataclass(frozen=True, slots=True)
class AppConfig:
    """The options of an app, checked. `broker` is `kafka://HOST:PORT[,HOST:PORT]` or `embedded://DIR`."""

    app_id: str
    broker: str = "kafka://127.0.0.1:9092"
    processing_guarantee: ProcessingGuarantee = "exactly_once"
    state_dir: Path = Path(".ottla")
    store: StoreKind = "rocksdb"
    commit_interval_ms: int = 100
    errors: ErrorPolicy = field(default_factory=ErrorPolicy)
    broker_options: BrokerOptions = field(default_factory=dict)
    standbys: int = 0
    acceptable_recovery_lag: int = 10_000
    max_warmup_replicas: int = 2
    tags: Mapping[str, str] = field(default_factory=dict)
    state_cache_bytes: int = 48_000_000
    broker_wait_ms: int = 60_000
    on_lost_records: OnLostRecords = "continue"
    max_task_idle_ms: int = 0
    web: str | None = None
    web_auth: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not _APP_ID.fullmatch(self.app_id):
            raise ConfigError(
                f"{self.app_id!r} cannot be an app's id: it begins topic names, so at most 100 letters, digits, dots, "
                "dashes and underscores"
            )
        if not str(self.broker).startswith(("kafka://", "embedded://")):
            raise ConfigError(f"broker={self.broker!r} must be kafka://HOST:PORT or embedded://DIR")
        _one_of("processing_guarantee", self.processing_guarantee, ("exactly_once", "at_least_once"))
        _one_of("store", self.store, ("rocksdb", "memory"))
        _one_of("on_lost_records", self.on_lost_records, ("continue", "fail"))
        if self.commit_interval_ms < 1:
            raise ConfigError("commit_interval must be at least a millisecond")
        checked_options(self.broker_options)
        _at_least(0, "standbys", self.standbys)
        _at_least(0, "acceptable_recovery_lag", self.acceptable_recovery_lag)
        _at_least(1, "max_warmup_replicas", self.max_warmup_replicas)
        _at_least(0, "state_cache_bytes", self.state_cache_bytes)
        if len(self.tags) > _MOST_TAGS or any(
            not 0 < len(name) <= _LONGEST_TAG or not 0 < len(value) <= _LONGEST_TAG_VALUE
            for name, value in self.tags.items()
        ):
            raise ConfigError(
                f"tags={self.tags!r} must be at most {_MOST_TAGS}, with names of 1 to {_LONGEST_TAG} characters and "
                f"values of 1 to {_LONGEST_TAG_VALUE}"
            )
        if self.broker_wait_ms < 0:
            raise ConfigError("broker_wait must be 0 or more")
        if self.max_task_idle_ms < 0:
            raise ConfigError("max_task_idle must be 0 or more")
        if self.web_auth is not None:
            user, _, password = self.web_auth.partition(":")
            if not user or not password:
                raise ConfigError("web_auth= must be USER:PASSWORD; it has no user, or no password")

    @property
    def copying(self) -> Copying:
        """How the state of its tasks is copied."""
        return Copying(self.standbys, self.acceptable_recovery_lag, self.max_warmup_replicas)

    @property
    def max_record_bytes(self) -> int:
        """How large a record may be that the app writes."""
        return int(self.broker_options.get("message.max.bytes", MAX_RECORD_BYTES))

    @property
    def dead_letter_topic(self) -> str:
        return f"{self.app_id}-dead-letter"


def _at_least(least: int, option: str, value: object) -> None:
    if not isinstance(value, int) or value < least:
        raise ConfigError(f"{option}={value!r} must be a whole number, {least} or more")


def _one_of(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigError(f"{option}={value!r} is unknown; it is one of {', '.join(map(repr, known))}")
