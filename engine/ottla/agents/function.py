"""What a function must be for `@app.agent` to make an agent of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ottla.errors import TopologyError


def check_function(agent: str, function: Callable[..., Any]) -> None:
    """Raises `TopologyError`, before an event has to fail for it, if it cannot be called with one argument."""
    try:
        signature = inspect.signature(function, follow_wrapped=False)  # A decorator may give it further arguments.
    except ValueError:  # a builtin that does not tell
        return
    try:
        signature.bind(None)
    except TypeError:
        raise TopologyError(
            f"agent {agent!r}: its function takes one argument, the stream if it is async, else a value; "
            f"this one takes {signature}"
        ) from None
