"""What users say of the changelog of their state: that there is none, or how its topic is configured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from ottla.errors import ConfigError
from ottla.state.store import StoreSpec
from ottla.transport.contract import ANY_TIME

Changelog = bool | Mapping[str, str]
"""Whether there is a changelog, or the configs of its topic, by Kafka's names."""

Configured = Literal[True] | Mapping[str, str]
"""That of state which cannot do without."""

_POLICIES = ("compact", "compact,delete", "delete,compact")


def checked_changelog(what: str, changelog: Changelog) -> Changelog:
    """What was said, or `ConfigError` for configs that no changelog can have."""
    if isinstance(changelog, bool):
        return changelog
    if not isinstance(changelog, Mapping):
        raise ConfigError(
            f"{what}: changelog={changelog!r} is True, False, or the configs of the topic, as in "
            'changelog={"segment.bytes": "1048576"}'
        )
    for name, value in changelog.items():
        if not all(isinstance(each, str) for each in (name, value)):
            raise ConfigError(f"{what}: changelog={{{name!r}: {value!r}}} must be text, as topic configs are in Kafka")
        if name in ANY_TIME:
            raise ConfigError(f"{what}: {name} of a changelog is the app's own: state of any time must be written")
    policy = changelog.get("cleanup.policy", "compact")
    if policy.replace(" ", "") not in _POLICIES:
        raise ConfigError(
            f'{what}: cleanup.policy={policy!r} would lose state: a changelog is "compact", or "compact,delete" where '
            "what is old may go"
        )
    return dict(changelog)


def logged_as(spec: StoreSpec, changelog: Changelog) -> StoreSpec:
    """The store with the changelog that was asked for, checked before."""
    if isinstance(changelog, bool):
        return spec if changelog else spec.local()
    return replace(spec, changelog_config=changelog)
