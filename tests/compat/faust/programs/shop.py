"""An app with something for each command of the program that lists."""

from typing import Optional

from flavour import cli, faust


class Order(faust.Record, namespace="shop.Order"):
    """What somebody wants.

    And more of it.
    """

    account: str
    amount: float = 1.0
    note: Optional[str] = None  # noqa: UP045 - as the apps of Faust's time are written


app = faust.App("shop", origin="shop")
orders = app.topic("orders", value_type=Order)
counts = app.Table("counts", default=int, help="Orders by account.")
plain = app.Table("plain")


@app.agent(orders)
async def count(stream):
    """Count orders.

    One by one.
    """
    async for order in stream:
        counts[order.account] += 1


@app.agent(app.channel())
async def local(stream):
    async for _ in stream:
        pass


@app.agent()
async def own(stream):
    async for value in stream:
        yield value


@app.command(cli.option("--times", type=int, default=2))
async def greet(self, times: int) -> None:
    """Greet."""
    self.say("hello " * times)


if __name__ == "__main__":
    app.main()
