"""A worker put together from an app's options, and run: broker, place in the state directory, stores, transport."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from ottla.config import AppConfig
from ottla.errors import OttlaError, ProcessingFailed
from ottla.jobs import CrashDecision, Jobs
from ottla.state.changelog import RestoreProgress
from ottla.state.memory import MemoryStores
from ottla.state.store import Stores
from ottla.topology.patterns import has_patterns, resolved
from ottla.topology.topology import Topology
from ottla.transport import kafka_admin
from ottla.transport.kafka import KafkaTransport
from ottla.transport.kafka_log import ClientLog
from ottla.transport.kafka_reach import wait_for_broker
from ottla.transport.kafka_settings import KafkaSettings
from ottla.worker.deadline import stopping_deadline
from ottla.worker.embedded import serving
from ottla.worker.garbage import collected_seldom
from ottla.worker.identity import worker_place
from ottla.worker.metrics import WorkerMetrics
from ottla.worker.signals import CutShort, Signals, heeded
from ottla.worker.worker import Worker, WorkerSummary

if TYPE_CHECKING:
    from ottla.app import App
    from ottla.web.server import Listener

log = logging.getLogger("ottla.worker")

_LASTING_S = 60.0
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 30.0


def run_worker(
    topology: Topology,
    config: AppConfig,
    *,
    until_end: bool = False,
    metrics: WorkerMetrics | None = None,
    progress: RestoreProgress | None = None,
    jobs: Jobs | None = None,
    served: App | None = None,
) -> WorkerSummary:
    """Runs a worker in this thread until SIGTERM or SIGINT, or until the end of the input.

    The app `served` can read what the worker holds; where the config says `web`, it is served over HTTP.

    A second signal ends it at once, without its last commit. A process that has not stopped `STOPPED_WITHIN_S` after
    the first is ended (`deadline.py`). Raises what `Worker.run` raises, and `StateError` or `TransportError` when the
    state directory or an embedded broker cannot be used.
    """
    with (
        listening(config, served) as listener,
        serving(config.broker) as bootstrap,
        worker_place(config.state_dir, config.app_id) as place,
        collected_seldom(),
        stopping_deadline() as told_to_stop,
    ):
        log.info("%s: worker %s, broker %s, state in %s", config.app_id, place.worker_id, bootstrap, place.directory)
        settings = kafka_settings(config, bootstrap, place.worker_id)
        metrics = metrics if metrics is not None else WorkerMetrics(config.app_id)
        crashes = Crashes(None if jobs is None else jobs.on_crash)
        while True:
            # Anew when patterns match other topics than before, and when the app says so after a crash.
            crashes.began()
            stores = open_stores(config, place.directory)
            try:
                wait_for_broker(settings, config.broker_wait_ms / 1000)
                worker = Worker(
                    read_now(topology, settings),
                    config,
                    KafkaTransport(settings),
                    stores,
                    until_end=until_end,
                    metrics=metrics,
                    progress=progress,
                    jobs=jobs,
                    address=None if listener is None else listener.address,
                )
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    summary = runner.run(_run(worker, served, listener, told_to_stop))
                if not worker.outdated:
                    return summary
            except StoppedAtOnce:
                raise
            except CutShort:
                raise StoppedAtOnce from None
            except Exception as error:
                crashes.decide(error)
            finally:
                stores.close()
            crashes.wait()


def kafka_settings(config: AppConfig, bootstrap: str, worker_id: str) -> KafkaSettings:
    """How a worker speaks with its broker."""
    return KafkaSettings(
        bootstrap,
        config.app_id,
        worker_id,
        exactly_once=config.processing_guarantee == "exactly_once",
        # A transaction is open for a commit interval and the commit itself, which may outlast a broker's restart.
        transaction_timeout_ms=config.commit_interval_ms + 60_000,
        options=config.broker_options,
    )


class StoppedAtOnce(OttlaError):  # noqa: N818
    """A second signal came before the worker had stopped."""

    def __init__(self) -> None:
        super().__init__("stopped at once by a second signal; what was not committed is processed again")


class Crashes:
    """What becomes of a worker that ended with an error, as the app's `on_crash` says, if it has one."""

    def __init__(self, handler: Callable[[Exception], CrashDecision] | None) -> None:
        self._handler = handler
        self._began = 0.0
        self._in_a_row = 0
        self._wait_s = 0.0

    def began(self) -> None:
        """A worker begins."""
        self._began, self._wait_s = time.monotonic(), 0.0

    def decide(self, error: Exception) -> None:
        """Raises the error, unless another worker is to begin in its place. Raises `ProcessingFailed` for a handler
        that raises, or that decides nothing known."""
        if self._handler is None:
            raise error
        try:
            decision = self._handler(error)
        except Exception as failure:
            raise ProcessingFailed(f"on_crash raised {type(failure).__name__} ({failure}) over: {error}") from error
        if decision == "stop":
            raise error
        if decision != "restart":
            raise ProcessingFailed(f'on_crash returned {decision!r}, where "restart" or "stop" is expected') from error
        self._in_a_row = 1 if time.monotonic() - self._began > _LASTING_S else self._in_a_row + 1
        self._wait_s = min(_FIRST_WAIT_S * 2 ** (self._in_a_row - 1), _LONGEST_WAIT_S)
        log.error("the worker ended, and begins anew in %g s: %s", self._wait_s, error)

    def wait(self) -> None:
        """Waits before the next worker begins: longer each time that the one before did not last."""
        time.sleep(self._wait_s)


def read_now(topology: Topology, settings: KafkaSettings) -> Topology:
    """The topology with the topics that its patterns match now. Raises `TransportError`, `TopologyError`."""
    if not has_patterns(topology):
        return topology
    from confluent_kafka.admin import AdminClient

    return resolved(topology, kafka_admin.topics(AdminClient(settings.admin(), logger=ClientLog())))


@contextmanager
def listening(config: AppConfig, served: App | None) -> Iterator[Listener | None]:
    """The socket for HTTP, if the app is to be served. Raises `ConfigError`."""
    if config.web is None or served is None:
        yield None
        return
    from ottla.web.server import Listener

    listener = Listener(config.web)
    try:
        log.info("%s: http://%s", config.app_id, listener.address)
        yield listener
    finally:
        listener.close()


async def _run(
    worker: Worker, served: App | None, listener: Listener | None, told_to_stop: Callable[[], None]
) -> WorkerSummary:
    if served is None:
        return await _run_until_signalled(worker, told_to_stop)
    served.held_parts = lambda spec: [] if worker.insight is None else worker.insight.held(spec)
    try:
        if listener is None:
            return await _run_until_signalled(worker, told_to_stop)
        from ottla.web.server import WebServer

        async with WebServer(served, worker, listener):
            return await _run_until_signalled(worker, told_to_stop)
    finally:
        served.held_parts = None


async def _run_until_signalled(worker: Worker, told_to_stop: Callable[[], None]) -> WorkerSummary:
    running = asyncio.current_task()
    assert running is not None

    def stop() -> None:
        worker.outdated = False
        worker.stop()

    signals = Signals(asyncio.get_running_loop(), stop, running.cancel, told_to_stop)
    with heeded(signals):
        try:
            return await worker.run()
        except (Exception, asyncio.CancelledError, CutShort):
            if not signals.at_once:
                raise
            raise StoppedAtOnce from None


def open_stores(config: AppConfig, directory: Path) -> Stores:
    """The stores of a worker, in its place in the state directory or in memory."""
    if config.store == "memory":
        return MemoryStores()
    from ottla.state.rocks import RocksStores

    return RocksStores(directory / "rocksdb")
