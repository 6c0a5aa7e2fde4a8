"""Broker settings as Kafka has them: a dotted name, a type, limits, a sentence of documentation.

A configuration class is a msgspec Struct whose fields carry a `Setting`::

    class BrokerConfig(msgspec.Struct, frozen=True, kw_only=True):
        num_partitions: Annotated[int, Setting(ConfigType.INT, "Partitions of a new topic.", minimum=1)] = 1

The field's name with dots is the setting's name. `table` reads the declarations, `Setting.parse` turns text
into values and says what is wrong with it, `text` turns values back. Pure.
"""

import difflib
import functools
import typing
from collections.abc import Iterable, Mapping

import msgspec

from ottla_broker.errors import InvalidSetting
from ottla_broker.log.config import ConfigType

Value = bool | int | float | str | tuple[str, ...] | None


_INTEGER_BITS = {ConfigType.SHORT: 15, ConfigType.INT: 31, ConfigType.LONG: 63}


class Setting(msgspec.Struct, frozen=True):
    """What is known about a setting besides its name and default. A `dynamic` one can change while a broker runs."""

    kind: ConfigType
    doc: str
    dynamic: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def parse(self, name: str, value: str) -> Value:
        """The value that `value` spells. Raises InvalidSetting."""
        try:
            parsed = self._convert(value.strip())
        except ValueError:
            raise InvalidSetting(f"Invalid value {value!r} for {name}: expected {_EXPECTED[self.kind]}") from None
        self._check(name, parsed)
        return parsed

    def _convert(self, value: str) -> Value:
        match self.kind:
            case ConfigType.BOOLEAN:
                return _BOOLEANS[value.lower()]
            case ConfigType.STRING:
                return value
            case ConfigType.DOUBLE:
                return float(value)
            case ConfigType.LIST:
                return tuple(item.strip() for item in value.split(",") if item.strip())
            case _:
                return int(value)

    def _check(self, name: str, value: Value) -> None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            bits = _INTEGER_BITS.get(self.kind)
            lowest = self.minimum if self.minimum is not None else (-(1 << bits) if bits else value)
            highest = self.maximum if self.maximum is not None else ((1 << bits) - 1 if bits else value)
            if not lowest <= value <= highest:
                limit = f"at least {lowest}" if value < lowest else f"at most {highest}"
                raise InvalidSetting(f"Invalid value {value} for {name}: must be {limit}")
        if self.choices:
            for item in value if isinstance(value, tuple) else (value,):
                if item not in self.choices:
                    raise InvalidSetting(f"Invalid value {item!r} for {name}: must be one of {', '.join(self.choices)}")


class _Booleans(dict[str, bool]):
    def __missing__(self, key: str) -> bool:
        raise ValueError(key)


_BOOLEANS = _Booleans(true=True, false=False)
_EXPECTED = {
    ConfigType.BOOLEAN: "true or false",
    ConfigType.STRING: "text",
    ConfigType.SHORT: "a whole number",
    ConfigType.INT: "a whole number",
    ConfigType.LONG: "a whole number",
    ConfigType.DOUBLE: "a number",
    ConfigType.LIST: "a list separated by commas",
}


class Declared(msgspec.Struct, frozen=True):
    """A setting of a configuration class."""

    name: str
    field: str
    setting: Setting
    default: Value


@functools.cache
def table(config: type[msgspec.Struct]) -> Mapping[str, Declared]:
    """The settings that a configuration class declares, by dotted name, in the order of declaration."""
    hints = typing.get_type_hints(config, include_extras=True)
    declared = {}
    for field in msgspec.structs.fields(config):
        for annotation in getattr(hints[field.name], "__metadata__", ()):
            if isinstance(annotation, Setting):
                name = field.name.replace("_", ".")
                declared[name] = Declared(name, field.name, annotation, field.default)
    return declared


def unknown(name: str, known: Iterable[str]) -> str:
    """The sentence about a setting that does not exist, with the one that was probably meant."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Unknown setting {name}" + (f": did you mean {nearest[0]}?" if nearest else "")


def text(value: Value) -> str | None:
    """A value as Kafka writes it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).replace("e+", "E") if isinstance(value, float) else str(value)
