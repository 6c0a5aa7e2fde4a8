"""`ottla flights`: real flights through the broker, windows and a join, into SQLite, exactly once.

Importing this module costs next to nothing; the rest is imported when the demo runs.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from ottla_apps.flights.run import Outcome

FAILURE = 1
USAGE_ERROR = 2
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
KILLS = 3
BROKER_WAIT_S = 3.0
WORST_HOURS = 10


class Format(StrEnum):
    """How the result is printed."""

    TEXT = "text"
    JSON = "json"


def flights(
    broker: Annotated[
        str | None,
        typer.Option(
            "--broker", metavar="URL", help="kafka://HOST:PORT or embedded://DIR; by default a broker of its own."
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            metavar="DIR",
            help="Keep broker, state and result there, and go on from them; else they are new.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="PATH", help="The SQLite file; by default flights.db, here or in the data directory."
        ),
    ] = None,
    kill: Annotated[bool, typer.Option("--kill", help="Kill the worker with SIGKILL three times on the way.")] = False,
    rows: Annotated[
        Path | None, typer.Option("--rows", metavar="FILE", help="Another CSV file of flights with the same columns.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TEXT,
) -> None:
    """Run the demo: real flights through broker and app into SQLite. It tells delays by airline and hour."""
    _when_told_to_stop(_exit)
    import ottla
    from ottla_apps.flights.worker import WorkerFailed
    from ottla_connectors.errors import ConfigError, ConnectorError

    try:
        with _place(data_dir) as place:
            target = out or (data_dir or Path()) / "flights.db"
            if out is None and data_dir is None:
                _discard_earlier(target)
            _run(
                broker or f"embedded://{place / 'broker'}", place / "state", target, rows, KILLS if kill else 0, output
            )
    except (ConfigError, ottla.ConfigError) as error:
        _refuse(str(error), USAGE_ERROR)
    except (ConnectorError, ottla.OttlaError, WorkerFailed, OSError) as error:
        _refuse(str(error), FAILURE)


@contextmanager
def _place(data_dir: Path | None) -> Iterator[Path]:
    """The directory for broker and state; a temporary one ends with the run."""
    if data_dir is not None:
        data_dir.mkdir(parents=True, exist_ok=True)
        yield data_dir
        return
    with tempfile.TemporaryDirectory(prefix="ottla-flights-") as directory:
        yield Path(directory)


def _discard_earlier(path: Path) -> None:
    """Removes the result of an earlier run, which a new broker knows nothing of. Raises ConfigError for other files."""
    from ottla_apps.flights.results import is_result
    from ottla_connectors.errors import ConfigError

    if not path.exists():
        return
    if not is_result(path):
        raise ConfigError(f"{path} is not from an earlier run of this demo; give another file with --out")
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _run(url: str, state_dir: Path, out: Path, rows: Path | None, kills: int, output: Format) -> None:
    from rich.console import Console

    from ottla.worker.embedded import serving
    from ottla_apps.flights import connectors, display, results
    from ottla_apps.flights.run import FlightsRun, Job
    from ottla_connectors.errors import ConfigError
    from ottla_connectors.runtime.broker import wait_until_reachable

    if not out.absolute().parent.is_dir():
        raise ConfigError(f"{out} cannot be created: there is no directory {out.absolute().parent}")
    console = Console(stderr=output is Format.JSON)
    with serving(url) as bootstrap_servers:
        wait_until_reachable(bootstrap_servers, BROKER_WAIT_S)
        job = Job(f"kafka://{bootstrap_servers}", bootstrap_servers, rows or connectors.FLIGHTS, state_dir, out, kills)
        run = FlightsRun(job)
        with display.bars(console) as show:
            outcome = _until_told_to_stop(run.run(show))
    worst = results.worst_hours(out, WORST_HOURS)
    if output is Format.JSON:
        sys.stdout.write(display.as_json(outcome, out, worst))
        return
    console.print(display.worst_hours_table(worst))
    if kills:
        console.print(f"The worker was killed {kills} times.")
    print(display.last_line(outcome, out))


def _when_told_to_stop(act: Callable[[int], None]) -> None:
    """Calls it with the first signal to stop. Later ones change nothing: what tidies up is not to be cut short, and
    Ctrl-C may come twice, from the terminal and from the program that started this one.
    """

    def told(number: int, _: object) -> None:
        for each in STOP_SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        act(number)

    for each in STOP_SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, told)


def _exit(number: int) -> None:
    sys.exit(128 + number)


def _until_told_to_stop(work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """What the work returns. A signal cancels it: an exception out of nowhere could hit the event loop itself, and what
    waits for a callback that it swallows would wait for ever.
    """
    import asyncio

    told: list[int] = []

    async def main() -> Outcome:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def cancel(number: int) -> None:
            told.append(number)
            loop.call_soon_threadsafe(task.cancel)

        _when_told_to_stop(cancel)
        return await work

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        sys.exit(128 + told[0])
    finally:
        if not told:
            _when_told_to_stop(_exit)


def _refuse(sentence: str, status: int) -> NoReturn:
    print(f"ottla flights: {sentence}", file=sys.stderr)
    sys.exit(status)
