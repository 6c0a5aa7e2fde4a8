"""What an agent does to its stream: filter, through, echo and processors."""

from flavour import make_app, named

app = make_app()
numbers = app.topic(named("in"), key_type=str, value_type=int)
between = app.topic(named("between"), key_type=str, value_type=int)
copies = app.topic(named("copies"), key_type=str, value_type=int)
out = app.topic(named("out"), key_type=str)


@app.agent(numbers)
async def odd(stream):
    async for number in stream.through(between).echo(copies).filter(lambda number: number % 2):
        await out.send(value=["odd", number])


@app.agent(copies)
async def copied(stream):
    async for number in stream:
        await out.send(value=["copy", number])


if __name__ == "__main__":
    app.main()
