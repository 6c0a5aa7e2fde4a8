"""Plugins: found without being imported, loaded on use, and refused in one sentence."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ottla_connectors.errors import ConfigError
from ottla_connectors.files.config import FileConfig
from ottla_connectors.files.source import FileSource
from ottla_connectors.plugins import Kind, config_schema, installed_plugins, load_sink, load_source, read_config
from ottla_connectors.sql.sqlite import SqliteSink


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution that offers a good plugin, a broken one, and a name of no known kind."""
    package = tmp_path / "acme_pigeons.py"
    package.write_text("class PigeonSource:\n    '''Rows that pigeons bring.'''\n")
    metadata = tmp_path / "acme_pigeons-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-pigeons\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[ottla.connectors]\n"
        "source.pigeon = acme_pigeons:PigeonSource\n"
        "sink.pigeon = acme_pigeons:PigeonSink\n"
        "transform.pigeon = acme_pigeons:PigeonTransform\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_the_plugins_of_this_package_are_installed() -> None:
    names = {(plugin.kind, plugin.name): plugin.target for plugin in installed_plugins()}

    assert names[Kind.SOURCE, "file"] == f"{FileSource.__module__}:{FileSource.__qualname__}"
    assert names[Kind.SINK, "sqlite"] == f"{SqliteSink.__module__}:{SqliteSink.__qualname__}"
    assert load_source("file") is FileSource
    assert load_sink("sqlite") is SqliteSink


@pytest.mark.usefixtures("third_party")
def test_plugins_of_other_distributions_are_listed_without_importing_them() -> None:
    found = [plugin for plugin in installed_plugins() if plugin.distribution == "acme-pigeons"]

    assert [(plugin.kind, plugin.name) for plugin in found] == [(Kind.SINK, "pigeon"), (Kind.SOURCE, "pigeon")]
    assert "acme_pigeons" not in sys.modules


@pytest.mark.usefixtures("third_party")
def test_a_plugin_is_imported_when_it_is_used() -> None:
    assert load_source("pigeon").__name__ == "PigeonSource"

    with pytest.raises(ConfigError, match=r"^the sink plugin 'pigeon' of acme-pigeons cannot be imported: "):
        load_sink("pigeon")
    del sys.modules["acme_pigeons"]


def test_a_name_that_is_not_installed_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"^no sink plugin is called 'sqllite'; did you mean 'sqlite'\?$"):
        load_sink("sqllite")
    with pytest.raises(ConfigError, match=r"^no source plugin is called 'kinesis'; installed: .*file"):
        load_source("kinesis")


def test_configs_become_structs_or_one_sentence() -> None:
    assert read_config(FileSource, {"path": "a.csv", "batch_rows": 7}, "c") == FileConfig(path="a.csv", batch_rows=7)

    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "Object missing required field `path`"),
        ({"path": "a.csv", "pth": "b"}, "Object contains unknown field `pth`"),
        ({"path": "a.csv", "batch_rows": 0}, r"Expected `int` >= 1 - at `\$.batch_rows`"),
        ({"path": "a.csv", "columns": {"a": "text"}}, r"Invalid enum value 'text' - at `\$.columns\[...\]`"),
        ({"path": "a.csv", "timestamp": "a", "as_of": "2013-01-01T00:00:00Z"}, "both give the event time"),
    ]
    for config, sentence in wrong:
        with pytest.raises(ConfigError, match=f"^connector 'c', config: .*{sentence}"):
            read_config(FileSource, config, "c")


def test_a_config_has_a_json_schema() -> None:
    schema = config_schema(SqliteSink)

    assert msgspec.json.encode(schema)
    assert set(schema["$defs"]["SqliteConfig"]["required"]) == {"path", "table"}
