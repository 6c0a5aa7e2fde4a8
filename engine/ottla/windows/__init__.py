"""Windows: `definitions.py` has those that users name, the other modules the aggregations over them at work."""

from ottla.windows.definitions import Emit, Window, Windowed, hopping, tumbling
from ottla.windows.stream import WindowedStream

__all__ = ["Emit", "Window", "Windowed", "WindowedStream", "hopping", "tumbling"]
