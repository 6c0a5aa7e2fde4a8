"""What users' code raises that is no `Exception`: SystemExit, KeyboardInterrupt, whatever else is a BaseException.

It is no failure of an event, to be retried or made a dead letter: who calls `sys.exit()` wants the program to end. So
it ends the worker, as it ends Python's own event loop, but with a sentence that says where it came from, and as an
error: what was not committed is left for the next worker. A cancellation is that of the worker, or of something that
was awaited, which fails like anything else.
"""

from __future__ import annotations

import sysconfig
import traceback
from asyncio import CancelledError, current_task
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ottla.errors import ProcessingFailed

_NOT_THE_USERS = (str(Path(__file__).parent), *(sysconfig.get_path(kind) for kind in ("stdlib", "purelib")), "<frozen")


@contextmanager
def contained(what: str) -> Iterator[None]:
    """Raises `ProcessingFailed` for what is raised within that is no `Exception`, unless the running task is being
    cancelled or closed."""
    try:
        yield
    except (Exception, GeneratorExit):
        raise
    except CancelledError as error:
        if is_being_cancelled():
            raise
        raise _escaped(what, error) from error
    except BaseException as error:
        raise _escaped(what, error) from error


def raised_at(error: BaseException) -> str:
    """Where in code of the user's an error came from, to be put behind what it says; nothing if from nowhere there."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(_NOT_THE_USERS):
            return f", raised in {frame.name} ({frame.filename}:{frame.lineno})"
    return ""


def is_being_cancelled() -> bool:
    """Whether a `CancelledError` is for the running task, and not of something that it awaited."""
    running = current_task()
    return running is None or running.cancelling() > 0


def _escaped(what: str, error: BaseException) -> ProcessingFailed:
    raised = f"{type(error).__name__}({', '.join(map(repr, error.args))})"
    *_, frame = (each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith("<frozen"))
    return ProcessingFailed(
        f"{what}: {raised:.200} was raised in {frame.name} ({frame.filename}:{frame.lineno}), which ends the worker; "
        "what it had not committed is processed again by the next one"
    )
