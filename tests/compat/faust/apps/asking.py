"""A task asks agents: ask, join, kvjoin, map, cast."""

from flavour import faust, make_app, named


class Sum(faust.Record, namespace="compat.Sum"):
    x: int
    y: int


app = make_app()
out = app.topic(named("out"))


@app.agent(app.topic(named("in"), value_type=Sum))
async def add(stream):
    async for numbers in stream:
        yield numbers.x + numbers.y


@app.agent(app.topic(named("words"), value_type=str))
async def shout(stream):
    async for word in stream:
        await out.send(value=word.upper())
        yield word.upper()


@app.task
async def asks():
    await out.send(value=["ask", await add.ask(Sum(1, 2))])
    await out.send(value=["join", await add.join([Sum(number, 1) for number in range(4)])])
    await out.send(value=["kvjoin", await add.kvjoin([(str(number), Sum(number, 2)) for number in range(3)])])
    await out.send(value=["map", sorted([answer async for answer in add.map([Sum(5, 5), Sum(6, 6)])])])
    await shout.cast("quiet")
    await shout.send(value="loud")


if __name__ == "__main__":
    app.main()
