"""How results are shown: tables on a terminal, tab-separated lines when piped, JSON on demand.

A command hands over `Table`s and `Facts`; both know their name, which JSON uses where there are several. Cells are
plain values: None, bool, int, float, str, a list or a mapping of those, a `Time`, bytes that are no text.

Tab-separated output names its columns in the first line. Tabs, line ends and other control characters within a cell are
escaped as in Python, so that a line is a row, and a terminal shows what is there instead of obeying it.
"""

import base64
import json
import select
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from ottla_apps.cli.errors import CommandError
from ottla_apps.cli.points import format_time

if TYPE_CHECKING:
    from rich.table import Table as Drawing

Cell = object

# A drawn table's columns are as wide as its widest cells: long ones are drawn in pages.
_PAGE = 500
# A last column that is folded keeps this width.
_LEAST_WIDTH = 40
_COLUMN_GAP = 3


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    TEXT = "text"
    JSON = "json"


class Time(int):
    """Milliseconds since 1970: a number in JSON, a date and time for people."""


@dataclass(frozen=True)
class Table:
    """Rows of cells under named columns. `columns` are in snake_case, as JSON shows them."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Facts:
    """Single values with names, in snake_case."""

    name: str
    values: dict[str, Cell]


@dataclass(frozen=True)
class Rows:
    """Like a `Table`, but its rows are made as they are read, and may be too many to hold; `facts` hold for all."""

    name: str
    columns: Sequence[str]
    rows: Iterable[Sequence[Cell]]
    facts: dict[str, Cell]


def show(*parts: Table | Facts, output: Format | None) -> None:
    """Print a result to stdout. Without a format, a terminal gets tables and a pipe tab-separated lines."""
    output = output or _usual_format()
    if output is Format.JSON:
        shown: Any = _plain(parts[0]) if len(parts) == 1 else {part.name: _plain(part) for part in parts}
        print(json.dumps(shown, indent=2, ensure_ascii=False, default=_json_bytes))
    elif output is Format.TEXT:
        print("\n".join(_lines(part) for part in parts), end="")
    else:
        _draw(parts)


def _usual_format() -> Format:
    return Format.TABLE if sys.stdout.isatty() else Format.TEXT


def show_outcomes(what: str, outcomes: Mapping[str, str | CommandError], output: Format | None) -> None:
    """Print what became of each of several things, and end the command with status 1 where one failed.

    What went well is a row; what failed is a sentence on stderr.
    """
    rows = [(name, outcome) for name, outcome in outcomes.items() if isinstance(outcome, str)]
    if rows or output is Format.JSON:
        show(Table(f"{what}s", (what, "status"), rows), output=output)
    fail_if([outcome for outcome in outcomes.values() if isinstance(outcome, CommandError)])


def fail_if(errors: Sequence[CommandError]) -> None:
    """Print each error to stderr, and end the command with status 1 if there is one."""
    for error in errors:
        complain(error)
    if errors:
        raise typer.Exit(1)


def complain(error: CommandError) -> None:
    """Print an error to stderr, without ending the command."""
    typer.echo(f"ottla: {printable(str(error))}", err=True)


def stream(rows: Rows, *, output: Format | None, first: bool = True) -> None:
    """Print rows as they come, however many. JSON is one object a line, which has the rows' facts as well; what is for
    people is set apart from what comes before, unless it is the `first`.

    What raises within the rows is passed on, after the rows before it have been printed.
    """
    chosen = output or _usual_format()
    if not first and chosen is not Format.JSON:
        print()
    facts = "".join(f"{_title(name)}\t{cell_text(value)}\n" for name, value in rows.facts.items())
    if chosen is Format.TEXT:
        print(facts + "\t".join(map(_title, rows.columns)))
    elif chosen is Format.TABLE:
        _draw([Facts("", rows.facts)])
    for page in _pages(rows.rows):
        if chosen is Format.TABLE:
            _draw([Table(rows.name, rows.columns, page)])
            continue
        for row in page:
            if chosen is Format.TEXT:
                print("\t".join(map(cell_text, row)))
            else:
                line = {"kind": rows.name, **rows.facts, **dict(zip(rows.columns, row, strict=True))}
                print(json.dumps(line, ensure_ascii=False, default=_json_bytes))


def _pages(rows: Iterable[Sequence[Cell]]) -> Iterator[list[Sequence[Cell]]]:
    page: list[Sequence[Cell]] = []
    try:
        for row in rows:
            page.append(row)
            if len(page) == _PAGE:
                yield page
                page = []
    except CommandError:
        yield page
        raise
    yield page


def _plain(part: Table | Facts) -> Any:
    if isinstance(part, Facts):
        return part.values
    return [dict(zip(part.columns, row, strict=True)) for row in part.rows]


def _json_bytes(data: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(data).decode()}


def _lines(part: Table | Facts) -> str:
    if isinstance(part, Facts):
        return "".join(f"{_title(name)}\t{cell_text(value)}\n" for name, value in part.values.items())
    header = "\t".join(map(_title, part.columns))
    return "".join(f"{line}\n" for line in (header, *("\t".join(map(cell_text, row)) for row in part.rows)))


def _title(name: str) -> str:
    return name.upper().replace("_", "-")


def cell_text(cell: Cell) -> str:
    """A cell as text without tabs, line ends or other control characters; `-` stands for nothing."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, Time):
        return format_time(cell)
    if isinstance(cell, bytes):
        return printable(cell.decode(errors="backslashreplace"))
    if isinstance(cell, list):
        return ",".join(map(cell_text, cell)) or "-"
    if isinstance(cell, dict):
        return "{" + " ".join(f"{name}={cell_text(value)}" for name, value in cell.items()) + "}"
    return printable(str(cell))


def printable(text: str) -> str:
    """The text with everything escaped that a terminal would not show."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _draw(parts: Sequence[Table | Facts]) -> None:
    # Loaded here, because a third of the time of a short command would go into it.
    from rich.console import Console

    for number, part in enumerate(parts):
        if number:
            print()
        drawing, least = _drawn_facts(part) if isinstance(part, Facts) else _drawn_table(part)
        # A line that is too long for the terminal is better than words broken into columns of three letters.
        terminal = Console()
        console = Console(width=max(terminal.width, least), height=terminal.height)
        console.print(drawing, crop=False)


def _drawn_facts(part: Facts) -> "tuple[Drawing, int]":
    from rich.table import Table as Drawing
    from rich.text import Text

    drawing = Drawing(box=None, show_header=False, pad_edge=False)
    drawing.add_column(style="bold", no_wrap=True)
    drawing.add_column(overflow="fold")
    for name, value in part.values.items():
        drawing.add_row(_title(name), Text(cell_text(value)))
    return drawing, max(map(len, part.values), default=0) + _LEAST_WIDTH


def _drawn_table(part: Table) -> "tuple[Drawing, int]":
    """The drawing, and how wide it has to be: only its last column may be folded."""
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table as Drawing
    from rich.text import Text

    rows = [[cell_text(cell) for cell in row] for row in part.rows]
    drawing = Drawing(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    least = 0
    for index, column in enumerate(part.columns):
        width = max(map(cell_len, (_title(column), *(row[index] for row in rows))))
        last = index == len(part.columns) - 1
        least += min(width, _LEAST_WIDTH) if last else width + _COLUMN_GAP
        numeric = bool(rows) and all(_is_number(row[index]) for row in part.rows)
        drawing.add_column(_title(column), justify="right" if numeric else "left", no_wrap=not last, overflow="fold")
    for row in rows:
        drawing.add_row(*map(Text, row))
    return drawing, least


def _is_number(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool | Time))


def write_bytes(data: bytes) -> None:
    """Write to stdout as it is, at once where somebody watches."""
    sys.stdout.buffer.write(data)
    if sys.stdout.isatty():
        sys.stdout.buffer.flush()


def reader_has_gone() -> bool:
    """Whether stdout is a pipe that nobody reads any more. Only a write that fails would tell otherwise."""
    try:
        pipe = select.poll()
        pipe.register(sys.stdout, 0)
    except (OSError, ValueError):
        return False
    return any(event & select.POLLERR for _, event in pipe.poll(0))
