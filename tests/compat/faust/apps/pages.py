"""Pages: counts by word, looked up where they are, and a class of handlers."""

import os

from flavour import faust, make_app, named

app = make_app(web_port=int(os.environ["PORT"]), web_bind="127.0.0.1", web_host="127.0.0.1")
words = app.topic(named("in"), key_type=str, value_type=str)
out = app.topic(named("out"), key_type=str, value_type=int)
counts = app.Table("counts", default=int, key_type=str, value_type=int, partitions=2)


@app.agent(words)
async def count(stream):
    async for word in stream:
        counts[word] += 1
        await out.send(key=word, value=counts[word])


@app.page("/count/{word}/")
@app.table_route(table=counts, match_info="word")
async def count_of(web, request, word):  # noqa: ARG001 - what handlers are given
    return web.json({"word": word, "count": counts[word]})


@app.page("/about/")
class About(faust.web.View):
    async def get(self, request):
        return self.json({"asked": request.query["what"], "method": request.method})


@app.page("/nothing/")
async def nothing(web, request):  # noqa: ARG001 - what handlers are given
    return web.text("nothing here", status=404)


if __name__ == "__main__":
    app.main()
