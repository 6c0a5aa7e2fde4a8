"""The loop of the programs in this folder: one JSON request per line in, one JSON reply per line out."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Json = Any


def serve(verbs: Mapping[str, Callable[..., Json]]) -> None:
    """Answer requests until standard input ends; what a verb raises is the reply."""
    for line in sys.stdin:
        request = json.loads(line)
        try:
            _reply({"result": verbs[request.pop("verb")](**request)})
        except Exception as error:
            _reply(_failure(error))


async def serve_async(verbs: Mapping[str, Callable[..., Awaitable[Json]]]) -> None:
    """`serve` for clients whose work goes on in the event loop while no request is there."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        try:
            _reply({"result": await verbs[request.pop("verb")](**request)})
        except Exception as error:
            _reply(_failure(error))


def _failure(error: Exception) -> Json:
    return {"error": type(error).__name__, "message": str(error)}


def _reply(reply: Json) -> None:
    print(json.dumps(reply), flush=True)


def octets(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def text(octets: bytes | None) -> str | None:
    return None if octets is None else octets.decode()
