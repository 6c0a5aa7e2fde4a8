"""Ends a process that was told to stop and does not.

Every wait of a worker that stops has a bound of its own. What has none is a call into a library that does not return
and holds the interpreter's lock, as librdkafka's consumer may when it is closed while its group gives it partitions:
nothing written in Python runs then. The thread that watches for this needs no interpreter.
"""

from __future__ import annotations

import faulthandler
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPPED_WITHIN_S = 90.0
"""More than all bounds of a worker that stops together."""
_STDERR = 2


@contextmanager
def stopping_deadline() -> Iterator[Callable[[], None]]:
    """What is given is to be called when the process was told to stop: if this is not left `STOPPED_WITHIN_S` later,
    the process ends with status 1, and its standard error says where each of its threads was.
    """
    try:
        yield lambda: faulthandler.dump_traceback_later(STOPPED_WITHIN_S, exit=True, file=_STDERR)
    finally:
        faulthandler.cancel_dump_traceback_later()
