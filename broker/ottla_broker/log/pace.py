"""How fast compaction may go, and that it is told to stop.

It shares the interpreter with the event loop, and each system call of the loop's gives that away. So beside a loop that
has much to do it works in short stretches and pauses after each, as long as the loop can make use of that; beside one
that waits it does not pause. And it keeps to log.cleaner.io.max.bytes.per.second.
"""

import threading
import time

from ottla_broker.log.errors import CompactionStopped

_LONGEST_STRETCH_S = 0.3  # what is read and written ahead, at most
_SHORTEST_CYCLE_S = 0.002  # the clocks are not looked at more often
_SHORTEST_PAUSE_S = 0.0002  # less is not worth it
_COURTESY = 3  # so many times as long as it has computed it pauses beside threads that are always busy


class Pace:
    """Called by the thread that compacts, for all that it reads and writes; `limit` and `stop` by any other.

    As Apache Kafka's throttler it lets a stretch of work happen and then makes up for it by a pause.
    """

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._bytes_per_s = float("inf")
        self._begun_s = time.monotonic()
        self._spent = 0
        # When the last pause ended, and what this thread and all others had computed by then; None before the first.
        self._cycle_s = 0.0
        self._own_s: float | None = None
        self._others_s = 0.0

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
        now_s = time.monotonic()
        if now_s - self._cycle_s >= _SHORTEST_CYCLE_S:
            self._make_way(now_s)
        self._spent += size
        due_s = self._spent / self._bytes_per_s
        passed_s = now_s - self._begun_s
        if due_s < _LONGEST_STRETCH_S and passed_s < _LONGEST_STRETCH_S:
            return
        if due_s > passed_s and self._stopped.wait(due_s - passed_s):
            raise CompactionStopped
        self._begun_s = time.monotonic()
        self._spent = 0

    def _make_way(self, now_s: float) -> None:
        """Pause in proportion to how long this thread has computed, and how busy the others were meanwhile."""
        own_s = time.thread_time()
        others_s = time.process_time() - own_s
        if self._own_s is not None:
            busy = min(1.0, (others_s - self._others_s) / (now_s - self._cycle_s))
            pause_s = (own_s - self._own_s) * _COURTESY * busy
            if pause_s >= _SHORTEST_PAUSE_S and self._stopped.wait(pause_s):
                raise CompactionStopped
        # The pause itself counts, because what the others do in it shows what they have to do.
        self._cycle_s, self._own_s, self._others_s = now_s, time.thread_time(), others_s
