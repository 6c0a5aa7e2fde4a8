"""`faust.contrib`: a worker in the process of a web framework (`asgi`). Of the rest nothing is part of the facade."""

from typing import Any

from ottla.errors import ConfigError

_NOT_THERE = {
    "fastapi": "ottla.faust.contrib.asgi has faust_lifespan for FastAPI, too",
    "opentelemetry": "Prometheus reads /metrics",
    "sentry": "sentry_sdk.init() is called by the app's module, before app.main()",
}


def __getattr__(name: str) -> Any:
    if name in _NOT_THERE:
        raise ConfigError(f"faust.contrib.{name} is not part of Ottla's Faust facade: {_NOT_THERE[name]}")
    raise AttributeError(f"module 'ottla.faust.contrib' has no attribute {name!r}")
