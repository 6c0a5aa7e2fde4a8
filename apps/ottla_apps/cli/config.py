"""`ottla config`: the settings of topics, brokers, their loggers, and groups."""

from enum import StrEnum
from typing import Annotated

import typer

from ottla_apps.cli import options
from ottla_apps.cli.command import confirm, reported
from ottla_apps.cli.output import Table, show, show_outcomes

app = typer.Typer(help="Settings of topics, brokers and groups.", no_args_is_help=True)


class Kind(StrEnum):
    """What has settings."""

    TOPIC = "topic"
    BROKER = "broker"
    BROKER_LOGGER = "broker-logger"
    GROUP = "group"


KindArgument = Annotated[
    Kind, typer.Argument(metavar="topic|broker|broker-logger|group", help="What has the settings.")
]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A topic, a group, a broker's id, or `default` for all brokers.")
]


@app.command("get")
@reported
def get(
    kind: KindArgument,
    name: Name,
    keys: Annotated[list[str] | None, typer.Argument(metavar="KEY...", help="Only these settings.")] = None,
    changed: Annotated[bool, typer.Option("--changed", help="Only settings that differ from their defaults.")] = False,
    synonyms: Annotated[
        bool, typer.Option("--synonyms", help="Also show what a setting goes back to when it is deleted.")
    ] = False,
    docs: Annotated[bool, typer.Option("--docs", help="Also show type and documentation.")] = False,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Show settings, each with where it comes from."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.settings import DEFAULT_SOURCE, describe_configs

    with connect(brokers, profile, timeout) as cluster:
        settings = describe_configs(cluster.wire, kind.value, name, keys)
    columns = ["key", "value", "source", "read_only", "sensitive"]
    columns += ["synonyms"] * synonyms + ["type", "documentation"] * docs
    rows = [
        [setting.name, setting.value, setting.source, setting.read_only, setting.sensitive]
        + [setting.synonyms] * synonyms
        + [setting.type, setting.documentation] * docs
        for setting in settings
        if not changed or setting.source != DEFAULT_SOURCE
    ]
    show(Table("settings", columns, rows), output=output)


@app.command("set")
@reported
def set_(
    kind: KindArgument,
    name: Name,
    assignments: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", help="The settings.")],
    dry_run: options.DryRun = False,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Set settings; the others stay as they are."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.settings import alter_configs, parse_alterations

    alterations = parse_alterations(assigned=assignments)
    done = "would be set" if dry_run else "set"
    with connect(brokers, profile, timeout) as cluster:
        if failure := alter_configs(cluster.wire, kind.value, name, alterations, dry_run=dry_run):
            raise failure
    show_outcomes("setting", {str(alteration): done for alteration in alterations}, output)


@app.command("delete")
@reported
def delete(
    kind: KindArgument,
    name: Name,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="The settings.")],
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    brokers: options.Brokers = None,
    profile: options.Profile = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT_S,
    output: options.Output = None,
) -> None:
    """Let settings go back to their defaults."""
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.settings import alter_configs, parse_alterations

    alterations = parse_alterations(deleted=keys)
    done = "would be deleted" if dry_run else "deleted"
    with connect(brokers, profile, timeout) as cluster:
        if not dry_run:
            confirm(f"Delete {', '.join(keys)} of {kind.value} {name}?", yes=yes)
        if failure := alter_configs(cluster.wire, kind.value, name, alterations, dry_run=dry_run):
            raise failure
    show_outcomes("setting", dict.fromkeys(keys, done), output)
