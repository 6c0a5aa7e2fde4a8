"""The page about topologies shows the demo's as it is."""

from pathlib import Path

from ottla_apps.flights.app import app

PAGE = Path(__file__).parents[3] / "docs/topology.md"


def test_the_page_shows_the_topology_of_the_demo() -> None:
    page = PAGE.read_text()
    assert app.topology.describe() in page
    assert app.topology.mermaid() in page
