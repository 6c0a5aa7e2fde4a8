"""The load of the latency row: on schedule, and without a core of its own."""

import msgspec
import pytest

from ottla_apps.bench.engine import latency
from ottla_apps.bench.engine.topics import Payment


class Recorder:
    """A producer that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[Payment] = []

    def produce(self, _topic: str, value: bytes, _key: str) -> None:
        self.events.append(msgspec.json.decode(value, type=Payment))

    def poll(self, _timeout_s: float) -> int:
        return 0


class Clock:
    """The time, which goes on while one sleeps, and at no other time."""

    def __init__(self) -> None:
        self._now_ns = 0
        self._looks = 0

    def perf_counter_ns(self) -> int:
        return self._now_ns

    def perf_counter(self) -> float:
        self._looks += 1
        assert self._looks <= 2, "it goes round and round"
        return self._now_ns / 1e9

    def sleep(self, seconds: float) -> None:
        self._looks = 0
        self._now_ns += round(seconds * 1e9)


def test_events_leave_on_schedule_and_their_sender_sleeps_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    producer, clock, count = Recorder(), Clock(), 500
    monkeypatch.setattr(latency, "time", clock)
    latency._send(producer, "events", count)  # type: ignore[arg-type]
    assert len(producer.events) == count
    # The first leaves at once, and each when it is due or with the next look after that.
    for number, event in enumerate(producer.events):
        late_s = event.id / 1e9 - number / latency.PER_SECOND
        assert -1e-9 <= late_s <= latency._TICK_S + 1e-9
