"""A worker on the event loop of another program, such as a web server that sends to its topics and reads its tables.

    async with app.running():
        ...

It ends with the block, after a last commit. Signals are the host's. Meanwhile what the program's code sends, wherever
on that loop, joins the worker's commits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

from ottla.app import App
from ottla.config import AppConfig
from ottla.errors import OttlaError
from ottla.outlet import serve_process
from ottla.topology.topology import Topology
from ottla.transport.kafka import KafkaTransport
from ottla.transport.kafka_reach import wait_for_broker
from ottla.worker.embedded import serving
from ottla.worker.identity import worker_place
from ottla.worker.launch import kafka_settings, listening, open_stores, read_now
from ottla.worker.worker import Worker

log = logging.getLogger("ottla.worker")


@asynccontextmanager
async def hosted(topology: Topology, config: AppConfig, app: App) -> AsyncIterator[None]:
    """Runs a worker of the app while the block lasts. Where the config says `web`, it listens, too.

    Raises what `run_worker` does: before the block for what is wrong at the start, behind it for what ended the worker
    in between, which is logged when it does. From then on nothing can be sent.
    """
    async with AsyncExitStack() as held:
        listener = held.enter_context(listening(config, app))
        bootstrap = held.enter_context(serving(config.broker))
        place = held.enter_context(worker_place(config.state_dir, config.app_id))
        log.info("%s: worker %s, broker %s, state in %s", config.app_id, place.worker_id, bootstrap, place.directory)
        settings = kafka_settings(config, bootstrap, place.worker_id)
        await asyncio.to_thread(wait_for_broker, settings, config.broker_wait_ms / 1000)
        stores = open_stores(config, place.directory)
        held.callback(stores.close)
        address = None if listener is None else listener.address
        worker = Worker(
            read_now(topology, settings), config, KafkaTransport(settings), stores, jobs=app.jobs, address=address
        )
        if listener is not None:
            from ottla.web.server import WebServer

            await held.enter_async_context(WebServer(app, worker, listener))
        with ExitStack() as using:
            using.enter_context(serve_process(worker.outlet))
            using.callback(setattr, app, "held_parts", None)
            app.held_parts = lambda spec: [] if worker.insight is None else worker.insight.held(spec)
            running = asyncio.create_task(_run(worker, app.id, using.pop_all()))
        try:
            yield
        finally:
            worker.stop()
            await running


async def _run(worker: Worker, app_id: str, using: ExitStack) -> None:
    """Runs the worker; then it is used by the program no more."""
    try:
        with using:
            await worker.run()
    except OttlaError as error:
        log.error("the worker of %r ended, and nothing can be sent any more: %s", app_id, error)
        raise
    if worker.outdated:
        log.warning("app %r should read other topics by now: start the program anew", app_id)
