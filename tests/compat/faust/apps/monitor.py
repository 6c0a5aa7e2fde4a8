# ruff: noqa: ARG002 - a sensor is told more than it notes
"""The monitor, and a sensor of the app's own."""

from flavour import faust, make_app, named

app = make_app()
out = app.topic(named("out"))
counts = app.Table("counts", default=int, partitions=2)


class Words(faust.Sensor):
    """Counts the letters of the events that agents come to, and those that they are done with."""

    def __init__(self):
        super().__init__()
        self.letters_in = self.letters_out = 0

    def on_stream_event_in(self, tp, offset, stream, event):
        self.letters_in += len(event.value)
        return {"letters": len(event.value)}

    def on_stream_event_out(self, tp, offset, stream, event, state=None):
        self.letters_out += state["letters"]


words = Words()
app.sensors.add(words)


@app.agent(app.topic(named("in"), key_type=str))
async def count(stream):
    async for word in stream:
        counts[word] += 1
        app.monitor.count(word)
        used = app.monitor.tables["counts"]
        await out.send(
            value={
                "events": app.monitor.events_total,
                "at once": app.monitor.events_active,
                "letters": [words.letters_in, words.letters_out],
                "table": [used.keys_retrieved, used.keys_updated, used.keys_deleted],
                "own": dict(app.monitor.metric_counts),
            }
        )


if __name__ == "__main__":
    app.main()
