"""What brings the flights into topics and the results out of them: two file sources and two SQLite sinks.

The topics' partitions and configs are the app's, and so are the types of the rows.
"""

from __future__ import annotations

import gzip
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ottla_apps.flights import app
from ottla_connectors.errors import SourceError
from ottla_connectors.spec import SinkSpec, SourceSpec

DATA = Path(__file__).parent / "data"
FLIGHTS = DATA / "flights-2013-01.csv.gz"
AIRLINES = DATA / "airlines.csv.gz"

_TYPES = "ottla_apps.flights.app"


def flights_source(path: Path, batch_rows: int) -> SourceSpec:
    """Flights, keyed by carrier, with their departure as event time."""
    return _source(
        "flights-file",
        app.flights,
        path=str(path),
        row_type=f"{_TYPES}:Flight",
        key="carrier",
        timestamp="departure",
        null_values=["NA"],
        batch_rows=batch_rows,
    )


def airlines_source() -> SourceSpec:
    """Airlines, known before the first flight leaves: a task takes its inputs in the order of their event times."""
    return _source(
        "airlines-file",
        app.airlines_topic,
        path=str(AIRLINES),
        row_type=f"{_TYPES}:Airline",
        key="carrier",
        as_of=datetime(2013, 1, 1, tzinfo=UTC),
    )


def sinks(out: Path) -> list[SinkSpec]:
    """Delays and cancellations, each into a table of its own, where a newer value replaces an older one."""
    return [
        _sink("delays-sqlite", app.delays.name, out, "Delays", "delays", ["carrier", "hour"]),
        _sink("cancelled-sqlite", app.cancellations.name, out, "Cancelled", "cancelled", ["carrier"]),
    ]


def count_rows(path: Path) -> int:
    """About how many rows the file has, at least 1: its lines without the header. Raises SourceError."""
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as lines:
            return max(1, sum(1 for _ in lines) - 1)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def _source(name: str, topic: Any, **config: Any) -> SourceSpec:
    spec = topic.spec
    return SourceSpec(
        name=name,
        plugin="file",
        topic=spec.name,
        partitions=spec.partitions,
        topic_config=dict(spec.config),
        config=config,
    )


def _sink(name: str, topic: str, out: Path, row_type: str, table: str, primary_key: list[str]) -> SinkSpec:
    return SinkSpec(
        name=name,
        plugin="sqlite",
        topics=[topic],
        config={
            "path": str(out),
            "table": table,
            "row_type": f"{_TYPES}:{row_type}",
            "primary_key": primary_key,
            "mode": "upsert",
        },
    )
