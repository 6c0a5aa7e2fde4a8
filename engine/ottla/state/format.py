"""What a store's bytes are, described so that another version of an app can tell whether it can read them.

An upgrade may add a field with a default, drop a field, widen a type. It may not do what would make the state that is
there unreadable, or something else: change the key, the kind of the store, the window, the aggregations, the type of a
field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ottla.serdes.codec import Codec

Schema = dict[str, Any]
"""A JSON Schema, as msgspec makes one of a type."""


class StoreFormat(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a store keeps and how. What is empty is not known, and not compared.

    `kind` says what keeps it, `keys` and `values` how they are written, `schema` what the values are, `definition` what
    else their meaning depends on.
    """

    kind: str = ""
    keys: str = ""
    values: str = ""
    schema: Schema | None = None
    definition: str = ""


def format_of(kind: str, key: Codec[Any], value: Codec[Any], definition: str = "") -> StoreFormat:
    """The format of a store of these codecs."""
    return StoreFormat(kind, key.name, value.name, _schema(value.type), definition)


def format_of_both(
    kind: str, key: Codec[Any], left: Codec[Any], right: Codec[Any], definition: str = ""
) -> StoreFormat:
    """The format of a store that has values of two kinds, each with its own codec."""
    schema = _schema(tuple[left.type, right.type])  # type: ignore[name-defined]
    return StoreFormat(kind, key.name, f"{left.name} and {right.name}", schema, definition)


def _schema(type_: Any) -> Schema | None:
    if type_ is Any:
        return None
    try:
        return msgspec.json.schema(type_)
    except (TypeError, ValueError, RecursionError):  # a type of another library, whose codec is told by its name
        return None


def changes(old: StoreFormat, new: StoreFormat) -> list[str]:
    """What keeps a store that was written as `old` from being read as `new`; nothing if it can be read."""
    found = [
        f"{what} was {before!r} and is {after!r}"
        for what, before, after in (
            ("its kind", old.kind, new.kind),
            ("the key", old.keys, new.keys),
            ("its definition", old.definition, new.definition),
        )
        if before and after and before != after
    ]
    if old.values and new.values:
        if old.schema is not None and new.schema is not None and _comparable(old, new):
            found += _Reader(old.schema, new.schema).problems(old.schema, new.schema, "the value")
        elif new.values not in (old.values, _family(old.values)):  # untyped reads whatever was typed
            found.append(f"the value was {old.values!r} and is {new.values!r}")
    return found


def _comparable(old: StoreFormat, new: StoreFormat) -> bool:
    """Whether the schemas say all about the values, so that a class may have another name."""
    same_codec = _family(old.values) == _family(new.values)
    return same_codec and (old.schema != new.schema or "$ref" in (old.schema or ()))


def _family(codec: str) -> str:
    """`msgpack` of `msgpack[Order]`."""
    return codec.partition("[")[0]


class _Reader:
    """Compares what was written with one schema to what is read with another."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old: Mapping[str, Schema] = old.get("$defs", {})
        self._new: Mapping[str, Schema] = new.get("$defs", {})
        self._seen: set[tuple[str, str]] = set()

    def problems(self, old: Schema, new: Schema, path: str) -> list[str]:
        references = old.get("$ref", ""), new.get("$ref", "")
        if all(references):
            if references in self._seen:
                return []
            self._seen.add(references)
        old, new = _resolved(old, self._old), _resolved(new, self._new)
        if old == new and not all(references):
            return []
        written = old.get("anyOf", [old])
        readable = new.get("anyOf", [new])
        for each in written:
            tried = [self._one(_resolved(each, self._old), _resolved(other, self._new), path) for other in readable]
            if all(tried):
                return min(tried, key=len)
        return []

    def _one(self, old: Schema, new: Schema, path: str) -> list[str]:
        if not new.keys() - {"title", "description", "default"}:
            return []  # anything can be read
        kinds = old.get("type"), new.get("type")
        if "enum" in new:
            lost = [value for value in old.get("enum", ["any"]) if value not in new["enum"]]
            return [f"{path} cannot be {lost[0]!r} any more"] if lost else []
        if kinds not in ((kinds[0], kinds[0]), ("integer", "number")):
            return [f"{path} was {kinds[0] or 'anything'} and is {kinds[1]}"]
        if kinds[0] == "object":
            return self._object(old, new, path)
        if kinds[0] == "array":
            return self._array(old, new, path)
        return [] if old.get("format") == new.get("format") else [f"{path} was written in another form"]

    def _object(self, old: Schema, new: Schema, path: str) -> list[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        found = [
            f"{path} has a new field {name!r} without a default"
            for name in new.get("required", ())
            if name not in before
        ]
        if new.get("additionalProperties") is False:
            found += [f"{path} has lost the field {name!r} and forbids others" for name in before if name not in after]
        for name, schema in after.items():
            if name in before:
                found += self.problems(before[name], schema, f"{path}.{name}")
        return found + self._entries(old.get("additionalProperties"), new.get("additionalProperties"), path)

    def _array(self, old: Schema, new: Schema, path: str) -> list[str]:
        before, after = old.get("prefixItems", []), new.get("prefixItems", [])
        if len(before) != len(after):
            return [f"{path} had {len(before) or 'any number of'} entries and has {len(after) or 'any number'}"]
        found: list[str] = []
        for number, (was, is_) in enumerate(zip(before, after, strict=True)):
            found += self.problems(was, is_, f"{path}[{number}]")
        return found + self._entries(old.get("items"), new.get("items"), path)

    def _entries(self, old: Schema | bool | None, new: Schema | bool | None, path: str) -> list[str]:
        if isinstance(old, dict) and isinstance(new, dict):
            return self.problems(old, new, f"{path}[...]")
        return []


def _resolved(schema: Schema, defined: Mapping[str, Schema]) -> Schema:
    while (reference := schema.get("$ref")) is not None:
        schema = defined[reference.rpartition("/")[2]]
    return schema
