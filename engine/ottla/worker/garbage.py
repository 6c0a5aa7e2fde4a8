"""How often the interpreter looks for garbage in cycles while a worker runs.

By default it does so with every 700 objects that are new, of which a poll brings thousands, and hardly one is in a
cycle. They are looked at several times before they go: a third of what an agent's events cost. Looked for once in a few
polls it finds as much.

And now and then it looks through everything there is, modules and classes included, and all that the worker does waits:
15 ms for those of a small app alone. What was there when the worker began stays, so it is left out (`gc.freeze`).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG = 25_000
"""So many new objects: a few megabytes, if all of them should be garbage."""


@contextmanager
def collected_seldom() -> Iterator[None]:
    """While this lasts garbage is looked for less often, unless the program has that seldomer yet, or never; and only
    among what is new, unless the program has frozen something itself.
    """
    before = gc.get_threshold()
    young, *older = before
    if 0 < young < _YOUNG:
        gc.set_threshold(_YOUNG, *older)
    freezes = not gc.get_freeze_count()
    if freezes:
        gc.freeze()
    try:
        yield
    finally:
        if freezes:
            gc.unfreeze()
        gc.set_threshold(*before)
