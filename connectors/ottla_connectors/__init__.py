"""Connectors: data between topics and databases or files."""
