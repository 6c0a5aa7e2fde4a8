"""How the commands about an app show their lists."""

import pytest

from ottla.cli.common import Format, show_list

COLUMNS = ["agent", "reads"]
ROWS = [["count", "words"], ["a\x1b[31m", "-"]]


@pytest.mark.parametrize("form", [Format.TEXT, None], ids=["text", "piped"])
def test_a_pipe_gets_a_line_with_tabs_for_each_row(capsys: pytest.CaptureFixture[str], form: Format | None) -> None:
    show_list(COLUMNS, ROWS, form)
    assert capsys.readouterr().out == "AGENT\tREADS\ncount\twords\na\\x1b[31m\t-\n"


def test_a_table_has_its_columns_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    show_list(COLUMNS, ROWS, Format.TABLE)
    assert capsys.readouterr().out == "AGENT      READS\ncount      words\na\\x1b[31m  -\n"


def test_json_has_an_object_for_each_row_with_the_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    show_list(COLUMNS, ROWS[:1], Format.JSON)
    assert (
        capsys.readouterr().out
        == """[
  {
    "agent": "count",
    "reads": "words"
  }
]
"""
    )
