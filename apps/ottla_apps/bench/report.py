"""What a benchmark prints: a table on a terminal, tab-separated text in a pipe, JSON on request."""

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import groupby
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One line of a report: what was measured, by whom, and the figures, units last in their names."""

    job: str
    contender: str
    figures: dict[str, float]


@dataclass(frozen=True)
class Report:
    """A benchmark's result."""

    name: str
    rows: Sequence[Row]
    rounds: int
    machine: dict[str, Any] = field(default_factory=lambda: machine())


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "ottla": version("ottla"),
    }


def show(report: Report, *, as_json: bool) -> None:
    """Prints the report on standard output. Rows that follow each other and carry the same figures share a table."""
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
        return
    title: str | None = f"ottla bench {report.name}, medians of {report.rounds} rounds"
    for figures, rows in groupby(report.rows, lambda row: list(row.figures)):
        _show_table(figures, list(rows), title)
        title = None


def _show_table(figures: list[str], rows: Sequence[Row], title: str | None) -> None:
    lines = [[row.job, row.contender, *(_rounded(row.figures[f]) for f in figures)] for row in rows]
    headings = ["job", "contender", *(f.replace("_", " ") for f in figures)]
    if not sys.stdout.isatty():
        for cells in [headings, *lines]:
            print("\t".join(cells))
        return
    table = Table(*headings[:2], title=title)
    for heading in headings[2:]:
        table.add_column(heading, justify="right")
    for cells in lines:
        table.add_row(*cells)
    Console().print(table)


def _rounded(figure: float) -> str:
    """Three significant digits; whole numbers from a thousand on."""
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.3g}"
