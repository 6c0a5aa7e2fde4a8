"""How fast compaction may read and write, and that it is told to stop (log.cleaner.io.max.bytes.per.second)."""

import threading
import time

from ottla_broker.log.errors import CompactionStopped

_LONGEST_STRETCH_S = 0.3  # what is read and written ahead, at most


class Pace:
    """Called by the thread that compacts, for all that it reads and writes; `limit` and `stop` by any other.

    As Apache Kafka's throttler it lets a stretch of work happen and then makes up for it by a pause.
    """

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._bytes_per_s = float("inf")
        self._begun_s = time.monotonic()
        self._spent = 0

    def limit(self, bytes_per_s: float) -> None:
        """Read and write no more than that from now on, on average."""
        self._bytes_per_s = bytes_per_s

    def stop(self) -> None:
        """Have the work end at its next step."""
        self._stopped.set()

    def spend(self, size: int) -> None:
        """Note what was read or written, and pause if it came too fast. Raises CompactionStopped."""
        if self._stopped.is_set():
            raise CompactionStopped
        self._spent += size
        due_s = self._spent / self._bytes_per_s
        passed_s = time.monotonic() - self._begun_s
        if due_s < _LONGEST_STRETCH_S and passed_s < _LONGEST_STRETCH_S:
            return
        if due_s > passed_s and self._stopped.wait(due_s - passed_s):
            raise CompactionStopped
        self._begun_s = time.monotonic()
        self._spent = 0
