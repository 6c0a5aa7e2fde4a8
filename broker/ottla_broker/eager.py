"""Start a coroutine at once, and make a task of it only if it really waits.

Most requests are answered without waiting for anything, and a task for each would cost more than the answer. So the
server runs a handler to its first suspension itself. If it suspends, a task takes over the same coroutine where it
stands (Python 3.12 has this as `asyncio.eager_task_factory`; we support 3.11).
"""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


def run_to_first_wait(coroutine: Coroutine[Any, Any, T]) -> tuple[asyncio.Task[T] | None, T | None]:
    """(None, result) if the coroutine finished, (task, None) if it waits. What it raises at once is raised here.

    Until its first wait the coroutine runs outside of any task: it may create futures and await them, but
    `asyncio.current_task()` is None, so `asyncio.timeout` fails there.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration as finished:
        return None, finished.value
    return asyncio.get_running_loop().create_task(_go_on(coroutine, waits_for)), None


async def _go_on(coroutine: Coroutine[Any, Any, T], waits_for: Any) -> T:
    """What the task runs: since Python 3.12 a task takes no generator, whatever it is decorated with."""
    return await _continue(coroutine, waits_for)


@types.coroutine
def _continue(coroutine: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Drive `coroutine` on from where it suspended, as if this had been its task from the start."""
    while True:
        try:
            sent = yield waits_for
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as thrown:
            step: Callable[[Any], Any] = coroutine.throw
            argument: Any = thrown
        else:
            step = coroutine.send
            argument = sent
        try:
            waits_for = step(argument)
        except StopIteration as finished:
            result: T = finished.value
            return result
