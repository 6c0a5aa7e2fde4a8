"""What the serdes of a registry have in common: the schema's id before each value."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ottla.serdes.registry.framing import framed

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import Schema

    from ottla.serdes.registry.client import SchemaRegistry


class Header:
    """What stands before the values of one subject: found out once, with the first of them or before."""

    def __init__(
        self,
        registry: SchemaRegistry,
        subject: str,
        schema: Callable[[], Schema],
        *,
        register: bool,
        suffix: bytes = b"",
    ) -> None:
        self._registry = registry
        self._subject = subject
        self._schema = schema
        self._register = register
        self._suffix = suffix
        self._bytes = b""

    def __call__(self) -> bytes:
        """Raises what `SchemaRegistry.schema_id` raises."""
        if not self._bytes:
            schema_id = self._registry.schema_id(self._subject, self._schema(), register=self._register)
            self._bytes = framed(schema_id) + self._suffix
        return self._bytes

    def prepare(self) -> None:
        """Finds it out now. Raises what `SchemaRegistry.schema_id` raises."""
        self()


class Readers:
    """How values are decoded, by the id of the schema they were written with; each is made once."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make = make
        self._known: dict[int, Any] = {}

    def __getitem__(self, schema_id: int) -> Any:
        """Raises what `SchemaRegistry.schema` raises."""
        found = self._known.get(schema_id)
        if found is None:
            found = self._known[schema_id] = self._make(schema_id)
        return found
