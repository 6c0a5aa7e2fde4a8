"""What the person at the terminal sees: bars while it runs, then the worst hours, and one line of figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ottla_apps.flights.results import FEWEST_FLIGHTS, Hour
from ottla_apps.flights.run import Outcome, Show, Stage


@contextmanager
def bars(console: Console) -> Iterator[Show]:
    """A bar per stage on a terminal; elsewhere a line when a stage is done."""
    if not console.is_terminal:
        finished: set[Stage] = set()

        def line(stage: Stage, done: float) -> None:
            if done >= 1 and stage not in finished:
                finished.add(stage)
                console.print(f"{stage.value}: done")

        yield line
        return
    columns = (TextColumn("{task.description:<18}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        tasks = {stage: progress.add_task(stage.value, total=1.0, start=False) for stage in Stage}

        def bar(stage: Stage, done: float) -> None:
            progress.start_task(tasks[stage])
            progress.update(tasks[stage], completed=min(done, 1.0))

        yield bar


def worst_hours_table(hours: Sequence[Hour]) -> Table:
    """The table of the hours with the longest delays."""
    title = f"The worst hours, of those with {FEWEST_FLIGHTS} flights or more"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("hour (UTC)")
    table.add_column("airline")
    table.add_column("flights", justify="right")
    table.add_column("mean delay", justify="right")
    table.add_column("longest", justify="right")
    for hour in hours:
        start = datetime.fromisoformat(hour.hour)
        delays = (f"{hour.mean_delay:.0f} min", f"{hour.max_delay:.0f} min")
        table.add_row(f"{start:%Y-%m-%d %H:%M}", hour.airline, str(hour.flights), *delays)
    return table


def last_line(outcome: Outcome, out: Path) -> str:
    """The figures; dead letters are named where there were any."""
    line = (
        f"flights: {outcome.read} events read, {outcome.processed} processed, {outcome.windows} windows, "
        f"{outcome.rows} rows in {out}, {outcome.events_per_second:.0f} events/s"
    )
    return f"{line}, {outcome.malformed} malformed" if outcome.malformed else line


def as_json(outcome: Outcome, out: Path, worst: Sequence[Hour]) -> str:
    """The same as one JSON object."""
    figures = msgspec.to_builtins(outcome) | {"events_per_second": outcome.events_per_second}
    document = figures | {"out": str(out), "worst_hours": [hour._asdict() for hour in worst]}
    return msgspec.json.format(msgspec.json.encode(document)).decode() + "\n"
