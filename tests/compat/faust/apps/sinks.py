"""Sinks: topics, other agents, functions and async functions."""

from flavour import make_app, named

app = make_app()
numbers = app.topic(named("in"), value_type=int)
doubles = app.topic(named("doubles"), value_type=int)
out = app.topic(named("out"))


@app.agent(doubles)
async def show(stream):
    async for number in stream:
        await out.send(value=f"agent {number}")


async def called(value):
    await out.send(value=f"function {value}")


@app.agent(numbers, sink=[out, show, called])
async def double(stream):
    async for number in stream:
        yield number * 2


if __name__ == "__main__":
    app.main()
