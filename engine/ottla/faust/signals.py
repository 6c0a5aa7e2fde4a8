"""The signals of a Faust app that have a meaning under Ottla."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar, overload

from ottla.faust.events import TP
from ottla.jobs import call
from ottla.transport.contract import TopicPartition

F = TypeVar("F", bound=Callable[..., Any])


class Signal:
    """Functions that are called with the app: `@app.on_worker_init.connect`, with brackets or without."""

    def __init__(self, of_all: Signal | None = None) -> None:
        self._of_all = of_all
        self._own: list[Callable[..., Any]] = []

    @property
    def functions(self) -> list[Callable[..., Any]]:
        """Those of all apps, and its own."""
        return [*(() if self._of_all is None else self._of_all.functions), *self._own]

    @overload
    def connect(self, function: F) -> F: ...
    @overload
    def connect(self) -> Callable[[F], F]: ...
    def connect(self, function: Any = None) -> Any:
        if function is None:
            return self.connect
        self._own.append(function)
        return function

    async def send(self, *arguments: Any) -> None:
        """Calls the functions, async or not, one after another."""
        for function in self.functions:
            await call(partial(function, *arguments))


class _OfEach:
    """A signal that every app has for itself; that of the class, `faust.App.on_configured`, is of all apps."""

    def __init__(self) -> None:
        self._of_all = Signal()

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, app: Any, owner: type) -> Signal:
        if app is None:
            return self._of_all
        signal: Signal = vars(app).setdefault(f"_{self._name}", Signal(self._of_all))
        return signal


class Signals:
    """The part of an app by which its signals are connected to."""

    on_before_configured = _OfEach()
    on_configured = _OfEach()
    on_after_configured = _OfEach()
    on_worker_init = _OfEach()
    on_before_shutdown = _OfEach()
    on_partitions_assigned = _OfEach()
    on_partitions_revoked = _OfEach()
    on_rebalance_complete = _OfEach()

    def emit_configured(self) -> None:
        """Calls those of the configuration, when everything is declared."""
        for function in self.on_before_configured.functions:
            function(self)
        for function in self.on_configured.functions:
            function(self, getattr(self, "conf", None))
        for function in self.on_after_configured.functions:
            function(self)

    async def emit_assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """The worker has begun with tasks that read these, with their tables as they were left."""
        await self.on_partitions_assigned.send(self, _tps(partitions))
        await self.on_rebalance_complete.send(self)

    async def emit_revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """The worker has let go of tasks that read these."""
        await self.on_partitions_revoked.send(self, _tps(partitions))


def _tps(partitions: Iterable[TopicPartition]) -> set[TP]:
    return {TP(*where) for where in partitions}
