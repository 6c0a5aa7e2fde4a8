"""What Faust has and the facade has not: each name with the reason, and what to use instead.

Nothing of it fails as if it were a slip of the pen: asking for it raises `TopologyError` with that sentence, and so
does a class of an app's own that overrides what nobody would call. `python -m ottla.faust.missing` lists all of it, as
`docs/from-faust-names.md` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ottla.errors import TopologyError
from ottla.faust.missing.apps import AGENT, APP, COMMAND, FIELD, MODEL, VIEW, WEB, WORKER
from ottla.faust.missing.modules import ABSENT, MODULES
from ottla.faust.missing.sensors import MONITOR, SENSOR
from ottla.faust.missing.streams import CHANNEL, MESSAGE, SCHEMA, STREAM, TOPIC
from ottla.faust.missing.tables import TABLE, TABLE_OPTIONS, WINDOW_SET, WINDOWS

REFUSAL = "{} is not part of Ottla's Faust facade: {}"

NAMES: Mapping[str, Mapping[str, str]] = {
    "app": APP,
    "agent": AGENT,
    "stream": STREAM,
    "topic": TOPIC,
    "channel": CHANNEL,
    "message": MESSAGE,
    "schema": SCHEMA,
    "table": TABLE,
    "windowed table": WINDOWS,
    "windows of a key": WINDOW_SET,
    "sensor": SENSOR,
    "monitor": MONITOR,
    "model": MODEL,
    "field": FIELD,
    "web": WEB,
    "view": VIEW,
    "worker": WORKER,
    "command": COMMAND,
    **MODULES,
}
"""All names, by what has them in Faust."""


class Lacking:
    """What stands for a thing of Faust's. `_lacks` are the names that it has not, `_called` what to call it."""

    __slots__ = ()
    _lacks: ClassVar[Mapping[str, str]]
    _called: ClassVar[str]

    def __init_subclass__(cls, **details: Any) -> None:
        """Raises `TopologyError` for a class of an app's own that overrides what is not there."""
        super().__init_subclass__(**details)
        if not cls.__module__.startswith("ottla."):
            for name in filter(_is_hook, vars(cls).keys() & cls._lacks.keys()):
                raise TopologyError(
                    f"{cls.__name__}.{name} would never be called: {refusal(cls._called, name, cls._lacks)}"
                )

    def __getattr__(self, name: str) -> Any:
        if name in self._lacks:
            raise TopologyError(refusal(self._called, name, self._lacks))
        raise AttributeError(f"Ottla's Faust facade has no {self._called}.{name}")


def _is_hook(name: str) -> bool:
    """Whether Faust would call a method of that name."""
    return name.startswith(("on_", "track_", "loads_", "dumps_", "compile", "decode"))


def refusal(called: str, name: str, lacks: Mapping[str, str]) -> str:
    """The sentence for a name that is not there."""
    return REFUSAL.format(f"{called}.{name}", lacks[name])


__all__ = [
    "ABSENT",
    "AGENT",
    "APP",
    "CHANNEL",
    "COMMAND",
    "FIELD",
    "MESSAGE",
    "MODEL",
    "MODULES",
    "MONITOR",
    "NAMES",
    "REFUSAL",
    "SCHEMA",
    "SENSOR",
    "STREAM",
    "TABLE",
    "TABLE_OPTIONS",
    "TOPIC",
    "VIEW",
    "WEB",
    "WINDOWS",
    "WINDOW_SET",
    "WORKER",
    "Lacking",
    "refusal",
]
