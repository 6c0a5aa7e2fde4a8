"""What the serdes of a registry have in common: the schema's id before each value."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ottla.errors import ConfigError, Unavailable
from ottla.serdes.registry.framing import framed
from ottla.serdes.requests import wait_for

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import Schema

    from ottla.serdes.registry.client import SchemaRegistry

_REMEMBER_FAILURES_S = 10.0
_MOST_FAILURES = 1_000


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
            wait_for(f"the id of the schema of {self._subject!r}", self._find)
        return self._bytes

    def prepare(self) -> None:
        """Finds it out before there is a value. Raises what `SchemaRegistry.schema_id` raises, and `ConfigError` where
        the registry does not let the app in."""
        from ottla.serdes.registry.client import LoginRefused

        try:
            self._find()
        except LoginRefused as error:
            raise ConfigError(
                f"{error}; SchemaRegistry(config=...) says who the app is, by basic.auth.user.info, say"
            ) from error

    def _find(self) -> None:
        schema_id = self._registry.schema_id(self._subject, self._schema(), register=self._register)
        self._bytes = framed(schema_id) + self._suffix


class Readers:
    """How values are decoded, by the id of the schema they were written with; each is made once.

    Messages with an id from elsewhere come in numbers: what is wrong with one is remembered for a while, too.
    """

    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make = make
        self._known: dict[int, Any] = {}
        self._failures: dict[int, tuple[Exception, float]] = {}

    def __getitem__(self, schema_id: int) -> Any:
        """Raises what `SchemaRegistry.schema` raises."""
        found = self._known.get(schema_id)
        if found is None:
            failure, until = self._failures.get(schema_id, (None, 0.0))
            if failure is None or until <= time.monotonic():
                wait_for(f"schema {schema_id}", partial(self._fetch, schema_id))
            found = self._known.get(schema_id)
            if found is None:
                raise self._failures[schema_id][0].with_traceback(None)
        return found

    def _fetch(self, schema_id: int) -> None:
        try:
            self._known[schema_id] = self._make(schema_id)
        except Unavailable:
            raise
        except Exception as error:
            if len(self._failures) >= _MOST_FAILURES:
                self._failures.clear()
            self._failures[schema_id] = error, time.monotonic() + _REMEMBER_FAILURES_S
