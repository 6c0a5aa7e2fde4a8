"""Tables whose uses are told to the sensors of their app: those of an app that has none are spared it."""

from __future__ import annotations

from typing import Any

from ottla.faust.tables import FaustGlobalTable, FaustSetGlobalTable, FaustSetTable, FaustTable, Windowed
from ottla.state.cache import StoreCache
from ottla.task.processor import TaskContext


class Sensed(FaustTable):
    """A table whose uses the app's sensors are told."""

    def __getitem__(self, key: Any) -> Any:
        for sensor in self.app.sensors:
            sensor.on_table_get(self, key)
        return super().__getitem__(key)

    def _write(self, context: TaskContext, store: StoreCache, key: Any, value: Any) -> None:
        super()._write(context, store, key, value)
        for sensor in self.app.sensors:
            if value is None:
                sensor.on_table_del(self, key)
            else:
                sensor.on_table_set(self, key, value)


class SensedSetTable(Sensed, FaustSetTable):
    """A table of sets whose uses are told."""


class SensedWindowed(Sensed, Windowed):
    """A table with windows whose uses are told."""


class SensedGlobalTable(Sensed, FaustGlobalTable):
    """A global table whose uses are told."""


class SensedSetGlobalTable(Sensed, FaustSetGlobalTable):
    """A global table of sets whose uses are told."""


def sensed(table: FaustTable) -> None:
    """Has the uses of a table told from now on."""
    kinds: dict[Any, Any] = {
        FaustTable: Sensed,
        FaustSetTable: SensedSetTable,
        FaustGlobalTable: SensedGlobalTable,
        FaustSetGlobalTable: SensedSetGlobalTable,
        Windowed: SensedWindowed,
    }
    table.__class__ = kinds.get(type(table), type(table))
