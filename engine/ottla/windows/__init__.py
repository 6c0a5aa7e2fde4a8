"""Windows: `definitions.py` has those that users name, the other modules the aggregations over them at work."""

from ottla.windows.definitions import Emit, Window, Windowed, hopping, tumbling

__all__ = ["Emit", "Window", "Windowed", "hopping", "tumbling"]
