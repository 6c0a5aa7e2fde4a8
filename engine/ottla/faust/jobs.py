"""How a Faust app declares what it runs besides agents: timers, cron jobs, tasks, pages, services, commands."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from datetime import tzinfo
from typing import Any

import ottla
from ottla.errors import ConfigError
from ottla.faust.cli import AppCommand, Declared
from ottla.faust.declaring import check_options
from ottla.faust.settings import Settings
from ottla.faust.streams import unwrapped
from ottla.faust.utils import module_of
from ottla.faust.web import METHODS, handler
from ottla.web.pages import Routed


class DeclaresJobs:
    """The part of an app by which these are declared."""

    declared: ottla.App
    conf: Settings
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

    def page(self, path: str, *, name: str | None = None, **options: Any) -> Callable[[Any], Any]:  # noqa: ARG002
        """Declares the function or `View` below as what answers to requests of a path."""
        check_options(f"page {path!r}", options, {"cors_options", "base"})

        def declare(page: Any) -> Any:
            answer, methods = (page, METHODS) if isinstance(page, Routed) else handler(self, page)
            served: Any = self.declared.page(path, methods=methods)
            served(answer)
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
    ) -> Callable[[Any], Any]:
        """Below `page`: the worker that has the key of the table answers."""
        if exact_key is not None:
            raise ConfigError(
                "table_route(exact_key=) is not part of Ottla's Faust facade: a page without table_route asks for the "
                "key with await app.ottla.query(table).get(key)"
            )
        param = query_param or shard_param

        def declare(page: Any) -> Any:
            answer, _ = handler(self, page)
            return self.declared.table_route(table.declared, match_info=match_info, query_param=param)(answer)

        return declare

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


def _name(fun: Callable[..., Any]) -> str:
    """The name of a function, which may have some of its arguments: two modules may each have one of that name."""
    written = unwrapped(fun)
    return f"{module_of(written)}.{written.__name__}"
