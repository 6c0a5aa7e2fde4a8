"""The signals of a Faust app that have a meaning under Ottla."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Signal:
    """Functions that are called with the app: `@app.on_worker_init.connect`."""

    def __init__(self) -> None:
        self.functions: list[Callable[..., Any]] = []

    def connect(self, function: F) -> F:
        self.functions.append(function)
        return function


class Signals:
    """The part of an app by which its signals are connected to."""

    def __init__(self) -> None:
        self.on_before_configured = Signal()
        self.on_configured = Signal()
        self.on_after_configured = Signal()
        self.on_worker_init = Signal()
        self.on_before_shutdown = Signal()

    def emit_configured(self) -> None:
        """Calls those of the configuration, when everything is declared."""
        for function in self.on_before_configured.functions:
            function(self)
        for function in self.on_configured.functions:
            function(self, getattr(self, "conf", None))
        for function in self.on_after_configured.functions:
            function(self)
