"""`faust.web`: views, blueprints, and what the handlers of pages are given."""

from typing import Any

from ottla.errors import ConfigError
from ottla.faust.web import exceptions
from ottla.faust.web.base import Web
from ottla.faust.web.blueprints import Blueprint
from ottla.faust.web.cache import Cache
from ottla.faust.web.messages import Request, Response
from ottla.faust.web.views import View, gives_model, takes_model


def __getattr__(name: str) -> Any:
    if name == "ResourceOptions":
        raise ConfigError(
            "faust.web.ResourceOptions is not part of Ottla's Faust facade: other origins are let in by a proxy before "
            "the workers"
        )
    raise AttributeError(f"module 'ottla.faust.web' has no attribute {name!r}")


__all__ = [
    "Blueprint",
    "Cache",
    "Request",
    "Response",
    "View",
    "Web",
    "exceptions",
    "gives_model",
    "takes_model",
]
