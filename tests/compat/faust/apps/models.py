"""Record models: nested, with dates, defaults and derived copies."""

from datetime import datetime, timedelta
from typing import Dict, List, Optional  # noqa: UP035 - as the apps of Faust's time are written

from flavour import faust, make_app, named


class Customer(faust.Record, namespace="compat.Customer"):
    id: str
    name: Optional[str] = None  # noqa: UP045


class Line(faust.Record, namespace="compat.Line"):
    item: str
    price: float
    count: int = 1


class Order(faust.Record, isodates=True, namespace="compat.Order"):
    customer: Customer
    lines: List[Line]  # noqa: UP006
    ordered: datetime
    notes: Dict[str, str]  # noqa: UP006


class Invoice(faust.Record, namespace="compat.Invoice"):
    order: Order
    total: float
    due: datetime


app = make_app()
orders = app.topic(named("in"), value_type=Order)
invoices = app.topic(named("out"), value_type=Invoice)


@app.agent(orders)
async def bill(orders):
    async for order in orders:
        total = sum(line.price * line.count for line in order.lines)
        named_order = order.derive(customer=order.customer.derive(name=order.customer.id.upper()))
        await invoices.send(
            key=order.customer.id, value=Invoice(named_order, total, order.ordered + timedelta(days=30))
        )


if __name__ == "__main__":
    app.main()
