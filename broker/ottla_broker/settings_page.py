"""`python -m ottla_broker.settings_page` prints the reference of all settings, as Markdown."""

from collections.abc import Iterator

from ottla_broker.cluster.group_configs import GROUP_OPTIONS, synonym
from ottla_broker.config import BrokerConfig, known_settings
from ottla_broker.inapplicable import REASONS
from ottla_broker.log.config import OPTIONS, ConfigType, LogConfig


def page() -> str:
    """The reference; `docs/broker-settings.md` is this text."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Settings of the broker"
    yield ""
    yield "<!-- Written by `python -m ottla_broker.settings_page`. -->"
    yield ""
    yield "By Kafka's names. [The broker](broker.md) says how to set them, and which defaults are not Kafka's."
    yield ""
    yield "## Brokers"
    yield ""
    yield "The dynamic ones can be altered while brokers run, for one broker or for all:"
    yield "`ottla config set broker default log.retention.ms=3600000`."
    yield ""
    yield "| Setting | Type | Default | Dynamic | |"
    yield "|---|---|---|---|---|"
    defaults = BrokerConfig()
    for name, setting in sorted(known_settings().items()):
        dynamic = "yes" if setting.dynamic else ""
        yield _row(name, _type(setting.kind), _value(setting.text(defaults)), dynamic, setting.doc)
    yield ""
    yield "## Topics"
    yield ""
    yield "A topic that does not have a setting goes by that of its brokers."
    yield ""
    yield "| Setting | Of brokers | Type | Default | |"
    yield "|---|---|---|---|---|"
    config = LogConfig()
    for name, option in sorted(OPTIONS.items()):
        yield _row(name, f"`{option.synonym}`", _type(option.type), _value(config.text(name)), option.documentation)
    yield ""
    yield "## Groups"
    yield ""
    yield "A group that does not have a setting goes by that of its brokers, which also have limits for it."
    yield ""
    yield "| Setting | Of brokers | Type | |"
    yield "|---|---|---|---|"
    for name, declared in sorted(GROUP_OPTIONS.items()):
        yield _row(name, f"`{synonym(name)}`", _type(declared.kind), declared.doc)
    yield ""
    yield "## What Apache Kafka has and this broker has not"
    yield ""
    yield "A setting with one of these names, or one that begins so, is refused with the reason."
    yield ""
    yield "| Setting | Because |"
    yield "|---|---|"
    for start, reason in sorted(REASONS.items()):
        yield _row(f"{start}*" if start.endswith(".") else start, reason)


def _row(name: str, *cells: str) -> str:
    return " | ".join(("| `" + name + "`", *cells)) + " |"


def _type(kind: ConfigType) -> str:
    return kind.name.lower()


def _value(text: str | None) -> str:
    if text is None or text == "":
        return ""
    return f"`{text}`"


if __name__ == "__main__":
    print(page(), end="")
