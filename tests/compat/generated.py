"""Topologies drawn at random, steps of many kinds behind one another, with scripts of records for them.

What `docs/semantics.md` lists as a deliberate difference from Kafka Streams is not drawn: comments say where.
"""

from contextlib import suppress
from typing import Any, NamedTuple

from hypothesis import assume
from hypothesis import strategies as st

from .scripts import EVEN, HOW, deletes_at_its_own_time, numbered
from .topologies import Record, Step

INPUTS = ("left", "right", "third")

MOST_STEPS = 8

LETTERS = st.sampled_from(["x", "x", "x", "y", "z", "-", None, None])
"""Values name a group or a foreign key by their first letter; a dash names none."""

RECORDS = st.lists(
    st.builds(Record, st.sampled_from(INPUTS), st.sampled_from([*"xyxyab", None]), LETTERS, EVEN), max_size=30
)
SCRIPTS = st.one_of(RECORDS.map(numbered), RECORDS.map(numbered), RECORDS)
"""Two of three have values that tell their records apart, one repeats them."""

STREAM_STEPS = (
    "stream_filter",
    "stream_map",
    "flat_map",
    "merge",
    "branch",
    "stateful",
    "select_key",
    "to_table",
    "reduce",
    "cogroup",
    "stream_join",
    "stream_table_join",
    "global_join",
    "window_reduce",
)
TABLE_STEPS = ("filter", "map_values", "suppress", "table_join", "foreign_key_join", "group", "to_stream")
WINDOW_STEPS = ("window_filter", "window_join", "window_suppress", "window_stream")


class Node(NamedTuple):
    """What another step may be built on: its kind, and the inputs that reach it, directly or through another topic."""

    name: str
    kind: str
    near: frozenset[str]
    far: frozenset[str]


class Topology(NamedTuple):
    """Steps, the tables whose contents are compared at last, and whether the headers of results are compared."""

    steps: list[Step]
    tables: list[str]
    numbered: bool


class LackingError(Exception):
    """There is nothing yet on which such a step could be built."""


class Sketch:
    """A topology while it is drawn."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.steps: list[Step] = []
        self.nodes: list[Node] = []
        self.tables: list[str] = []
        self.numbered = True

    def one_of(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def add(self, step: str, kind: str, *of: Node, far: bool = False, kept: bool = False, **more: Any) -> Node:
        """Adds a step. One that is `far` is behind an internal topic, one that is `kept` is a table under its name."""
        name = f"n{len(self.steps)}"
        parents = dict(zip(("of", "with"), (each.name for each in of), strict=False))
        self.steps.append({"step": step, "name": name, **parents, **more})
        near = frozenset(more["topic"] for _ in range("topic" in more)).union(*(each.near for each in of))
        behind = frozenset[str]().union(*(each.far for each in of))
        node = Node(name, kind, frozenset(), near | behind) if far else Node(name, kind, near, behind)
        self.nodes.append(node)
        if kept:
            self.tables.append(name)
        return node

    def one(self, *kinds: str) -> Node:
        """What is there of these kinds. Raises `LackingError` if there is nothing."""
        return self.found([each for each in self.nodes if each.kind in kinds])

    def other(self, one: Node, *kinds: str) -> Node:
        """Another, to meet that one. Which of two ways of a record is the shorter nobody says where one of them leads
        through a topic. Raises `LackingError` if there is none."""
        found = [
            each
            for each in self.nodes
            if each.kind in kinds
            and each is not one
            and not each.far & (one.near | one.far)
            and not one.far & (each.near | each.far)
        ]
        return self.found(found)

    def found(self, nodes: list[Node]) -> Node:
        if not nodes:
            raise LackingError
        return self.draw(st.sampled_from(nodes))


def add_input(sketch: Sketch, topic: str) -> None:
    step, kind = sketch.one_of(
        ("stream", "stream"),
        ("stream", "stream"),
        ("table", "table"),
        ("table", "table"),
        ("versioned_table", "versions"),
        ("global_table", "global"),
    )
    sketch.add(step, kind, topic=topic, kept=step != "stream")


def add_stream_step(sketch: Sketch) -> None:
    step = sketch.one_of(*STREAM_STEPS)
    of = sketch.one("stream")
    match step:
        case "stream_filter":
            sketch.add(step, "stream", of, least=least(sketch))
        case "stream_map" | "flat_map" | "stateful":
            sketch.add(step, "stream", of)
        case "branch":
            large = sketch.add(step, "stream", of, least=least(sketch))
            sketch.nodes.append(large._replace(name=f"{large.name}-rest"))
        case "select_key":
            # Events whose new key is null Kafka Streams drops: none of these.
            named = sketch.add("stream_filter", "stream", of, least="v")
            sketch.add("repartition", "stream", sketch.add(step, "scattered", named), far=True)
        case "to_table" | "reduce":
            sketch.add(step, "table", of, kept=True)
        case "merge":
            sketch.add(step, "stream", of, sketch.other(of, "stream"))
        case "cogroup":
            sketch.add(step, "aggregate", of, sketch.other(of, "stream"))
        case "stream_join":
            before, after = sketch.one_of((-2, 11), (0, 5), (7, 5), (7, 7), (12, 5), (12, 7))
            # With odd bounds no event is exactly window and grace old.
            grace = 3 if (before + after) % 2 == 0 else 4
            other = sketch.other(of, "stream")
            sketch.add(step, "stream", of, other, how="inner", before=before, after=after, grace=grace)
        case "stream_table_join":
            other = sketch.other(of, "table", "versions", "aggregate", "view")
            sketch.add(step, "stream", of, other, how=sketch.one_of("inner", "left"))
        case "global_join":
            sketch.add(step, "stream", of, sketch.other(of, "global"), how=sketch.one_of("inner", "left"))
        case "window_reduce":
            add_windows(sketch, of)


def add_windows(sketch: Sketch, of: Node) -> None:
    window = sketch.one_of("hopping", "sliding", "session")
    # By `suppress` Kafka Streams tells a sliding window a millisecond before that is over, and on close no session that
    # was left far behind.
    told_last = {"hopping": ("close", "suppress"), "sliding": ("close",), "session": ("suppress",)}[window]
    emit = sketch.one_of("update", *told_last)
    if window == "session" or emit != "update":
        sketch.numbered = False
        # A window whose aggregate is null Kafka Streams takes for none.
        of = sketch.add("stream_filter", "stream", of, least="")
    how = {"size": 9, "advance": sketch.one_of(4, 9), "grace": sketch.one_of(0, 6)}
    kept = window != "session" and emit == "update"
    # Nothing is built on what is told last: who looks it up finds windows there of which nothing was told yet.
    kind = "windows" if emit == "update" else "windows told late"
    sketch.add("window_reduce", kind, of, window=window, emit=emit, kept=kept, **how)


def add_table_step(sketch: Sketch) -> None:
    step = sketch.one_of(*TABLE_STEPS)
    match step:
        case "table_join":
            # What is not the newest version is a change for others than joins there.
            of = sketch.one("table", "versions", "view")
            sketch.add(step, "view", of, sketch.other(of, "table", "versions", "view"), how=sketch.draw(HOW))
        case "foreign_key_join":
            of = sketch.one("table", "versions", "view")
            other = sketch.other(of, "table", "versions", "view")
            how, on = sketch.one_of("inner", "left"), sketch.one_of("value", "key")
            sketch.add(step, "table", of, other, how=how, on=on, far=True, kept=True)
        case "group":
            # Of an aggregate, whose first old value is the initial one there, no groups.
            sketch.add(step, "aggregate", sketch.one("table", "view"), far=True)
        case "filter":
            of = sketch.one("table", "aggregate", "view")
            passed = sketch.add(step, "aggregate" if of.kind == "aggregate" else "view", of, least=least(sketch))
            # With nobody who asks for old values Kafka Streams hands on deletions of what never passed.
            sketch.add("table_join", "unused", passed, passed, how="outer")
        case "map_values":
            of = sketch.one("table", "aggregate", "view")
            sketch.add(step, "aggregate" if of.kind == "aggregate" else "view", of)
        case "suppress":
            # Nothing is built on it: old values are those before the last update there, of which nobody was told.
            of, within = sketch.one("table", "aggregate", "view"), sketch.one_of(0, 5, 12)
            sketch.add(step, "told late", of, within=within, **sketch.one_of({}, {"most": 1}))
        case "to_stream":
            sketch.add(step, "stream", sketch.one("table", "aggregate", "view"))


def add_window_step(sketch: Sketch) -> None:
    step = sketch.one_of(*WINDOW_STEPS)
    of = sketch.one("windows")
    match step:
        case "window_filter":
            passed = sketch.add(step, "windows", of, least=least(sketch))
            sketch.add("window_join", "unused", passed, passed, how="outer")
        case "window_suppress":
            sketch.add(step, "windows told late", of, within=sketch.one_of(0, 5, 12))
        case "window_join":
            sketch.add(step, "windows", of, sketch.other(of, "windows"), how=sketch.draw(HOW))
        case "window_stream":
            sketch.add(step, "stream", of)


def least(sketch: Sketch) -> str:
    """What values must be at least to pass."""
    text: str = sketch.one_of("v", "x1", "x3", "y")
    return text


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    """Steps behind three inputs, and all that they make written to topics."""
    sketch = Sketch(draw)
    first, *others = INPUTS
    sketch.add("stream", "stream", topic=first)
    for topic in others:
        add_input(sketch, topic)
    for _ in range(draw(st.integers(1, MOST_STEPS))):
        kinds = {each.kind for each in sketch.nodes}
        adding = [add_stream_step] + [add_table_step] * ("table" in kinds) + [add_window_step] * ("windows" in kinds)
        with suppress(LackingError):
            draw(st.sampled_from(adding))(sketch)
    for node in list(sketch.nodes):
        told = node
        if node.kind in ("table", "view", "aggregate", "told late"):
            told = sketch.add("to_stream", "told", node)
        elif node.kind in ("windows", "windows told late"):
            told = sketch.add("window_stream", "told", node)
        if told.kind in ("stream", "told"):
            # What several tasks write to one topic is in no order.
            own = f"out-{node.name}"
            sketch.add("to", "sink", told, topic=own if node.far else sketch.one_of(own, own, "out"))
    return Topology(sketch.steps, sketch.tables, sketch.numbered)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Topology, list[Record]]:
    """A topology with a script for it."""
    topology, script = draw(topologies()), draw(SCRIPTS)
    assume(not (any(step["step"] == "versioned_table" for step in topology.steps) and deletes_at_its_own_time(script)))
    return topology, script
