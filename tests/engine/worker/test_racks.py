"""Copies of state are kept in other places than the tasks, as far as the workers say where they are."""

from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest

import ottla
from ottla.commands import _tags

Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]
Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]


def counting_app(**options: Any) -> ottla.App:
    app = ottla.App("counting", commit_interval=0.01, standbys=1, **options)
    app.stream(app.topic("in", value=str, partitions=4)).aggregate("counts", events=ottla.count())
    return app


def test_standbys_are_in_other_zones(play_anywhere: Play, eventually: Eventually) -> None:
    zones = {"w0": "a", "w1": "a", "w2": "b", "w3": "b"}

    async def scenario(cluster: Any) -> None:
        async with AsyncExitStack() as running:
            for worker, zone in zones.items():
                await running.enter_async_context(cluster.running(counting_app(tags={"zone": zone}), worker))

            def is_apart() -> bool:
                assignment = cluster.view("counting").assignment
                copies = [
                    (zones[grant.worker], zones[copy])
                    for task, grant in assignment.active.items()
                    for copy in assignment.standby.get(task, [])
                ]
                return len(assignment.workers) == 4 and len(copies) == 4 and all(own != copy for own, copy in copies)

            await eventually(is_apart)

    play_anywhere(scenario)


@pytest.mark.parametrize("tags", [{"": "a"}, {"zone": ""}, {"zone": "a" * 31}, {str(n): "a" for n in range(6)}])
def test_tags_are_few_and_short(tags: dict[str, str]) -> None:
    with pytest.raises(ottla.ConfigError, match="must be at most 5"):
        counting_app(tags=tags)


def test_tags_of_the_command_line_are_names_and_values() -> None:
    assert _tags(["zone=a", "cluster=k=1"]) == {"zone": "a", "cluster": "k=1"}
    with pytest.raises(ottla.ConfigError, match="--tag zone must be NAME=VALUE"):
        _tags(["zone"])
