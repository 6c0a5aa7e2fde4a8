"""The load of the latency row: on schedule, and without a core of its own."""

import time

import msgspec

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


def test_events_leave_on_schedule_and_their_sender_sleeps_between_them() -> None:
    producer, count = Recorder(), 500
    began, used = time.perf_counter(), time.thread_time()
    latency._send(producer, "events", count)  # type: ignore[arg-type]
    lasted, used = time.perf_counter() - began, time.thread_time() - used
    assert len(producer.events) == count
    # The first leaves at once, the last when it is due, however late the ones before were.
    assert lasted >= (count - 1) / latency.PER_SECOND
    assert used < lasted / 2
    sent_at = [event.id for event in producer.events]
    assert sent_at == sorted(sent_at)
