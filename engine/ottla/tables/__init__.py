"""Tables, as users declare and use them, and the step that keeps one that is read from a topic."""

from ottla.tables.aggregated import AggregatedTable, GroupedTable, aggregated_table
from ottla.tables.global_table import GlobalTable
from ottla.tables.sets import SetTable, TableSet
from ottla.tables.source import TableSource
from ottla.tables.table import Table, changelog_topic, table_spec
from ottla.tables.versioned import VersionedTable
from ottla.tables.window_table import WindowTable

__all__ = [
    "AggregatedTable",
    "GlobalTable",
    "GroupedTable",
    "SetTable",
    "Table",
    "TableSet",
    "TableSource",
    "VersionedTable",
    "WindowTable",
    "aggregated_table",
    "changelog_topic",
    "table_spec",
]
