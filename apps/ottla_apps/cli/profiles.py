"""Profiles: named brokers in a file of the user's, and which brokers a command means.

The file, `profiles.toml`, lies in `$XDG_CONFIG_HOME/ottla`, by default `~/.config/ottla`:

    current = "staging"

    [profiles.staging]
    brokers = "10.0.0.7:9092,10.0.0.8:9092"

It is rewritten whole, by way of a temporary file, so that a crash leaves the old one or the new one.
"""

import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ottla_apps.cli.errors import BadArgument, CommandError

DEFAULT_BROKERS = "127.0.0.1:9092"
DEFAULT_PORT = 9092
BROKERS_VARIABLE = "OTTLA_BROKERS"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")

Address = tuple[str, int]


@dataclass
class Profiles:
    """What the file holds: brokers by the profile's name, and the name of the one in use."""

    brokers: dict[str, str] = field(default_factory=dict)
    current: str | None = None

    def find(self, name: str) -> str:
        """The brokers of a profile. Raises BadArgument."""
        if name not in self.brokers:
            known = ", ".join(sorted(self.brokers)) or "none"
            raise BadArgument(f"There is no profile {name!r}; there are: {known}.")
        return self.brokers[name]


def profiles_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the profiles lie."""
    home = environment.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "ottla" / "profiles.toml"


def load(path: Path) -> Profiles:
    """Read the file; no profiles where there is none. Raises CommandError for one that is not as it should be."""
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return Profiles()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} is no TOML file: {error}") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    tables, current = content.get("profiles", {}), content.get("current")
    if not isinstance(tables, dict) or not isinstance(current, str | None) or content.keys() - {"profiles", "current"}:
        raise CommandError(f"{path} must hold `current` and tables [profiles.NAME], nothing else.")
    profiles = Profiles(current=current)
    for name, table in tables.items():
        brokers = table.get("brokers") if isinstance(table, dict) else None
        if not isinstance(brokers, str) or len(table) != 1:
            raise CommandError(f"{path}: the profile {name!r} must hold `brokers`, a text, and nothing else.")
        parse_brokers(brokers)
        profiles.brokers[check_name(name)] = brokers
    return profiles


def save(path: Path, profiles: Profiles) -> None:
    """Replace the file. Raises CommandError."""
    # Names and addresses have been checked: nothing in them needs an escape in TOML.
    lines = [f'current = "{profiles.current}"\n'] if profiles.current else []
    lines += [f'\n[profiles.{name}]\nbrokers = "{brokers}"\n' for name, brokers in sorted(profiles.brokers.items())]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as file:
            file.write("".join(lines).lstrip("\n"))
        os.replace(file.name, path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None


def check_name(name: str) -> str:
    """The name of a profile, if it may be one. Raises BadArgument."""
    if not _NAME.fullmatch(name):
        raise BadArgument(f"{name!r} is no name for a profile: use letters, digits, - and _.")
    return name


def parse_brokers(text: str) -> list[Address]:
    """Read `HOST[:PORT],...`; an IPv6 address stands in brackets. Raises BadArgument."""
    addresses = []
    for part in text.split(","):
        match = _ADDRESS.fullmatch(part.strip())
        port = int(match["port"] or DEFAULT_PORT) if match else 0
        if match is None or not 1 <= port <= 65535:
            raise BadArgument(f"{part!r} is no address of a broker: write HOST:PORT, several with commas.")
        addresses.append((match["v6"] or match["host"], port))
    return addresses


def resolve_brokers(brokers: str | None, profile: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Which brokers a command means. What is on the command line wins, then OTTLA_BROKERS, then the profile in use.

    Raises BadArgument for an unknown profile, CommandError for a file that cannot be read.
    """
    if brokers:
        return brokers
    if profile is None and (named := environment.get(BROKERS_VARIABLE)):
        return named
    profiles = load(profiles_file(environment))
    name = profile or profiles.current
    return profiles.find(name) if name else DEFAULT_BROKERS
