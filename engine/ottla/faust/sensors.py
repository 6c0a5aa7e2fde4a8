"""`faust.sensors`: what is told of each event that an agent is at, each use of a table, each request of a page.

Nothing of it costs anything unless the app has a sensor: `app.sensors.add(MySensor())` before it runs, or an agent,
timer, task or page whose code mentions `app.monitor`. What Faust's sensors are told of its own machinery, Ottla's
worker counts for itself, for Prometheus.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from ottla.errors import ConfigError
from ottla.faust.events import TP, Event, Message
from ottla.faust.missing import MONITOR, SENSOR, Lacking


class Sensor(Lacking):
    """Is told what happens; does nothing with it. Subclasses say what."""

    _lacks = SENSOR
    _called = "sensor"

    def __init__(self, *, beacon: Any = None, loop: Any = None) -> None:
        """`beacon` and `loop` are of Faust's services, which sensors are not here."""

    def on_message_in(self, tp: TP, offset: int, message: Message) -> None:
        """An agent comes to a message. One that two agents read comes twice."""

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Event) -> Any:
        """An agent's stream hands an event on. What this returns is given to `on_stream_event_out`."""

    def on_stream_event_out(self, tp: TP, offset: int, stream: Any, event: Event, state: Any = None) -> None:
        """The agent is done with the event, or failed on it."""

    def on_message_out(self, tp: TP, offset: int, message: Message) -> None:
        """The agent is done with the message."""

    def on_table_get(self, table: Any, key: Any) -> None:
        """A key is looked up."""

    def on_table_set(self, table: Any, key: Any, value: Any) -> None:
        """A key was written. In a table with windows it is the key and the start of one, in milliseconds."""

    def on_table_del(self, table: Any, key: Any) -> None:
        """A key was deleted."""

    def on_web_request_start(self, app: Any, request: Any, *, view: Any = None) -> Any:
        """A page of the app begins to answer. What this returns is given to `on_web_request_end`."""

    def on_web_request_end(self, app: Any, request: Any, response: Any, state: Any, *, view: Any = None) -> None:
        """The page has answered, or failed: then there is no response."""

    def asdict(self) -> Mapping[str, Any]:
        """What the sensor knows."""
        return {}


class Sensors:
    """`app.sensors`: the sensors of an app, told all at once."""

    def __init__(self) -> None:
        self._sensors: list[Sensor] = []

    def add(self, sensor: Sensor) -> None:
        """Adds a sensor."""
        self._sensors.append(sensor)

    def remove(self, sensor: Sensor) -> None:
        self._sensors.remove(sensor)

    def __iter__(self) -> Iterator[Sensor]:
        return iter(self._sensors)

    def __bool__(self) -> bool:
        return bool(self._sensors)

    @contextmanager
    def of_event(self, stream: Any, event: Event) -> Iterator[None]:
        """While an agent is at an event."""
        message = event.message
        tp, offset = message.tp, message.offset
        states = []
        for sensor in self._sensors:
            sensor.on_message_in(tp, offset, message)
            states.append(sensor.on_stream_event_in(tp, offset, stream, event))
        try:
            yield
        finally:
            for sensor, state in zip(self._sensors, states, strict=True):
                sensor.on_stream_event_out(tp, offset, stream, event, state)
                sensor.on_message_out(tp, offset, message)

    async def of_request(self, app: Any, request: Any, view: Any, answer: Callable[[], Any]) -> Any:
        """While a page answers."""
        states = [sensor.on_web_request_start(app, request, view=view) for sensor in self._sensors]
        response = None
        try:
            response = await answer()
        finally:
            for sensor, state in zip(self._sensors, states, strict=True):
                sensor.on_web_request_end(app, request, response, state, view=view)
        return response


@dataclass
class TableState:
    """How often a table was used."""

    table: str
    keys_retrieved: int = 0
    keys_updated: int = 0
    keys_deleted: int = 0


class Rate:
    """How many there were in the last whole second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._second = 0
        self._now = self._before = 0

    def add(self) -> None:
        self._turn()
        self._now += 1

    @property
    def per_second(self) -> int:
        self._turn()
        return self._before

    def _turn(self) -> None:
        second = int(self._clock())
        if second != self._second:
            self._before = self._now if second == self._second + 1 else 0
            self._second, self._now = second, 0


class Monitor(Sensor):
    """`app.monitor`: counts events, uses of tables and requests, and what the app itself counts. Times are seconds."""

    _lacks = MONITOR
    _called = "monitor"

    def __init__(
        self,
        *,
        max_avg_history: int = 100,
        max_commit_latency_history: int | None = None,  # noqa: ARG002 - Prometheus keeps the past of these three
        max_send_latency_history: int | None = None,  # noqa: ARG002
        max_assignment_latency_history: int | None = None,  # noqa: ARG002
        time: Callable[[], float] = time.monotonic,
        **counted: Any,
    ) -> None:
        if counted:
            raise ConfigError(
                f"Monitor({min(counted)}=) is not part of Ottla's Faust facade: a monitor counts from zero"
            )
        self.time = time
        self.max_avg_history = max_avg_history
        self.messages_active = 0
        self.messages_received_total = 0
        self.messages_received_by_topic: Counter[str] = Counter()
        self.events_active = 0
        self.events_total = 0
        self.events_by_stream: Counter[str] = Counter()
        self.events_runtime: deque[float] = deque(maxlen=max_avg_history)
        self.tables: dict[str, TableState] = {}
        self.tp_read_offsets: dict[TP, int] = {}
        self.http_response_codes: Counter[int] = Counter()
        self.http_response_latency: deque[float] = deque(maxlen=max_avg_history)
        self.metric_counts: Counter[str] = Counter()
        self._rate = Rate(time)

    @property
    def events_s(self) -> int:
        """How many events agents came to in the last whole second."""
        return self._rate.per_second

    messages_s = events_s

    @property
    def events_runtime_avg(self) -> float:
        """What an agent takes for an event: the median of the last ones."""
        return median(self.events_runtime) if self.events_runtime else 0.0

    @property
    def http_response_latency_avg(self) -> float:
        """What a page takes to answer: the median of the last ones."""
        return median(self.http_response_latency) if self.http_response_latency else 0.0

    def count(self, metric_name: str, count: int = 1) -> None:
        """Counts something of the app's own."""
        self.metric_counts[metric_name] += count

    def on_message_in(self, tp: TP, offset: int, message: Message) -> None:  # noqa: ARG002
        self.messages_active += 1
        self.messages_received_total += 1
        self.messages_received_by_topic[tp.topic] += 1
        self.tp_read_offsets[tp] = offset

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Event) -> float:  # noqa: ARG002
        self.events_active += 1
        self.events_total += 1
        self.events_by_stream[str(stream)] += 1
        self._rate.add()
        return self.time()

    def on_stream_event_out(self, tp: TP, offset: int, stream: Any, event: Event, state: Any = None) -> None:  # noqa: ARG002
        self.events_active -= 1
        self.events_runtime.append(self.time() - state)

    def on_message_out(self, tp: TP, offset: int, message: Message) -> None:  # noqa: ARG002
        self.messages_active -= 1

    def on_table_get(self, table: Any, key: Any) -> None:  # noqa: ARG002
        self._table(table).keys_retrieved += 1

    def on_table_set(self, table: Any, key: Any, value: Any) -> None:  # noqa: ARG002
        self._table(table).keys_updated += 1

    def on_table_del(self, table: Any, key: Any) -> None:  # noqa: ARG002
        self._table(table).keys_deleted += 1

    def on_web_request_start(self, app: Any, request: Any, *, view: Any = None) -> float:  # noqa: ARG002
        return self.time()

    def on_web_request_end(self, app: Any, request: Any, response: Any, state: Any, *, view: Any = None) -> None:  # noqa: ARG002
        self.http_response_latency.append(self.time() - state)
        self.http_response_codes[500 if response is None else response.status_code] += 1

    def asdict(self) -> Mapping[str, Any]:
        return {
            "messages_active": self.messages_active,
            "messages_received_total": self.messages_received_total,
            "messages_received_by_topic": dict(self.messages_received_by_topic),
            "messages_s": self.messages_s,
            "events_active": self.events_active,
            "events_total": self.events_total,
            "events_s": self.events_s,
            "events_runtime_avg": self.events_runtime_avg,
            "events_by_stream": dict(self.events_by_stream),
            "tables": {name: asdict(state) for name, state in self.tables.items()},
            "metric_counts": dict(self.metric_counts),
            "topic_read_offsets": {f"{tp.topic}-{tp.partition}": at for tp, at in self.tp_read_offsets.items()},
            "http_response_codes": dict(self.http_response_codes),
            "http_response_latency_avg": self.http_response_latency_avg,
        }

    def _table(self, table: Any) -> TableState:
        return self.tables.setdefault(table.name, TableState(table.name))
