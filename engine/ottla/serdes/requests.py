"""What a codec must ask of another machine, and who waits for it.

Codecs are called in the middle of things: in a command, a test, a thread they may wait for an answer; on a worker's
event loop they would hold up all tasks. There they say what they need (`Pending`), the worker lets a thread ask for it,
and begins anew with the answer at hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from ottla.errors import Unavailable

T = TypeVar("T")

_deferred: ContextVar[bool] = ContextVar("ottla.serdes.deferred", default=False)


class Pending(Unavailable):
    """A codec needs an answer. `fetch` waits for it; after that the codec has it, or raises what is wrong with it.

    `fetch` raises `Unavailable` when there is no answer.
    """

    def __init__(self, what: str, fetch: Callable[[], None]) -> None:
        super().__init__(what)
        self.fetch = fetch


@contextmanager
def deferring_requests() -> Iterator[None]:
    """Within it codecs raise `Pending` where they would wait."""
    entered = _deferred.set(True)
    try:
        yield
    finally:
        _deferred.reset(entered)


def wait_for(what: str, fetch: Callable[[], None]) -> None:
    """Calls `fetch`, or raises `Pending` where that must not be waited for."""
    if _deferred.get():
        raise Pending(what, fetch)
    fetch()


async def with_answers(use: Callable[[], T]) -> T:
    """What the function returns, which uses codecs. What they need is asked for by a thread; then it is called anew.

    Raises `Unavailable` when there is no answer.
    """
    while True:
        try:
            with deferring_requests():
                return use()
        except Pending as pending:
            await asyncio.to_thread(pending.fetch)
