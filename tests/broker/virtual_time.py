"""A whole node in virtual time, on a disk that remembers what it held before and after each write.

`run(main)` drives a coroutine on an event loop whose clock jumps from one timer to the next: minutes pass in
milliseconds, and what would wait for ever fails at once. Work for threads is done in the loop, after as long as `stall`
says that the device takes. `RecordingDisk` is the operating system's filesystem and copies the data directory at each
change: what a `kill -9` at that moment would leave behind, because the page cache outlives the process.
"""

import asyncio
import selectors
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from ottla_broker.log.disk import Data, File, LocalDisk, LocalFile

T = TypeVar("T")

_ENOUGH = 70  # bytes, of which half is within a batch header
EPOCH_MS = 1_700_000_000_000


class _Selector(selectors.DefaultSelector):
    """Waits for nothing: when no file is ready, time passes."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everything waits, and nothing is going to happen"
            self.loop.now_s += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """See above. `stall` gives seconds for one job of a thread."""

    def __init__(self, stall: Callable[[], float] = lambda: 0.0) -> None:
        self.now_s = 0.0
        self.set_by_ms = 0
        self._stall = stall
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now_s

    def clock(self) -> int:
        """Epoch milliseconds, for a node; somebody may have set this clock by `set_by_ms`."""
        return EPOCH_MS + self.set_by_ms + self.steady_clock()

    def steady_clock(self) -> int:
        """Milliseconds that only pass, for a node."""
        return round(self.now_s * 1000)

    def run_in_executor(self, _executor: Any, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]
        future: asyncio.Future[T] = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:
                future.set_exception(error)

        self.call_later(self._stall(), work)
        return future


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]], stall: Callable[[], float] = lambda: 0.0) -> T:
    """Run `main(loop)` to its end."""
    loop = VirtualLoop(stall)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main(loop))


class _RecordingFile(LocalFile):
    __slots__ = ("_disk",)

    def __init__(self, disk: "RecordingDisk", file: LocalFile) -> None:
        self.descriptor = file.descriptor  # the very object: it closes itself
        self._disk = disk

    def write(self, data: Data, position: int) -> int:
        if self._disk.halves and len(data) > _ENOUGH:
            data = memoryview(data)[: len(data) // 2]
        written = super().write(data, position)
        self._disk.changed()
        return written

    def truncate(self, size: int) -> None:
        super().truncate(size)
        self._disk.changed()


class RecordingDisk(LocalDisk):
    """Copies `source` to `target`/0, `target`/1, ... at each change while `recording`; `on_change` hears of each.

    With `halves` a write takes only half of what it is given, if that is not little, so that the rest is another one.
    """

    def __init__(self, source: Path, target: Path, on_change: Callable[[], None], *, halves: bool) -> None:
        self.source = source
        self.target = target
        self.halves = halves
        self.recording = False
        self.copies = 0
        self._on_change = on_change

    def changed(self) -> None:
        if self.recording:
            shutil.copytree(self.source, self.target / str(self.copies))
            self.copies += 1
            self._on_change()

    def open(self, path: Path, *, create: bool = False) -> File:
        existed = self.exists(path)
        opened = super().open(path, create=create)
        assert isinstance(opened, LocalFile)
        if not existed:
            self.changed()
        return _RecordingFile(self, opened)

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self.changed()

    def remove(self, path: Path) -> None:
        super().remove(path)
        self.changed()


def let_nodes_live_in(loop: VirtualLoop, monkeypatch: Any) -> None:
    """Give the nodes that are started from now on the clocks of the loop."""
    monkeypatch.setattr("ottla_broker.node.clock", loop.clock)
    monkeypatch.setattr("ottla_broker.node.steady_clock", loop.steady_clock)
