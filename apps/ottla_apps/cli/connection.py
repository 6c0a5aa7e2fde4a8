"""What a command reaches the cluster by.

    with connect(brokers, profile, timeout) as cluster:
        cluster.admin.create_topic(...)       # librdkafka's admin client, as plain values and our errors
        cluster.wire.request(...)             # requests that it has no call for
        cluster.client({"acks": "all"})       # the settings of a consumer or producer

`connect` has spoken to a broker when it returns, so that an address that is wrong is told at once.
"""

from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ottla_apps.cli.profiles import parse_brokers, resolve_brokers

if TYPE_CHECKING:
    from ottla_apps.cli.admin import Admin
    from ottla_apps.cli.wire_client import WireClient


def connect(brokers: str | None, profile: str | None, timeout_s: float) -> "Cluster":
    """Reach the brokers that the command line means. Raises Unreachable, BadArgument."""
    from ottla_apps.cli.wire_client import WireClient

    addresses = parse_brokers(resolve_brokers(brokers, profile))
    return Cluster(addresses, WireClient(addresses, timeout_s), timeout_s)


class Cluster:
    """A cluster that answers. A context manager: leaving it closes the connections."""

    def __init__(self, addresses: list[tuple[str, int]], wire: "WireClient", timeout_s: float) -> None:
        self.bootstrap = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in addresses)
        self.wire = wire
        self.timeout_s = timeout_s

    @cached_property
    def admin(self) -> "Admin":
        from ottla_apps.cli.admin import Admin

        return Admin(self.client({}), self.timeout_s)

    def client(self, settings: dict[str, Any]) -> dict[str, Any]:
        """librdkafka's settings for a client of this cluster. Errors come back from calls, so it need not log them."""
        return {
            "bootstrap.servers": self.bootstrap,
            "client.id": "ottla-cli",
            "allow.auto.create.topics": False,
            "log_level": 0,
            "socket.timeout.ms": max(1000, round(self.timeout_s * 1000)),
            **settings,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wire.close()
