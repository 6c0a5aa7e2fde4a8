"""The library that a program is run with, and how it shows what came of something."""

import importlib
import json
import os
from collections.abc import Callable
from typing import Any

faust: Any = importlib.import_module(os.environ["FLAVOUR"])
cli, fields, models, exceptions, codecs, windows = (
    importlib.import_module(f"{faust.__name__}.{path}")
    for path in ("cli", "models.fields", "models", "exceptions", "serializers.codecs", "windows")
)


def show(title: str, *calls: Callable[[], Any]) -> None:
    """Prints what each call returns, or the kind of the error that it raises."""
    for call in calls:
        try:
            came_of_it = _plain(call())
        except Exception as error:
            came_of_it = f"raises {_kind(error)}"
        print(json.dumps([title, came_of_it], sort_keys=True))


def _plain(value: Any) -> Any:
    if isinstance(value, faust.Record):
        # Faust makes a field's value when it is asked for.
        names = sorted(name for name in vars(value) if not name.startswith("_"))
        return {"model": type(value).__name__, **{name: _plain(getattr(value, name)) for name in names}}
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, str)) else f"{type(value).__name__} {value}"


def _kind(error: Exception) -> str:
    kinds = (exceptions.ValidationError, TypeError, AttributeError, KeyError, NotImplementedError, ValueError)
    return next((kind.__name__ for kind in kinds if isinstance(error, kind)), "another")
