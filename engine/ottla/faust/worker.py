"""`faust.Worker`: runs an app from a program's own code."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ottla.errors import ConfigError
from ottla.faust.app import App
from ottla.faust.missing import WORKER, Lacking
from ottla.faust.sensors import Sensor


class Worker(Lacking):
    """A worker of an app: `Worker(app, loglevel="info").execute_from_commandline()`.

    `services` are other apps, whose workers run in this process, and what `@app.service` takes. `workdir`, `debug` and
    `quiet` are the options of the program, `logging_config` that of the app, in whose place it comes.
    """

    _lacks = WORKER
    _called = "worker"

    def __init__(
        self,
        app: App,
        *services: Any,
        loglevel: str | int | None = None,
        logfile: str | None = None,
        sensors: Iterable[Sensor] = (),
        debug: bool = False,
        quiet: bool = False,
        workdir: str | Path | None = None,
        logging_config: Mapping[str, Any] | None = None,
        loop: Any = None,  # noqa: ARG002 - whoever starts it has one
        stdout: Any = None,  # noqa: ARG002 - stdout stays stdout
        stderr: Any = None,  # noqa: ARG002
        redirect_stdouts: bool = True,  # noqa: ARG002
        redirect_stdouts_level: Any = None,  # noqa: ARG002
        blocking_timeout: Any = None,  # noqa: ARG002 - what holds the event loop is named in the log
        console_port: int | None = None,  # noqa: ARG002 - no console is served
        **options: Any,
    ) -> None:
        for service in services:
            # Another app has both, too.
            if not (hasattr(service, "start") and hasattr(service, "stop")):
                raise ConfigError(f"faust.Worker(app, {service!r}) is neither an app nor a service: it has no start()")
            app.service(service)
        if options:
            raise ConfigError(f"faust.Worker({min(options)}=) is not part of Ottla's Faust facade")
        self.app = app
        self.loglevel = loglevel
        self.logfile = logfile
        self.debug = debug
        self.quiet = quiet
        self.workdir = workdir
        for sensor in sensors:
            app.sensors.add(sensor)
        if logging_config is not None:
            app.conf.logging_config = logging_config

    def execute_from_commandline(self) -> NoReturn:
        """Runs the worker until SIGTERM or SIGINT, and ends the process."""
        from ottla.faust.commands import run

        arguments = [*["--debug"] * self.debug, *["--quiet"] * self.quiet]
        if self.workdir is not None:
            arguments += ["--workdir", str(self.workdir)]
        arguments.append("worker")
        if self.loglevel is not None:
            level = self.loglevel if isinstance(self.loglevel, str) else logging.getLevelName(self.loglevel)
            arguments += ["--loglevel", {"warning": "warn", "critical": "crit"}.get(level.lower(), level)]
        if self.logfile is not None:
            arguments += ["--logfile", self.logfile]
        run(self.app, arguments)
        raise SystemExit

    async def start(self) -> None:
        """As `app.start()`."""
        await self.app.start()

    async def stop(self) -> None:
        """As `app.stop()`."""
        await self.app.stop()
