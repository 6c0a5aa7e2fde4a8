"""All questions: importing this module imports the modules that have them."""

from . import (
    cluster,
    connections,
    consumer_groups,
    fetch,
    group_administration,
    groups,
    offsets,
    positions,
    produce,
    settings,
    topics,
    transactions,
)
from .asking import QUESTIONS

__all__ = [
    "QUESTIONS",
    "cluster",
    "connections",
    "consumer_groups",
    "fetch",
    "group_administration",
    "groups",
    "offsets",
    "positions",
    "produce",
    "settings",
    "topics",
    "transactions",
]
