"""docs/compatibility.md: what its tables say, and how they are written anew from what the suite saw.

The facts in its tables are the suite's; the last column of each is for the reasons, which are kept when it is written.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from ottla_wire.api_keys import ApiKey

from .answers import Difference, span
from .questions.catalogue import QUESTIONS

PATH = Path(__file__).parents[2] / "docs" / "compatibility.md"
CLIENTS, VERSIONS, FEATURES, DIFFERENCES = "Clients", "APIs and versions", "Features", "Differences in answers"

# APIs of brokers that have no messages here.
_OTHER_APIS = {
    76: "ShareGroupHeartbeat",
    77: "ShareGroupDescribe",
    78: "ShareFetch",
    79: "ShareAcknowledge",
    83: "InitializeShareGroupState",
    84: "ReadShareGroupState",
    85: "WriteShareGroupState",
    86: "DeleteShareGroupState",
    87: "ReadShareGroupStateSummary",
    88: "StreamsGroupHeartbeat",
    89: "StreamsGroupDescribe",
    90: "DescribeShareGroupOffsets",
    91: "AlterShareGroupOffsets",
    92: "DeleteShareGroupOffsets",
}

Row = tuple[str, ...]
Ranges = Mapping[int, tuple[int, int]]
Features = Mapping[str, tuple[int, int, int]]


class Table(NamedTuple):
    """The rows of a table, without the last column, and what that column says of each."""

    rows: list[Row]
    reasons: dict[Row, str]


def table(heading: str) -> Table:
    """The table below a heading."""
    rows = [tuple(_cells(line)) for line in _found(heading).group("rows").splitlines()]
    return Table([row[:-1] for row in rows], {row[:-1]: row[-1] for row in rows})


def write(heading: str, rows: Iterable[Row], reasons: Mapping[Row, str] | None = None) -> None:
    """Put rows into the table below a heading, each with its reason: the one that a row with the same facts had."""
    reasons = table(heading).reasons if reasons is None else reasons
    lines = "".join(
        "".join(f"| {cell} ".replace("  ", " ") for cell in (*row, reasons.get(row, ""))) + "|\n" for row in rows
    )
    text = PATH.read_text()
    found = _found(heading)
    PATH.write_text(text[: found.start("rows")] + lines + text[found.end("rows") :])


def _found(heading: str) -> re.Match[str]:
    found = re.search(
        rf"^#+ {re.escape(heading)}\n(?:(?!#|\|).*\n)*\|.*\n\|[-| :]+\n(?P<rows>(?:\|.*\n)*)",
        PATH.read_text(),
        re.MULTILINE,
    )
    assert found, f"{PATH.name} has no table below {heading}"
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


# --- its tables


def apis(ottla: Ranges, kafka: Ranges) -> list[Row]:
    """Which versions of each API either broker advertises."""
    return [
        (_api_name(key), str(key), *(span(*ranges[key]) if key in ranges else "-" for ranges in (ottla, kafka)))
        for key in sorted({*ottla, *kafka})
    ]


def features(ottla: Features, kafka: Features) -> list[Row]:
    """Which levels of each feature either broker can have, and which one a new cluster has."""

    def levels(of: Features, name: str) -> str:
        if name not in of:
            return "-"
        lowest, highest, current = of[name]
        return f"{span(lowest, highest)}, at {current}"

    return [(name, levels(ottla, name), levels(kafka, name)) for name in sorted({*ottla, *kafka})]


def questions() -> set[str]:
    """The questions in whose answers the brokers are said to differ."""
    return {_plain(row[2]) for row in table(DIFFERENCES).rows}


def known_differences(question: str) -> dict[Difference, str]:
    """What the brokers are said to differ in when asked a question, and in which versions."""
    known = {}
    for _, versions, of, where, kafka, ottla in table(DIFFERENCES).rows:
        if of == _code(question):
            known[Difference(where, _plain(kafka), _plain(ottla))] = versions
    return known


def differences(seen: Mapping[str, Mapping[Difference, str]]) -> list[Row]:
    """What differs in the answers to each question, API by API."""
    return [
        (_api_name(QUESTIONS[name].api_key), versions, _code(name), where, _code(kafka), _code(ottla))
        for name in sorted(QUESTIONS, key=lambda name: QUESTIONS[name].api_key)
        for (where, kafka, ottla), versions in seen[name].items()
    ]


def _api_name(key: int) -> str:
    return _OTHER_APIS[key] if key in _OTHER_APIS else ApiKey(key).camel_case


def _code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`"


def _plain(cell: str) -> str:
    return cell.strip("`").replace("\\|", "|")
