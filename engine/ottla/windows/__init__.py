"""Windows: `definitions.py` has those that users name, the other modules the aggregations over them at work."""

from ottla.windows.definitions import (
    CountWindow,
    Emit,
    SessionWindow,
    SlidingWindow,
    Window,
    Windowed,
    WindowKey,
    counting,
    hopping,
    session,
    sliding,
    tumbling,
)
from ottla.windows.stream import WindowedStream

__all__ = [
    "CountWindow",
    "Emit",
    "SessionWindow",
    "SlidingWindow",
    "Window",
    "WindowKey",
    "Windowed",
    "WindowedStream",
    "counting",
    "hopping",
    "session",
    "sliding",
    "tumbling",
]
