"""Channels in memory, between a topic's agent and an agent over the channel."""

from flavour import make_app, named

app = make_app()
numbers = app.topic(named("in"), value_type=int)
out = app.topic(named("out"))
channel = app.channel()


@app.agent(numbers)
async def pass_on(stream):
    async for number in stream:
        await channel.send(value=number + 1)


@app.agent(channel)
async def square(stream):
    async for number in stream:
        await out.send(value=number * number)


if __name__ == "__main__":
    app.main()
