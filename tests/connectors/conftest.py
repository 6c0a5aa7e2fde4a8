"""What several files of this folder need: rows in files, and batches collected from a source."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from ottla_connectors.contract import Batch, Position, Source


@pytest.fixture
def collect() -> Callable[..., list[Batch]]:
    """Reads a source to its end, or to the end of `limit` batches."""

    def collected(source: Source, position: Position | None = None, limit: int | None = None) -> list[Batch]:
        async def read() -> list[Batch]:
            batches = []
            async with aclosing(source.read(position)) as stream:
                async for batch in stream:
                    batches.append(batch)
                    if len(batches) == limit:
                        break
            return batches

        return asyncio.run(read())

    return collected


@pytest.fixture
def write_file(tmp_path: Path) -> Callable[[str, bytes], str]:
    """Writes a file, gzipped where its name ends in .gz, and returns its path."""

    def written(name: str, data: bytes) -> str:
        path = tmp_path / name
        path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
        return str(path)

    return written
