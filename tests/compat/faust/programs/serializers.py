"""Prints what serializers make of values, and schemas, windows and ids."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from flavour import codecs, faust, models, show, windows


class Point(faust.Record, namespace="codecs.Point"):
    x: int


class Packed(faust.Record, serializer="binary", namespace="codecs.Packed"):
    x: int


class Reversed(codecs.Codec):
    def _dumps(self, obj: str) -> bytes:
        return obj[::-1].encode()

    def _loads(self, s: bytes) -> str:
        return s.decode()[::-1]


codecs.register("reversed", Reversed())
VALUES = (1, 1.5, "text", None, True, [1, "a"], {"a": 1}, Decimal("1.50"), datetime(2020, 1, 2, 3, tzinfo=UTC))
for value in VALUES:
    show(f"json {value}", lambda value=value: codecs.loads("json", codecs.dumps("json", value)))
show("uuid", lambda: codecs.loads("json", codecs.dumps("json", UUID(int=1))))
show("set", lambda: codecs.loads("json", codecs.dumps("json", {1})))
show("model", lambda: codecs.loads("json", codecs.dumps("json", {"a": [Point(1)]})))
show("raw", lambda: codecs.dumps("raw", b"a"), lambda: codecs.loads("raw", b"a"), lambda: codecs.dumps("raw", "a"))
show("binary", lambda: codecs.dumps("binary", b"a"), lambda: codecs.loads("binary", codecs.dumps("binary", b"a")))
show(
    "chained",
    lambda: codecs.dumps("json|binary", [1]),
    lambda: codecs.loads("json|binary", codecs.dumps("json|binary", [1])),
)
show(
    "of one's own",
    lambda: codecs.dumps("reversed", "abc"),
    lambda: codecs.loads("reversed|binary", codecs.dumps("reversed|binary", "abc")),
)
show(
    "by hand",
    lambda: (Reversed() | codecs.get_codec("binary")).dumps("abc"),
    lambda: len((Reversed() | Reversed()).nodes),
)
show("pickle", lambda: codecs.loads("pickle", codecs.dumps("pickle", {"a": (1, 2)})))
show("named", lambda: models.maybe_model(codecs.loads("json", codecs.dumps("json", Point(3)))))
show("loads", lambda: Point.loads(b'{"x": 3}', serializer="json"), lambda: Point.loads(b"[]", serializer="json"))
schema = faust.Schema(key_type=str, value_type=Packed, key_serializer="raw")
show("schema", lambda: schema.key_type.__name__, lambda: schema.value_type.__name__, lambda: schema.key_serializer)


def show_windows(window: windows.Window, time: float) -> None:
    """Prints where a time is among windows."""
    show("windows", lambda: window.ranges(time), lambda: window.current(time), lambda: window.earliest(time))
    show("before", lambda: window.delta(time + 100, 30), lambda: window.stale(time, time + 70.0))


for each in (
    windows.HoppingWindow(10, 5),
    windows.TumblingWindow(10),
    windows.TumblingWindow(timedelta(minutes=1), 60),
):
    for time in (0.0, 9.9, 10.0, 12.5, 59.0, 61.0):
        show_windows(each, time)
show("id", lambda: len(faust.uuid()))
