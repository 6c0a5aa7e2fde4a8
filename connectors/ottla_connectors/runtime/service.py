"""Runs every connector of a spec side by side; one that fails for good does not stop the others."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from ottla_connectors.errors import ConnectorError
from ottla_connectors.runtime.restarts import Backoff
from ottla_connectors.runtime.sink_runner import Sunk
from ottla_connectors.runtime.source_runner import Written
from ottla_connectors.runtime.tasks import run_sink, run_source
from ottla_connectors.spec import SinkSpec, SourceSpec, Spec

_log = logging.getLogger(__name__)
_PATIENCE_OF_A_BATCH_JOB = Backoff(restarts=3)


@dataclass
class Outcome:
    """What a connector did while the service ran. `error` is why it failed for good."""

    connector: str
    rows: int = 0
    malformed: int = 0
    error: ConnectorError | None = None

    async def count(self, batch: Written | Sunk) -> None:
        """Adds a batch that was committed."""
        self.rows += batch.rows
        self.malformed += batch.malformed


class Service:
    """The connectors of one spec. `outcomes` can be read at any time."""

    def __init__(self, spec: Spec, bootstrap_servers: str) -> None:
        self._spec = spec
        self._bootstrap_servers = bootstrap_servers
        self.outcomes = {name: Outcome(name) for name in spec.names}

    async def run(self, *, until_end: bool) -> None:
        """With `until_end`, first the sources to the end of their input, then the sinks to the end of their topics.

        Otherwise all at once: a source ends with its input, a sink goes on until the caller cancels.
        """
        backoff = _PATIENCE_OF_A_BATCH_JOB if until_end else Backoff()
        sources = (self._source(spec, backoff) for spec in self._spec.sources)
        sinks = (self._sink(spec, backoff, until_end=until_end) for spec in self._spec.sinks)
        if until_end:
            await asyncio.gather(*sources)
            await asyncio.gather(*sinks)
        else:
            await asyncio.gather(*sources, *sinks)

    async def _source(self, spec: SourceSpec, backoff: Backoff) -> None:
        outcome = self.outcomes[spec.name]
        try:
            await run_source(spec, self._bootstrap_servers, on_written=outcome.count, backoff=backoff)
        except ConnectorError as error:
            self._failed(outcome, error)

    async def _sink(self, spec: SinkSpec, backoff: Backoff, *, until_end: bool) -> None:
        outcome = self.outcomes[spec.name]
        try:
            await run_sink(spec, self._bootstrap_servers, until_end=until_end, on_sunk=outcome.count, backoff=backoff)
        except ConnectorError as error:
            self._failed(outcome, error)

    def _failed(self, outcome: Outcome, error: ConnectorError) -> None:
        outcome.error = error
        _log.error("connector %s has failed: %s", outcome.connector, error)
