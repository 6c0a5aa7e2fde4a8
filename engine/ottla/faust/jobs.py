"""How a Faust app declares what it runs besides agents: timers, cron jobs, tasks, pages, services, commands."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial
from typing import TYPE_CHECKING, Any

import ottla
from ottla.faust.cli import AppCommand, Declared
from ottla.faust.noted import unwrapped
from ottla.faust.settings import Settings
from ottla.faust.utils import module_of
from ottla.faust.web import ResourceOptions, View, Web
from ottla.faust.web.views import Placed
from ottla.tables import GlobalTable
from ottla.web.pages import Routed

if TYPE_CHECKING:
    from starlette.requests import Request


class DeclaresJobs:
    """The part of an app by which these are declared."""

    declared: ottla.App
    conf: Settings
    web: Web
    commands: dict[str, Declared]
    functions: list[Callable[..., Any]]
    """Those of the app, which may mention `app.monitor`."""

    def timer(
        self,
        interval: Any,
        on_leader: bool = False,
        traced: bool = True,  # noqa: ARG002 - no tracing
        name: str | None = None,
        max_drift_correction: float = 0.1,  # noqa: ARG002 - a timer keeps its beat
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Calls the function below every so many seconds."""
        return lambda fun: self.declared.timer(interval, on_leader=on_leader, name=name or _name(fun))(
            self._of_app(fun)
        )

    def crontab(
        self,
        cron_format: str,
        *,
        timezone: tzinfo | None = None,
        tz: tzinfo | None = None,
        on_leader: bool = False,
        traced: bool = True,  # noqa: ARG002 - no tracing
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Calls the function below at the times of a cron expression: on every worker, unless `on_leader`. Faust's
        guide says `tz` for `timezone`."""
        zone = timezone or tz or self.conf.timezone
        return lambda fun: self.declared.crontab(cron_format, timezone=zone, on_leader=on_leader, name=_name(fun))(
            self._of_app(fun)
        )

    def task(
        self,
        fun: Callable[..., Any] | None = None,
        *,
        on_leader: bool = False,
        traced: bool = True,  # noqa: ARG002 - no tracing
    ) -> Any:
        """Calls the function below when a worker is ready."""

        def declare(fun: Callable[..., Any]) -> Any:
            return self.declared.task(on_leader=on_leader, name=_name(fun))(self._of_app(fun))

        return declare if fun is None else declare(fun)

    def page(
        self,
        path: str,
        *,
        name: str | None = None,
        base: type[View] = View,
        cors_options: Mapping[str, ResourceOptions] | None = None,
    ) -> Callable[[Any], Any]:
        """Declares the function or `View` below as what answers to requests of a path. A function answers to GET; its
        first argument is a `base`. `cors_options` are `web.ResourceOptions` by origin."""

        def declare(page: Any) -> Any:
            view: Any = page if inspect.isclass(page) else base.from_handler(page)
            self.web.serve(view, path, name or page.__name__, cors_options or {})
            return page

        return declare

    def table_route(
        self,
        table: Any,
        shard_param: str | None = None,
        *,
        query_param: str | None = None,
        match_info: str | None = None,
        exact_key: str | None = None,
    ) -> Callable[[Callable[..., Any]], Placed]:
        """Below `page`, or above a method of a `View`: the worker that has the key of the table answers; of a
        global table, any."""
        if isinstance(table, GlobalTable):
            return lambda fun: Placed(fun, lambda answer: answer)
        return self._placed(table.declared, query_param or shard_param, match_info, exact_key)

    def topic_route(
        self,
        topic: Any,
        shard_param: str | None = None,
        *,
        query_param: str | None = None,
        match_info: str | None = None,
        exact_key: str | None = None,
    ) -> Callable[[Callable[..., Any]], Placed]:
        """As `table_route`: the worker answers whose agents read the topic's events with the key."""
        return self._placed(topic.one("routed by"), query_param or shard_param, match_info, exact_key)

    def _placed(
        self, by: Any, query_param: str | None, match_info: str | None, exact_key: str | None
    ) -> Callable[[Callable[..., Any]], Placed]:
        if exact_key is not None:
            place: Callable[[Callable[..., Any]], Any] = partial(
                AtKey, by=by, match_info=None, query_param=None, key=exact_key
            )
        else:
            declare = self.declared.topic_route if isinstance(by, ottla.Topic) else self.declared.table_route
            place = declare(by, match_info=match_info, query_param=query_param)
        return lambda fun: Placed(fun, place)

    def service(self, service: Any) -> Any:
        """Starts a service with the worker, and stops it at its end: a class of which an object is made, or an object,
        with `start()` and `stop()`, such as mode's."""
        running: Any = service() if inspect.isclass(service) else service
        self.declared.on_start(lambda: running.start())
        self.declared.on_stop(lambda: running.stop())
        return service

    def command(
        self, *options: Any, base: type[AppCommand] = AppCommand, name: str | None = None, daemon: bool = False
    ) -> Any:
        """Declares the function below as a command. `options` are click's. A `daemon` goes on until it is stopped. The
        function's `self` is a `base`."""

        def declare(fun: Callable[..., Any]) -> Any:
            for option in reversed(options):
                fun = option(fun)
            self.functions.append(fun)
            self.commands[(name or fun.__name__).replace("_", "-")] = Declared(fun, base, daemon)
            return fun

        return declare

    def _of_app(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        """The function with this app for the argument that some take."""
        self.functions.append(fun)
        if not inspect.signature(fun).parameters:
            return fun
        return functools.wraps(fun)(lambda _: fun(self))


@dataclass(frozen=True, slots=True)
class AtKey(Routed):
    """A handler that runs on the worker that has one certain key."""

    key: str = ""

    def key_text(self, request: Request) -> str:  # noqa: ARG002 - whatever is asked
        return self.key


def _name(fun: Callable[..., Any]) -> str:
    """The name of a function, which may have some of its arguments: two modules may each have one of that name."""
    written = unwrapped(fun)
    return f"{module_of(written)}.{written.__name__}"
