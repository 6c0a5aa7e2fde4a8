"""The page that shows an app: its topology, its workers, and what this worker does."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, Template, select_autoescape
from markupsafe import Markup

from ottla.app import App
from ottla.worker.insight import Insight


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("ottla.web"), autoescape=select_autoescape(), trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("index.html")


def index_page(app: App, insight: Insight) -> str:
    """HTML that needs nothing else: no scripts, no other files."""
    agents = [
        (step.name, step.detail, ", ".join(spec.name for spec in step.stores))
        for part in insight.topology.subtopologies
        for step in part.steps
        if step.kind == "agent"
    ]
    tables = [
        (table.name, table.key_codec.name, table.value_codec.name, insight.partitions(table.spec.name))
        for table in app.declared_tables
    ]
    return _template().render(
        app=app.config,
        worker=insight.worker_id,
        not_ready=insight.not_ready,
        workers=insight.workers(),
        tasks=insight.tasks(),
        agents=agents,
        tables=tables,
        drawing=Markup(insight.topology.svg()),
    )
