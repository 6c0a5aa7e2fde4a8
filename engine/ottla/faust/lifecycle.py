"""What an app of Faust's has of its life as a service: methods that are called as its worker starts and stops, tasks
beside it, a client for HTTP, and whether it leads."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

import ottla
from ottla.errors import ConfigError, TopologyError
from ottla.faust.settings import NOT_NEEDED, REFUSED, Settings
from ottla.loading import import_module
from ottla.topology.discovery import names_in

_STARTING = ("on_first_start", "on_start", "on_started")
_STOPPING = ("on_stop", "on_shutdown")


class Lives:
    """The part of an app that is a service."""

    declared: ottla.App
    conf: Settings
    _futures: set[asyncio.Task[Any]]
    _leads: bool | None = None
    _http_client: Any = None

    async def on_first_start(self) -> None:
        """To be overridden: called when a worker starts."""

    async def on_start(self) -> None:
        """To be overridden: called when a worker starts."""

    async def on_started(self) -> None:
        """To be overridden: called when a worker starts, after `on_start`."""

    async def on_stop(self) -> None:
        """To be overridden: called when the worker stops."""

    async def on_shutdown(self) -> None:
        """To be overridden: called when the worker stops, after `on_stop`."""

    def on_webserver_init(self, web: Any) -> None:
        """To be overridden: called when the pages were declared, before those of blueprints."""

    def live(self, functions: Iterable[Callable[..., Any]]) -> None:
        """Has called what an app overrides, and learns who leads if one of its functions asks. Called once, when the
        app is put together."""
        self._futures = set()
        overridden = {
            name for name in (*_STARTING, *_STOPPING) if getattr(type(self), name) is not getattr(Lives, name)
        }
        for name in _STARTING:
            if name in overridden:
                self.declared.on_start(getattr(self, name))
        for name in _STOPPING:
            if name in overridden:
                self.declared.on_stop(getattr(self, name))
        mentioned = {name for function in functions for name in names_in(function)}
        if "is_leader" in mentioned:
            self._leads = False
            self.declared.task(on_leader=True, name="ottla.faust.leads")(self._lead)
        if mentioned & {"add_future", "http_client"}:
            self.declared.on_stop(self._end)

    def is_leader(self) -> bool:
        """Whether this worker leads the app's. Asked in the code of agents, timers, tasks, pages and commands; raises
        `TopologyError` where none of them does."""
        if self._leads is None:
            raise TopologyError(
                "app.is_leader() is known where an agent, task, timer or page of the app asks: on_leader=True makes a "
                "task, timer or cron job the leader's"
            )
        return self._leads

    @property
    def http_client(self) -> Any:
        """A session of aiohttp's, opened on first use and closed with the worker. Raises `ConfigError` if aiohttp is
        not installed."""
        if self._http_client is None:
            if find_spec("aiohttp") is None:
                raise ConfigError(
                    "app.http_client is not part of Ottla's Faust facade: it is aiohttp's, which is not installed: "
                    "pip install aiohttp"
                )
            self._http_client = importlib.import_module("aiohttp").ClientSession()
        return self._http_client

    def add_future(self, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs something beside the worker until it ends, or the worker stops."""
        task = asyncio.get_running_loop().create_task(coro)
        self._futures.add(task)
        task.add_done_callback(self._futures.discard)
        return task

    async def itertimer(
        self,
        interval: float | timedelta,
        *,
        max_drift_correction: float = 0.1,  # noqa: ARG002 - it keeps its beat
        loop: Any = None,  # noqa: ARG002 - it is the running one
        sleep: Callable[[float], Any] = asyncio.sleep,
        clock: Callable[[], float] | None = None,
        name: str = "",  # noqa: ARG002 - nothing is logged
    ) -> AsyncIterator[float]:
        """Waits for so many seconds, again and again, and yields how long it was."""
        seconds = interval.total_seconds() if isinstance(interval, timedelta) else interval
        now = clock or asyncio.get_running_loop().time
        before = due = now()
        while True:
            due += seconds
            await sleep(max(due - now(), 0.0))
            after = now()
            yield after - before
            before = after

    def config_from_object(self, obj: Any, *, silent: bool = False, force: bool = False) -> None:  # noqa: ARG002
        """Takes options from the attributes of an object, or of the module that a text names. Raises `ConfigError` for
        a module that is not there, unless `silent`."""
        try:
            found = import_module(obj) if isinstance(obj, str) else obj
        except ConfigError:
            if silent:
                return
            raise
        for name in {*Settings.__dataclass_fields__, *NOT_NEEDED, *REFUSED, "url"}:
            value = getattr(found, name, None)
            if value is not None:
                setattr(self.conf, name, value)

    async def _lead(self) -> None:
        self._leads = True
        try:
            await asyncio.Event().wait()
        finally:
            self._leads = False

    async def _end(self) -> None:
        """The worker stops."""
        for task in self._futures:
            task.cancel()
        await asyncio.gather(*self._futures, return_exceptions=True)
        if self._http_client is not None:
            await self._http_client.close()
            self._http_client = None
