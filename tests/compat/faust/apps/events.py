"""Events with their contexts: keys, headers and times, forwarded and numbered."""

from flavour import make_app, named

app = make_app()
words = app.topic(named("in"), key_type=str, value_type=str)
passed = app.topic(named("passed"), key_type=str, value_type=str)
out = app.topic(named("out"), key_type=str)


@app.agent(words)
async def forward(stream):
    async for event in stream.events():
        await event.forward(passed, value=event.value + "!", headers={"by": b"forward"})


@app.agent(passed)
async def describe(stream):
    async for event in stream.events():
        headers = {name: value.decode() for name, value in dict(event.headers).items()}
        await out.send(key=event.key, value=[event.value, headers, event.message.topic.split("-")[-1]])


if __name__ == "__main__":
    app.main()
