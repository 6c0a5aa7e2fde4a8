"""The signals of a Faust app that have a meaning under Ottla."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from ottla.faust.events import TP
from ottla.jobs import call
from ottla.transport.contract import TopicPartition

F = TypeVar("F", bound=Callable[..., Any])


class Signal:
    """Functions that are called with the app: `@app.on_worker_init.connect`."""

    def __init__(self) -> None:
        self.functions: list[Callable[..., Any]] = []

    def connect(self, function: F) -> F:
        self.functions.append(function)
        return function

    async def send(self, *arguments: Any) -> None:
        """Calls the functions, async or not, one after another."""
        for function in self.functions:
            await call(partial(function, *arguments))


class Signals:
    """The part of an app by which its signals are connected to."""

    def __init__(self) -> None:
        self.on_before_configured = Signal()
        self.on_configured = Signal()
        self.on_after_configured = Signal()
        self.on_worker_init = Signal()
        self.on_before_shutdown = Signal()
        self.on_partitions_assigned = Signal()
        self.on_partitions_revoked = Signal()
        self.on_rebalance_complete = Signal()

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
