"""All that the facade refuses of Faust's names, as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ottla.faust.missing import ABSENT, NAMES, TABLE_OPTIONS
from ottla.faust.missing.reasons import INSIDE, OF_SERVICES
from ottla.faust.settings import NOT_NEEDED, REFUSED

_HEAD = """# Faust's names that are refused

What [From Faust](from-faust.md) sums up, name by name: `python -m ottla.faust.missing` prints this page. Every other
public name of faust-streaming 0.15.3, and every parameter, is there: `make compat` compares them.
"""


def listing() -> str:
    """The page, in Markdown."""
    parts = [_HEAD]
    for owner, names in NAMES.items():
        own = {name: reason for name, reason in names.items() if OF_SERVICES.get(name) != reason}
        parts.append(f"## {owner[0].upper()}{owner[1:]}\n\n" + "".join(_rows(own)))
    shared = ", ".join(f"`{name}`" for name in OF_SERVICES)
    parts.append(f"## Of every service\n\n{_sentence(next(iter(OF_SERVICES.values())))}: {shared}\n")
    for title, options in (
        ("Options of tables that are refused", TABLE_OPTIONS),
        ("Options of faust.App that are refused", REFUSED),
        ("Options of faust.App that change nothing", NOT_NEEDED),
        ("Modules", {f"faust.{path}": reason for path, reason in ABSENT.items()}),
    ):
        parts.append(f"## {title}\n\n" + "".join(_rows(options)))
    return "\n".join(parts)


def _rows(names: Mapping[str, str]) -> Iterator[str]:
    """The reasons, each with its names. What is Faust's own affair comes last."""
    by_reason: dict[str, list[str]] = {}
    for name in sorted(names):
        by_reason.setdefault(names[name], []).append(name)
    for reason in sorted(by_reason, key=lambda reason: (reason == INSIDE, by_reason[reason][0].lower())):
        yield f"- {', '.join(f'`{name}`' for name in by_reason[reason])}: {reason}\n"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
