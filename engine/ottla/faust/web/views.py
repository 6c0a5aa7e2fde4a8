"""Views: classes whose methods, `get`, `post` and so on, answer the requests of a page. A function is the `get` of a
view."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse

from ottla.faust.missing import VIEW, Lacking
from ottla.faust.web.cors import Cors, ResourceOptions
from ottla.faust.web.exceptions import RaisesErrors, ValidationError, WebError
from ottla.faust.web.messages import MakesResponses, Request, Response

if TYPE_CHECKING:
    from ottla.faust.models.record import Record

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "SEARCH")


class View(Lacking, MakesResponses, RaisesErrors):
    """A page: its methods, each of a request and of what the path has in braces by name, answer to those of HTTP."""

    _lacks = VIEW
    _called = "view"

    def __init__(self, app: Any, web: Any = None) -> None:
        self.app = app
        self.web = app.web if web is None else web
        self.__post_init__()

    def __post_init__(self) -> None:
        """To be overridden: called when the app is put together."""

    @classmethod
    def from_handler(cls, fun: Callable[..., Any]) -> type[View]:
        """A view whose `get` is the function."""
        return type(fun.__name__, (cls,), {"get": fun, "__doc__": fun.__doc__, "__module__": fun.__module__})

    def path_for(self, view_name: str, **found: Any) -> str:
        """The path of a view by its name, with what it has in braces."""
        path: str = self.web.url_for(view_name, **found)
        return path

    def url_for(self, view_name: str, _base_url: str | None = None, **found: Any) -> str:
        """The address of a view by its name: on this worker, or under another base."""
        base = self.web.url if _base_url is None else str(_base_url)
        return f"{base.rstrip('/')}/{self.path_for(view_name, **found).lstrip('/')}"

    async def on_request_error(self, request: Request, exc: WebError) -> Response:  # noqa: ARG002
        """What is answered where a method raised an error of `faust.web.exceptions`."""
        return self.error(exc.code, exc.detail, **exc.extra_context)

    async def read_request_content(self, request: Request) -> bytes:
        return await request.read()

    def bytes_to_response(self, s: bytes) -> Response:
        """The response that `response_to_bytes` made bytes of."""
        response: Response = self.web.bytes_to_response(s)
        return response

    def response_to_bytes(self, response: Response) -> bytes:
        """A response as bytes, to be kept."""
        data: bytes = self.web.response_to_bytes(response)
        return data


@dataclass(frozen=True)
class Placed:
    """A handler that answers on a certain worker, as `app.table_route` and `app.topic_route` make it: `place` makes of
    what answers the request what Ottla takes for a page."""

    function: Callable[..., Any]
    place: Callable[[Callable[..., Any]], Any]

    @property
    def __name__(self) -> str:
        return self.function.__name__


def answers_of(app: Any, view: View, cors_options: Mapping[str, ResourceOptions]) -> Iterator[tuple[str, Any]]:
    """For each method of HTTP that the view answers, what Ottla is to call."""
    answered = {method: inspect.getattr_static(view, method.lower(), None) for method in METHODS}
    answered = {method: found for method, found in answered.items() if found is not None}
    cors = Cors(cors_options, answered.keys())
    for method, found in answered.items():
        function = found.function if isinstance(found, Placed) else found
        app.functions.append(inspect.unwrap(function))
        answer = _answer(app, view, function, cors)
        yield method, found.place(answer) if isinstance(found, Placed) else answer
    if cors and "OPTIONS" not in answered:

        async def preflight(request: StarletteRequest, **_: Any) -> Any:
            return cors.preflight(request)

        yield "OPTIONS", preflight


def _answer(app: Any, view: View, function: Callable[..., Any], cors: Cors) -> Callable[..., Any]:
    async def answer(request: StarletteRequest, **found: Any) -> Any:
        given = Request(request)
        response = await app.sensors.of_request(app, given, view, lambda: _call(view, function, given, found))
        if cors and isinstance(response, StarletteResponse):
            cors.allow(request, response)
        return response

    return answer


async def _call(view: View, function: Callable[..., Any], request: Request, found: Mapping[str, Any]) -> Any:
    try:
        result = function(view, request, **found)
        return await result if inspect.isawaitable(result) else result
    except WebError as error:
        return await view.on_request_error(request, error)
    except KeyError as error:
        raise HTTPException(404, f"{error} is not there") from error


def takes_model(model: type[Record]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Has a method given the model that is posted, as JSON, behind the request. What is none is answered with 400."""

    def decorate(fun: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fun)
        async def with_model(view: View, request: Request, *args: Any, **found: Any) -> Any:
            try:
                given = model.loads(await request.read(), serializer="json")
            except (TypeError, ValueError) as error:
                raise ValidationError(f"a {model.__name__} was expected: {error}") from error
            return await fun(view, request, given, *args, **found)

        return with_model

    return decorate


def gives_model(model: type[Record]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # noqa: ARG001 - it says itself
    """Has what a method returns answered as JSON."""

    def decorate(fun: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fun)
        async def as_json(view: View, request: Request, *args: Any, **found: Any) -> Response:
            return view.json(await fun(view, request, *args, **found))

        return as_json

    return decorate


def path_of(path: str, found: Mapping[str, Any]) -> str:
    """A path with what it has in braces. The name of a file may have directories in it."""
    return path.format(
        **{name: quote(str(value), safe="/" if name == "filename" else "") for name, value in found.items()}
    )
