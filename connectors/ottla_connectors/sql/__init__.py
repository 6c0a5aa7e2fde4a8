"""Databases as sinks, over SQLAlchemy Core."""
