"""`ottla table list MODULE:APP`, and `show MODULE:APP TABLE [KEY]` from the table's changelog or by asking a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ottla.cli.common import AppName, BrokerUrl, Output, client_settings, show_list, told_in_a_sentence

if TYPE_CHECKING:
    from ottla.tables import Table
    from ottla.transport.kafka_settings import KafkaSettings

app = typer.Typer(help="The tables of an app.", no_args_is_help=True)


@app.command("list")
def list_tables(target: AppName, output: Output = None) -> None:
    """List the tables, their types and changelog topics.

    No broker is asked.
    """
    from ottla.loading import load_app

    with told_in_a_sentence("table list"):
        tables = load_app(target).declared_tables
    rows = [
        [table.name, table.key_codec.name, table.value_codec.name, table.spec.changelog if _is_logged(table) else "-"]
        for table in tables
    ]
    show_list(["table", "key", "value", "changelog"], rows, output)


@app.command("show")
def show_table(
    target: AppName,
    name: Annotated[str, typer.Argument(metavar="TABLE", help="The table's name.")],
    key: Annotated[
        str | None, typer.Argument(help="Only this key: text where keys are text, else JSON. Without it, all.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show so many entries at most.")] = 100,
    web: Annotated[
        str | None,
        typer.Option("--web", metavar="[USER:PASSWORD@]HOST:PORT", help="Ask the worker that listens there."),
    ] = None,
    broker: BrokerUrl = None,
) -> None:
    """Show a table as it was last committed, an entry a line, as JSON.

    Without --web the table's changelog is read, whole: no worker need run.
    """
    from ottla.errors import OttlaError
    from ottla.loading import load_app
    from ottla.web.text import from_text

    with told_in_a_sentence("table show"):
        loaded = load_app(target)
        table = loaded.declared_table(name)
        wanted = None if key is None else from_text(table.key_codec, key, f"a key of table {name!r}")
        if web is not None:
            entries = _ask(web, table, key, limit)
        else:
            with client_settings(loaded.config, broker, "table-show") as settings:
                entries = asyncio.run(_read(settings, table, wanted, limit))
        if key is not None and not entries:
            raise OttlaError(f"table {name!r} has no key {key!r}")
    for line in entries:
        typer.echo(line)


def _is_logged(table: Table[Any, Any]) -> bool:
    """Whether a topic holds what the table does."""
    from ottla.tables import GlobalTable

    return table.changelog is not False and not (isinstance(table, GlobalTable) and table.is_derived)


def _ask(web: str, table: Table[Any, Any], key: str | None, limit: int) -> list[str]:
    """The lines by HTTP. Raises `OttlaError` for a worker that does not answer, or refuses."""
    from urllib.parse import quote

    import httpx
    import msgspec

    from ottla.errors import OttlaError

    url = f"http://{web}/tables/{quote(table.name, safe='')}"
    place = web.rpartition("@")[2]
    found: list[Any] = []
    cursor: str | None = None
    try:
        with httpx.Client(trust_env=False, verify=False) as http:
            if key is not None:
                reply = http.get(f"{url}/keys/{quote(key, safe='')}")
                return [] if reply.status_code == httpx.codes.NOT_FOUND else [_line(**_answer(reply))]
            while len(found) < limit:
                asked = {"limit": str(min(limit - len(found), 1_000))} | ({} if cursor is None else {"cursor": cursor})
                answer = _answer(http.get(url, params=asked))
                found += answer["items"]
                cursor = answer["cursor"]
                if cursor is None:
                    break
    except httpx.TransportError as error:
        raise OttlaError(f"no worker answers at {place}: {error}") from error
    except msgspec.DecodeError as error:
        raise OttlaError(f"what answers at {place} is no worker of Ottla's") from error
    return [_line(**item) for item in found]


def _answer(reply: Any) -> Any:
    import msgspec

    from ottla.errors import OttlaError

    if reply.status_code == 401:
        raise OttlaError("the worker asks for a user and password: --web USER:PASSWORD@HOST:PORT")
    answer = msgspec.json.decode(reply.content)
    if reply.is_error:
        raise OttlaError(answer["error"])
    return answer


async def _read(settings: KafkaSettings, table: Table[Any, Any], key: Any, limit: int) -> list[str]:
    """The lines from the changelog, read into memory part by part. Raises `TransportError`."""
    from ottla.errors import ConfigError, OttlaError
    from ottla.state.cache import open_cache
    from ottla.state.changelog import restore
    from ottla.state.memory import MemoryStore
    from ottla.transport.contract import TopicPartition
    from ottla.transport.kafka import KafkaTransport

    if not _is_logged(table):
        raise ConfigError(f"table {table.name!r} has no changelog to read: ask a worker, with --web HOST:PORT")
    changelog = table.spec.changelog
    lines: list[str] = []
    transport = KafkaTransport(settings)
    try:
        await transport.start()
        counts = await transport.partition_counts([changelog])
        if changelog not in counts:
            raise OttlaError(f"there is nothing to show: no worker of {settings.app_id!r} has made {changelog!r} yet")
        for partition in range(counts[changelog]):
            store = MemoryStore()
            await restore(transport, {TopicPartition(changelog, partition): store})
            part = open_cache(table.kept_spec, store)
            lines += islice(_lines(table, part, key), limit - len(lines))
    finally:
        await transport.stop()
    return lines


def _lines(table: Table[Any, Any], part: Any, key: Any) -> Iterator[str]:
    if key is None:
        return (_line(key=found, value=value) for found, value in table.entries(part))
    value = table.lookup(part, key)
    return iter(() if value is None else (_line(key=key, value=value),))


def _line(*, key: Any, value: Any) -> str:
    import msgspec

    from ottla.errors import ConfigError
    from ottla.web.text import shown

    try:
        return msgspec.json.encode({"key": shown(key), "value": shown(value)}).decode()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"what the table holds cannot be shown as JSON: {error}") from error
