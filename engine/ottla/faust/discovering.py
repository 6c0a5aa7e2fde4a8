"""The modules of an app, imported for what they declare: `autodiscover=` and `app.discover()`."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable
from typing import Any

from ottla.errors import ConfigError

_LEFT_OUT = re.compile(r"(^|\.)(test_[^.]*|tests|conftest|__main__)$")


def discover(modules: Iterable[str]) -> None:
    """Imports modules, and of packages all that are in them but for tests and `__main__`. Raises `ConfigError` for one
    that is not there."""
    for name in modules:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise ConfigError(f"there is no module {name!r} to discover") from None
        _import_below(module)


def _import_below(package: Any) -> None:
    for each in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package.__name__}."):
        if not _LEFT_OUT.search(each.name):
            _import_below(importlib.import_module(each.name))


def modules_of(autodiscover: Any, origin: str | None) -> list[str]:
    """What `faust.App(autodiscover=, origin=)` names. Raises `ConfigError` for True without an origin."""
    if not autodiscover:
        return []
    if autodiscover is True:
        if origin is None:
            raise ConfigError("faust.App(autodiscover=True) needs origin=, the name of the package to look through")
        return [origin]
    named = list(autodiscover() if callable(autodiscover) else autodiscover)
    return named if origin is None else [*named, origin]
