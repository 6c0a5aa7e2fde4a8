"""Answers of views that are kept for a while: `cache = blueprint.cache(timeout=300.0)`, and `@cache.view()` above a
method."""

from __future__ import annotations

import functools
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import quote

from ottla.faust.web.messages import Request, Response
from ottla.faust.web.views import Placed, View
from ottla.time import Duration, duration_ms

_MOST_KEPT = 1_000


class CacheUnavailable(Exception):  # noqa: N818 - Faust's name
    """A cache cannot be reached: views answer without it."""


class CacheBackend(Protocol):
    """Where answers are kept. Methods may raise `CacheUnavailable`."""

    async def get(self, key: str) -> bytes | None: ...
    async def set(self, key: str, value: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - Faust's
        """Keeps a value for so many seconds."""

    async def delete(self, key: str) -> None: ...


class MemoryCache:
    """`app.cache`: the last thousand answers, in the memory of this worker."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        until, value = self._kept.get(key, (0.0, None))
        if value is not None and until <= self._clock():
            del self._kept[key]
            return None
        return value

    async def set(self, key: str, value: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        self._kept[key] = (float("inf") if timeout is None else self._clock() + timeout, value)
        self._kept.move_to_end(key)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)

    async def delete(self, key: str) -> None:
        self._kept.pop(key, None)


class Cache:
    """Keeps answers of views, in `app.cache` unless it has a `backend` of its own."""

    ident = "faustweb.cache.view"

    def __init__(
        self,
        timeout: Duration | None = None,
        include_headers: bool = False,
        key_prefix: str | None = None,
        backend: CacheBackend | None = None,
    ) -> None:
        self.timeout = timeout
        self.include_headers = include_headers
        self.key_prefix = key_prefix or ""
        self.backend = backend

    def view(
        self, timeout: Duration | None = None, include_headers: bool = False, key_prefix: str | None = None
    ) -> Callable[[Any], Any]:
        """Has the answers of the method below kept, for each address its own."""
        kept_for = self.timeout if timeout is None else timeout
        by_headers = include_headers or self.include_headers
        prefix = self.key_prefix if key_prefix is None else key_prefix

        def decorate(fun: Any) -> Any:
            if isinstance(fun, Placed):
                return replace(fun, function=decorate(fun.function))

            @functools.wraps(fun)
            async def cached(view: View, request: Request, *args: Any, **found: Any) -> Any:
                key = (
                    self.key_for_request(request, prefix, None, by_headers) if self.can_cache_request(request) else None
                )
                if key is not None and (kept := await self.get_view(key, view)) is not None:
                    return kept
                response = await fun(view, request, *args, **found)
                if key is not None and self.can_cache_response(request, response):
                    await self.set_view(key, view, response, kept_for)
                return response

            return cached

        return decorate

    def can_cache_request(self, request: Request) -> bool:  # noqa: ARG002
        """To be overridden: whether the answer to a request may be a kept one."""
        return True

    def can_cache_response(self, request: Request, response: Response) -> bool:  # noqa: ARG002
        """To be overridden: whether an answer is kept."""
        return response.status_code == 200

    async def get_view(self, key: str, view: View) -> Response | None:
        """The answer that was kept."""
        with suppress(CacheUnavailable):
            if (data := await self._backend(view).get(key)) is not None:
                return view.bytes_to_response(data)
        return None

    async def set_view(self, key: str, view: View, response: Response, timeout: Duration | None = None) -> None:  # noqa: ASYNC109 - Faust's name
        """Keeps an answer."""
        seconds = None if timeout is None else duration_ms(timeout, "a cache's timeout") / 1000
        with suppress(CacheUnavailable):
            await self._backend(view).set(key, view.response_to_bytes(response), seconds)

    def _backend(self, view: View) -> CacheBackend:
        backend: CacheBackend = view.app.cache if self.backend is None else self.backend
        return backend

    def key_for_request(
        self, request: Request, prefix: str | None = None, method: str | None = None, include_headers: bool = False
    ) -> str:
        """To be overridden: under what key the answer to a request is kept."""
        headers = dict(request.headers) if include_headers or self.include_headers else {}
        return self.build_key(request, method or request.method, self.key_prefix if prefix is None else prefix, headers)

    def build_key(self, request: Request, method: str, prefix: str, headers: Mapping[str, str]) -> str:
        """To be overridden: the key of an address and headers."""
        lines = [iri_to_uri(str(request.url)), *(f"{name}:{value}" for name, value in headers.items())]
        return f"{self.ident}.{prefix}.{method}.{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"


def iri_to_uri(iri: str) -> str:
    """An address of any letters as one of ASCII's."""
    return quote(iri, safe="/#%[]=:;$&()+,!?*@'~")
