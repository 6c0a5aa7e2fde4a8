"""The topology as a Mermaid flowchart, which GitHub and MkDocs draw where it stands in a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ottla.drawing.diagram import Box, diagram

if TYPE_CHECKING:
    from ottla.topology.topology import Topology


def mermaid(topology: Topology) -> str:
    drawn = diagram(topology)
    ids = {name: f"n{number}" for number, name in enumerate(drawn.boxes)}
    lines = ["flowchart TD"]
    for part in topology.subtopologies:
        inside = [box for box in drawn.boxes.values() if box.part == part.index]
        if inside:
            lines.append(f'    subgraph s{part.index}["Sub-topology {part.index}"]')
            lines += [f"        {ids[box.name]}{_shape(box)}" for box in inside]
            lines.append("    end")
    lines += [f"    {ids[box.name]}{_shape(box)}" for box in drawn.boxes.values() if box.part is None]
    lines += [f"    {ids[start]} --> {ids[end]}" for start, end in drawn.arrows]
    stores = {store for box in drawn.boxes.values() for store in box.stores}
    keys = {store: f"state{number}" for number, store in enumerate(sorted(stores))}
    lines += [f'    {key}[("{_escaped(store)}")]' for store, key in keys.items()]
    lines += [f"    {ids[box.name]} -.- {keys[store]}" for box in drawn.boxes.values() for store in box.stores]
    return "\n".join(lines) + "\n"


def _shape(box: Box) -> str:
    text = _escaped(box.title)
    if box.kind == "topic":
        return f'(["{text}"])'
    if box.detail:
        text += f"<br/>{_escaped(box.detail)}"
    return f'["{text}"]'


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "#quot;")
