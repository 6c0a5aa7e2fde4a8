"""The command line of Faust apps: finding the app, its commands, and mistakes in one sentence."""

from pathlib import Path

import pytest

import ottla.faust as faust
from ottla import ConfigError
from ottla.faust.commands import find_app, main, run

SHOP = """
import click
import ottla.faust as faust

app = faust.App("shop", broker="kafka://127.0.0.1:1")
orders = app.topic("orders", value_type=int)

@app.agent(orders)
async def count(orders):
    "Counts orders."
    async for _ in orders:
        pass

@app.command(click.option("--times", type=int, default=1), click.argument("name"))
async def greet(name, times):
    print("hello", name, times)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The shop as a module of a name of its own."""
    name = f"shop_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def status_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments, prog_name="faust")
    return int(ended.value.code or 0)


def test_an_app_is_found_by_its_module(module: str) -> None:
    assert isinstance(find_app(module), faust.App)
    assert find_app(f"{module}:app") is find_app(module)
    with pytest.raises(ConfigError, match=r"has no faust\.App 'shop'"):
        find_app(f"{module}:shop")
    with pytest.raises(ConfigError, match="there is no module 'nowhere'"):
        find_app("nowhere")


def test_agents_are_listed(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("-A", module, "agents") == 0
    assert capsys.readouterr().out == "count\t<Topic: orders>\tCounts orders.\n"


def test_a_module_that_is_not_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("-A", "nowhere", "worker") == 2
    assert capsys.readouterr().err.startswith("faust: there is no module 'nowhere'")


def test_a_broker_that_does_not_answer_is_one_sentence(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("-A", module, "greet", "ann") == 1
    assert capsys.readouterr().err.startswith("faust: no Kafka broker answers at 127.0.0.1:1")


def test_commands_take_click_s_options(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(find_app(module), ["greet", "--help"])
    shown = capsys.readouterr().out
    assert "NAME" in shown
    assert "--times" in shown
