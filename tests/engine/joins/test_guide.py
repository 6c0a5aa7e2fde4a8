"""The examples of `docs/joins.md` print what it says."""

import contextlib
import io
import re
from pathlib import Path

GUIDE = Path(__file__).parents[3] / "docs" / "joins.md"
EXAMPLE = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


def test_the_examples_print_what_is_shown() -> None:
    examples = EXAMPLE.findall(GUIDE.read_text())
    assert len(examples) == 3
    known: dict[str, object] = {"__name__": "guide"}
    for code, shown in examples:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, GUIDE.name, "exec"), known)
        assert printed.getvalue() == shown
