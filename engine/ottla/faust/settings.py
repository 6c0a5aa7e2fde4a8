"""The options of a Faust app: those that say something to Ottla, those that need not be said, those that cannot be
had."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ottla.errors import ConfigError
from ottla.faust.auth import options_of
from ottla.time import duration_ms
from ottla.topic import Start

NOT_NEEDED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "aerospike_retries_on_exception",
            "aerospike_sleep_seconds_between_retries_on_exception",
            "crash_app_on_aerospike_exception",
            "store_check_exists",
        ),
        "of stores that are not here",
    ),
    "agent_supervisor": "an agent that raises begins anew with the next event",
    "beacon": "of Faust's services",
    "blocking_timeout": "what holds the event loop is named in the log",
    "broker_api_version": "librdkafka asks the broker",
    "broker_check_crcs": "always checked",
    "broker_client_id": "made of the app's id",
    "broker_commit_every": "commits go by time",
    "broker_commit_livelock_soft_timeout": "commits cannot livelock",
    "broker_consumer": "there is one client library",
    "broker_heartbeat_interval": "follows the session timeout",
    "broker_max_poll_interval": "polls do not wait for agents",
    "broker_max_poll_records": "as many are polled as are processed in half a commit interval",
    "broker_producer": "there is one client library",
    "broker_rebalance_timeout": "workers go on while others come and go",
    "broker_request_timeout": "librdkafka's",
    "broker_session_timeout": "ten seconds",
    "consumer_api_version": "librdkafka asks the broker",
    "consumer_connections_max_idle_ms": "librdkafka's",
    "consumer_max_fetch_size": "librdkafka's",
    "consumer_metadata_max_age_ms": "librdkafka's",
    "consumer_group_instance_id": "made of the worker's place in the state directory",
    "cython_optimizations": "there is nothing to choose",
    "debug": "use --loglevel debug",
    "env_prefix": "it was there for the environment's variables",
    "loop": "whoever runs the app has an event loop of its own",
    "producer_acks": "all",
    "producer_api_version": "librdkafka asks the broker",
    "producer_connections_max_idle_ms": "librdkafka's",
    "producer_metadata_max_age_ms": "librdkafka's",
    "producer_request_timeout": "librdkafka's",
    "producer_max_batch_size": "a megabyte",
    "producer_threaded": "librdkafka has threads of its own",
    "recovery_consistency_check": "always checked",
    "reply_create_topic": "created when something is asked",
    "reply_expires": "an hour",
    "reply_to": "answers come through the topic APP-replies",
    "reply_to_prefix": "answers come through the topic APP-replies",
    "stream_ack_cancelled_tasks": "a stop takes back what is not done",
    "stream_ack_exceptions": "an event that fails is a dead letter",
    "stream_buffer_maxsize": "no queue stands between the broker and an agent",
    "stream_processing_timeout": "a task that is held up is named in the log",
    "stream_publish_on_commit": "what is sent always commits with the offsets",
    "stream_recovery_delay": "recovery does not wait",
    "stream_wait_empty": "a stop commits what is done",
    "table_key_index_size": "windows have an index in the store",
    "tabledir": "part of the state directory",
    "topic_disable_leader": "the leader's topic is made when something needs it",
    "topic_replication_factor": "the cluster's default",
    "web": "the web server is Ottla's own",
    "web_application_options": "the web server is Ottla's own",
    "web_graph_enabled": "Ottla's pages are always there",
    "web_metrics_enabled": "Ottla's pages are always there",
    "web_router_enabled": "Ottla's pages are always there",
    "web_stats_enabled": "Ottla's pages are always there",
    "web_tables_enabled": "Ottla's pages are always there",
    "web_in_thread": "the web server is Ottla's own",
    "web_transport": "the web server is Ottla's own",
    "worker_redirect_stdouts": "stdout stays stdout",
    "worker_redirect_stdouts_level": "stdout stays stdout",
}
"""Options that are taken and change nothing, each with the reason."""

REFUSED: Mapping[str, str] = {
    "config_source": "give the options to faust.App(), or to app.config_from_object()",
    "producer_partitioner": "keys are partitioned by murmur2, as Java's clients and Faust's default do",
    "cache": "answers are kept in memory: set app.cache to a backend of your own, with async get, set and delete",
    "web_ssl_context": "HTTPS is spoken by a proxy before the workers",
    **dict.fromkeys(
        (
            "Agent",
            "ConsumerScheduler",
            "Event",
            "GlobalTable",
            "HttpClient",
            "LeaderAssignor",
            "PartitionAssignor",
            "Router",
            "Schema",
            "Serializers",
            "SetGlobalTable",
            "SetTable",
            "Stream",
            "Table",
            "TableManager",
            "Topic",
            "Worker",
        ),
        "it is a class of Faust's inside, in whose place Ottla has its own",
    ),
}
"""Options that would change something here, and what to do instead."""


@dataclass
class Settings:
    """`app.conf`: the options, as far as they mean something."""

    id: str
    broker: str = "kafka://localhost:9092"
    store: str = "memory"
    datadir: Path = Path(".ottla")
    version: int = 1
    processing_guarantee: str = "exactly_once"
    broker_commit_interval: float = 0.1
    key_serializer: Any = "raw"
    value_serializer: Any = "json"
    topic_allow_declare: bool = True
    topic_partitions: int = 8
    table_cleanup_interval: Any = 30.0
    table_standby_replicas: int = 0
    timezone: tzinfo | None = None
    autodiscover: Any = False
    web_enabled: bool = True
    web_cors_options: Mapping[str, Any] | None = None
    web_bind: str = "0.0.0.0"
    web_port: int = 6066
    web_host: str = ""
    broker_options: Mapping[str, Any] = field(default_factory=dict)
    broker_credentials: Any = None
    ssl_context: ssl.SSLContext | None = None
    canonical_url: str = ""
    consumer_auto_offset_reset: Start = "earliest"
    id_format: str = "{id}-v{self.version}"
    logging_config: Mapping[str, Any] | None = None
    loghandlers: Sequence[logging.Handler] = ()
    origin: str | None = None
    producer_compression_type: str | None = None
    producer_linger: float | timedelta | None = None
    producer_linger_ms: float | None = None
    producer_max_request_size: int | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        """Takes an option after the app was made, as Faust does: `app.conf.broker = ...`."""
        check_option(name)
        super().__setattr__("broker" if name == "url" else name, value)

    def __getattr__(self, name: str) -> Any:
        """The topic of answers. Raises `ConfigError` for an option that changes nothing, and was not given."""
        if name == "reply_to":
            return f"{self.app_id}-replies"
        if name == "Monitor":
            raise ConfigError("app.conf.Monitor is not part of Ottla's Faust facade: the monitor is app.monitor")
        if reason := NOT_NEEDED.get(name) or REFUSED.get(name):
            raise ConfigError(f"app.conf.{name} is not part of Ottla's Faust facade: {reason}")
        raise AttributeError(f"app.conf has no {name}")

    @property
    def url(self) -> str:
        """The broker, as Faust says it, too."""
        return self.broker

    @property
    def app_id(self) -> str:
        return self.id if self.version <= 1 else self.id_format.format(id=self.id, self=self)

    @property
    def web_listen(self) -> str | None:
        """Where pages are served, if they are."""
        return f"{self.web_bind}:{self.web_port}" if self.web_enabled else None

    def for_ottla(self) -> dict[str, Any]:
        """The options of the `ottla.App`."""
        return {
            "broker": self.broker,
            "store": self.store,
            "state_dir": self.datadir,
            "processing_guarantee": self.processing_guarantee,
            "commit_interval": timedelta(seconds=self.broker_commit_interval),
            "standbys": self.table_standby_replicas,
            "broker_options": {**self._client_options(), **self.broker_options} or None,
        }

    def _client_options(self) -> dict[str, str]:
        """What other options say of librdkafka's."""
        found: dict[str, str] = {}
        credentials = self.ssl_context if self.broker_credentials is None else self.broker_credentials
        if credentials is not None:
            found.update(options_of(credentials))
        if self.producer_compression_type is not None:
            found["compression.type"] = self.producer_compression_type
        if self.producer_max_request_size is not None:
            found["message.max.bytes"] = str(self.producer_max_request_size)
        if self.producer_linger is not None:
            found["linger.ms"] = str(duration_ms(self.producer_linger, "faust.App(producer_linger=)"))
        elif self.producer_linger_ms is not None:
            found["linger.ms"] = str(self.producer_linger_ms)
        return found


def settings(app_id: str, options: dict[str, Any]) -> Settings:
    """The options, checked. Raises `ConfigError` for one that is refused or unknown, with the reason."""
    if str(options.get("cache")).startswith("memory:"):
        options = {**options, "cache": None}
    named = {name: value for name, value in options.items() if value is not None}
    given = {name: value for name, value in named.items() if check_option(name)}
    if "id" in given:
        raise ConfigError("faust.App(id) has one id")
    if "url" in given:
        given["broker"] = given.pop("url")
    if given.get("consumer_auto_offset_reset", "earliest") not in ("earliest", "latest"):
        raise ConfigError("faust.App(consumer_auto_offset_reset=) is earliest or latest")
    if "broker" in given:
        given["broker"] = _broker(given["broker"])
    if "store" in given:
        given["store"] = _store(given["store"])
    if "datadir" in given:
        given["datadir"] = Path(given["datadir"])
    if isinstance(zone := given.get("timezone"), str):
        given["timezone"] = _zone(zone)
    if isinstance(interval := given.get("broker_commit_interval"), timedelta):
        given["broker_commit_interval"] = interval.total_seconds()
    found = Settings(app_id, **given)
    for name in named.keys() - {*Settings.__dataclass_fields__, "url"}:
        setattr(found, name, named[name])
    return found


def check_option(name: str) -> bool:
    """Whether an option says something. Raises `ConfigError` for one that is refused or unknown."""
    if name in REFUSED:
        raise ConfigError(f"faust.App({name}=...) has no meaning under Ottla: {REFUSED[name]}")
    if name not in Settings.__dataclass_fields__ and name not in NOT_NEEDED and name != "url":
        raise ConfigError(f"faust.App({name}=...) is not known; see docs/from-faust.md for the options")
    return name not in NOT_NEEDED


def _broker(given: Any) -> str:
    """`kafka://A:9092,B:9092` of what Faust takes: one URL or several, in a list or with semicolons between."""
    urls = [str(each) for each in given] if isinstance(given, (list, tuple)) else str(given).split(";")
    servers = []
    for url in urls:
        scheme, separator, rest = url.rpartition("://")
        if separator and scheme not in ("kafka", "aiokafka", "confluent"):
            if scheme == "embedded" and len(urls) == 1:
                return url
            raise ConfigError(f"faust.App(broker={given!r}): {scheme}:// is not known; it is kafka://HOST:PORT")
        servers += [each if ":" in each else f"{each}:9092" for each in rest.rstrip("/").split(",")]
    return f"kafka://{','.join(servers)}"


def _zone(given: str) -> tzinfo:
    try:
        return ZoneInfo(given)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f"faust.App(timezone={given!r}) is not known") from error


def _store(given: Any) -> str:
    kind = str(given).partition(":")[0]
    if kind not in ("memory", "rocksdb"):
        raise ConfigError(f"faust.App(store={given!r}) is not known; it is memory:// or rocksdb://")
    return kind
