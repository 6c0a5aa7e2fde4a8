"""A topology for people: as text, as a Mermaid chart, as SVG. Reached by `Topology.describe`, `.mermaid` and `.svg`."""
