"""Profiles, and which brokers a command means."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ottla_apps.cli.errors import BadArgument, CommandError
from ottla_apps.cli.profiles import Profiles, load, parse_brokers, profiles_file, resolve_brokers, save

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("localhost", [("localhost", 9092)]),
        ("a:1,b:2", [("a", 1), ("b", 2)]),
        ("a:1, b", [("a", 1), ("b", 9092)]),
        ("[::1]:9093", [("::1", 9093)]),
        ("10.0.0.7:9092", [("10.0.0.7", 9092)]),
    ],
)
def test_addresses(text: str, addresses: list[tuple[str, int]]) -> None:
    assert parse_brokers(text) == addresses


@pytest.mark.parametrize("text", ["", "a:", "a:x", "a:0", "a:65536", "a b", "a:1,", "http://a:1", "::1", 'a"b'])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadArgument, match="no address"):
        parse_brokers(text)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    profiles = Profiles({"staging": "a:1,b:2", "local": "[::1]:9092"}, "staging")
    save(tmp_path / "deep" / "profiles.toml", profiles)
    assert load(tmp_path / "deep" / "profiles.toml") == profiles
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["profiles.toml"]


@pytest.mark.parametrize(
    "content",
    [
        "x",
        "other = 1",
        "current = 1",
        "profiles = 1",
        "[profiles.a]",
        "[profiles.a]\nbrokers = 1",
        '[profiles.a]\nbrokers = "?"',
        '[profiles.a]\nbrokers = "b:1"\nmore = 1',
        '[profiles."a b"]\nbrokers = "b:1"',
        "\udcff",
    ],
)
def test_a_file_that_was_edited_wrongly_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "profiles.toml"
    path.write_text(content, errors="surrogateescape")
    with pytest.raises(CommandError):
        load(path)


def test_the_command_line_wins_over_the_environment_and_that_over_the_profile_in_use(tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert resolve_brokers(None, None, home) == "127.0.0.1:9092"
    save(profiles_file(home), Profiles({"a": "a:1", "b": "b:1"}, "a"))
    assert resolve_brokers(None, None, home) == "a:1"
    assert resolve_brokers(None, None, home | {"OTTLA_BROKERS": "e:1"}) == "e:1"
    assert resolve_brokers(None, "b", home | {"OTTLA_BROKERS": "e:1"}) == "b:1"
    assert resolve_brokers("c:1", None, home | {"OTTLA_BROKERS": "e:1"}) == "c:1"


def test_a_profile_lives(run: Run) -> None:
    assert run("profile", "create", "staging", "-b", "a:1").ok().rows == [["staging", "created, in use"]]
    assert run("profile", "create", "local", "-b", "b:1", "--no-use").ok().rows == [["local", "created"]]
    assert run("profile", "list").ok().rows == [["local", "b:1", "no"], ["staging", "a:1", "yes"]]
    run("profile", "use", "local").ok()
    assert run("profile", "show", "--format", "json").ok().json["brokers"] == "b:1"
    run("profile", "delete", "local", "--dry-run").ok()
    run("profile", "delete", "local").ok()
    run("profile", "show").fails("No profile is in use; `ottla profile use NAME` changes that.", 2)
    assert run("profile", "list", "--format", "json").ok().json == [
        {"profile": "staging", "brokers": "a:1", "in_use": False}
    ]


def test_mistakes_with_profiles_are_told(run: Run) -> None:
    run("profile", "use", "nope").fails("There is no profile 'nope'; there are: none.", 2)
    run("profile", "create", "a b", "-b", "a:1").fails(
        "'a b' is no name for a profile: use letters, digits, - and _.", 2
    )
    run("profile", "create", "a", "-b", "a:x").fails("'a:x' is no address of a broker: .*", 2)
    run("profile", "create", "a", "-b", "a:1").ok()
    run("profile", "create", "a", "-b", "a:1").fails("There is a profile 'a' already; .*", 2)
    run("topic", "list", "--profile", "b").fails("There is no profile 'b'; there are: a.", 2)


def test_a_command_talks_to_the_profile_in_use(run: Run, brokers: str) -> None:
    run("profile", "create", "test", "-b", brokers).ok()
    assert run("cluster", "info").ok().out.startswith("CLUSTER-ID\t")
