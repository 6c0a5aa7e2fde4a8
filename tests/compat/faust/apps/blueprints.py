"""Pages of a blueprint: names, models, errors, answers that are kept, and those of the worker that reads a key."""

import importlib
import os

from flavour import faust, make_app, named

web = importlib.import_module(f"{faust.__name__}.web")
app = make_app(web_port=int(os.environ["PORT"]), web_bind="127.0.0.1", web_host="127.0.0.1")
words = app.topic(named("in"), key_type=str, value_type=str)
out = app.topic(named("out"), key_type=str, value_type=str)
blueprint = web.Blueprint("words")
cache = blueprint.cache(timeout=300.0)
answered = []


class Word(faust.Record, namespace="compat.Word"):
    text: str


@app.agent(words, sink=[out])
async def read(stream):
    async for word in stream:
        yield word.upper()


@blueprint.route("/", name="list")
class Words(web.View):
    @cache.view()
    async def get(self, request):  # noqa: ARG002 - what handlers are given
        answered.append(1)
        return self.json({"answers": len(answered), "of": self.path_for("words:one", word="a b")})


@blueprint.route("/one/{word}/", name="one")
async def one(self, request, word):
    if word == "none":
        raise self.NotFound("no such word", word=word)
    return self.json({"word": Word(word), "method": request.method})


@blueprint.route("/read/{word}/", name="read")
class Read(web.View):
    @app.topic_route(topic=words, match_info="word")
    async def get(self, request, word):  # noqa: ARG002
        return self.text(word)

    async def post(self, request):  # noqa: ARG002
        raise self.PermissionDenied()


app.web.blueprints.add("/words/", blueprint)

if __name__ == "__main__":
    app.main()
