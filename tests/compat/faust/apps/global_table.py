"""A table that every worker has whole: stock is booked in by one agent, and looked up by another."""

from flavour import make_app, named

app = make_app()
booked = app.topic(named("in"), key_type=str, value_type=int)
asked = app.topic(named("asked"), key_type=str, value_type=str)
out = app.topic(named("out"), key_type=str, value_type=str)
stock = app.GlobalTable("stock", default=int, key_type=str, value_type=int, partitions=2)


@app.agent(booked)
async def book(stream):
    async for item, pieces in stream.items():
        stock[item] += pieces
        await asked.send(key=item, value=f"{stock[item]} of {item}")


@app.agent(asked)
async def look(stream):
    async for item, expected in stream.items():
        await out.send(key=item, value=f"{expected}, {'bananas' in stock}")


if __name__ == "__main__":
    app.main()
