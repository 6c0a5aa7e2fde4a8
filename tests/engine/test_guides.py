"""The examples of the guides in `docs` print what is shown below them."""

import contextlib
import io
import re
from pathlib import Path

import pytest

import ottla

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = re.compile(r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize(
    ("guide", "examples"),
    [("joins.md", 4), ("agents.md", 3), ("tables.md", 4), ("recipes.md", 6), ("from-kafka-streams.md", 9)],
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


def lines_of_the_tables() -> list[str]:
    """The code in the second columns of the tables that say what of Kafka Streams is what here."""
    guide = (DOCS / "from-kafka-streams.md").read_text()
    tables = guide[guide.index("## Method by method") : guide.index("## Where events are written")]
    rows = [line.split(" | ") for line in tables.splitlines() if line.startswith(("| `", "| none"))]
    return [row[1].strip().strip("`") for row in rows if row[1].strip() != "none"]


@pytest.mark.parametrize("line", lines_of_the_tables())
def test_the_lines_of_the_tables_run(line: str) -> None:
    guide = (DOCS / "from-kafka-streams.md").read_text()
    known: dict[str, object] = {"__name__": "guide"}
    exec(compile(guide.split("```python\n")[1].split("```")[0], "from-kafka-streams.md", "exec"), known)
    for table in ("users", "cities", "baskets"):
        exec(f"app.stream(visits_topic).join({table}, both)", known)
    exec(compile(line, "from-kafka-streams.md", "exec"), known)
    app = known["app"]
    assert isinstance(app, ottla.App)
    app.topology.plan({topic.name: 3 for topic in app.declared_topics})
