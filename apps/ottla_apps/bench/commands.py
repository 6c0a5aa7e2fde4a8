"""`ottla bench`: the figures that Ottla is held to, taken on this machine."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.status import Status
from rich.text import Text

from ottla_apps.bench import flights as flights_bench
from ottla_apps.bench.broker import kafka
from ottla_apps.bench.broker.contenders import KAFKA_DIRECTORY, Peer, contenders
from ottla_apps.bench.broker.rows import GOALS, QUICK, Scale, choose, rows
from ottla_apps.bench.broker.rows import Row as BrokerRow
from ottla_apps.bench.engine import rows as engine_rows
from ottla_apps.bench.engine import topics
from ottla_apps.bench.engine.jobs import Peers
from ottla_apps.bench.engine.peers import peers_python
from ottla_apps.bench.goals import Comparison, compare
from ottla_apps.bench.processes import BrokerProcess
from ottla_apps.bench.report import Report, Row, show
from ottla_apps.bench.rounds import Measure, Results, Turn, alternate
from ottla_apps.cli.errors import CommandError
from ottla_wire.errors import KafkaError

app = typer.Typer(help="Measure Ottla, beside its peers where they do the same job.", no_args_is_help=True)
console = Console(stderr=True)


class Format(StrEnum):
    """How the report is printed."""

    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="A table, or JSON for programs.")]
RoundsOption = Annotated[int, typer.Option(min=1, max=100, help="Measured rounds, after one to warm up.")]


@app.command("broker")
def broker(
    output: FormatOption = Format.TABLE,
    rounds: RoundsOption = 3,
    against: Annotated[
        list[Peer] | None,
        typer.Option(
            help="Measure this broker beside Ottla. Apache Kafka's jars are fetched from Maven Central by mvn, once, "
            f"into {KAFKA_DIRECTORY} of the working directory."
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="ROW", help="Only rows whose name contains this; may be repeated.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A glance: little of everything, one round.")] = False,
    names: Annotated[bool, typer.Option("--list", help="Print the names of the rows, and measure nothing.")] = False,
) -> None:
    """The broker. Throughput, small requests, latency, start and memory, many topics, idle connections."""
    listed = rows(QUICK if quick else Scale())
    chosen = choose(listed, only)
    for part in only or []:
        if not choose(listed, [part]):
            raise typer.BadParameter(f"no row's name contains {part!r}: --list prints the names")
    if names:
        for row in chosen:
            typer.echo(row.name)
        return
    rounds = 1 if quick else rounds
    lines: list[Row] = []
    comparisons: list[Comparison] = []
    try:
        for measured, compared in measure_broker(chosen, against or [], rounds):
            lines += measured
            comparisons += compared
    except (RuntimeError, OSError) as error:
        typer.echo(f"ottla bench: {error}", err=True)
        raise typer.Exit(1) from None
    finally:  # whatever ends it, what was measured is shown
        if lines:
            show(Report("broker", lines, rounds, comparisons), as_json=output is Format.JSON)


def measure_broker(
    chosen: list[BrokerRow], peers: list[Peer], rounds: int
) -> Iterator[tuple[list[Row], list[Comparison]]]:
    """Measures rows for Ottla and its peers in turn, showing which is at work; yields what came of each row.

    Raises RuntimeError for what stands in the way of a figure, OSError if a peer cannot be installed.
    """
    with stopped_in_order(), ExitStack() as stack, console.status("") as status:
        ottla, *others = taking_part = [
            stack.enter_context(contender) for contender in contenders(peers, console.print)
        ]
        for number, row in enumerate(chosen, start=1):
            announce = partial(_announce, status, f"[{number}/{len(chosen)}] {row.name}")
            measures = {contender.name: partial(row.measure, contender) for contender in taking_part}
            try:
                taken = alternate(measures, min(rounds, row.rounds), announce, warm_up=row.warm_up)
            except (RuntimeError, KafkaError, CommandError, OSError, psutil.Error) as error:
                raise RuntimeError(f"{status.status}: {error}") from error
            compared = [
                comparison
                for other in others
                for comparison in compare(row.name, taken[ottla.name], other.name, taken[other.name], GOALS)
            ]
            yield [Row(row.name, contender, dict(figures)) for contender, figures in taken.items()], compared


@app.command("engine")
def engine(
    output: FormatOption = Format.TABLE,
    rounds: RoundsOption = 3,
    only: Annotated[
        list[str] | None, typer.Option(metavar="ROW", help="Only rows whose name contains this; may be repeated.")
    ] = None,
    events: Annotated[int, typer.Option(min=1024, max=100_000_000, help="Events in the input topic.")] = 1_024_000,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="Longest turn of a contender.")] = 5.0,
    peers: Annotated[
        bool, typer.Option(help="Run faust-streaming, quixstreams and, for windows and joins, Kafka Streams beside.")
    ] = True,
    environment: Annotated[Path, typer.Option(help="Where the Python peers are installed.")] = Path(".bench/peers"),
) -> None:
    """A worker. Agents, tables, windows and joins in events a second, latency, and what a million keys cost."""
    chosen = engine_rows.choose(only)
    if not chosen:
        raise typer.BadParameter(f"no row is named so; there are: {'; '.join(engine_rows.names())}")
    try:
        beside = _peers(environment.absolute()) if peers else None
        with stopped_in_order(), temporary_directory() as directory, BrokerProcess(directory / "data") as process:
            topics.load(process.address, events, console.print)
            measured = {name: engine_rows.row(name, process.address, events, seconds, beside) for name in chosen}
            report("engine", measured, rounds, output, engine_rows.held)
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        typer.echo(f"ottla bench: {error}", err=True)
        raise typer.Exit(1) from None


def _peers(environment: Path) -> Peers:
    return Peers(peers_python(environment, console.print), kafka.install(KAFKA_DIRECTORY.absolute(), console.print))


@app.command("flights")
def flights(output: FormatOption = Format.TABLE, rounds: RoundsOption = 3) -> None:
    """The flights app. Events a second from file through broker, windows and join to SQLite, each row exactly once."""
    report("flights", {"flights": {"ottla": flights_bench.measure}}, rounds, output)


def report(
    name: str,
    jobs: dict[str, dict[str, Measure]],
    rounds: int,
    output: Format,
    held: Callable[[str, Results], Iterable[Comparison]] = lambda _job, _taken: (),
) -> None:
    """Measures every job's contenders in turn, showing which one is at work, and prints the report.

    `held` says of what was measured in a job how it stands beside its goals.
    """
    rows: list[Row] = []
    comparisons: list[Comparison] = []
    with console.status("") as status:
        for job, contenders in jobs.items():
            taken = alternate(contenders, rounds, partial(_announce, status, job))
            rows += [Row(job, contender, dict(figures)) for contender, figures in taken.items()]
            comparisons += held(job, taken)
    show(Report(name, rows, rounds, comparisons), as_json=output is Format.JSON)


def _announce(status: Status, job: str, turn: Turn) -> None:
    status.update(Text(f"{job}: {turn}"))


@contextmanager
def stopped_in_order() -> Iterator[None]:
    """SIGTERM ends the measurement as Ctrl-C does: the processes that it started are stopped, its directories go."""
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(signal_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal_number)


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """A directory for one measurement, gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="ottla-bench-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
