"""An agent asks another in the middle of an event, which asks a third."""

from flavour import make_app, named

app = make_app(processing_guarantee="at_least_once", reply_create_topic=True)
out = app.topic(named("out"))


@app.agent(app.topic(named("third"), key_type=str, value_type=int))
async def third(stream):
    async for number in stream:
        yield number + 1


@app.agent(app.topic(named("second"), key_type=str, value_type=int))
async def second(stream):
    async for key, number in stream.items():
        yield await third.ask(number, key=key) * 10


@app.agent(app.topic(named("in"), key_type=str, value_type=int), sink=[out])
async def first(stream):
    async for key, number in stream.items():
        yield [number, await second.ask(number, key=key), await third.join([number, number + 1], key=key)]


if __name__ == "__main__":
    app.main()
