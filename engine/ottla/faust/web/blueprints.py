"""Blueprints: pages that any app can be given, under a prefix.

    users = web.Blueprint("users")

    @users.route("/{user}/", name="detail")
    async def detail(self, request, user): ...

    app.web.blueprints.add("/users", users)

They are declared when that app is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ottla.faust.web.cache import Cache, CacheBackend
from ottla.faust.web.views import View
from ottla.time import Duration


class _Route(NamedTuple):
    """A page to be."""

    uri: str
    name: str
    handler: Any
    base: type[View]
    cors_options: Mapping[str, Any] | None


class Blueprint:
    """Pages under one name. They are served by the apps that `register` was called with."""

    view_name_separator = ":"

    def __init__(self, name: str, *, url_prefix: str | None = None) -> None:
        self.name = name
        self.url_prefix = url_prefix
        self.routes: list[_Route] = []
        self.static_routes: list[tuple[str, Path, str]] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name}>"

    def cache(
        self,
        timeout: Duration | None = None,
        include_headers: bool = False,
        key_prefix: str | None = None,
        backend: CacheBackend | None = None,
    ) -> Cache:
        """What keeps the answers of views: `@cache.view()` above a method."""
        return Cache(timeout, include_headers, self.name if key_prefix is None else key_prefix, backend)

    def route(
        self,
        uri: str,
        *,
        name: str | None = None,
        cors_options: Mapping[str, Any] | None = None,
        base: type[View] = View,
    ) -> Callable[[Any], Any]:
        """Has the function or view below answer to a path. Its name is `BLUEPRINT:NAME`."""

        def declare(handler: Any) -> Any:
            self.routes.append(_Route(uri, name or handler.__name__, handler, base, cors_options))
            return handler

        return declare

    def static(self, uri: str, file_or_directory: str | Path, *, name: str | None = None) -> None:
        """Serves the files of a directory. `url_for("BLUEPRINT.NAME", filename=)` is the path of one; without a name
        they are `static`."""
        label = name or "static"
        label = label if label.startswith(f"{self.name}.") else f"{self.name}.{label}"
        self.static_routes.append((uri, Path(file_or_directory), label))

    def register(self, app: Any, *, url_prefix: str | None = None) -> None:
        """Declares the pages to an app, under a prefix."""
        prefix = url_prefix or self.url_prefix
        for route in self.routes:
            app.page(
                _below(prefix, route.uri),
                name=f"{self.name}{self.view_name_separator}{route.name}",
                base=route.base,
                cors_options=route.cors_options,
            )(route.handler)
        for uri, directory, label in self.static_routes:
            app.web.add_static(_below(prefix, uri), directory, name=label)

    def init_webserver(self, web: Any) -> None:
        """Calls `on_webserver_init`."""
        self.on_webserver_init(web)

    def on_webserver_init(self, web: Any) -> None:
        """To be overridden: called when the pages were declared."""


def _below(prefix: str | None, uri: str) -> str:
    return f"{prefix.rstrip('/')}/{uri.lstrip('/')}" if prefix else uri
