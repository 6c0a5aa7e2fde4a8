"""A table with hopping windows: an event counts in each that it is in."""

from flavour import make_app, named

app = make_app()
views = app.topic(named("in"), key_type=str, value_type=str)
out = app.topic(named("out"), key_type=str)
counts = app.Table("views", default=int, partitions=2).hopping(10.0, 5.0, expires=3600.0)


@app.agent(views)
async def count(stream):
    async for page, user in stream.items():
        counts[page] += 1
        at = counts[page]
        await out.send(key=page, value=[user, at.current(), at.delta(5.0)])


if __name__ == "__main__":
    app.main()
