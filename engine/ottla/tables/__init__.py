"""Tables, as users declare and use them, and the step that keeps one that is read from a topic."""

from ottla.tables.source import TableSource
from ottla.tables.table import Table, table_spec

__all__ = ["Table", "TableSource", "table_spec"]
