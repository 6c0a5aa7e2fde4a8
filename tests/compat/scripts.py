"""Generated records, and the steps that many topologies have in common."""

from collections.abc import Iterable

from hypothesis import strategies as st

from .topologies import Record, Step


def records(
    topics: Iterable[str],
    *,
    keys: str = "ab",
    values: st.SearchStrategy[str | None],
    times: st.SearchStrategy[int],
) -> st.SearchStrategy[list[Record]]:
    """Scripts of records; one in eight or so has no key."""
    key = st.sampled_from([*keys * 3, None])
    return st.lists(st.builds(Record, st.sampled_from(list(topics)), key, values, times), max_size=25)


def numbered(script: list[Record]) -> list[Record]:
    """The records with values that tell them apart; null stays null."""
    return [
        each if each.value is None else each._replace(value=f"{each.value}{number}")
        for number, each in enumerate(script)
    ]


VALUES = st.sampled_from(["v", "v", "v", None])
EVEN = st.integers(0, 20).map(lambda half: 2 * half)
HOW = st.sampled_from(["inner", "left", "outer"])


def scripts(topics: Iterable[str] = ("left", "right")) -> st.SearchStrategy[list[Record]]:
    return records(topics, values=VALUES, times=EVEN).map(numbered)


def in_time(script: list[Record], grace: int) -> list[Record]:
    """The records with none later than grace."""
    kept: list[Record] = []
    for each in script:
        newest = max((earlier.timestamp for earlier in kept), default=0)
        kept.append(each._replace(timestamp=max(each.timestamp, newest - newest % 2 - grace + grace % 2)))
    return kept


def without_pauses(script: list[Record], most: int) -> list[Record]:
    """The records with no step in time larger than this: Kafka Streams forgets windows that it leaves far behind."""
    kept: list[Record] = []
    for each in script:
        newest = max((earlier.timestamp for earlier in kept), default=0)
        kept.append(each._replace(timestamp=min(each.timestamp, newest + most)))
    return kept


def deletes_at_its_own_time(script: list[Record]) -> bool:
    """Whether a value is deleted at the very time that it has: a versioned table of Kafka Streams then forgets that."""
    values = {(each.topic, each.key, each.timestamp) for each in script if each.value is not None}
    return any(each.value is None and (each.topic, each.key, each.timestamp) in values for each in script)


BOTH: list[Step] = [
    {"step": "stream", "name": "l", "topic": "left"},
    {"step": "stream", "name": "r", "topic": "right"},
]


def told(of: str, topic: str = "out") -> list[Step]:
    return [
        {"step": "to_stream", "name": f"{of}-told", "of": of},
        {"step": "to", "of": f"{of}-told", "topic": topic},
    ]
