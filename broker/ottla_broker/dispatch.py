"""Routing: which handler answers which API, and what ApiVersions says about it.

A handler registers itself once::

    @handles(HeartbeatRequest, "0-4")
    async def heartbeat(broker: Broker, context: RequestContext, request: HeartbeatRequest) -> HeartbeatResponse: ...

and that one registration feeds both the routing of requests and the list that ApiVersions answers with, so that the
two cannot disagree. `load_handlers` imports every module of the `handlers` package.

A handler may

- return the response, or None where the protocol wants none (a produce with acks=0);
- raise `KafkaError` where the whole request fails and its response has a top-level `error_code`: `answer` builds that
  response (errors of single topics, partitions or groups belong into the response that the handler returns);
- await. It is started at once, in the order in which requests arrived, and runs without a task until its first
  real wait (`eager.py`); so it must not rely on `asyncio.current_task` (`asyncio.timeout` does) before that.
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ottla_wire.errors import KafkaError
from ottla_wire.message import Message, VersionRange

if TYPE_CHECKING:
    from ottla_broker.broker import Broker
    from ottla_broker.connection import Connection

Request = TypeVar("Request", bound=Message)
Handler = Callable[["Broker", "RequestContext", Any], Awaitable[Message | None]]


class RequestContext(msgspec.Struct, frozen=True, gc=False):
    """What a handler may know about a request besides its body."""

    version: int
    correlation_id: int
    client_id: str
    client_host: str
    connection: "Connection"
    principal: str = "User:ANONYMOUS"
    listener: str = "PLAINTEXT"


class Api(msgspec.Struct, frozen=True):
    """One API that this broker serves."""

    key: int
    request: type[Message]
    response: type[Message]
    versions: VersionRange
    advertised: VersionRange
    handler: Handler

    def failure(self, error: KafkaError) -> Message | None:
        """The response that says that the whole request failed, or None if this API's response cannot say so."""
        fields = self.response.field_names()
        if "error_code" not in fields:
            return None
        response = self.response(error_code=int(error.code))
        if "error_message" in fields:
            response.error_message = error.message  # type: ignore[attr-defined]
        return response


APIS: dict[int, Api] = {}


def handles(
    request: type[Request], versions: str, *, advertised_from: int | None = None
) -> Callable[
    [Callable[["Broker", RequestContext, Request], Awaitable[Message | None]]],
    Callable[["Broker", RequestContext, Request], Awaitable[Message | None]],
]:
    """Register the decorated coroutine function for `request` in `versions` ("3-13").

    `advertised_from` widens what ApiVersions claims downwards, for clients that switch features off when an old
    version is missing (KAFKA-18659); requests in those versions are still refused.
    """
    served = VersionRange.parse(versions)

    def register(
        handler: Callable[["Broker", RequestContext, Request], Awaitable[Message | None]],
    ) -> Callable[["Broker", RequestContext, Request], Awaitable[Message | None]]:
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


def load_handlers() -> None:
    """Import every handler module, which registers them."""
    package = importlib.import_module("ottla_broker.handlers")
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
