"""Serializers: raw bytes, base64 behind JSON, untyped values, and models that the data names."""

from flavour import faust, make_app, named


class Animal(faust.Record, abstract=True):
    name: str


class Dog(Animal, namespace="compat.Dog"):
    barks: bool = True


class Cat(Animal, namespace="compat.Cat"):
    lives: int = 9


app = make_app()
raw = app.topic(named("in"), value_serializer="raw")
hidden = app.topic(named("hidden"), value_serializer="json|binary")
animals = app.topic(named("animals"))
out = app.topic(named("out"))


@app.agent(raw)
async def read(stream):
    async for data in stream:
        await hidden.send(value={"length": len(data), "text": data.decode()})


@app.agent(hidden)
async def unhide(stream):
    async for value in stream:
        await out.send(value=value)
        await animals.send(value=Dog("rex") if value["length"] % 2 else Cat(value["text"], 7))


@app.agent(animals)
async def sort(stream):
    async for animal in stream:
        await out.send(value=[type(animal).__name__, animal.asdict()])


if __name__ == "__main__":
    app.main()
