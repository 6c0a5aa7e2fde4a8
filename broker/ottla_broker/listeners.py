"""Listeners: where a broker listens, under which names, and where clients are told to connect. Pure.

A client that comes in by a listener is sent to the addresses that all brokers advertise for that one (KIP-103), so that
clients within a network and those without can each be given an address that works for them.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ottla_broker.errors import InvalidSetting

PLAINTEXT = "PLAINTEXT"
# What a listener on all interfaces is called.
EVERY_ADDRESS = ("", "0.0.0.0", "::")

_NAME = re.compile(r"[A-Za-z0-9_-]+")


class Address(NamedTuple):
    """Where a listener listens, or where clients are told to connect."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, setting: str, text: str) -> "Address":
        """Read HOST:PORT or [V6]:PORT. Raises InvalidSetting that says which setting is wrong."""
        host, found, port = text.strip().rpartition(":")
        if not found or not port.isdecimal() or int(port) > 65535:
            raise InvalidSetting(f"Invalid value {text!r} for {setting}: expected HOST:PORT, such as 127.0.0.1:9092")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))


class Listener(NamedTuple):
    """An address with the name by which it goes."""

    name: str
    address: Address

    def __str__(self) -> str:
        return f"{self.name}://{self.address}"


def parse_listeners(setting: str, texts: Iterable[str]) -> tuple[Listener, ...]:
    """Read NAME://HOST:PORT, or HOST:PORT for the one called PLAINTEXT. Raises InvalidSetting."""
    listeners: dict[str, Listener] = {}
    for text in texts:
        name, found, rest = text.strip().rpartition("://")
        if found and not _NAME.fullmatch(name):
            raise InvalidSetting(f"Invalid value {text!r} for {setting}: expected NAME://HOST:PORT")
        listener = Listener(name.upper() if found else PLAINTEXT, Address.parse(setting, rest))
        if listener.name in listeners:
            raise InvalidSetting(f"{setting} has two listeners called {listener.name}; their names must differ")
        listeners[listener.name] = listener
    return tuple(listeners.values())


def parse_protocols(setting: str, texts: Iterable[str]) -> Mapping[str, str]:
    """Read NAME:PROTOCOL for each listener. Raises InvalidSetting."""
    protocols = {}
    for text in texts:
        name, found, protocol = text.partition(":")
        if not found or not _NAME.fullmatch(name.strip()):
            raise InvalidSetting(f"Invalid value {text!r} for {setting}: expected NAME:PROTOCOL")
        protocols[name.strip().upper()] = protocol.strip().upper()
    return protocols


def check_listeners(
    listeners: tuple[Listener, ...], advertised: tuple[Listener, ...], protocols: Mapping[str, str]
) -> None:
    """Raises InvalidSetting for listeners that cannot be served, or that no client could connect to."""
    if not listeners:
        raise InvalidSetting("listeners is empty; name at least one address, such as PLAINTEXT://localhost:9092")
    for listener in listeners:
        protocol = protocols.get(listener.name)
        if protocol is None:
            raise InvalidSetting(
                f"No security protocol is known for the listener {listener.name}; add {listener.name}:PLAINTEXT to "
                "listener.security.protocol.map"
            )
        if protocol != PLAINTEXT:
            raise InvalidSetting(
                f"The listener {listener} is to speak {protocol}; this version serves PLAINTEXT listeners only"
            )
    names = {listener.name for listener in listeners}
    for listener in advertised:
        if listener.name not in names:
            raise InvalidSetting(f"advertised.listeners has {listener.name}, which listeners does not have")
        if listener.address.host in EVERY_ADDRESS:
            raise InvalidSetting(
                f"advertised.listeners has {listener}, to which no client can connect; give this host's address"
            )
    told = {listener.name for listener in advertised}
    for listener in listeners:
        if listener.address.host in EVERY_ADDRESS and listener.name not in told:
            raise InvalidSetting(
                f"listeners has {listener}, all interfaces, so advertised.listeners must say where clients connect"
            )
