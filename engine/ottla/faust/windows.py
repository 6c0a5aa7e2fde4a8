"""Windows as `app.Table(window=...)` takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TumblingWindow:
    """Windows side by side. Times are seconds or timedeltas."""

    size: Any
    expires: Any = None

    def on(self, table: Any) -> Any:
        return table.tumbling(self.size, self.expires)


@dataclass(frozen=True)
class HoppingWindow:
    """Windows that begin every `step`."""

    size: Any
    step: Any
    expires: Any = None

    def on(self, table: Any) -> Any:
        return table.hopping(self.size, self.step, self.expires)
