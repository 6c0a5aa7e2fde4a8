"""Sets that every worker has whole: members join teams in one agent, and are looked up by another."""

from flavour import make_app, named

app = make_app()
joined = app.topic(named("in"), key_type=str, value_type=str)
asked = app.topic(named("asked"), key_type=str, value_type=str)
out = app.topic(named("out"), key_type=str)
members = app.SetGlobalTable("members", key_type=str, value_type=str, partitions=2)


@app.agent(joined)
async def join(stream):
    async for team, name in stream.items():
        members[team].add(name)
        await asked.send(key=team, value=name)


@app.agent(asked)
async def look(stream):
    async for team, name in stream.items():
        await out.send(key=team, value=[name, "nobody" in members[team]])


if __name__ == "__main__":
    app.main()
