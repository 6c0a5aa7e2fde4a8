"""`faust.Worker`: runs an app from a program's own code."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

from ottla.errors import ConfigError
from ottla.faust.app import App


class Worker:
    """A worker of one app: `Worker(app, loglevel="info").execute_from_commandline()`."""

    def __init__(
        self,
        app: App,
        *services: Any,
        loglevel: str | int | None = None,
        logfile: str | None = None,
        loop: Any = None,  # noqa: ARG002 - whoever starts it has one
        **options: Any,
    ) -> None:
        if services:
            raise ConfigError(
                "faust.Worker(app, ...) runs one app: start a process for each other app, and services of an app with "
                "@app.service"
            )
        if options:
            raise ConfigError(f"faust.Worker({min(options)}=) is not part of Ottla's Faust facade")
        self.app = app
        self.loglevel = loglevel
        self.logfile = logfile

    def execute_from_commandline(self) -> NoReturn:
        """Runs the worker until SIGTERM or SIGINT, and ends the process."""
        from ottla.faust.commands import run

        arguments = ["worker"]
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
