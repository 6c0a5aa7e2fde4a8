"""What `--help` shows of the commands of all rooms."""

from importlib.metadata import entry_points

import pytest
import typer
from typer.testing import CliRunner

from ottla.commands import command_line

INSTALLED = list(entry_points(group="ottla.commands"))


@pytest.mark.parametrize(
    "arguments",
    [(), *((point.name,) for point in INSTALLED if isinstance(point.load(), typer.Typer))],
    ids=lambda arguments: " ".join(("ottla", *arguments)),
)
def test_the_summary_of_each_command_fits_into_its_line(arguments: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(command_line(INSTALLED), [*arguments, "--help"], terminal_width=80)
    assert shown.exit_code == 0
    summaries = shown.stdout.partition("Commands:")[2]
    assert summaries
    assert "..." not in summaries
