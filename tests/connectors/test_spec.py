"""Spec files: one TOML file names the connectors, and what is wrong in it is said in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from ottla_connectors.errors import ConfigError
from ottla_connectors.spec import SinkSpec, SourceSpec, read_spec

SPEC = """
broker = "kafka://127.0.0.1:9092"

[[source]]
name = "flights"
plugin = "file"
topic = "flights"
partitions = 6
topic_config = { "retention.ms" = "-1" }
config = { path = "flights.csv.gz", key = "carrier" }

[[sink]]
name = "delays"
plugin = "sqlite"
topics = ["delays"]

[sink.config]
path = "flights.db"
"""


def test_a_spec_names_sources_and_sinks(tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(SPEC)

    spec = read_spec(path)

    assert spec.broker == "kafka://127.0.0.1:9092"
    assert spec.sources == [
        SourceSpec(
            name="flights",
            plugin="file",
            topic="flights",
            partitions=6,
            topic_config={"retention.ms": "-1"},
            config={"path": "flights.csv.gz", "key": "carrier"},
        )
    ]
    assert spec.sinks == [SinkSpec(name="delays", plugin="sqlite", topics=["delays"], config={"path": "flights.db"})]
    assert spec.sinks[0].consumer_group == "connect-delays"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("broker =", "Invalid value"),
        ("", "Object missing required field `broker`"),
        ('broker = "b"', "names no connector; add a [[source]] or a [[sink]]"),
        (
            SPEC.replace('"delays"\nplugin', '"flights"\nplugin'),
            "two connectors are called 'flights'; each needs a name",
        ),
        (SPEC.replace('name = "delays"', 'name = "de lays"'), "Expected `str` matching regex"),
        (SPEC.replace('topics = ["delays"]', "topics = []"), "Expected `array` of length >= 1 - at `$.sink[0].topics`"),
        (SPEC.replace("partitions = 6", "partitions = 0"), "Expected `int` >= 1 - at `$.source[0].partitions`"),
        (SPEC.replace("partitions", "partition"), "Object contains unknown field `partition` - at `$.source[0]`"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(text)

    with pytest.raises(ConfigError) as error:
        read_spec(path)

    assert str(error.value).startswith(str(path))
    assert sentence in str(error.value)
