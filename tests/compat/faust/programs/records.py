# ruff: noqa: UP006, UP007, UP017, UP035, UP045, RUF012 - as the apps of Faust's time are written
"""Prints what becomes of Records with every option: made, read, written, compared, refused."""

from datetime import datetime, timezone
from decimal import Decimal
from typing import Dict, List, Mapping, Optional, Union

from flavour import faust, fields, models, show


class Point(faust.Record, namespace="test.Point"):
    x: int
    y: int = 0


class Shape(faust.Record, abstract=True):
    name: str


class Circle(Shape, namespace="test.Circle"):
    centre: Point
    radius: float = 1.0


class Square(Shape, namespace="test.Square"):
    side: int


class Drawing(faust.Record, namespace="test.Drawing"):
    shapes: List[Shape]
    by_name: Dict[str, Point] = {}
    background: Optional[str] = None
    pair: Optional[Point] = None


class Coerced(faust.Record, coerce=True, namespace="test.Coerced"):
    number: int
    text: str
    price: Decimal
    ratio: float
    colour: str = "red"
    on: Optional[datetime] = None


class Dated(faust.Record, isodates=True, decimals=True, namespace="test.Dated"):
    at: datetime
    amounts: List[Decimal]
    by_day: Mapping[str, datetime]
    maybe: Optional[datetime] = None


class Plain(faust.Record, namespace="test.Plain"):
    at: datetime
    amount: Decimal


class Checked(faust.Record, validation=True, namespace="test.Checked"):
    name: str = fields.StringField(max_length=5, min_length=2)
    age: int = fields.IntegerField(max_value=120, min_value=0)
    price: Optional[Decimal] = fields.DecimalField(max_decimal_places=2, required=False)
    nick: str = fields.StringField(required=False, default="none", trim_whitespace=True)


class Bare(faust.Record, include_metadata=False, namespace="test.Bare"):
    a: int


class Named(faust.Record, namespace="test.Named"):
    id: int = fields.IntegerField(input_name="ID", output_name="Id")
    hidden: str = fields.StringField(exclude=True, default="h", required=False)


class Open(faust.Record, namespace="test.Open"):
    point: Point


class OpenPoint(Point, polymorphic_fields=True, namespace="test.OpenPoint"):
    z: int = 9


class Point3(Point, namespace="test.Point3"):
    z: int = 9


class Blessed(faust.Record, allow_blessed_key=True, namespace="test.Blessed"):
    a: int


class BlessedToo(Blessed, namespace="test.BlessedToo"):
    b: int = 2


class Made(faust.Record, namespace="test.Made"):
    first: str
    last: str
    full: Optional[str] = None

    def __post_init__(self) -> None:
        self.full = f"{self.first} {self.last}"


class Special(
    faust.Record, coercions={Point: lambda text: Point(*map(int, text.split(",")))}, namespace="test.Special"
):
    at: Point


class Either(faust.Record, coerce=True, namespace="test.Either"):
    either: Union[int, str] = 0


NOON = datetime(2020, 1, 2, 12, 0, tzinfo=timezone.utc)

show("made", lambda: Point(1), lambda: Point(1, 2), lambda: Point(x=3, y=4), lambda: Point(1, x=2), lambda: Point())
show("too many", lambda: Point(1, 2, 3), lambda: Point(1, z=2))
show("written", lambda: Point(1).asdict(), lambda: Point(1).to_representation(), lambda: Bare(1).to_representation())
show("bytes", lambda: Point(1).dumps(serializer="json"), lambda: Bare(1).dumps(serializer="json"))
show("read", lambda: Point.loads(b'{"x": 1}', serializer="json"), lambda: Point.from_data({"x": 5, "y": 6}))
show("beyond", lambda: Point.from_data({"x": 5, "more": 6}).more, lambda: Point.from_data({"y": 5}))
show("nested", lambda: Circle("c", Point(1, 2)).to_representation())
show("abstract", lambda: Shape())
circle = Circle("c", Point(1, 2), 3.5).to_representation()
square = Square("s", 2).to_representation()
show("read shapes", lambda: Drawing.from_data({"shapes": [circle, square]}))
show("read drawings", lambda: Drawing.from_data({"shapes": [], "by_name": {"a": {"x": 1}}, "background": "blue"}))
show("with none", lambda: Drawing.from_data({"shapes": [], "pair": None}), lambda: Drawing([], pair=Point(1)).asdict())
show("coerced", lambda: Coerced("1", 2, "3.5", "4"), lambda: Coerced(1.7, "b", 3, 4, "blue", "2020-01-02T12:00:00"))
show("not coerced", lambda: Coerced("one", 2, 3, 4), lambda: Coerced(1, 2, "x", 4))
show("read coerced", lambda: Coerced.from_data({"number": "1", "text": 2, "price": "3", "ratio": 4, "colour": "blue"}))
dated = {"at": "2020-01-02T12:00:00Z", "amounts": ["1.5", "2"], "by_day": {"a": "2020-01-02T12:00:00+01:00"}}
show("dated", lambda: Dated.from_data(dated), lambda: Dated(NOON, [Decimal(1)], {"a": NOON}).dumps(serializer="json"))
show("plain", lambda: Plain.from_data({"at": "2020-01-02", "amount": "1.5"}))
show(
    "checked",
    lambda: Checked("ann", 30),
    lambda: Checked("a", 30),
    lambda: Checked("ann", 130),
    lambda: Checked("annabel", 1),
)
show("checked digits", lambda: Checked("ann", 30, Decimal("1.234")))
show(
    "trimmed",
    lambda: Checked("ann", 30, nick="  x "),
    lambda: Checked.from_data({"name": "ann", "age": 3, "nick": " y "}),
)
show("errors", lambda: [str(error) for error in Checked.from_data({"name": "ann", "age": 3}).validation_errors])
show("is valid", lambda: Point("a").is_valid(), lambda: Point(1).is_valid())
show("named", lambda: Named(1).asdict(), lambda: Named.from_data({"ID": 5}), lambda: Named(id=2).to_representation())
show("polymorphic", lambda: Open.from_data({"point": OpenPoint(1, 2, 3).to_representation()}))
show("not polymorphic", lambda: Circle.from_data({"name": "c", "centre": Point3(1).to_representation()}))
show("blessed", lambda: Blessed.from_data(BlessedToo(1).to_representation(), preferred_type=Blessed))
show("not blessed", lambda: Point.from_data(Point3(1).to_representation(), preferred_type=Point))
show("after", lambda: Made("a", "b").full, lambda: Made.from_data({"first": "c", "last": "d"}))
show("special", lambda: Special("1,2"), lambda: Special.from_data({"at": "3,4"}))
show("either", lambda: Either.from_data({"either": "t"}).either, lambda: Either(3).either)
show(
    "equal",
    lambda: Point(1) == Point(1),
    lambda: Point(1) != Point(2),
    lambda: Point(1) == 1,
    lambda: Point(1) == Point3(1),
)
show("ordered", lambda: Point(1) < Point(2), lambda: Point(2) >= Point(1), lambda: hash(Point(1)) == hash(Point(1)))
show("derived", lambda: Point(1).derive(y=5), lambda: Point(1).derive(Point(7, 8), y=5), lambda: Point(1).derive(z=1))
show("shown", lambda: repr(Point(1, 2)), lambda: repr(Made("a", "b")))
show(
    "options", lambda: Point._options.namespace, lambda: sorted(Circle._options.fields), lambda: Point._options.defaults
)
show("positions", lambda: dict(Circle._options.fieldpos), lambda: sorted(Circle._options.optionalset))
show(
    "descriptors",
    lambda: Point.x.field,
    lambda: Point.y.default,
    lambda: Point.y.required,
    lambda: Circle.centre.type.__name__,
)
show("registry", lambda: "test.Point" in models.registry, lambda: models.maybe_model(circle))
show("not a model", lambda: models.maybe_model([1]), lambda: models.maybe_model({"a": 1}))
