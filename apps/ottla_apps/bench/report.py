"""What a benchmark prints: a table on a terminal, tab-separated text in a pipe, JSON on request."""

import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import groupby
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from ottla_apps.bench.goals import Comparison

SHORT = "short"
"""What stands beside a ratio that misses its goal."""


@dataclass(frozen=True)
class Row:
    """One line of a report: what was measured, by whom, and the figures, units last in their names."""

    job: str
    contender: str
    figures: dict[str, float]


@dataclass(frozen=True)
class Report:
    """A benchmark's result. `comparisons` are of figures that have a goal beside a peer's."""

    name: str
    rows: Sequence[Row]
    rounds: int
    comparisons: Sequence[Comparison] = ()
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
    """Prints the report on standard output. Jobs that follow each other and have the same figures share a table.

    Under a job's rows a line for each peer has our figures divided by the peer's, and `short` where that misses its
    goal; the misses are listed at the end.
    """
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
        return
    title: str | None = f"ottla bench {report.name}, medians of {report.rounds} rounds"
    for figures, rows in groupby(report.rows, lambda row: list(row.figures)):
        _show_table(figures, _lines(figures, list(rows), report.comparisons), title)
        title = None
    for line in summary(report.comparisons):
        print(line)


def summary(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """How many of the figures that have a goal reach it, and the ones that do not, a line each."""
    if comparisons:
        missed = [comparison for comparison in comparisons if not comparison.holds]
        yield f"{len(comparisons) - len(missed)} of {len(comparisons)} figures are what they are to be"
        for each in missed:
            beside = f"{each.peer}'s {_rounded(each.theirs)}"
            yield f"{SHORT}: {each.job}: {each.figure} is {each.ratio:.2f} times {beside}, to be {each.goal}"


def _lines(figures: list[str], rows: Sequence[Row], comparisons: Sequence[Comparison]) -> list[list[str]]:
    """The cells of a table, a list for each line."""
    lines = []
    for job, of_job in groupby(rows, lambda row: row.job):
        lines += [[job, row.contender, *(_rounded(row.figures[figure]) for figure in figures)] for row in of_job]
        beside: dict[str, dict[str, str]] = {}
        for each in comparisons:
            if each.job == job:
                beside.setdefault(each.peer, {})[each.figure] = f"{each.ratio:.2f}" + f" {SHORT}" * (not each.holds)
        for peer, ratios in beside.items():
            lines.append([job, f"/ {peer}", *(ratios.get(figure, "") for figure in figures)])
    return lines


def _show_table(figures: list[str], lines: list[list[str]], title: str | None) -> None:
    headings = ["job", "contender", *(figure.replace("_", " ") for figure in figures)]
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
