"""A function that is called with each window of a table that is over, and sends what it held."""

from flavour import make_app, named

app = make_app(table_cleanup_interval=2.0)
out = app.topic(named("out"), key_type=str)


def closed(key, count):
    page, (begin, end) = key
    out.send_soon(key=page, value=[begin, end, count])


counts = app.Table("views", default=int, partitions=2, on_window_close=closed).tumbling(10.0, expires=5.0)


@app.agent(app.topic(named("in"), key_type=str))
async def count(stream):
    async for page in stream:
        counts[page] += 1


if __name__ == "__main__":
    app.main()
