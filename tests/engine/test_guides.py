"""The examples of the guides in `docs` print what is shown below them."""

import contextlib
import io
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize(
    ("guide", "examples"), [("joins.md", 4), ("agents.md", 3), ("tables.md", 4), ("from-kafka-streams.md", 7)]
)
def test_the_examples_print_what_is_shown(guide: str, examples: int) -> None:
    found = EXAMPLE.findall((DOCS / guide).read_text())
    assert len(found) == examples
    known: dict[str, object] = {"__name__": "guide"}
    for code, shown in found:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, guide, "exec"), known)
        assert printed.getvalue() == shown
