"""Tables as the stream of their changes: what every table can do, views of tables, and tables that are kept of them."""

from ottla.relations.change import Change
from ottla.relations.relation import Relation, View

__all__ = ["Change", "Relation", "View"]
