"""A topology as Mermaid and SVG: every topic, step and store is in it once."""

from importlib.metadata import EntryPoint
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

import ottla
from ottla.commands import command_line


@pytest.fixture
def shop(app: ottla.App) -> ottla.App:
    """An agent with a table, a join with a global table, and what it writes read again."""
    orders = app.topic("orders", key=str, value=int)
    totals = app.Table("totals", key=str, default=int)
    names = app.GlobalTable("names", source=app.topic("customers", key=str, value=str))

    @app.agent(orders)
    async def add(stream: ottla.Stream[int]) -> None:
        async for key, value in stream.items():
            totals[key] += value

    app.stream(orders).join(names, lambda order, name: f"{order}{name}", type=str).to(app.topic("named", value=str))
    app.stream(orders).filter(lambda n: n > 10).map(lambda n: n // 2, type=int).to(orders)
    return app


def test_mermaid_has_topics_steps_and_stores(shop: ottla.App) -> None:
    lines = shop.topology.mermaid().splitlines()
    assert lines[0] == "flowchart TD"
    ids = {line.split("[")[0].split("(")[0].strip(): line for line in lines if '"' in line}
    names = {line.split('"')[1].split("<br/>")[0]: key for key, line in ids.items()}
    assert {"orders", "customers", "add", "totals", "names"} <= names.keys()
    flow = [tuple(line.split(" --> ")) for line in lines if " --> " in line]
    arrows = [(start.strip(), end) for start, end in flow]
    assert (names["orders"], names["add"]) in arrows
    assert (names["topic.orders.filter.map"], names["orders"]) in arrows
    assert any(line.strip() == f"{names['add']} -.- {names['totals']}" for line in lines)


def test_svg_is_well_formed_and_has_every_name(shop: ottla.App) -> None:
    picture = ElementTree.fromstring(shop.topology.svg())
    said = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    for name in ("orders", "customers", "add", "⛁ totals", "agent", "topic.orders.filter.map"):
        assert said.count(name) == 1, name
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    for box in picture.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(box.attrib["x"]) + float(box.attrib["width"]) <= width
        assert float(box.attrib["y"]) + float(box.attrib["height"]) <= height


def test_the_command_shows_each_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "drawn_app.py").write_text(
        "import ottla\n"
        "app = ottla.App('drawn')\n"
        "numbers = app.stream(app.topic('numbers', key=str, value=int))\n"
        "numbers.take(2, within=1), numbers.take(3, within=1)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    command = command_line(
        [
            EntryPoint("topology", "ottla.cli.topology:topology", "ottla.commands"),
            EntryPoint("worker", "ottla.commands:worker", "ottla.commands"),
        ]
    )
    for form, begin in [("text", "Topologies:\n"), ("mermaid", "flowchart TD\n"), ("svg", "<svg ")]:
        result = CliRunner().invoke(command, ["topology", "drawn_app:app", "--format", form])
        assert (result.exit_code, result.stdout[: len(begin)]) == (0, begin)
        assert result.stderr.startswith("ottla topology: take 'numbers-take-2' is told from 'numbers-take'")
    result = CliRunner().invoke(command, ["topology", "drawn_app:application"])
    assert (result.exit_code, result.stderr) == (
        2,
        "ottla topology: module 'drawn_app' has no 'application'; its apps are 'app'\n",
    )
