"""A table of sets."""

from flavour import make_app, named

app = make_app()
changes = app.topic(named("in"), key_type=str, value_type=str)
out = app.topic(named("out"), key_type=str)
members = app.SetTable("members", key_type=str, value_type=str, partitions=2)


@app.agent(changes)
async def change(stream):
    async for team, change in stream.items():
        if change.startswith("-"):
            members[team].discard(change[1:])
        else:
            members[team].add(change)
        await out.send(key=team, value=sorted(members[team]))


if __name__ == "__main__":
    app.main()
