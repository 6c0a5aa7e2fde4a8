"""Tasks that iterate streams of topics, with processors and filters, and by lists."""

from flavour import make_app, named

app = make_app()
source = app.topic(named("in"), value_type=int)
lists = app.topic(named("lists"), value_type=int)
sink = app.topic(named("out"))


def doubled(number):
    return number * 2


@app.task
async def pass_on():
    async for number in app.stream(source, processors=[doubled]).filter(lambda number: number != 2):
        await sink.send(key="task", value=number)
        await lists.send(key="k", value=number)


@app.task
async def collect():
    async for event in lists.stream().events():
        await sink.send(key="event", value=[event.value, event.message.topic == named("lists")])


if __name__ == "__main__":
    app.main()
