"""Events regrouped by a field of their model, and summed by it."""

from flavour import faust, make_app, named


class Withdrawal(faust.Record, namespace="compat.Withdrawal"):
    account: str
    country: str
    amount: float


app = make_app()
withdrawals = app.topic(named("in"), key_type=str, value_type=Withdrawal)
out = app.topic(named("out"), key_type=str)
totals = app.Table("totals", default=float, partitions=2)


@app.agent(withdrawals)
async def by_country(stream):
    async for withdrawal in stream.group_by(Withdrawal.country):
        totals[withdrawal.country] += withdrawal.amount
        await out.send(key=withdrawal.country, value=totals[withdrawal.country])


if __name__ == "__main__":
    app.main()
