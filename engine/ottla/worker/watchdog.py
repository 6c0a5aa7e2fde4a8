"""Says when a user's function keeps a worker waiting: one that blocks the event loop, or one that never returns.

Neither loses anything, since nothing is acknowledged before it is done; but all that the worker does waits for it, and
somebody has to be told which function it is.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from ottla.topology.topology import TaskId
from ottla.worker.assignment import AssignedTask

log = logging.getLogger("ottla.worker")

BLOCKED_AFTER_S = 10.0
"""So long may the event loop be held before that is said."""
STUCK_AFTER_S = 30.0
"""So long may a task be at one batch before that is said."""
_OWN_DIRECTORY = str(Path(__file__).parents[1])


class Watchdog:
    """Watches the event loop of the thread that enters it, from a thread of its own.

    A callback of the loop's own shows that it goes round, also while the worker waits for its broker. `look` is called
    with the tasks of the worker. What is held is said once, and a loop that goes on after that is said too.
    """

    def __init__(self) -> None:
        self._beat = time.monotonic()
        self._beating: asyncio.TimerHandle | None = None
        self._said = False
        self._stuck: set[TaskId] = set()
        self._watched = threading.get_ident()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ottla-watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._watched = threading.get_ident()
        self._go_round(asyncio.get_running_loop())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beating is not None:
            self._beating.cancel()
        self._ended.set()
        self._thread.join()
        self._goes_on()

    def _go_round(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beat = time.monotonic()
        self._goes_on()
        self._beating = loop.call_later(BLOCKED_AFTER_S / 10, self._go_round, loop)

    def _goes_on(self) -> None:
        if self._said:
            self._said = False
            log.warning("the event loop goes on")

    def look(self, tasks: Iterable[AssignedTask]) -> None:
        """Says which tasks do not come to the end of their batch."""
        now = time.monotonic()
        stuck = {
            task.task.id: task for task in tasks if task.running is not None and now - task.began_at >= STUCK_AFTER_S
        }
        said, self._stuck = self._stuck, set(stuck)
        for task_id, task in stuck.items():
            if task_id not in said:
                log.warning(
                    "task %s has been processing for %.0f s and is at %s: the commits of this worker wait for it",
                    task_id,
                    now - task.began_at,
                    task.task.place,
                )

    def _watch(self) -> None:
        while not self._ended.wait(BLOCKED_AFTER_S / 10):
            held_s = time.monotonic() - self._beat
            if held_s >= BLOCKED_AFTER_S and not self._said:
                self._said = True
                log.warning("the event loop has been held for %.0f s by %s", held_s, self._holder())

    def _holder(self) -> str:
        """The user's function that our code called last with what it is in now, and what to do about it."""
        called: list[FrameType] = []
        frame = sys._current_frames().get(self._watched)
        while frame is not None and not frame.f_code.co_filename.startswith(_OWN_DIRECTORY):
            called.append(frame)
            frame = frame.f_back
        if frame is None or not called:
            return "the worker itself, or because the machine had no time for it"
        places = [f"{each.f_code.co_qualname} ({each.f_code.co_filename}:{each.f_lineno})" for each in called]
        inside = f", which is in {places[0]}" if len(places) > 1 else ""
        return (
            f"{places[-1]}{inside}: nothing else in this worker runs meanwhile; await what takes long, or call it with "
            "asyncio.to_thread"
        )
