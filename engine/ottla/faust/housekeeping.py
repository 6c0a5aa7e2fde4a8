"""What the `faust` program does with the state that workers keep on disk, and the commands that it has not."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import click

from ottla.errors import ConfigError, OttlaError
from ottla.faust.app import App
from ottla.reset import delete_state

_NOT_THERE: Mapping[str, str] = {
    "completion": "shells complete the names of programs, and this one is python -m ottla.faust",
    "livecheck": "app.ottla.test() runs the app against what should come out of it",
}


def housekeeping(app: App) -> dict[str, click.Command]:
    """The commands, by their names."""
    commands = {
        "reset": click.Command(
            "reset",
            callback=lambda: _remove(app, [app.conf.app_id]),
            help="Delete the state of tables on this machine. It is restored from the changelogs.",
        ),
        "clean-versions": click.Command(
            "clean-versions",
            callback=lambda: _remove(app, _older(app)),
            help="Delete the state of older versions of the app on this machine.",
        ),
    }
    for name, reason in _NOT_THERE.items():
        error = ConfigError(f"{name} is not part of Ottla's Faust facade: {reason}")
        commands[name] = click.Command(name, callback=lambda error=error: refuse(error, 2), hidden=True)
    return commands


def refuse(error: OttlaError, status: int) -> NoReturn:
    """Ends the program with the error's sentence."""
    click.echo(f"faust: {error}", err=True)
    sys.exit(status)


def _older(app: App) -> Iterable[str]:
    return (replace(app.conf, version=version).app_id for version in range(1, app.conf.version))


def _remove(app: App, app_ids: Iterable[str]) -> None:
    try:
        for app_id in app_ids:
            delete_state(Path(app.conf.datadir), app_id, click.echo)
    except OttlaError as error:
        refuse(error, 1)
