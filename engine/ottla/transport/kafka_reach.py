"""Whether a cluster answers: what is said where it does not, and waiting for it."""

from __future__ import annotations

import logging
import math
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
_AWAY_SAID_EVERY_S = 10.0
_FOR_GOOD = (KafkaError._AUTHENTICATION, KafkaError._SSL)


class ClientErrors:
    """The last error that clients told of: their `error_cb`. With `tells` the log hears if no broker answers any more.

    That all brokers are down is what a client says of connections that were closed for being idle, too: only one that
    cannot be opened again is worth a line.
    """

    def __init__(self, bootstrap: str, *, tells: bool) -> None:
        self._bootstrap = bootstrap
        self._tells = tells
        self._down_at = self._said_at = -math.inf
        self._last: KafkaError | None = None

    def told(self, error: KafkaError) -> None:
        now = time.monotonic()
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._down_at = now
        else:
            self._last = error
        is_away = now - self._down_at < _AWAY_SAID_EVERY_S and self._reason is not None
        if self._tells and is_away and now - self._said_at >= _AWAY_SAID_EVERY_S:
            self._said_at = now
            log.warning("%s; waiting until one does", self.unanswered())

    @property
    def are_for_good(self) -> bool:
        """Whether a broker is there and refuses, which waiting does not change."""
        return self._last is not None and self._last.code() in _FOR_GOOD

    def unanswered(self) -> str:
        """That no broker answers, and why the last connection failed, without librdkafka's details."""
        return f"no Kafka broker answers at {self._bootstrap}" + (f" ({self._reason})" if self._reason else "")

    @property
    def _reason(self) -> str | None:
        """Why the last connection could not be opened, if that is what the last error is about."""
        found = None if self._last is None else re.search(r"failed: ([^()]+)", self._last.str())
        return found and found[1].strip()


def wait_for_broker(settings: KafkaSettings, patience_s: float) -> None:
    """Returns when a broker answers, and says every few seconds that none does. Blocks.

    Raises `TransportError` when none has within `patience_s`, or at once when one is there that refuses the login or
    the encryption.
    """
    errors = ClientErrors(settings.bootstrap, tells=False)
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
            sentence = errors.unanswered()
            if errors.are_for_good:
                raise TransportError(sentence) from failure
            if now - began >= patience_s:
                raise TransportError(f"{sentence}, nor did one within {patience_s:g} s") from failure
            if now - said_at >= _SAID_EVERY_S:
                said_at = now
                log.warning("%s; waiting for %.0f s more", sentence, began + patience_s - now)
