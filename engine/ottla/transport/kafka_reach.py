"""Whether a cluster answers: what is said where it does not, and waiting for it."""

from __future__ import annotations

import logging
import re
import time

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from ottla.errors import ConfigError
from ottla.transport.errors import TransportError
from ottla.transport.kafka_log import ClientLog
from ottla.transport.kafka_messages import kafka_error
from ottla.transport.kafka_settings import KafkaSettings, Settings

log = logging.getLogger("ottla.kafka")

_SAID_EVERY_S = 5.0
_LOOKS_FOR_S = 1.0
_FOR_GOOD = (KafkaError._AUTHENTICATION, KafkaError._SSL)


class ClientErrors:
    """The last error that a client told of: its `error_cb`."""

    def __init__(self) -> None:
        self._last: KafkaError | None = None

    def told(self, error: KafkaError) -> None:
        # That all brokers are down is said behind the reason why the last one is.
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._last = error

    @property
    def are_for_good(self) -> bool:
        """Whether a broker is there and refuses, which waiting does not change."""
        return self._last is not None and self._last.code() in _FOR_GOOD

    def unanswered(self, bootstrap: str) -> str:
        """That no broker answers there, and why the last connection failed, without librdkafka's details."""
        found = None if self._last is None else re.search(r"failed: ([^()]+)", self._last.str())
        return f"no Kafka broker answers at {bootstrap}" + (f" ({found[1].strip()})" if found else "")


def wait_for_broker(settings: KafkaSettings, patience_s: float) -> None:
    """Returns when a broker answers, and says every few seconds that none does. Blocks.

    Raises `TransportError` when none has within `patience_s`, or at once when one is there that refuses the login or
    the encryption.
    """
    errors = ClientErrors()
    began = said_at = time.monotonic()
    try:
        callbacks: Settings = {"error_cb": errors.told}
        admin = AdminClient({**settings.admin(), **callbacks}, logger=ClientLog(logging.DEBUG))
    except KafkaException as failure:
        raise ConfigError(f"the Kafka settings are refused: {kafka_error(failure).str()}") from failure
    while True:
        try:
            admin.list_topics(timeout=_LOOKS_FOR_S)
            return
        except KafkaException as failure:
            admin.poll(0)
            now = time.monotonic()
            sentence = errors.unanswered(settings.bootstrap)
            if errors.are_for_good:
                raise TransportError(sentence) from failure
            if now - began >= patience_s:
                raise TransportError(f"{sentence}, nor did one within {patience_s:g} s") from failure
            if now - said_at >= _SAID_EVERY_S:
                said_at = now
                log.warning("%s; waiting for %.0f s more", sentence, began + patience_s - now)
