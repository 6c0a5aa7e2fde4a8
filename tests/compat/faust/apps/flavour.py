"""What the apps of this folder share: which Faust they run under, and the names of one run."""

import importlib
import os
from typing import Any

faust: Any = importlib.import_module(os.environ["FLAVOUR"])


def named(topic: str) -> str:
    """The name of a topic in this run: each flavour has topics of its own."""
    return f"{os.environ['RUN']}-{topic}"


def make_app(**options: Any) -> Any:
    return faust.App(
        named("app"),
        broker=f"kafka://{os.environ['BROKER']}",
        store="memory://",
        datadir=os.environ["DATADIR"],
        topic_partitions=2,
        **options,
    )
