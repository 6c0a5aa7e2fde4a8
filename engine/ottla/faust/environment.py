"""Options of a Faust app by environment variables. As in Faust they take the place of what the code says."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ottla.errors import ConfigError

_TERMS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)


def _flag(text: str) -> bool:
    return _TERMS[text.lower()]


_VARIABLES: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "APP_DATADIR": ("datadir", str),
    "APP_ID_FORMAT": ("id_format", str),
    "APP_KEY_SERIALIZER": ("key_serializer", str),
    "APP_STORE": ("store", str),
    "APP_VALUE_SERIALIZER": ("value_serializer", str),
    "APP_VERSION": ("version", int),
    "APP_WEB_ENABLED": ("web_enabled", _flag),
    "BROKER_COMMIT_INTERVAL": ("broker_commit_interval", float),
    "BROKER_URL": ("broker", str),
    "CONSUMER_AUTO_OFFSET_RESET": ("consumer_auto_offset_reset", str),
    "PROCESSING_GUARANTEE": ("processing_guarantee", str),
    "PRODUCER_COMPRESSION_TYPE": ("producer_compression_type", str),
    "PRODUCER_LINGER": ("producer_linger", float),
    "PRODUCER_MAX_REQUEST_SIZE": ("producer_max_request_size", int),
    "TABLE_CLEANUP_INTERVAL": ("table_cleanup_interval", float),
    "TABLE_STANDBY_REPLICAS": ("table_standby_replicas", int),
    "TIMEZONE": ("timezone", str),
    "TOPIC_ALLOW_DECLARE": ("topic_allow_declare", _flag),
    "TOPIC_PARTITIONS": ("topic_partitions", int),
    "WEB_BIND": ("web_bind", str),
    "WEB_HOST": ("web_host", str),
    "WEB_PORT": ("web_port", int),
}


def from_environment(prefix: str | None) -> dict[str, Any]:
    """The options that variables say, whose names may have a prefix. Raises `ConfigError` for one that is not of its
    kind."""
    found = {}
    for variable, (option, convert) in _VARIABLES.items():
        name = f"{prefix.rstrip('_')}_{variable}" if prefix else variable
        if (text := os.environ.get(name)) is not None:
            try:
                found[option] = convert(text)
            except (KeyError, ValueError):
                raise ConfigError(f"the environment's {name}={text!r} is no value of faust.App({option}=)") from None
    return found
