"""What a shell offers after TAB: the names of topics, groups, transactional ids and profiles.

A completion asks the brokers that the command line means so far, and waits for a second at most. It offers nothing
where they cannot be asked: there is no place to say why.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ottla_apps.cli.wire_client import WireClient

PATIENCE_S = 1.0


def complete_topics(context: typer.Context, incomplete: str) -> list[str]:
    """Names of topics."""
    return _ask(context, incomplete, lambda wire: [topic.name or "" for topic in wire.metadata(None).topics])


def complete_groups(context: typer.Context, incomplete: str) -> list[str]:
    """Ids of groups."""

    def ids(wire: "WireClient") -> list[str]:
        from ottla_apps.cli.groups import list_groups

        return [group.group_id for group in list_groups(wire)]

    return _ask(context, incomplete, ids)


def complete_transactions(context: typer.Context, incomplete: str) -> list[str]:
    """Transactional ids."""

    def ids(wire: "WireClient") -> list[str]:
        from ottla_apps.cli.transactions import list_all

        return [transaction.transactional_id for transaction in list_all(wire)]

    return _ask(context, incomplete, ids)


def complete_profiles(incomplete: str) -> list[str]:
    """Names of profiles."""
    from ottla_apps.cli.errors import CommandError
    from ottla_apps.cli.profiles import load, profiles_file

    try:
        return [name for name in sorted(load(profiles_file()).brokers) if name.startswith(incomplete)]
    except CommandError:
        return []


def _ask(context: typer.Context, incomplete: str, names: "Callable[[WireClient], Iterable[str]]") -> list[str]:
    from ottla_apps.cli.connection import connect
    from ottla_apps.cli.errors import CommandError

    try:
        with connect(context.params.get("brokers"), context.params.get("profile"), PATIENCE_S) as cluster:
            return sorted(name for name in names(cluster.wire) if name.startswith(incomplete))
    except CommandError:
        return []
