"""Events taken by lists: so many at once, or what came in time."""

from flavour import make_app, named

app = make_app()
numbers = app.topic(named("in"), key_type=str, value_type=int)
out = app.topic(named("out"))


@app.agent(numbers, sink=[out])
async def lists(stream):
    async for values in stream.take(4, within=2.0):
        yield list(values)


if __name__ == "__main__":
    app.main()
