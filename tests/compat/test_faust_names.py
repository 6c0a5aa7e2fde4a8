"""Every public name of faust-streaming, and every parameter: it works under the facade, or is refused by name."""

import importlib
import inspect
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ottla
import ottla.faust as faust
from ottla.errors import OttlaError
from ottla.faust.events import Event, Message
from ottla.faust.program import commands_of
from ottla.faust.tables import WindowSet
from ottla.faust.web.base import Web
from ottla_apps.bench.engine.peers import peers_python

ROOT = Path(__file__).resolve().parents[2]
SURFACE = Path(__file__).parent / "faust" / "surface.py"

Names = dict[str, dict[str, Any]]


class Order(faust.Record):
    amount: int


def objects() -> dict[str, Any]:
    """One of each of the facade's classes, by Faust's names for them."""
    app = faust.App("shop")

    @app.agent(app.topic("orders"))
    async def process(stream: faust.Stream[Any]) -> None:
        async for _ in stream:
            pass

    windows = app.Table("windows", default=int).tumbling(60)
    event = ottla.Event("key", 1, 0, [], "orders", 0, 0)
    return {
        "App": app,
        "Agent": process,
        "Stream": faust.Stream(app, None),  # type: ignore[arg-type]
        "Channel": app.channel(),
        "Topic": app.topic("topic"),
        "Event": Event(app, event),
        "Message": Event(app, event).message,
        "Schema": faust.Schema(),
        "Codec": faust.Codec(),
        "Table": app.Table("table"),
        "GlobalTable": app.GlobalTable("everywhere"),
        "SetTable": app.SetTable("sets"),
        "SetGlobalTable": app.SetGlobalTable("sets-everywhere"),
        "WindowWrapper": windows,
        "WindowSet": WindowSet(windows, "key"),
        "HoppingWindow": faust.HoppingWindow(10, 5),
        "TumblingWindow": faust.TumblingWindow(10),
        "Record": Order(1),
        "ModelOptions": Order._options,
        "FieldDescriptor": Order.amount,
        "Sensor": faust.Sensor(),
        "Monitor": app.monitor,
        "Worker": faust.Worker(app),
        "AppCommand": faust.AppCommand(app),
        "View": faust.web.View(app),
        "Blueprint": faust.web.Blueprint("pages"),
        "Web": app.web,
        "Cache": faust.web.Cache(),
        "SASLCredentials": faust.SASLCredentials(),
        "GSSAPICredentials": faust.GSSAPICredentials(),
        "SSLCredentials": faust.SSLCredentials(),
    }


MADE_BY_THE_APP = {
    "Agent", "Stream", "Channel", "Topic", "Event", "Message", "Table", "GlobalTable", "SetTable", "SetGlobalTable",
    "WindowWrapper", "WindowSet", "View", "Web", "AppCommand", "Record",
}  # fmt: skip
"""Classes of which an app's code makes no objects itself."""


def topic(**options: Any) -> Any:
    return faust.App("shop").topic("orders", **options)


TAKEN_BY: dict[str, Callable[..., Any]] = {
    "App.__init__": lambda **options: faust.App("shop", **options),
    "App.GlobalTable": lambda **options: faust.App("shop").GlobalTable("table", **options),
    "App.SetTable": lambda **options: faust.App("shop").SetTable("table", **options),
    "App.SetGlobalTable": lambda **options: faust.App("shop").SetGlobalTable("table", **options),
    "App.Table": lambda **options: faust.App("shop").Table("table", **options),
    "Topic.derive": topic,
    "Topic.derive_topic": topic,
    "FieldDescriptor.__init__": faust.FieldDescriptor,
    "Monitor.__init__": faust.Monitor,
    "Worker.__init__": lambda **options: faust.Worker(faust.App("shop"), **options),
}
"""What is called with an option that a function of any options is to take, or to refuse by name."""


@pytest.fixture(scope="module")
def surface() -> dict[str, Names]:
    python = peers_python(ROOT / ".compat/peers", print)
    run = subprocess.run([python, "-W", "ignore", SURFACE], capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, Names] = json.loads(run.stdout)
    return found


def test_every_name_and_parameter_of_a_class_is_there_or_refused(surface: dict[str, Names]) -> None:
    unknown = []
    for name, thing in objects().items():
        for member, parameters in surface["classes"][name].items():
            try:
                found = type(thing) if member == "__init__" else getattr(thing, member)
            except OttlaError:
                continue
            except AttributeError:
                unknown.append(f"{name}.{member}")
                continue
            if parameters is not None and callable(found) and not (member == "__init__" and name in MADE_BY_THE_APP):
                unknown += [f"{name}.{member}: {each}" for each in unknown_in(f"{name}.{member}", found, parameters)]
    assert not unknown


def unknown_in(path: str, function: Any, parameters: list[tuple[str, str]]) -> list[str]:
    """The parameters that the facade's function neither takes nor refuses, or takes in another order."""
    own = inspect.signature(function).parameters
    takes_any = any(each.kind is each.VAR_KEYWORD for each in own.values())
    unknown = []
    for name, kind in parameters:
        if name in own or kind in ("VAR_KEYWORD", "VAR_POSITIONAL", "POSITIONAL_ONLY"):
            continue
        if not (takes_any and is_known(TAKEN_BY.get(path, function), name)):
            unknown.append(f"{name}=")
    theirs = [name for name, kind in parameters if kind in ("POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD")]
    ours = [each.name for each in own.values() if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    takes_more = any(each.kind is each.VAR_POSITIONAL for each in own.values())
    if ours[: len(theirs)] != theirs[: len(ours)] or (len(ours) < len(theirs) and not takes_more):
        unknown.append(f"({', '.join(theirs)})")
    return unknown


UNKNOWN = ("is not part of Ottla's Faust facade", "is not known; see docs/from-faust.md for the options")
"""How the refusal of an option ends that has no reason of its own."""


UNKNOWN = ("is not part of Ottla's Faust facade", "is not known; see docs/from-faust.md for the options")
"""How the refusal of an option ends that has no reason of its own."""


def is_known(function: Callable[..., Any], option: str) -> bool:
    """Whether the function takes an option, or refuses it by its name and a reason."""
    try:
        function(**{option: 1})
    except OttlaError as error:
        return not str(error).endswith(UNKNOWN)
    except TypeError as error:
        return "unexpected keyword argument" not in str(error)
    except (AttributeError, ValueError):
        return True  # It was not of its kind.
    return True


def test_every_module_and_its_names_are_there_or_refused(surface: dict[str, Names]) -> None:
    unknown = []
    for path, names in surface["modules"].items():
        try:
            module = importlib.import_module(f"ottla.{path}")
        except ImportError:
            unknown.append(path)
            continue
        for name in names:
            try:
                getattr(module, name)
            except OttlaError:
                continue
            except AttributeError:
                unknown.append(f"{path}.{name}")
    assert not unknown


def test_every_setting_is_given_or_refused_and_can_be_read(surface: dict[str, Names]) -> None:
    unknown = []
    conf = faust.App("shop").conf
    for name in surface["settings"]:
        if not is_known(TAKEN_BY["App.__init__"], name):
            unknown.append(f"App({name}=)")
        try:
            getattr(conf, name)
        except OttlaError:
            continue
        except AttributeError:
            unknown.append(f"app.conf.{name}")
    assert not unknown


def test_every_command_of_the_program_is_there(surface: dict[str, Names]) -> None:
    assert set(surface["commands"]) <= commands_of(faust.App("shop")).keys()


def test_classes_are_compared_that_are_there() -> None:
    things = objects()
    assert isinstance(things["Message"], Message)
    assert isinstance(things["Web"], Web)
