"""Routing: which handler answers which API, and what ApiVersions says about it.

A handler registers itself once::

    @handles(HeartbeatRequest, "0-4")
    async def heartbeat(broker: Broker, context: RequestContext, request: HeartbeatRequest) -> HeartbeatResponse: ...

and that one registration feeds both the routing of requests and the list that ApiVersions answers with, so that the
two cannot disagree. `load_handlers` imports every module of the `handlers` package.

A handler may

- return the response, its body that is encoded already, or None where the protocol wants none (a produce with acks=0);
- raise `ClosesConnection`, where closing the connection is the only answer that the protocol has;
- raise `KafkaError` where the whole request fails and its response has a top-level `error_code`: `answer` builds that
  response (errors of single topics, partitions or groups belong into the response that the handler returns);
- await. It is started at once, in the order in which requests arrived, and runs without a task until its first
  real wait (`eager.py`); so it must not rely on `asyncio.current_task` (`asyncio.timeout` does) before that.

Beside its handler an API may have a shortcut::

    @shortcut(FetchRequest)
    def fetch_one(
        broker: Broker, frame: bytearray | memoryview, version: int, waited_ms: int
    ) -> list[Part] | asyncio.Future[None] | None: ...

which answers requests of the commonest shape without message objects and coroutines. For any other request, and for
one that it cannot answer with success, it returns None and has changed nothing: the handler then takes the request from
the start. One that has to wait first returns a future, and is asked again when that is done.

And an API may have a *gatherer*, which answers the small requests of one turn of the loop together; see `turn`.
"""

import asyncio
import importlib
import pkgutil
import struct
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from ottla_broker.eager import run_to_first_wait
from ottla_broker.errors import ClosesConnection
from ottla_wire.api_keys import ApiKey
from ottla_wire.chunks import Chunks, Part
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.fields import REQUIRED
from ottla_wire.headers import RequestHeader, encode_response_header
from ottla_wire.message import Message, VersionRange
from ottla_wire.messages import api_versions

if TYPE_CHECKING:
    from ottla_broker.broker import Broker
    from ottla_broker.connection import Connection

Request = TypeVar("Request", bound=Message)
G = TypeVar("G", bound="Gatherer")
Handler = Callable[["Broker", "RequestContext", Any], Awaitable[Message | bytes | None]]
Shortcut = Callable[["Broker", bytearray | memoryview, int, int], "list[Part] | asyncio.Future[None] | None"]

KEY_AND_VERSION = struct.Struct(">hh")


class RequestContext(msgspec.Struct, frozen=True, gc=False):
    """What a handler may know about a request besides its body."""

    version: int
    correlation_id: int
    client_id: str
    connection: "Connection"

    @property
    def client_host(self) -> str:
        """The client's address, as groups show it: with the slash that Java puts before an address without a name."""
        return f"/{self.connection.host}"

    @property
    def principal(self) -> str:
        return self.connection.principal

    @property
    def listener(self) -> str:
        """The name of the listener that the client came in by."""
        return self.connection.listener


class Api(msgspec.Struct, frozen=True):
    """One API that this broker serves."""

    key: int
    request: type[Message]
    response: type[Message]
    versions: VersionRange
    advertised: VersionRange
    handler: Handler

    def failure(self, error: KafkaError) -> Message:
        """The response that says that the whole request failed. Raises ClosesConnection if it has no place for that."""
        fields = {field.name: field for field in self.response.fields}
        if "error_code" not in fields:
            raise ClosesConnection(f"{self.request.__name__} failed: {error}") from error
        values = {name: field.zero for name, field in fields.items() if field.default is REQUIRED}
        values["error_code"] = int(error.code)
        if "error_message" in fields:
            values["error_message"] = error.message
        return self.response(**values)


class Peer(Protocol):
    """Who has sent a request that a `Gatherer` has taken; it hears one of these."""

    def answer(self, response: bytes) -> None:
        """This is the response."""

    def serve(self, frame: bytearray | memoryview) -> None:
        """The request has to be served by itself after all; nothing has happened so far."""

    def fail(self, error: Exception) -> None:
        """Serving the request has failed for a reason of ours."""


class Gatherer(Protocol):
    """Answers the small requests of an API that arrive in one turn of the loop together, at its end; see `turn.py`."""

    def take(self, frame: bytearray | memoryview, version: int, peer: Peer) -> bool:
        """Whether it takes a request."""

    def answer(self) -> None:
        """Answer the requests that were taken; everyone hears in the order in which their requests came."""


APIS: dict[int, Api] = {}
SHORTCUTS: dict[int, Shortcut] = {}
GATHERERS: dict[int, Callable[["Broker"], Gatherer]] = {}


def handles(
    request: type[Request], versions: str, *, advertised_from: int | None = None
) -> Callable[
    [Callable[["Broker", RequestContext, Request], Awaitable[Message | bytes | None]]],
    Callable[["Broker", RequestContext, Request], Awaitable[Message | bytes | None]],
]:
    """Register the decorated coroutine function for `request` in `versions` ("3-13").

    `advertised_from` widens what ApiVersions claims downwards, for clients that switch features off when an old
    version is missing (KAFKA-18659); requests in those versions are still refused.
    """
    served = VersionRange.parse(versions)

    def register(
        handler: Callable[["Broker", RequestContext, Request], Awaitable[Message | bytes | None]],
    ) -> Callable[["Broker", RequestContext, Request], Awaitable[Message | bytes | None]]:
        key = request.api_key
        if key in APIS:
            raise ValueError(f"{request.__name__} has a handler already: {APIS[key].handler}")
        lowest = served.lowest if advertised_from is None else advertised_from
        APIS[key] = Api(
            key=key,
            request=request,
            response=Message.response(key),
            versions=served,
            advertised=VersionRange(lowest, served.highest),
            handler=handler,
        )
        return handler

    return register


def shortcut(request: type[Message]) -> Callable[[Shortcut], Shortcut]:
    """Register the decorated function as the shortcut to the handler of `request`."""

    def register(function: Shortcut) -> Shortcut:
        SHORTCUTS[request.api_key] = function
        return function

    return register


def gatherer(request: type[Message]) -> Callable[[type[G]], type[G]]:
    """Register the decorated class as the gatherer of `request`; each server makes one with its broker."""

    def register(made_by: type[G]) -> type[G]:
        GATHERERS[request.api_key] = made_by
        return made_by

    return register


def begin(
    broker: "Broker", connection: "Connection", frame: bytearray | memoryview, waited_ms: int = 0
) -> "list[Part] | asyncio.Future[list[Part]] | asyncio.Future[None]":
    """Serve a request frame: the parts of the response frame, none if there is no response, or a future of them.

    A future without a result says that it is time to call this again with the same frame, and with the time that has
    passed since the first call. Raises as `respond`, as does the future.
    """
    answer = answer_at_once(broker, frame, waited_ms)
    if answer is not None:
        return answer
    task, parts = run_to_first_wait(respond(broker, connection, frame))
    return parts or [] if task is None else task


def answer_at_once(
    broker: "Broker", frame: bytearray | memoryview, waited_ms: int = 0
) -> "list[Part] | asyncio.Future[None] | None":
    """Serve a request frame by a shortcut, if there is one to it; None if it has to go to `respond`."""
    if len(frame) < KEY_AND_VERSION.size:
        return None
    api_key, version = KEY_AND_VERSION.unpack_from(frame)
    take = SHORTCUTS.get(api_key)
    return None if take is None else take(broker, frame, version, waited_ms)


async def respond(broker: "Broker", connection: "Connection", frame: bytearray | memoryview) -> list[Part]:
    """Serve one request frame: the parts of the response frame, none if there is no response.

    Raises MalformedMessage for a frame that is no request, and ClosesConnection.
    """
    header, position = RequestHeader.decode(frame)
    api = APIS.get(header.api_key)
    version = header.api_version
    if api is None:
        raise ClosesConnection(f"API key {header.api_key} is not served here")
    if version not in api.versions:
        if header.api_key == ApiKey.API_VERSIONS:
            return _frame(0, header.correlation_id, _unknown_api_versions(api))
        raise ClosesConnection(f"{api.request.__name__} version {version} is not served, only {api.versions}")
    request, _ = api.request.decode(frame, version, position)
    context = RequestContext(version, header.correlation_id, header.client_id or "", connection)
    try:
        response = await api.handler(broker, context, request)
    except KafkaError as error:
        response = api.failure(error)
    if response is None:
        return []
    if isinstance(response, bytes):
        return _frame_around(encode_response_header(header.api_key, version, header.correlation_id), response)
    if broker.errors is not None:
        broker.errors.note(response)
    return _frame(version, header.correlation_id, response)


def _unknown_api_versions(api: Api) -> Message:
    """What a client of the future is told, in version 0, so that it can ask again (KIP-511)."""
    return api_versions.ApiVersionsResponse(
        error_code=ErrorCode.UNSUPPORTED_VERSION,
        api_keys=[
            api_versions.ApiVersion(
                api_key=api.key, min_version=api.advertised.lowest, max_version=api.advertised.highest
            )
        ],
    )


def _frame(version: int, correlation_id: int, response: Message) -> list[Part]:
    header = encode_response_header(response.api_key, version, correlation_id)
    if response.api_key != ApiKey.FETCH:
        return _frame_around(header, response.encode(version))
    # A fetch response has regions of log files in it.
    chunks = Chunks()
    chunks.append(b"")
    response.encode_into(version, chunks)
    chunks.parts[0] = (len(header) + chunks.size).to_bytes(4, "big") + header
    return list(chunks)


def _frame_around(header: bytes, body: bytes) -> list[Part]:
    return [b"".join(((len(header) + len(body)).to_bytes(4, "big"), header, body))]


def load_handlers() -> None:
    """Import every handler module, which registers them."""
    package = importlib.import_module("ottla_broker.handlers")
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
