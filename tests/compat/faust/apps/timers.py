"""A timer, a cron job by the second and a task, each sending what it counts."""

from flavour import make_app, named

app = make_app()
out = app.topic(named("out"))
counts = {"timer": 0, "cron": 0}


async def count(name):
    counts[name] += 1
    if counts[name] <= 2:
        await out.send(value=f"{name} {counts[name]}")


@app.timer(interval=0.5)
async def tick():
    await count("timer")


@app.crontab("* * * * * */1")
async def every_second():
    await count("cron")


@app.task
async def once(app):
    await out.send(value=f"task {app.conf.id.split('-')[-1]}")


@app.agent(app.topic(named("in")))
async def idle(stream):
    async for _ in stream:
        pass


if __name__ == "__main__":
    app.main()
