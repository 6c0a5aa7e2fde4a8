"""Reads of tables over all workers: here if this worker has the part, else by HTTP where it is.

Reads see the state of the last commit, never what a task is just doing. A part that moves between workers cannot be
read until it has arrived, unless `stale` reads are asked for, which copies answer, too.

Between workers, of one part, which is never forwarded further:

    GET /tables/NAME/parts/NUMBER/value?at=KEY&as_of=MS
        {"value": ...}
    GET /tables/NAME/parts/NUMBER/history?at=KEY&from=MS&to=MS
        {"versions": [{"value": ..., "timestamp": MS, "valid_to": MS or null}, ...]}, the newest first
    GET /tables/NAME/parts/NUMBER/range?from=KEY&to=KEY&limit=N&reverse=true
        {"items": [{"key": ..., "value": ..., "at": KEY}, ...]}

`KEY` is base64 of the encoded key. A worker that does not have the part answers 421.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

import httpx
import msgspec

from ottla.errors import ConfigError, OttlaError
from ottla.serdes.requests import with_answers
from ottla.state.pairs import behind_prefix
from ottla.state.store import Part
from ottla.state.versioned import Version
from ottla.tables import Table, VersionedTable
from ottla.topic import Topic
from ottla.topology.topology import TaskId
from ottla.transport.partitioner import partition_for_key
from ottla.web.auth import authorization
from ottla.worker.insight import Insight

K = TypeVar("K")
V = TypeVar("V")

MAX_LIMIT = 1_000
_TIMEOUT_S = 5.0


class PartUnavailable(OttlaError):  # noqa: N818
    """No worker that can be reached has the part of the table now: it is being moved, or its worker is gone."""


@dataclass(frozen=True, slots=True)
class Place:
    """A task that a request is for, and what is looked for there, in words."""

    task: TaskId
    words: str


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a table; `at` is its encoded key."""

    key: Any
    value: Any
    at: bytes


@dataclass(frozen=True, slots=True)
class Entries(Generic[K, V]):
    """Entries of a range, part by part; within a part in the order of the encoded keys.

    `cursor` is what to ask the next ones with; None at the end.
    """

    items: Sequence[tuple[K, V]]
    cursor: str | None


class TableQuery(Generic[K, V]):
    """One table's reads. All raise `PartUnavailable`, after a few seconds at most."""

    def __init__(self, queries: Queries, table: Table[K, V]) -> None:
        self._queries = queries
        self._table = table

    async def get(self, key: K, *, as_of: int | None = None, stale: bool = False) -> V | None:
        """The value of a key, or None. The key must be that of the events which write it: it decides where to look.

        With `as_of`, milliseconds since the epoch, it is what a versioned table had then.
        """
        value: V | None = await self._queries.get(self._table, key, as_of=as_of, stale=stale)
        return value

    async def history(
        self,
        key: K,
        from_time: int | None = None,
        to_time: int | None = None,
        *,
        newest_first: bool = False,
        stale: bool = False,
    ) -> list[Version[V]]:
        """The values that a key of a versioned table had between two times, as `VersionedTable.history`. Raises
        `ConfigError` for another table."""
        found: list[Version[V]] = await self._queries.history(self._table, key, from_time, to_time, stale=stale)
        return found if newest_first else found[::-1]

    async def range(
        self,
        start: K | None = None,
        end: K | None = None,
        *,
        prefix: K | None = None,
        limit: int = 100,
        cursor: str | None = None,
        reverse: bool = False,
        stale: bool = False,
    ) -> Entries[K, V]:
        """Up to `limit` entries with start <= key < end, or of keys that begin with `prefix`, by their encoded form.

        With `reverse` those that would come last are the first, page by page as well.
        Raises `ConfigError` for a limit that is not from 1 to 1000, and for a cursor that is none.
        """
        first, last = _bounds(self._table, start, end, prefix)
        return await self._queries.range(self._table, first, last, limit, cursor, reverse=reverse, stale=stale)


def check_past(table: Table[Any, Any], as_of: int | None) -> None:
    """Raises `ConfigError` if a table is asked for a past that it does not know."""
    if as_of is not None:
        knowing_its_past(table)


def knowing_its_past(table: Table[Any, Any]) -> VersionedTable[Any, Any]:
    """The table. Raises `ConfigError` for one that does not know its past."""
    if not isinstance(table, VersionedTable):
        raise ConfigError(
            f"table {table.name!r} does not know its past: as_of= and history are for tables with versioned="
        )
    return table


def value_at(table: Table[Any, Any], part: Part, key: Any, as_of: int | None) -> Any:
    """The value of a key in one part, now or at a time."""
    if as_of is None:
        return table.lookup(part, key)
    assert isinstance(table, VersionedTable), "checked before it is asked"
    return table.lookup_at(part, key, as_of)


class Queries:
    """The reads of a worker, which has the `credentials` of the others. `close` ends its connections to them."""

    def __init__(self, insight: Insight, key_codecs: dict[str, Any], credentials: str | None = None) -> None:
        self._insight = insight
        self._key_codecs = key_codecs
        # Plain HTTP only: certificates need not be loaded.
        headers = {} if credentials is None else {"authorization": authorization(credentials)}
        self._http = httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False, verify=False, headers=headers)

    async def close(self) -> None:
        await self._http.aclose()

    @property
    def insight(self) -> Insight:
        return self._insight

    def partition_of(self, table: Table[Any, Any], key: Any) -> int:
        """The part that a key is in: that of the events with this key, encoded as their topic encodes it."""
        inputs = self._insight.inputs_of(table.spec.name)
        codec = next((self._key_codecs[topic] for topic in inputs if topic in self._key_codecs), table.key_codec)
        if codec.type is not table.key_codec.type:
            codec = table.key_codec
        return partition_for_key(codec.encode(key), self._insight.partitions(table.spec.name))

    def place_of(self, by: Table[Any, Any] | Topic[Any, Any], key: Any) -> Place:
        """Where the key of a table is, or that of a topic's events is read. Raises `ConfigError` for a topic that no
        agent reads."""
        if isinstance(by, Topic):
            readers = self._insight.readers_of(by.name)
            if not readers:
                raise ConfigError(f"topic {by.name!r} is read by no agent of this app")
            partition = partition_for_key(by.key_codec.encode(key), len(readers))
            return Place(readers[partition], f"partition {partition} of topic {by.name!r}")
        return self._part(by, self.partition_of(by, key))

    def _part(self, table: Table[Any, Any], partition: int) -> Place:
        return Place(self._insight.task_of(table.spec.name, partition), f"part {partition} of table {table.name!r}")

    async def get(self, table: Table[Any, Any], key: Any, *, as_of: int | None, stale: bool) -> Any:
        check_past(table, as_of)
        partition = self.partition_of(table, key)
        if (part := self._insight.committed(table.spec, partition, stale=stale)) is not None:
            return await with_answers(lambda: value_at(table, part, key, as_of))
        asked = {"at": encode_bound(table.key_codec.encode(key))}
        if as_of is not None:
            asked["as_of"] = str(as_of)
        reply = await self._ask(table, partition, "value", asked, stale=stale)
        value: Any = _Value
        return msgspec.json.decode(reply, type=value[table.found_type]).value

    async def history(
        self, table: Table[Any, Any], key: Any, from_time: int | None, to_time: int | None, *, stale: bool
    ) -> list[Version[Any]]:
        """The newest first."""
        versioned = knowing_its_past(table)
        partition = self.partition_of(table, key)
        if (part := self._insight.committed(table.spec, partition, stale=stale)) is not None:
            return await with_answers(lambda: versioned.history_in(part, key, from_time, to_time))
        asked = {"at": encode_bound(table.key_codec.encode(key))}
        asked |= {name: str(time) for name, time in (("from", from_time), ("to", to_time)) if time is not None}
        reply = await self._ask(table, partition, "history", asked, stale=stale)
        versions: Any = _Versions
        found: list[Version[Any]] = msgspec.json.decode(reply, type=versions[table.value_codec.type]).versions
        return found

    async def range(
        self,
        table: Table[Any, Any],
        start: bytes | None,
        end: bytes | None,
        limit: int,
        cursor: str | None,
        *,
        reverse: bool,
        stale: bool,
    ) -> Entries[Any, Any]:
        if not 1 <= limit <= MAX_LIMIT:
            raise ConfigError(f"limit={limit} must be from 1 to {MAX_LIMIT}")
        if table.has_windows:
            raise ConfigError(
                f"table {table.name!r} has windows: ask for a key, which brings the values of all of them"
            )
        parts = self._insight.partitions(table.spec.name)
        bounds = (start, end)
        if cursor is None:
            first = parts - 1 if reverse else 0
        else:
            first, at = _decode_cursor(cursor)
            bounds = (start, at) if reverse else (at, end)
        items: list[tuple[Any, Any]] = []
        for partition in range(first, -1, -1) if reverse else range(first, parts):
            wanted = limit - len(items)
            found = await self._part_range(table, partition, *bounds, wanted, reverse=reverse, stale=stale)
            items += [(entry.key, entry.value) for entry in found]
            if len(found) == wanted:
                # Where the next one begins, or in the other direction has its end, which is exclusive.
                return Entries(items, _encode_cursor(partition, found[-1].at + (b"" if reverse else b"\0")))
            bounds = (start, end)
        return Entries(items, None)

    def local_range(
        self,
        table: Table[Any, Any],
        part: Part,
        start: bytes | None,
        end: bytes | None,
        limit: int,
        *,
        reverse: bool,
    ) -> list[Entry]:
        encode = table.key_codec.encode
        found = islice(table.entries(part, start, end, reverse=reverse), limit)
        return [Entry(key, value, encode(key)) for key, value in found]

    async def _part_range(
        self,
        table: Table[Any, Any],
        partition: int,
        start: bytes | None,
        end: bytes | None,
        limit: int,
        *,
        reverse: bool,
        stale: bool,
    ) -> list[Entry]:
        if (part := self._insight.committed(table.spec, partition, stale=stale)) is not None:
            return await with_answers(lambda: self.local_range(table, part, start, end, limit, reverse=reverse))
        bounds = {name: encode_bound(bound) for name, bound in (("from", start), ("to", end)) if bound is not None}
        if reverse:
            bounds["reverse"] = "true"
        reply = await self._ask(table, partition, "range", {**bounds, "limit": str(limit)}, stale=stale)
        items: Any = _Items
        found = msgspec.json.decode(reply, type=items[table.key_codec.type, table.value_codec.type]).items
        return [Entry(item.key, item.value, decode_bound(item.at)) for item in found]

    async def _ask(
        self, table: Table[Any, Any], partition: int, what: str, parameters: dict[str, str], *, stale: bool
    ) -> bytes:
        path = f"/tables/{table.name}/parts/{partition}/{what}"
        if stale:
            parameters = {**parameters, "stale": "true"}
        reply = await self.forward(self._part(table, partition), "GET", path, parameters, stale=stale)
        if reply.status_code != httpx.codes.OK:
            raise PartUnavailable(f"table {table.name!r}, part {partition}: {reply.text}")
        return reply.content

    async def forward(
        self,
        place: Place,
        method: str,
        path: str,
        parameters: Any,
        *,
        stale: bool,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Makes a request of the worker that runs the task; with `stale`, of those that have copies if it has not.

        Raises `PartUnavailable` when none answers.
        """
        where = self._insight.whereabouts(place.task)
        addresses = [] if where.owner is None else [where.owner]
        if stale:
            addresses += [address for address in where.copies if address not in addresses]
        for address in addresses:
            try:
                reply = await self._http.request(
                    method, f"http://{address}{path}", params=parameters, content=body, headers=headers
                )
            except httpx.TransportError:
                continue
            if reply.status_code != httpx.codes.MISDIRECTED_REQUEST:
                return reply
        hint = "" if stale or not where.copies else ", or ask for stale=true, which a copy can answer"
        raise PartUnavailable(f"no worker that can be reached has {place.words} now; try again{hint}")


class _Value(msgspec.Struct, Generic[V]):
    value: V | None = None


class _Versions(msgspec.Struct, Generic[V]):
    versions: list[Version[V]]


class _Item(msgspec.Struct, Generic[K, V]):
    key: K
    value: V
    at: str


class _Items(msgspec.Struct, Generic[K, V]):
    items: list[_Item[K, V]]


def _bounds(table: Table[Any, Any], start: Any, end: Any, prefix: Any) -> tuple[bytes | None, bytes | None]:
    if prefix is not None:
        if start is not None or end is not None:
            raise ConfigError("a range is given by start and end, or by a prefix")
        encoded = table.key_codec.encode(prefix)
        return encoded, behind_prefix(encoded)
    encode = table.key_codec.encode
    return None if start is None else encode(start), None if end is None else encode(end)


def encode_bound(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def decode_bound(text: str) -> bytes:
    """Raises `ConfigError` for what is no base64."""
    try:
        return base64.b64decode(text.encode(), altchars=b"-_", validate=True)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no encoded key") from error


def _encode_cursor(partition: int, after: bytes) -> str:
    return f"{partition}.{encode_bound(after)}"


def _decode_cursor(text: str) -> tuple[int, bytes]:
    partition, dot, after = text.partition(".")
    if not (dot and partition.isdecimal()):
        raise ConfigError(f"{text!r} is not a cursor that an answer gave")
    return int(partition), decode_bound(after)
