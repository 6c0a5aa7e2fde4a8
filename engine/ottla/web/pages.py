"""`@app.page`, `@app.table_route` and `@app.topic_route`: what an app serves over HTTP itself, on every worker that
listens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ottla.errors import ConfigError, DuplicateName, NotInTask
from ottla.tables import GlobalTable, Table
from ottla.topic import Topic

if TYPE_CHECKING:
    from starlette.requests import Request

    from ottla.web.queries import Queries, TableQuery

F = TypeVar("F", bound=Callable[..., Any])
K = TypeVar("K")
V = TypeVar("V")

Handler = Callable[..., Awaitable[Any] | Any]
"""A function of a request and, by name, of what the path has in braces. What it returns becomes the response."""


@dataclass(frozen=True, slots=True)
class Routed:
    """A handler that runs on the worker that has a key of a table, or reads it in a topic."""

    handler: Handler
    by: Table[Any, Any] | Topic[Any, Any]
    match_info: str | None
    query_param: str | None

    def key_text(self, request: Request) -> str | None:
        """The key in the request, as it is written there; None if it is missing."""
        if self.match_info is not None:
            found = request.path_params.get(self.match_info)
            return None if found is None else str(found)
        return request.query_params.get(self.query_param or "")


@dataclass(frozen=True, slots=True)
class Page:
    """A path, and what answers to it."""

    path: str
    methods: tuple[str, ...]
    handler: Handler | Routed


class DeclaresPages:
    """The part of an `App` by which its pages are declared: mixed into it."""

    def __init__(self) -> None:
        self.pages: list[Page] = []
        self.queries: Callable[[], Queries | None] = lambda: None
        """Those of the worker that runs in this process and listens; None when there is none."""

    def page(self, path: str, *, methods: Sequence[str] = ("GET",)) -> Callable[[F], F]:
        """Declares the function below as what answers to requests of a path, such as `/count/{word}`.

        It may be async, and is called with starlette's `Request` and with what the path has in braces, by name. It
        returns a starlette `Response`, text (served as HTML), None (no content), or anything else, which is JSON.
        Tables are read with `app.query(table)`, or directly below a `table_route`.
        """
        if not path.startswith("/"):
            raise ConfigError(f"page({path!r}): a path begins with a slash")
        if any(page.path == path and set(page.methods) & set(methods) for page in self.pages):
            raise DuplicateName(f"there are two pages {path!r}; give one of them another path")

        def declare(function: F) -> F:
            self.pages.append(Page(path, tuple(methods), function))
            return function

        return declare

    def table_route(
        self, table: Table[Any, Any], *, match_info: str | None = None, query_param: str | None = None
    ) -> Callable[[Handler], Any]:
        """Below `page`: answers on the worker that has the key, wherever the request arrived.

        The key is what the path has in braces under the name `match_info`, or the query's `query_param`. There the
        tables of the key's task can be read as in an agent, in their committed state; they cannot be written. Where a
        value's schema is not known yet, the function is called anew when the registry has answered.
        """
        if (match_info is None) == (query_param is None):
            raise ConfigError(f"table_route of table {table.name!r} takes either match_info= or query_param=")
        if isinstance(table, GlobalTable):
            raise ConfigError(
                f"table_route of table {table.name!r} leads nowhere: every worker has it; a page reads it with "
                "app.query(table)"
            )
        return lambda handler: Routed(handler, table, match_info, query_param)

    def topic_route(
        self, topic: Topic[Any, Any], *, match_info: str | None = None, query_param: str | None = None
    ) -> Callable[[Handler], Any]:
        """Below `page`, as `table_route`: answers on the worker whose agents read a topic's events with the key."""
        if (match_info is None) == (query_param is None):
            raise ConfigError(f"topic_route of topic {topic.name!r} takes either match_info= or query_param=")
        return lambda handler: Routed(handler, topic, match_info, query_param)

    def query(self, table: Table[K, V]) -> TableQuery[K, V]:
        """Reads of a table over all workers, from pages, timers and tasks of this worker, which has to listen (`web`).

        Raises `NotInTask` where no worker runs.
        """
        from ottla.web.queries import TableQuery

        if (queries := self.queries()) is None:
            raise NotInTask(
                f"table {table.name!r} can be queried only in a worker that serves the web: "
                "set App(web=...) or start it with --web-listen"
            )
        return TableQuery(queries, table)
