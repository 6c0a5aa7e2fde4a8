"""The command line of Faust apps: finding the app, its commands, and mistakes in one sentence."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

import ottla
import ottla.faust as faust
from ottla import ConfigError
from ottla.faust.cli import AppCommand
from ottla.faust.commands import find_app, main, run
from ottla.faust.models import registry
from ottla.transport.kafka_settings import KafkaSettings
from ottla.worker.identity import worker_place

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

@app.command()
async def order():
    await orders.send(value=1)
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
    assert find_app(f"{module}:app") is find_app(module) is find_app(f"{module}.app")
    assert find_app(module).conf.origin == module
    with pytest.raises(ConfigError, match=r"has no faust\.App 'shop'"):
        find_app(f"{module}:shop")
    with pytest.raises(ConfigError, match="there is no module 'nowhere'"):
        find_app("nowhere")


def test_agents_are_listed(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("-A", module, "agents") == 0
    assert capsys.readouterr().out == "@count\torders\tCounts orders.\n"


def test_a_module_that_is_not_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("-A", "nowhere", "worker") == 2
    assert capsys.readouterr().err.startswith("faust: there is no module 'nowhere'")


def test_a_broker_that_does_not_answer_is_one_sentence(
    module: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ottla.agents.client.KafkaSettings", partial(KafkaSettings, connect_timeout_s=0.1))
    assert status_of("-A", module, "order") == 1
    assert capsys.readouterr().err.startswith("faust: no Kafka broker answers at 127.0.0.1:1")


def test_a_command_that_sends_nothing_needs_no_broker(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("-A", module, "greet", "ann") == 0
    assert capsys.readouterr().out == "hello ann 1\n"


def test_commands_take_click_s_options(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(find_app(module), ["greet", "--help"])
    shown = capsys.readouterr().out
    assert "NAME" in shown
    assert "--times" in shown


COMMANDS = """
import ottla.faust as faust
from ottla.faust.cli import AppCommand, argument, option

app = faust.App("shop", broker="kafka://127.0.0.1:1")

counts = app.Table("counts", help="How often.")
seen = app.SetTable("seen")

class CommandsOrder(faust.Record):
    id: str
    amount: int = 3

@app.agent(app.channel())
async def watch(stream):
    async for _ in stream:
        pass

@app.command(argument("name"), option("--times", type=int, default=2))
async def greet(self, name, times):
    "Greets."
    self.say(f"hello {name} " * times + self.app.conf.id)

@app.command()
async def plain():
    print("plain")

class Sell(AppCommand):
    "Sells."

    options = [argument("what"), option("--for", "price", type=float, default=1.5)]

    async def run(self, what, price):
        self.say(self.dumps({"what": what, "price": price}))
        self.carp("sold")
"""


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[faust.App]:
    """An app with commands; what they send goes nowhere."""

    @asynccontextmanager
    async def client(_: ottla.App) -> AsyncIterator[None]:
        yield

    monkeypatch.setattr(ottla.App, "client", client)
    before = list(AppCommand.classes)
    (tmp_path / "commands_of_a_shop.py").write_text(COMMANDS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield find_app("commands_of_a_shop")
    AppCommand.classes[:] = before
    sys.modules.pop("commands_of_a_shop")


@pytest.mark.parametrize(
    ("arguments", "out", "err"),
    [
        (["--json", "agents", "--local"], '[{"name": "@watch", "topic": "<LOCAL>", "help": "<N/A>"}]\n', ""),
        (["agents"], "", ""),
        (["tables"], 'counts\tHow often.\nseen\tMissing description: use Table(.., help="str")\n', ""),
        (["model", "CommandsOrder"], "id\tstr\t*\namount\tint\t3\n", ""),
        (["greet", "ann"], "hello ann hello ann shop\n", ""),
        (["greet", "ann", "--times", "1"], "hello ann shop\n", ""),
        (["plain"], "plain\n", ""),
        (["sell", "tea", "--for", "2"], '{"what": "tea", "price": 2.0}\n', "#-- sold\n"),
    ],
)
def test_commands_are_functions_and_classes(
    commands: faust.App, arguments: list[str], out: str, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(commands, arguments)
    assert ended.value.code == 0
    assert capsys.readouterr() == (out, err)


def test_commands_are_listed_with_their_texts_and_defaults(
    commands: faust.App, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(commands, ["--help"])
    shown = capsys.readouterr().out
    assert re.search(r"greet +Greets\.", shown)
    assert re.search(r"sell +Sells\.", shown)
    with pytest.raises(SystemExit):
        run(commands, ["sell", "--help"])
    assert "[default: 1.5]" in capsys.readouterr().out


def test_a_command_of_a_class_must_say_what_it_does(app: faust.App) -> None:
    class Base(AppCommand):
        abstract = True

    with pytest.raises(NotImplementedError, match=r"Base must define run\(\)"):
        asyncio.run(Base(app).run())
    assert Base not in AppCommand.classes


@pytest.fixture
def app() -> faust.App:
    return faust.App("shop")


def test_models_are_listed(commands: faust.App, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(commands, ["models"])
    assert "CommandsOrder\t<N/A>" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["model", "Nothing"], "faust: there is no model 'Nothing'; there are "),
        (["send", "@nobody", "x"], "faust: there is no agent 'nobody'; there are commands_of_a_shop.watch"),
        (
            ["completion"],
            "faust: completion is not part of Ottla's Faust facade: shells complete",
        ),
    ],
)
def test_mistakes_are_one_sentence(
    commands: faust.App, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(commands, arguments)
    assert ended.value.code
    assert capsys.readouterr().err.startswith(sentence)


def test_events_are_sent_as_they_are_typed_or_as_models(commands: faust.App, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    async def send(_: faust.Topic, **event: object) -> None:
        sent.append(event)

    monkeypatch.setattr(faust.Topic, "send", send)
    more = ["-k", "k", "--partition", "1", "-r", "2"]
    for arguments in (["hello", *more], ['{"id": "a"}', "-V", "CommandsOrder", "--value-serializer", "json"]):
        with pytest.raises(SystemExit) as ended:
            run(commands, ["send", "orders", *arguments])
        assert ended.value.code == 0
    plain = {"key": b"k", "value": b"hello", "partition": 1, "key_serializer": None, "value_serializer": None}
    order = registry["commands_of_a_shop.CommandsOrder"](id="a")
    modelled = {**plain, "key": None, "value": order, "partition": None, "value_serializer": "json"}
    assert sent == [plain, plain, modelled]


def test_options_before_the_command_are_the_app_s(
    commands: faust.App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(".")  # What it is goes back to where it was.
    with pytest.raises(SystemExit):
        run(commands, ["--datadir", str(tmp_path / "state"), "--workdir", str(tmp_path), "--loop", "aio", "tables"])
    assert commands.conf.datadir == tmp_path / "state"
    assert Path.cwd() == tmp_path


def test_a_daemon_goes_on_until_it_is_told_to_end(commands: faust.App, capsys: pytest.CaptureFixture[str]) -> None:
    class Base(AppCommand):
        abstract = True

        def watched(self) -> str:
            return f"watching {self.app.conf.id}"

    @commands.command(daemon=True, base=Base)
    async def watching(self: Base) -> None:
        self.say(self.watched())
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as ended:
        run(commands, ["watching"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "watching shop\n"


def test_the_version_is_shown(commands: faust.App, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(commands, ["--version"])
    assert ", version Ottla " in capsys.readouterr().out


def test_state_is_deleted_on_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    apps = {"reset": "shop-v3", "clean-versions": "shop"}
    for app_id in ("shop", "shop-v2", "shop-v3"):
        (tmp_path / app_id / "0" / "rocksdb").mkdir(parents=True)
        (tmp_path / app_id / "0" / "worker-id").write_text("w")
    app = faust.App("shop", version=3, datadir=str(tmp_path))
    with worker_place(tmp_path, "shop-v3"), pytest.raises(SystemExit):
        run(app, ["reset"])
    assert "a worker uses the state in" in capsys.readouterr().err
    for command, app_id in apps.items():
        with pytest.raises(SystemExit):
            run(app, [command])
        assert f"state deleted: {tmp_path / app_id / '0'}" in capsys.readouterr().out
    assert not list(tmp_path.glob("*/*/rocksdb"))
    assert len(list(tmp_path.glob("*/*/worker-id"))) == 3
