"""Who a worker is, from one start to the next: a place in the state directory, locked, with the worker's id.

    STATE_DIR/APP/0/lock         held as long as the worker lives; the kernel lets go of it however the worker ends
    STATE_DIR/APP/0/worker-id    made once; names the transactional producer and the static group member
    STATE_DIR/APP/0/rocksdb/     the worker's stores

A worker takes the first place that is free, so that one restarted after a crash finds its own again, with its state,
and fences what its dead self left open. A second worker beside it takes the next.
"""

from __future__ import annotations

import fcntl
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ottla.errors import StateError

_MAX_PLACES = 1_000
_WORKER_ID = re.compile(r"[a-zA-Z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """A worker's own directory and its id."""

    directory: Path
    worker_id: str


@contextmanager
def worker_place(state_dir: Path, app_id: str) -> Iterator[WorkerPlace]:
    """Takes the first free place of the app for as long as the context lasts. Raises `StateError`."""
    with ExitStack() as held:
        try:
            lock, directory = _first_free(state_dir / app_id)
            held.callback(os.close, lock)
            place = WorkerPlace(directory, _worker_id(directory / "worker-id"))
        except OSError as error:
            raise StateError(f"the state directory {state_dir} cannot be used: {error.strerror or error}") from error
        yield place


def _first_free(parent: Path) -> tuple[int, Path]:
    for number in range(_MAX_PLACES):
        directory = parent / str(number)
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        except OSError:
            os.close(lock)
            raise
        else:
            return lock, directory
    raise StateError(f"{_MAX_PLACES} workers use the state directory {parent} already")


def _worker_id(path: Path) -> str:
    """The id in the file, made there first if need be: whole or not at all, whenever the machine stops."""
    try:
        worker_id = path.read_text(errors="replace").strip()
    except FileNotFoundError:
        worker_id = uuid.uuid4().hex[:12]
        unfinished = path.with_suffix(".new")
        with unfinished.open("w") as file:
            file.write(worker_id)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    if not _WORKER_ID.fullmatch(worker_id):
        raise StateError(f"{path} holds {worker_id!r:.40}, which is no worker's id; remove it for a new one")
    return worker_id
