"""`app.web`: the pages of an app by their names, the blueprints it is made of, and what responses are made with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request as StarletteRequest
from starlette.staticfiles import StaticFiles

from ottla.errors import ConfigError, TopologyError
from ottla.faust.missing import WEB, Lacking
from ottla.faust.web.blueprints import Blueprint
from ottla.faust.web.cors import ResourceOptions
from ottla.faust.web.messages import MakesResponses, Response
from ottla.faust.web.views import View, answers_of, path_of
from ottla.loading import import_module

_BRACES = re.compile(r"\{(\w+)(?::((?:[^{}]|\{[^{}]*\})+))?\}")


class Web(MakesResponses, Lacking):
    """The pages of an app. `views` has them by path."""

    _lacks = WEB
    _called = "web"

    def __init__(self, app: Any) -> None:
        self.app = app
        self.blueprints = BlueprintManager(self)
        self.views: dict[str, View] = {}
        self._paths: dict[str, str] = {}

    @property
    def url(self) -> str:
        """Where this worker is reached: `canonical_url`, or made of `web_host` and `web_port`."""
        if self.app.conf.canonical_url:
            return str(self.app.conf.canonical_url)
        return f"http://{self.app.conf.web_host or 'localhost'}:{self.app.conf.web_port}/"

    def url_for(self, view_name: str, **found: Any) -> str:
        """The path of a view by its name, with what it has in braces. Raises `KeyError` for one that is not there."""
        if view_name not in self._paths:
            raise KeyError(f"No view with name {view_name!r} found")
        return path_of(self._paths[view_name], found)

    def serve(self, view: type[View], path: str, name: str, cors_options: Mapping[str, ResourceOptions]) -> None:
        """Serves a view under a path."""
        path = "/" + path.lstrip("/")
        made = view(self.app, self)
        for method, answer in answers_of(self.app, made, {**(self.app.conf.web_cors_options or {}), **cors_options}):
            served: Any = self.app.declared.page(_starlette_path(path), methods=(method,))
            served(answer)
        self.views[path] = made
        self._paths[name] = _BRACES.sub(r"{\1}", path)

    def add_static(self, prefix: str, path: Path | str, *, name: str | None = None, **options: Any) -> None:
        """Serves the files of a directory under a prefix. With a name, `url_for(name, filename=)` is the path of one.
        Raises `ConfigError` if there is no such directory."""
        if options:
            raise ConfigError(f"add_static({prefix!r}): {min(options)}= is not part of Ottla's Faust facade")
        if not Path(path).is_dir():
            raise ConfigError(f"add_static({prefix!r}): there is no directory {str(path)!r}")
        files, below = StaticFiles(directory=path), f"/{prefix.strip('/')}/".replace("//", "/")
        if name is not None:
            self._paths[name] = f"{below}{{filename}}"

        async def answer(request: StarletteRequest, name: str) -> Any:
            return await files.get_response(name, request.scope)

        served: Any = self.app.declared.page(f"{below}{{name:path}}")
        served(answer)

    def response_to_bytes(self, response: Response) -> bytes:
        """A response as bytes, to be kept."""
        return msgspec.msgpack.encode((response.status_code, dict(response.headers), bytes(response.body)))

    def bytes_to_response(self, s: bytes) -> Response:
        """The response that `response_to_bytes` made bytes of."""
        status, headers, body = msgspec.msgpack.decode(s, type=tuple[int, dict[str, str], bytes])
        return Response(body, status, headers)


class BlueprintManager:
    """The blueprints of an app: `app.web.blueprints.add("/users", blueprint)`."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._added: list[tuple[str, Any]] = []
        self._applied = False

    def add(self, prefix: str, blueprint: Any) -> None:
        """Adds the pages of a blueprint, or of the one that a text names, `MODULE:NAME`, below a prefix. They are
        served when the app is complete."""
        if self._applied:
            raise TopologyError("blueprints are added before the app runs")
        self._added.append((prefix, blueprint))

    def apply(self) -> None:
        """Serves the pages of those that were added."""
        self._applied = True
        for prefix, given in self._added:
            blueprint: Blueprint = _named(given) if isinstance(given, str) else given
            blueprint.register(self._web.app, url_prefix=prefix)
            blueprint.init_webserver(self._web)


def _named(name: str) -> Any:
    """The blueprint that a text names. Raises `ConfigError`."""
    module, separator, attribute = name.partition(":")
    if not separator:
        module, _, attribute = name.rpartition(".")
    found = getattr(import_module(module), attribute, None)
    if not isinstance(found, Blueprint):
        raise ConfigError(f"{name!r} names no web.Blueprint: write MODULE:NAME")
    return found


def _starlette_path(path: str) -> str:
    """A path of aiohttp's, `/{number:[0-9]+}/`, with names for the regular expressions in it, as starlette has them."""

    def named(match: re.Match[str]) -> str:
        name, regex = match.groups()
        if regex is None:
            return f"{{{name}}}"
        convertor = f"faust_{regex.encode().hex()}"
        register_url_convertor(convertor, type("_Matching", (_Text,), {"regex": regex})())
        return f"{{{name}:{convertor}}}"

    return _BRACES.sub(named, path)


class _Text(Convertor[str]):
    """Takes what a regular expression matches for a part of a path."""

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value
