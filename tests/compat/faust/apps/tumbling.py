"""A table with tumbling windows, relative to the time of the event."""

from flavour import make_app, named

app = make_app()
views = app.topic(named("in"), key_type=str, value_type=str)
out = app.topic(named("out"), key_type=str)
counts = app.Table("views", default=int, partitions=2).tumbling(10.0, expires=3600.0)


@app.agent(views)
async def count(stream):
    async for page, user in stream.items():
        counts[page] += 1
        at = counts[page]
        await out.send(key=page, value=[user, at.current(), at.value(), at.delta(10.0)])


if __name__ == "__main__":
    app.main()
