"""What librdkafka is told: every setting of the Kafka transport in one place, and why it is set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ottla.errors import ConfigError

Settings = dict[str, Any]
"""librdkafka's configuration by name; values are str, int, float or bool."""

BrokerOptions = Mapping[str, str | int | float | bool]
"""Settings of librdkafka by name that a user adds: security and tuning."""

_OWN = frozenset(
    {
        "bootstrap.servers",
        "metadata.broker.list",
        "client.id",
        "allow.auto.create.topics",
        "metadata.recovery.strategy",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "group.remote.assignor",
        "partition.assignment.strategy",
        "isolation.level",
        "auto.offset.reset",
        "enable.partition.eof",
        "enable.auto.commit",
        "auto.commit.enable",
        "auto.commit.interval.ms",
        "enable.auto.offset.store",
        "transactional.id",
        "transaction.timeout.ms",
        "enable.idempotence",
        "enable.gapless.guarantee",
        "acks",
        "request.required.acks",
        "max.in.flight",
        "max.in.flight.requests.per.connection",
        "message.send.max.retries",
        "retries",
        "delivery.timeout.ms",
        "message.timeout.ms",
        "partitioner",
    }
)
"""What exactly once, restoring and the assignment of tasks rest on: not for a user to change."""


def checked_options(options: BrokerOptions) -> BrokerOptions:
    """The options, as they may be given to every client. Raises `ConfigError` for one that is Ottla's own to set."""
    for name, value in options.items():
        if name in _OWN:
            raise ConfigError(
                f"broker_options: {name!r} is set by Ottla, since its guarantees depend on it; leave it out"
            )
        if not isinstance(value, str | int | float):
            raise ConfigError(
                f"broker_options: {name!r} is {value!r}, of type {type(value).__name__}; "
                "librdkafka takes text, numbers and booleans"
            )
    return options


def bootstrap_servers(url: str) -> str:
    """The `bootstrap.servers` of a `kafka://HOST:PORT[,HOST:PORT...]` URL. Raises `ConfigError` for anything else."""
    scheme, separator, servers = url.rstrip("/").partition("://")
    if scheme != "kafka" or not separator:
        raise ConfigError(f'broker={url!r} is not understood; it is "kafka://HOST:PORT" or "embedded://DIRECTORY"')
    for server in servers.split(","):
        host, _, port = server.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ConfigError(f"broker={url!r}: {server!r} is not HOST:PORT")
    return servers


@dataclass(frozen=True)
class KafkaSettings:
    """How a worker meets its cluster.

    `options` are librdkafka's own settings by name (`checked_options`); they go to every client and win over ours.
    """

    bootstrap: str
    app_id: str
    worker_id: str
    exactly_once: bool = True
    transaction_timeout_ms: int = 60_000
    session_timeout_ms: int = 10_000
    connect_timeout_s: float = 5.0
    options: BrokerOptions = field(default_factory=dict)

    @property
    def transactional_id(self) -> str:
        """Stable across restarts, so that a worker fences at once what its dead self left open."""
        return f"{self.app_id}-{self.worker_id}"

    def admin(self) -> Settings:
        return {**self._common("admin"), **self.options}

    def consumer(self) -> Settings:
        return self._reading("consumer") | {
            "group.id": self.app_id,
            # An offset that is not there is an error, for which the worker looks (`Polled.missing`).
            "auto.offset.reset": "error",
            # A static member (KIP-345): a worker restarted within the session timeout gets its partitions back at once.
            "group.instance.id": self.worker_id,
            "session.timeout.ms": self.session_timeout_ms,
            "heartbeat.interval.ms": max(self.session_timeout_ms // 10, 100),
            # The group elects a leader, who assigns the tasks (`cluster/`). Nobody has to stop for that.
            "partition.assignment.strategy": "cooperative-sticky",
            **self.options,
        }

    def reader(self) -> Settings:
        """For reading outside the group. librdkafka demands a group id; nothing is ever committed under this one."""
        return self._reading("restore") | {
            "group.id": f"{self.app_id}-restore",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 10,
            **self.options,
        }

    def producer(self) -> Settings:
        settings = self._common("producer") | {
            "enable.idempotence": True,
            # As Java's clients, so that equal keys meet in one partition whoever writes them.
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 500_000,
            "queue.buffering.max.kbytes": 128 * 1024,
            # A record is delivered within its transaction's time or not at all.
            "delivery.timeout.ms": self.transaction_timeout_ms,
        }
        if self.exactly_once:
            settings["transactional.id"] = self.transactional_id
            settings["transaction.timeout.ms"] = self.transaction_timeout_ms
        return {**settings, **self.options}

    def _common(self, role: str) -> Settings:
        return {
            "bootstrap.servers": self.bootstrap,
            "client.id": f"{self.transactional_id}-{role}",
            "allow.auto.create.topics": False,
            "socket.nagle.disable": True,
            "reconnect.backoff.max.ms": 1_000,
            # When all brokers are away for a moment, as a single one is that restarts, the re-bootstrapping of KIP-1102
            # forgets the transaction coordinator, and a commit may hang (librdkafka 2.16; its issue 5511).
            "metadata.recovery.strategy": "none",
        }

    def _reading(self, role: str) -> Settings:
        return self._common(role) | {
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # The end of a partition is an event: task idling, bounded runs and restoring go by it. librdkafka tells it
            # when a fetch comes back empty, so a fetch must not wait for long.
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 100,
            # Bounds the prefetched messages of all partitions together, and looks often whether there is room again:
            # the default of one second starves a worker that empties its queue faster than that.
            "queued.max.messages.kbytes": 64 * 1024,
            # That counts payload alone, of which small messages have a fraction of what they take: 100,000 of each
            # partition, the default, were 150 MB. So many are enough for a tenth of a second at full speed.
            "queued.min.messages": 10_000,
            "fetch.queue.backoff.ms": 5,
            "fetch.message.max.bytes": 1024 * 1024,
        }
