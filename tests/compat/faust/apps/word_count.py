"""The word count: lines are split by one agent, and counted by another in a table."""

from flavour import make_app, named

app = make_app()
lines = app.topic(named("in"), value_type=str)
words = app.topic(named("words"), key_type=str, value_type=str)
out = app.topic(named("out"), key_type=str, value_type=int)
counts = app.Table("counts", default=int, key_type=str, value_type=int, partitions=2)


@app.agent(lines)
async def split(lines):
    async for line in lines:
        for word in line.split():
            await words.send(key=word, value=word)


@app.agent(words)
async def count(words):
    async for word in words:
        counts[word] += 1
        await out.send(key=word, value=counts[word])


if __name__ == "__main__":
    app.main()
