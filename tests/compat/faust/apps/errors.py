"""An agent that raises on some events, and goes on with the next."""

from flavour import faust, make_app, named

app = make_app()
numbers = app.topic(named("in"), key_type=str, value_type=int)
out = app.topic(named("out"), key_type=str)


@app.agent(numbers)
async def invert(stream):
    async for number in stream:
        event = faust.current_event()
        await out.send(key=event.key, value=60 // number)


if __name__ == "__main__":
    app.main()
