"""A worker whose state cannot be written ends with that sentence, and leaves nothing open behind it."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import ottla
from ottla.errors import StateError
from ottla.state.rocks import RocksStores
from ottla.transport.memory import MemoryTransport

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]


class FullDisk:
    """RocksDB where nothing can be written any more."""

    def __init__(self, database: Any) -> None:
        self.database = database

    def __getattr__(self, name: str) -> Any:
        return getattr(self.database, name)

    def write(self, _: Any) -> None:
        raise Exception("IO error: No space left on device")  # as rocksdict does


def test_a_full_disk_ends_a_worker_in_order(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = ottla.App("keeping", commit_interval=0.01)
    # State without a changelog is written with each commit.
    newest = app.Table("newest", key=str, value=str, changelog=False)
    closed = []

    @app.agent(app.topic("in", key=str, value=str, partitions=2))
    async def keep(stream: ottla.Stream[str]) -> None:
        try:
            async for key, value in stream.items():
                newest[key] = value
        finally:
            closed.append(True)

    async def scenario(cluster: Any) -> None:
        stopped = []
        stop = MemoryTransport.stop

        async def noted(transport: MemoryTransport, **options: Any) -> None:
            stopped.append(True)
            await stop(transport, **options)

        monkeypatch.setattr(MemoryTransport, "stop", noted)
        cluster.stores["keeping", "w0"] = stores = RocksStores(tmp_path)
        await cluster.run_to_end(app)
        stores.database = FullDisk(stores.database)  # type: ignore[assignment]
        cluster.send("in", *[(f"k{number}", "v") for number in range(9)])
        closed.clear()
        stopped.clear()
        with pytest.raises(StateError, match="make room on that disk"):
            await cluster.run_to_end(app)
        assert (len(closed), len(stopped)) == (2, 1), "the agents are closed, and the group is left"
        with pytest.raises(StateError, match="make room on that disk"):
            stores.close()

    play(scenario)
    assert "asynchronous generator" not in caplog.text
