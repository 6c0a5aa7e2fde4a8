"""How restoring is shown: a bar on a terminal, a line in the log elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

from ottla.state.changelog import RestoreProgress

log = logging.getLogger("ottla.worker")


def restore_progress() -> RestoreProgress:
    """What suits where stderr goes."""
    return RestoreBar() if sys.stderr.isatty() else RestoreLog()


_EVERY_S = 10.0


class RestoreLog:
    """Logs how much was restored, and how fast, now and then and when it is done."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._total = self._done = 0
        self._began = self._said = 0.0

    def started(self, total: int) -> None:
        self._total, self._done, self._began = total, 0, self._clock()
        self._said = self._began
        if total:
            log.info("restoring %d offsets of changelogs", total)

    def advanced(self, count: int) -> None:
        self._done += count
        now = self._clock()
        if now - self._said >= _EVERY_S and self._done < self._total:
            self._said = now
            log.info("restored %d of %d offsets, %.0f/s", self._done, self._total, self._done / (now - self._began))

    def finished(self) -> None:
        seconds = self._clock() - self._began
        if self._done < self._total:
            log.info("restoring was given up after %d of %d offsets", self._done, self._total)
        elif self._total:
            log.info("restored %d offsets in %.1f s, %.0f/s", self._done, seconds, self._done / max(seconds, 1e-6))


class RestoreBar:
    """A progress bar with the rate, on stderr; gone when restoring is done."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("restoring state"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._done = 0
        self._began = 0.0

    def started(self, total: int) -> None:
        self._done, self._began = 0, time.monotonic()
        if total:
            self._progress.add_task("restore", total=total, rate=0.0)
            self._progress.start()

    def advanced(self, count: int) -> None:
        self._done += count
        # rich's own rate is None until it has seen two steps
        rate = self._done / max(time.monotonic() - self._began, 1e-6)
        for task_id in self._progress.task_ids:
            self._progress.update(task_id, advance=count, rate=rate)

    def finished(self) -> None:
        self._progress.stop()
        for task_id in self._progress.task_ids:
            self._progress.remove_task(task_id)
