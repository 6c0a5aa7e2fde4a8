"""Where settings come from: a TOML file, and `key=value` pairs over it."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ottla_broker import settings
from ottla_broker.config import BrokerConfig
from ottla_broker.errors import InvalidSetting


def load_config(file: Path | None, assignments: Iterable[str]) -> BrokerConfig:
    """The settings of a file, and over them `key=value` pairs. Raises InvalidSetting, and OSError for the file."""
    values: dict[str, str] = {}
    if file is not None:
        import tomllib  # most brokers start without a file

        try:
            values.update(_flatten(tomllib.loads(file.read_text())))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidSetting(f"{file} is not valid TOML: {error}") from None
    for assignment in assignments:
        name, found, value = assignment.partition("=")
        if not found:
            raise InvalidSetting(f"--set takes key=value, not {assignment!r}")
        values[name.strip()] = value.strip()
    return BrokerConfig.of(values)


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
